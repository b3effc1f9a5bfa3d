"""Deploys a service by Render's API. Needs an API key."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from string import Template

from abreast.core.container_image import RECORD_FILE, parse_record
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.platforms.cloud.api_client import NotFoundError, UnknownOutcomeError
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.client import RENDER, Deploy, RenderClient, RenderService
from abreast.platforms.render.deploys import Deploys, render_service_id, short_source
from abreast.platforms.render.jobs import Jobs

OBSERVATION_TTL = 10.0
"""Seconds for which an observation is reused."""

DISK_NOTE = "with a disk: one instance, downtime between two versions, and no disk in build, pre-deploy and jobs"
USER_SUSPENDER = "user"
"""The suspender of a service that may be resumed."""


class ApiDeployer:
    """Implements the platform for a service that the API key can change."""

    def __init__(self, render: RenderClient, poll_budget: PollBudget) -> None:
        self._render = render
        self._deploys = Deploys(render, poll_budget)
        self._jobs = Jobs(render, poll_budget)
        self._ids_with_disk: set[str] = set()
        self._observations: dict[str, tuple[float, Deploy | None]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates. Notes the limits of a disk once it is known."""
        notes = ("goes live in the turn: Render has no candidates without users", "abreast turns off its auto-deploy")
        with_disk = render_service_id(service) in self._ids_with_disk or service.settings.get("disk")
        return Capabilities(has_candidates=False, notes=(*notes, DISK_NOTE) if with_disk else notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the live deploy, whoever made it. None if a person suspended the service."""
        render_service = await self._get_service(service)
        if render_service.details.disk:
            self._ids_with_disk.add(render_service.id)
        if render_service.suspended != "not_suspended":
            _require_resumable(render_service)
            return None
        live = await self._deploys.live_deploy(render_service.id)
        return (
            _version(f"{service.name}-render-{live.id}", service, render_service, live.source, live.id)
            if live
            else None
        )

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the service, and warn about settings that a deployment will change."""
        live = await self.live_version(service)
        render_service = await self._get_service(service)
        running = f"runs {short_source(live.handle['of'])}" if live else "has no live deploy"
        diagnostics = [Diagnostic(DiagnosticSeverity.OK, "", f"{render_service.name} {running}")]
        if render_service.auto_deploy == "yes":
            diagnostics.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING,
                    "",
                    "its auto-deploy is on",
                    "auto-deploy off: the next deployment turns it off",
                )
            )
        if render_service.details.disk:
            diagnostics.append(
                Diagnostic(DiagnosticSeverity.WARNING, "", DISK_NOTE, "an external database, to avoid downtime")
            )
        if not render_service.details.url:
            diagnostics.append(
                Diagnostic(DiagnosticSeverity.FAULT, "", f"{render_service.name} has no URL", "a web service")
            )
        if render_service.suspended != "not_suspended":
            diagnostics.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING, "", "it is suspended", "it resumed: the next deployment resumes it"
                )
            )
        if not render_service.details.health_check_path:
            diagnostics.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING,
                    "",
                    "it has no health check path",
                    "one, or an unhealthy build goes live",
                )
            )
        return diagnostics

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Check that the service exists, and turn off its auto-deploy."""
        render_service = await self._get_service(request.service)
        if render_service.auto_deploy == "yes":
            with suppress(UnknownOutcomeError):
                await self._render.disable_auto_deploy(render_service.id)
            await report(request.service.name, "render: turned off auto-deploy, which would undo a rollback")
        return _version(request.version_id, request.service, render_service, _image_ref(request) or request.commit)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Deploy the version, or restore the deploy in its handle, and wait until live. Suspend if it is None."""
        render_service = await self._get_service(move.service)
        if version is None:
            if render_service.suspended == "not_suspended":
                await self._render.suspend(render_service.id)
                await report(move.service.name, f"render: {render_service.name} is suspended and serves no users")
            return
        await self._configure(move, render_service, report)
        try:
            await self._deploys.deploy_version(move, version, report)
        finally:
            self._observations.pop(render_service.id, None)
        job = move.service.settings.get("job")
        if job and not version.handle.get("deploy"):
            live = await self._deploys.live_deploy(render_service.id)
            why = await self._jobs.run_once(
                move.service, render_service.id, str(job), (live and live.createdAt) or "", report
            )
            if why:
                raise PlatformError(
                    f"{why}{await self._deploys.log_tail(render_service)}",
                    need="a job that succeeds",
                    next=render_service.dashboard_url,
                )

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the service runs the version."""
        id_, now = render_service_id(version.service), asyncio.get_running_loop().time()
        at, live = self._observations.get(id_, (-OBSERVATION_TTL, None))
        if now - at >= OBSERVATION_TTL:
            live = await self._deploys.live_deploy(id_)
            self._observations[id_] = now, live
        if live and live.source == version.handle.get("of"):
            return Observation(present=True)
        return Observation(
            present=False, exit_reason=f"Render runs {short_source(live.source) if live else 'nothing'} instead"
        )

    async def _get_service(self, service: Service) -> RenderService:
        try:
            return await self._render.get_service(render_service_id(service))
        except NotFoundError as error:
            raise PlatformError(
                f"{error.what}: the key sees no such service",
                need=f"{RENDER.token_variable} with {RENDER.scope}, and the service id from the URL of its dashboard",
                next=f"export {RENDER.token_variable}=…",
            ) from error

    # ── the traffic switch──────────────────────────────────────────────────────────────────────

    async def _configure(self, move: TrafficMove, render_service: RenderService, report: Reporter) -> None:
        """Apply settings to the service: resume, scale, pre-deploy command, variables."""
        name, settings = move.service.name, move.service.settings
        if render_service.suspended != "not_suspended":
            _require_resumable(render_service)
            await self._render.resume(render_service.id)
            await report(name, f"render: {render_service.name} was resumed")
        instances, pre_deploy = settings.get("instances"), settings.get("pre_deploy")
        if isinstance(instances, int) and instances != render_service.details.instances:
            await self._render.scale(render_service.id, instances)
            await report(name, f"render: {render_service.name} was scaled to {instances}")
        if pre_deploy and pre_deploy != render_service.details.pre_deploy:
            await self._render.set_pre_deploy_command(render_service.id, str(pre_deploy))
        await self._set_variables(render_service.id, move.env)

    async def _set_variables(self, id_: str, env: Mapping[str, str]) -> None:
        """Set the variables that differ; leave all others."""
        have = await self._render.get_variables(id_) if env else {}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(id_, name, value)


def _image_ref(request: StageRequest) -> str:
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


def _require_resumable(render_service: RenderService) -> None:
    """Raise PlatformError if the service was suspended by anyone but a user of its workspace."""
    if others := [who for who in render_service.suspenders if who != USER_SUSPENDER]:
        raise PlatformError(
            f"the Render service {render_service.name} is suspended ({', '.join(others)})",
            need="a service that can be resumed",
            next=f"see {render_service.dashboard_url}",
        )


def _version(id: str, service: Service, render_service: RenderService, source: str, deploy: str = "") -> Version:
    address = (render_service.details.url or "").rstrip("/")
    image = {"image": source} if service.settings.get("image") else {}
    return Version(
        id,
        service.name,
        probes=(),
        url=address,
        live_probes=(Address(address),) if address else (),
        handle={"of": source, **image, **({"deploy": deploy} if deploy else {})},
    )
