"""The Space of a preview: created like the base's, known by its mark, and then treated as any other single Space."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import LiveService, Service, Version
from abreast.platforms.huggingface.client import HubClient, Space
from abreast.platforms.huggingface.repository import CARD_FILE
from abreast.platforms.huggingface.single_space import SingleSpace
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.huggingface.space_variables import SpaceState, SpaceVariables
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.provider_api.api_client import ConflictError, NotFoundError, UnknownOutcomeError

MARK_VARIABLE = "ABREAST_PREVIEW"
"""The variable of a preview's Space that says for which Space and which preview abreast created it."""

MARK_DESCRIPTION = "abreast created this Space for a preview, and deletes it with the preview"


class PreviewSpace:
    """Implements the platform for previews."""

    def __init__(
        self, hub: HubClient, controller: SpaceController, variables: SpaceVariables, single: SingleSpace
    ) -> None:
        self._hub = hub
        self._controller = controller
        self._variables = variables
        self._single = single
        self._bases: dict[str, tuple[Space, SpaceState]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """Return what one Space can do; notes what the preview lacks, once the Hub was asked."""
        _, *rest = self._single.capabilities(service).notes
        return Capabilities(has_candidates=False, notes=(*_notes(service, self._bases.get(_base_id(service))), *rest))

    def known_space(self, service: Service) -> Space | None:
        """Return the preview's Space as ``live_version`` found it, or as it will be."""
        base = self._bases.get(_base_id(service))
        planned = base[0].model_copy(update={"id": _space_id(service)}) if base else None
        return self._single.known_space(service) or planned

    def space_ids(self, service: Service) -> Sequence[str]:
        """Return the id of the preview's Space."""
        return (_space_id(service),)

    async def live_version(self, service: Service) -> Version | None:
        """Return the head of the main branch, None if the Space is not there or has no application."""
        base = await self._controller.reachable_space(_base_id(service))
        self._bases[_base_id(service)] = base, await self._variables.read(base.id)
        await self._controller.require_write_access(_space_id(service))
        return await self._single.live_version(service) if await self._find(service) else None

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:  # noqa: ARG002 (same signature as SpacePair)
        """Return "": the service has one address."""
        return ""

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the Space, or whether it can be created."""
        await self.live_version(service)
        if await self._find(service):
            return await self._single.diagnose(service)
        what = f"the Space {_space_id(service)} will be created like {_base_id(service)}"
        return [Diagnostic(DiagnosticSeverity.OK, "", what)]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Create the Space unless it is there, and commit the files to a branch of their own.

        The Space gets the base's card if the files have none: it says, among others, where the application listens.
        """
        base = await self._controller.reachable_space(_base_id(request.service))
        if await self._find(request.service) is None:
            await self._create(base, request.service, report)
        with tempfile.TemporaryDirectory() as folder:
            card = Path(folder, CARD_FILE)
            with suppress(NotFoundError):
                content = await self._hub.get_file(base.id, base.sha, CARD_FILE)
                await asyncio.to_thread(card.write_bytes, content)
            return await self._single.stage(request, report, card if card.exists() else None)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Make the Space run the version; delete the Space if it is None."""
        if version is None:
            await self.remove(move.service, report)
        elif await self._find(move.service):
            await self._single.switch_traffic(move, version, report)
        else:
            raise PlatformError(
                f"there is no Space {_space_id(move.service)}", need="a preview that was staged", next="abreast deploy"
            )

    async def retire(self, version: VersionRef) -> None:
        """Delete the version's branch."""
        if await self._find(version.service):
            await self._single.retire(version)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the version is the head of the main branch, and runs."""
        return await self._single.observe(version)

    async def remove(self, service: Service, report: Reporter) -> None:
        """Delete the preview's Space. Raises PlatformError for one that abreast did not create for this preview."""
        if found := await self._find(service):
            await self._hub.delete_space(found.id)
            await report(service.name, f"huggingface: deleted the Space {found.id}")

    async def _create(self, base: Space, service: Service, report: Reporter) -> None:
        """Create the Space with its mark, on free hardware. Raises PlatformError if the Hub does not do it."""
        mark = {"key": MARK_VARIABLE, "value": _mark_value(service), "description": MARK_DESCRIPTION}
        try:
            await self._hub.create_space(_space_id(service), str(base.sdk), private=base.private, variables=[mark])
        except (ConflictError, UnknownOutcomeError):
            if await self._find(service) is None:
                raise
        await report(service.name, f"huggingface: created the Space {_space_id(service)} like {base.id}")

    async def _find(self, service: Service) -> Space | None:
        """Return the preview's Space, None if there is none. Raises PlatformError for one that is not abreast's."""
        try:
            space = await self._hub.get_space(_space_id(service))
            variables = await self._hub.get_variables(space.id)
        except NotFoundError:
            return None
        mark = variables.get(MARK_VARIABLE)
        is_own = mark is not None and mark.value == _mark_value(service)
        asked_for = space.id.lower() == _space_id(service).lower()  # the Hub leads from an old name to the new one
        if not is_own or not asked_for or space.id.lower() == _base_id(service).lower():
            raise PlatformError(
                f"the Space {space.id} was not created by abreast for this preview",
                need=f"a Space whose variable {MARK_VARIABLE} is {_mark_value(service)!r}, or none of that name",
                next=f"rename or delete it: https://huggingface.co/spaces/{space.id}/settings",
            )
        return space


def _notes(service: Service, known: tuple[Space, SpaceState] | None) -> Iterator[str]:
    """Yield what a plan says of a preview; less before the Hub was asked."""
    yield f"is a Space of its own, {_space_id(service)}, on the Hub's free hardware, and sleeps when nobody uses it"
    yield "goes live in the turn, once its Space has built it"
    if known is None:
        return
    base, state = known
    named = {*service.env, *service.secrets, *(service.database.variable_names if service.database else ())}
    missing = {name for name in {*state.variables, *state.secrets} - named if not name.startswith("ABREAST_")}
    if missing:
        names = ", ".join(sorted(missing))
        yield f"without variables and secrets that only {base.id} has, for it could write to what they lead to: {names}"


def _space_id(service: Service) -> str:
    return str(service.settings["space"])


def _base_id(service: Service) -> str:
    return str(service.settings["base"])


def _mark_value(service: Service) -> str:
    return f"{service.settings['preview']} of {service.settings['base']}"
