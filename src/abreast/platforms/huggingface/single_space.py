"""One Space for a service: a version is staged on a branch, and built when traffic switches."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from abreast.core.diagnostics import Diagnostic
from abreast.core.model import LiveService, Service, Version
from abreast.core.strategy import Strategy
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient, Space
from abreast.platforms.huggingface.hardware import hardware_notes
from abreast.platforms.huggingface.repository import publish, restore
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.huggingface.space_variables import SpaceVariables, names_to_write, restorable
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.provider_api.api_client import ConflictError

_NO_CANDIDATES = (
    "goes live in the turn, once its Space has built it; a second Space as `standby` would allow candidates"
)


class SingleSpace:
    """Implements the platform for a service with one Space. It has no candidates."""

    def __init__(self, hub: HubClient, controller: SpaceController, variables: SpaceVariables) -> None:
        self._hub = hub
        self._controller = controller
        self._variables = variables
        self._known: dict[str, Space] = {}
        self._notes: dict[str, tuple[str, ...]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """Return what one Space can do; after ``live_version``, with what the turn restarts."""
        notes = (_NO_CANDIDATES, *hardware_notes(service), *self._notes.get(service.name, ()))
        return Capabilities(has_candidates=False, can_unpublish=False, notes=notes, strategies=(Strategy.RECREATE,))

    def known_space(self, service: Service) -> Space | None:
        """Return the Space as ``live_version`` found it."""
        return self._known.get(_space_id(service))

    def space_ids(self, service: Service) -> Sequence[str]:
        """Return the id of the Space."""
        return (_space_id(service),)

    async def live_version(self, service: Service) -> Version | None:
        """Return the head of the main branch, whoever pushed it; None if it has no application."""
        space = await self._controller.reachable_space(_space_id(service))
        await self._controller.require_write_access(space.id)
        state = await self._variables.read(space.id)
        self._known[space.id], self._notes[service.name] = space, tuple(_private_notes(space))
        runtime = await self._hub.get_runtime(space.id)
        if runtime.stage in {"NO_APP_FILE", "CONFIG_ERROR"}:
            return None
        writes, possible = names_to_write(service, state)
        self._notes[service.name] += tuple(_restart_notes(writes, possible))
        title = await self._controller.commit_title(space.id, space.sha)
        before = {"revision": space.sha, "variables": json.dumps(restorable(state))}
        return _version(f"{service.name}-huggingface-{space.sha}", service, space, title, **before)

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:  # noqa: ARG002 (same signature as SpacePair)
        """Return "": the service has one address."""
        return ""

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the Space."""
        await self.live_version(service)
        return await self._controller.diagnose(_space_id(service))

    async def stage(self, request: StageRequest, report: Reporter, card: Path | None = None) -> Version:
        """Commit the files to a branch of their own, which the Space does not build. ``card`` is for files without."""
        space = await self._controller.reachable_space(_space_id(request.service))
        with contextlib.suppress(ConflictError):  # the branch exists from an earlier attempt
            await self._hub.create_branch(space.id, request.version_id, space.sha)
        staged = await self._hub.get_space(space.id, request.version_id)
        if await self._controller.commit_title(space.id, staged.sha) != request.version_id:
            await report(request.service.name, f"huggingface: uploading changed files to {space.id}")
            await publish(self._hub, staged, request.version_id, request, card)
        return _version(request.version_id, request.service, space, request.version_id)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Commit the version's tree to the main branch, and wait until the Space runs it. With None it stays.

        Variables are set right before the commit: each write restarts what users are on.
        """
        if version is None:
            return
        space = await self._controller.reachable_space(_space_id(move.service))
        title = version.handle["version"]
        revision = version.handle.get("revision") or (await self._hub.get_space(space.id, title)).sha
        recorded = json.loads(version.handle["variables"]) if "variables" in version.handle else None

        async def configure() -> None:
            await self._controller.configure(space.id, move.service, move.env, move.secrets, report, recorded)

        head = await restore(self._hub, space, revision, title, configure)
        if head != space.sha and move.service.settings.get("factory"):
            await self._hub.restart(space.id, factory=True)
        await self._controller.wait_until_running(move.service, space.model_copy(update={"sha": head}), report)

    async def retire(self, version: VersionRef) -> None:
        """Delete the version's branch. The live version is on the main branch."""
        await self._hub.delete_branch(_space_id(version.service), version.id)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the version is the head of the main branch, and runs."""
        return await self._controller.observe(_space_id(version.service), version.handle.get("version", version.id))


def _space_id(service: Service) -> str:
    return str(service.settings["space"])


def _version(id: str, service: Service, space: Space, title: str, **more: str) -> Version:
    handle = {"version": title, **more}
    return Version(id, service.name, probes=(), url=space.address, live_probes=(space.probe,), handle=handle)


def _restart_notes(writes: list[str], possible: list[str]) -> list[str]:
    """Return which writes of variables restart the Space that users are on."""
    notes = []
    if writes:
        notes.append(f"the turn sets {', '.join(writes)}; each write restarts the Space that users are on")
    if possible:
        notes.append(f"the turn sets {', '.join(possible)} where the value has changed; each write restarts the Space")
    return notes


def _private_notes(space: Space) -> list[str]:
    probed = f"health checks send {HUGGING_FACE.token_variable} to {space.address}"
    return [f"its Space is private: only requests with a token reach it; {probed}"] if space.private else []
