"""Deploys by a deploy hook, which reports no status: polls the service's own health instead."""

import asyncio
from collections.abc import Sequence

import httpx2

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, UnknownVersionError
from abreast.core.model import Address, Service, Version
from abreast.core.reported_commit import reported_commit
from abreast.core.secrets import Secret
from abreast.machine.tls import ssl_context
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.configuration import SecretLookup
from abreast.provider_api.polling import PollBudget

TIMEOUT = 10.0


class HookDeployer:
    """Implements the platform for a service with a deploy hook and no API key."""

    def __init__(self, hooks: SecretLookup, poll_budget: PollBudget) -> None:
        self._hooks = hooks
        self._poll_budget = poll_budget

    def capabilities(self, service: Service) -> Capabilities:  # noqa: ARG002 (the same for every service)
        """No candidates, and no way to unpublish."""
        notes = (
            "goes live in the turn: Render has no candidates without users",
            "its health path must report the commit: a deploy hook reports no status",
        )
        return Capabilities(has_candidates=False, can_unpublish=False, notes=notes)

    async def live_version(self, service: Service) -> Version | None:
        """Check that the hook's URL is set. Raises UnknownVersionError: a hook tells nothing."""
        self._hook_url(service)
        raise UnknownVersionError(f"a deploy hook does not say which version of {service.name} is live")

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the health path and the commit that it reports."""
        self._hook_url(service)
        commit = await self._reported_commit(service)
        if commit is None:
            return [
                Diagnostic(
                    DiagnosticSeverity.UNKNOWN, "", f"{service.settings['url']} does not answer", "a service that is up"
                )
            ]
        if not commit:
            return [Diagnostic(DiagnosticSeverity.FAULT, "", f"{_health_url(service)} reports no commit", _COMMIT_NEED)]
        return [Diagnostic(DiagnosticSeverity.OK, "", f"{service.settings['url']} runs {commit[:7]}")]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:  # noqa: ARG002 (nothing to do before the turn)
        """Check that the hook's URL is set."""
        self._hook_url(request.service)
        address = str(request.service.settings["url"]).rstrip("/")
        at = (Address(address),)
        return Version(
            request.version_id, request.service.name, (), address, live_probes=at, handle={"commit": request.commit}
        )

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Trigger a deploy of the commit, and poll the service until it reports that commit."""
        service = move.service
        if version is None or await self._is_running(service, version):
            return
        await self._trigger_deploy(service, version.handle["commit"])
        await report(service.name, f"render: requested a deploy of {version.handle['commit'][:7]}")
        with self._poll_budget.schedule(service.build.timeout) as pauses:
            for pause in pauses:
                if await self._is_running(service, version):
                    return
                await asyncio.sleep(pause)
        raise PlatformError(
            f"{_health_url(service)} does not serve {version.handle['commit'][:7]} after {service.build.timeout:g} s",
            need="a deploy that goes live, or a longer build.timeout",
            next="see https://dashboard.render.com",
        )

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the service reports another commit. Its health is left to the check."""
        commit = await self._reported_commit(version.service)
        other = commit and not version.handle.get("commit", "").startswith(commit)
        return Observation(present=not other, exit_reason=f"it runs commit {commit[:7]}" if commit and other else "")

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:  # noqa: ARG002 (there are none)
        """Raise PlatformError: a hook reads no logs."""
        raise PlatformError(
            f"the logs of {service.name} cannot be read with a deploy hook",
            need="`render: {service: srv-…}` and RENDER_API_KEY",
            next="see https://dashboard.render.com",
        )

    def _hook_url(self, service: Service) -> Secret:
        name = str(service.settings["hook"])
        if hook := self._hooks(name):
            return hook
        raise PlatformError(f"{name} is not set", need="the URL of the deploy hook", next=f"export {name}=…")

    async def _trigger_deploy(self, service: Service, commit: str) -> None:
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client:
                answer = await client.post(httpx2.URL(self._hook_url(service).reveal()).copy_add_param("ref", commit))
        except httpx2.HTTPError as error:
            raise PlatformError(
                f"Render: the deploy hook of {service.name}: {type(error).__name__}", need="Render to be up"
            ) from None
        if not answer.is_success:
            name = service.settings["hook"]
            raise PlatformError(
                f"Render: the deploy hook of {service.name}: status {answer.status_code}",
                need=f"{name} with the URL of an existing deploy hook",
            )

    async def _is_running(self, service: Service, version: Version) -> bool:
        commit = await self._reported_commit(service)
        if commit == "":
            raise PlatformError(f"{_health_url(service)} reports no commit", need=_COMMIT_NEED)
        return commit is not None and version.handle["commit"].startswith(commit)

    async def _reported_commit(self, service: Service) -> str | None:
        """Return the commit that the service reports, "" if it reports none, None if it is not healthy."""
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client:
                answer = await client.get(_health_url(service))
        except httpx2.HTTPError:
            return None
        return reported_commit(answer.headers, answer.content) if answer.is_success else None


_COMMIT_NEED = "an answer with `commit` in JSON, or the header X-Commit"


def _health_url(service: Service) -> str:
    return str(service.settings["url"]).rstrip("/") + service.health.path
