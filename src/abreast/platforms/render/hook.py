"""With a deploy hook: an address that begins a deploy and tells nothing, so that the service itself is asked."""

import asyncio
from collections.abc import Callable

import httpx2

from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.core.secrets import Secret
from abreast.core.told import commit_told
from abreast.machine.tls import trust
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Capabilities, Observation, StageRequest, Tell, TrafficMove, VersionRef

PATIENCE = 10.0
Hooks = Callable[[str], Secret | None]
"""Returns the address of a deploy hook by the name of the variable that holds it."""


class WithHook:
    """The verbs of a platform for a service that nothing but its deploy hook is known of."""

    def __init__(self, hooks: Hooks, pace: Pace) -> None:
        self._hooks = hooks
        self._pace = pace

    def capabilities(self, service: Service) -> Capabilities:  # noqa: ARG002 (the same for every service)
        """No candidates, no common moment, and always a version."""
        notes = (
            "goes live in the turn: Render has no candidate without users",
            "is followed at its own address, since a deploy hook tells nothing: its health must name the commit",
        )
        return Capabilities(has_candidates=False, can_unpublish=False, notes=notes)

    async def live_version(self, service: Service) -> Version | None:
        """See that the hook's address is at hand; what others deployed cannot be told."""
        self._hook(service)
        return None

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell what the service answers."""
        self._hook(service)
        commit = await self._commit(service)
        if commit is None:
            return [Remark(Level.UNKNOWN, "", f"{service.settings['url']} does not answer", "a service that is up")]
        if not commit:
            return [Remark(Level.FAULT, "", f"{_health(service)} names no commit", _COMMIT)]
        return [Remark(Level.OK, "", f"{service.settings['url']} runs {commit[:7]}")]

    async def stage(self, order: StageRequest, tell: Tell) -> Version:  # noqa: ARG002 (nothing to do before the turn)
        """See that the hook's address is at hand."""
        self._hook(order.service)
        address = str(order.service.settings["url"]).rstrip("/")
        at = (Address(address),)
        return Version(order.version_id, order.service.name, (), address, turned=at, handle={"commit": order.commit})

    async def switch_traffic(self, move: TrafficMove, version: Version | None, tell: Tell) -> None:
        """Ask for a deploy of the commit, and for the service until it answers with it."""
        service = move.service
        if version is None or await self._runs(service, version):
            return
        await self._begin(service, version.handle["commit"])
        await tell(service.name, f"render: a deploy of {version.handle['commit'][:7]} is asked for")
        with self._pace.waiting(service.build.timeout) as pauses:
            for pause in pauses:
                if await self._runs(service, version):
                    return
                await asyncio.sleep(pause)
        raise PlatformError(
            f"{_health(service)} does not answer for {version.handle['commit'][:7]} after {service.build.timeout:g} s",
            need="a deploy that goes live, or a longer build.timeout",
            next="see it at https://dashboard.render.com",
        )

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether the service answers for another commit; whether it is healthy is for the check to say."""
        commit = await self._commit(version.service)
        other = commit and not version.handle.get("commit", "").startswith(commit)
        return Observation(present=not other, exit_reason=f"it answers for {commit[:7]}" if commit and other else "")

    def _hook(self, service: Service) -> Secret:
        name = str(service.settings["hook"])
        if hook := self._hooks(name):
            return hook
        raise PlatformError(f"{name} is not set", need="the address of the deploy hook", next=f"export {name}=…")

    async def _begin(self, service: Service, commit: str) -> None:
        try:
            async with httpx2.AsyncClient(timeout=PATIENCE, verify=trust()) as client:
                answer = await client.post(httpx2.URL(self._hook(service).reveal()).copy_add_param("ref", commit))
        except httpx2.HTTPError as error:
            raise PlatformError(
                f"Render: the deploy hook of {service.name}: {type(error).__name__}", need="Render to be up"
            ) from None
        if not answer.is_success:
            name = service.settings["hook"]
            raise PlatformError(
                f"Render: the deploy hook of {service.name}: status {answer.status_code}", need=f"the right {name}"
            )

    async def _runs(self, service: Service, version: Version) -> bool:
        commit = await self._commit(service)
        if commit == "":
            raise PlatformError(f"{_health(service)} names no commit", need=_COMMIT)
        return commit is not None and version.handle["commit"].startswith(commit)

    async def _commit(self, service: Service) -> str | None:
        """Return the commit that a healthy service names, "" where it names none; None where it is not healthy."""
        try:
            async with httpx2.AsyncClient(timeout=PATIENCE, verify=trust()) as client:
                answer = await client.get(_health(service))
        except httpx2.HTTPError:
            return None
        return commit_told(answer.headers, answer.content) if answer.is_success else None


_COMMIT = "an answer with `commit` in JSON, or the header X-Commit"


def _health(service: Service) -> str:
    return str(service.settings["url"]).rstrip("/") + service.health.path
