"""The Render platform: it has no candidates, so a service is deployed and goes live when traffic switches."""

from collections.abc import Mapping, Sequence

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Service, Version
from abreast.machine.tasks import run_all
from abreast.platforms.interface import (
    Capabilities,
    MaintenanceMove,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    Reporter,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.render.api_deployer import ApiDeployer
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.configuration import SecretLookup
from abreast.platforms.render.hook_deployer import HookDeployer
from abreast.platforms.render.maintenance import diagnose_maintenance, set_maintenance
from abreast.platforms.render.preview_deployer import PreviewDeployer
from abreast.platforms.render.settings import RenderSettings
from abreast.provider_api.api_client import connect
from abreast.provider_api.polling import PollBudget

POLL_INTERVAL, MAX_POLLERS = 3.0, 15
"""Maximum poll interval in seconds, and the pollers it allows: 300 of 400 requests a minute."""


class RenderPlatform(Platform):
    """Deploys commits and images to existing services of every type. Render builds the commits."""

    name = "render"

    def __init__(self, render: RenderClient, secrets: SecretLookup, poll_interval: float = POLL_INTERVAL) -> None:
        poll_budget = PollBudget(poll_interval, MAX_POLLERS)
        self._render = render
        self._api_deployer = ApiDeployer(render, secrets, poll_budget)
        self._hook_deployer = HookDeployer(secrets, poll_budget)
        self._preview_deployer = PreviewDeployer(render, self._api_deployer)

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates, and services switch one by one."""
        return self._deployer_for(service).capabilities(service)

    async def live_version(self, service: Service) -> Version | None:
        """Return the live deploy, whoever made it. Raises UnknownVersionError without an API key."""
        return await self._deployer_for(service).live_version(service)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the service by the API, or by its health path if it has a hook."""
        return await self._deployer_for(service).diagnose(service)

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Check that the service can be deployed, and turn off its auto-deploy."""
        return await self._deployer_for(request.service).stage(request, report)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Deploy each version and wait until it is live."""
        await run_all(*(self._deployer_for(move.service).switch_traffic(move, move.target, report) for move in moves))

    async def inspect_maintenance(self, move: MaintenanceMove) -> Sequence[Diagnostic]:
        """Return a fault for a service without an API key, and for what is no paid web service."""
        if self._deployer_for(move.service) is not self._api_deployer:
            what = "a preview" if "preview" in move.service.settings else "a deploy hook"
            need = f"`render: {{service: srv-…}}` of {move.service.name}, and {RENDER.token_variable}"
            return [Diagnostic(DiagnosticSeverity.FAULT, "", f"{what} at Render has no maintenance mode", need)]
        return [*diagnose_maintenance(move, await self._api_deployer.find_service(move.service))]

    async def switch_maintenance(self, moves: Sequence[MaintenanceMove], report: Reporter) -> None:
        """Turn Render's maintenance mode of each service on or off. What has none is left as it is when it ends."""
        await run_all(*(self._switch_maintenance(move, report) for move in moves))

    async def _switch_maintenance(self, move: MaintenanceMove, report: Reporter) -> None:
        if self._deployer_for(move.service) is self._api_deployer:
            await set_maintenance(self._render, move, await self._api_deployer.find_service(move.service), report)

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Do nothing: Render stops the old version itself and keeps its build for rollbacks."""

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return whether each service runs its version."""
        return {version.id: await self._deployer_for(version.service).observe(version) for version in versions}

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:
        """Return the last lines that the live service printed, oldest first: the ISO 8601 time in UTC and the text.

        Raises PlatformError without an API key.
        """
        return await self._deployer_for(service).recent_logs(service, limit)

    async def remove_preview(self, service: Service, report: Reporter) -> None:
        """Delete the preview's service, if its mark says that abreast created it for this preview."""
        await self._preview_deployer.remove(service, report)

    def _deployer_for(self, service: Service) -> ApiDeployer | HookDeployer | PreviewDeployer:
        if "preview" in service.settings:
            return self._preview_deployer
        return self._hook_deployer if service.settings.get("hook") else self._api_deployer


def _create(context: PlatformContext) -> RenderPlatform:
    return RenderPlatform(RenderClient(connect(RENDER, context)), context.secret)


PLUGIN = PlatformPlugin(RenderSettings, _create, RENDER.token_variable)
