"""Deploys a service by Render's API. Needs an API key."""

from collections.abc import Sequence
from contextlib import suppress
from string import Template

from abreast.core.container_image import RECORD_FILE, parse_record
from abreast.core.diagnostics import Diagnostic
from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, ServiceType, Version
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.configuration import SETTINGS_KEY, Configuration, LiveSettings, SecretLookup
from abreast.platforms.render.deploys import Deploys, render_service_id
from abreast.platforms.render.diagnostics import diagnose_service
from abreast.platforms.render.jobs import Jobs
from abreast.platforms.render.observations import TYPE_KEY, Observations
from abreast.platforms.render.resources import RenderService
from abreast.platforms.render.service_types import (
    plan_notes,
    require_declared_type,
    require_fitting_settings,
    require_resumable,
    strategies,
)
from abreast.provider_api.api_client import NotFoundError, UnknownOutcomeError
from abreast.provider_api.polling import PollBudget

LIVE_LOG_TYPE = "app"
"""The type of the lines that a service itself prints."""


class ApiDeployer:
    """Implements the platform for a service that the API key can change."""

    def __init__(self, render: RenderClient, secrets: SecretLookup, poll_budget: PollBudget) -> None:
        self._render = render
        self._deploys = Deploys(render, poll_budget)
        self._jobs = Jobs(render, poll_budget)
        self._configuration = Configuration(render, secrets)
        self._observations = Observations(render, self._deploys)
        self._found: dict[str, RenderService] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates. Notes what the service's type and disk mean once they are known."""
        found = self._found.get(render_service_id(service))
        return Capabilities(
            has_candidates=False,
            service_types=frozenset(ServiceType),
            runs_release_command=True,
            notes=plan_notes(service, found),
            strategies=strategies(service, found),
        )

    async def live_version(self, service: Service) -> Version | None:
        """Return the live deploy, whoever made it. None if a person suspended the service."""
        found = await self.find_service(service)
        if found.is_suspended:
            require_resumable(found)
            return None
        live = await self._deploys.live_deploy(found.id)
        if live is None:
            return None
        settings = LiveSettings.of(found, service).model_dump_json()
        restored = {"deploy": live.id, SETTINGS_KEY: settings}
        return _version(f"{service.name}-render-{live.id}", service, found, live.source, **restored)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the service, and warn about settings that a deployment will change."""
        self._configuration.require_secret_files(service)
        live = await self.live_version(service)
        return [*diagnose_service(self._found[render_service_id(service)], live)]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Check that the service can be deployed, and turn off its auto-deploy."""
        self._configuration.require_secret_files(request.service)
        found = await self.find_service(request.service)
        if found.auto_deploy == "yes":
            with suppress(UnknownOutcomeError):
                await self._render.disable_auto_deploy(found.id)
            await report(request.service.name, "render: turned off auto-deploy, which would undo a rollback")
        return _version(request.version_id, request.service, found, deployed_image(request) or request.commit)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Deploy the version, or restore the deploy in its handle, and wait until live. Suspend if it is None."""
        found = await self.find_service(move.service)
        if version is None:
            if not found.is_suspended:
                await self._render.suspend(found.id)
                await report(move.service.name, f"render: {found.name} is suspended and serves no users")
            return
        if found.is_suspended:
            require_resumable(found)
            await self._render.resume(found.id)
            await report(move.service.name, f"render: {found.name} was resumed")
        await self._configuration.apply(move, version, found, report)
        try:
            await self._deploys.deploy_version(move, version, report)
        finally:
            self._observations.forget(found.id)
        if "job" in move.service.settings and not version.handle.get("deploy"):
            await self._run_job(move.service, found, report)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the service runs the version."""
        return await self._observations.observe(version)

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:
        """Return the last lines that the service printed, oldest first: the time in UTC and the text."""
        found = await self.find_service(service)
        lines = await self._render.get_logs(found.owner_id, found.id, limit, LIVE_LOG_TYPE)
        return [(line.timestamp, line.message) for line in lines]

    def require_secret_files(self, service: Service) -> dict[str, str]:
        """Return the content of each secret file. Raises PlatformError if one is not set."""
        return self._configuration.require_secret_files(service)

    async def _run_job(self, service: Service, found: RenderService, report: Reporter) -> None:
        """Run the job of a new version once. Raises PlatformError if it fails."""
        live = await self._deploys.live_deploy(found.id)
        since = (live and live.created_at) or ""
        why = await self._jobs.run_once(service, found.id, str(service.settings["job"]), since, report)
        if why:
            log = await self._deploys.log_tail(found)
            raise PlatformError(f"{why}{log}", need="a job that succeeds", next=found.dashboard_url)

    async def find_service(self, service: Service) -> RenderService:
        """Return Render's service. Raises PlatformError if there is none, or if its type does not fit the settings."""
        try:
            found = await self._render.get_service(render_service_id(service))
        except NotFoundError as error:
            raise PlatformError(
                f"{error.what}: the key sees no such service",
                need=f"{RENDER.token_variable} with {RENDER.scope}, and the service id from the URL of its dashboard",
                next=f"export {RENDER.token_variable}=…",
            ) from error
        self._found[found.id] = found
        require_fitting_settings(service, found)
        require_declared_type(service, found)
        return found


def deployed_image(request: StageRequest) -> str:
    """Return the image to deploy, "" to deploy the commit."""
    image = str(request.service.settings.get("image") or "")
    variables = {"ABREAST_COMMIT": request.commit, "ABREAST_RELEASE": request.env.get("ABREAST_RELEASE", "")}
    if "ABREAST_IMAGE" in image:
        variables["ABREAST_IMAGE"] = _built_image(request)
    return Template(image).safe_substitute(variables)


def _built_image(request: StageRequest) -> str:
    """Return the built image by digest. Raises PlatformError if none was built."""
    try:
        return parse_record((request.artifact_path / RECORD_FILE).read_bytes()).pinned
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(
            f"no image was built of {request.service.name}, which $ABREAST_IMAGE stands for",
            need="`build: {image: …}` for that service",
            next="abreast docs build",
        ) from error


def _version(id: str, service: Service, found: RenderService, source: str, **restored: str) -> Version:
    image = {"image": source} if service.settings.get("image") else {}
    return Version(
        id,
        service.name,
        probes=(),
        url=found.address,
        live_probes=(Address(found.address),) if found.address else (),
        handle={"of": source, TYPE_KEY: found.type.value, **image, **restored},
    )
