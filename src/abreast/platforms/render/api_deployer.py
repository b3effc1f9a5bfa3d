"""With a key: a service is deployed, followed and rolled back by Render's API."""

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
"""Seconds for which a look at a service serves others, too."""

DISK_NOTE = "with a disk: one instance, a pause between two versions, and no disk in build, pre-deploy and jobs"
USER_SUSPENDER = "user"
"""Who suspended a service that may be resumed."""


class ApiDeployer:
    """The verbs of a platform for a service that a key may change."""

    def __init__(self, render: RenderClient, poll_budget: PollBudget) -> None:
        self._render = render
        self._deploys = Deploys(render, poll_budget)
        self._jobs = Jobs(render, poll_budget)
        self._ids_with_disk: set[str] = set()
        self._observations: dict[str, tuple[float, Deploy | None]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates and no common moment; what a disk means, once it is known."""
        notes = ("goes live in the turn: Render has no candidate without users", "its auto-deploy is turned off")
        with_disk = render_service_id(service) in self._ids_with_disk or service.settings.get("disk")
        return Capabilities(has_candidates=False, notes=(*notes, DISK_NOTE) if with_disk else notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it; a service that a person suspended has none."""
        there = await self._get_service(service)
        if there.details.disk:
            self._ids_with_disk.add(there.id)
        if there.suspended != "not_suspended":
            _require_resumable(there)
            return None
        live = await self._deploys.live_deploy(there.id)
        return _version(f"{service.name}-render-{live.id}", service, there, live.source, live.id) if live else None

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell what Render says of the service, and what a deployment will change about it."""
        live = await self.live_version(service)
        there = await self._get_service(service)
        running = f"runs {short_source(live.handle['of'])}" if live else "has no deploy that users reach"
        remarks = [Diagnostic(DiagnosticSeverity.OK, "", f"{there.name} {running}")]
        if there.auto_deploy == "yes":
            remarks.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING, "", "its auto-deploy is on", "it off: the next deployment does that"
                )
            )
        if there.details.disk:
            remarks.append(Diagnostic(DiagnosticSeverity.WARNING, "", DISK_NOTE, "an external database, for no pause"))
        if not there.details.url:
            remarks.append(Diagnostic(DiagnosticSeverity.FAULT, "", f"{there.name} has no address", "a web service"))
        if there.suspended != "not_suspended":
            remarks.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING, "", "it is suspended", "it resumed: the next deployment does that"
                )
            )
        if not there.details.health_check_path:
            remarks.append(
                Diagnostic(
                    DiagnosticSeverity.WARNING, "", "it has no health check path", "one, or a sick build goes live"
                )
            )
        return remarks

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        render_service = await self._get_service(request.service)
        if render_service.auto_deploy == "yes":
            with suppress(UnknownOutcomeError):
                await self._render.disable_auto_deploy(render_service.id)
            await report(request.service.name, "render: auto-deploy is off from now on, or it would undo a rollback")
        return _version(request.version_id, request.service, render_service, _image_ref(request) or request.commit)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Deploy the version, or go back to the deploy that is named, until it is live; without one, suspend."""
        there = await self._get_service(move.service)
        if version is None:
            if there.suspended == "not_suspended":
                await self._render.suspend(there.id)
                await report(move.service.name, f"render: {there.name} is suspended: no version of it is for users")
            return
        await self._configure(move, there, report)
        try:
            await self._deploys.deploy_version(move, version, report)
        finally:
            self._observations.pop(there.id, None)
        job = move.service.settings.get("job")
        if job and not version.handle.get("deploy"):
            live = await self._deploys.live_deploy(there.id)
            why = await self._jobs.run_once(move.service, there.id, str(job), (live and live.createdAt) or "", report)
            if why:
                raise PlatformError(
                    f"{why}{await self._deploys.log_tail(there)}", need="a job that succeeds", next=there.dashboard_url
                )

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether the version is what its service runs."""
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
                need=f"{RENDER.token_variable} with {RENDER.scope}, and the id that its dashboard's address shows",
                next=f"export {RENDER.token_variable}=…",
            ) from error

    # ── the turn ───────────────────────────────────────────────────────────────────────────────

    async def _configure(self, move: TrafficMove, render_service: RenderService, report: Reporter) -> None:
        """Make the service what the version asks for: resumed, scaled, with its variables and pre-deploy command."""
        name, settings = move.service.name, move.service.settings
        if render_service.suspended != "not_suspended":
            _require_resumable(render_service)
            await self._render.resume(render_service.id)
            await report(name, f"render: {render_service.name} is resumed")
        instances, pre_deploy = settings.get("instances"), settings.get("pre_deploy")
        if isinstance(instances, int) and instances != render_service.details.instances:
            await self._render.scale(render_service.id, instances)
            await report(name, f"render: {render_service.name} is scaled to {instances}")
        if pre_deploy and pre_deploy != render_service.details.pre_deploy:
            await self._render.set_pre_deploy_command(render_service.id, str(pre_deploy))
        await self._set_variables(render_service.id, move.env)

    async def _set_variables(self, id_: str, env: Mapping[str, str]) -> None:
        """Set the variables that differ, one by one, and leave all others."""
        have = await self._render.get_variables(id_) if env else {}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(id_, name, value)


def _image_ref(request: StageRequest) -> str:
    """Return the image that the order is for, "" where it is for its commit."""
    image = str(request.service.settings.get("image") or "")
    variables = {"ABREAST_COMMIT": request.commit, "ABREAST_RELEASE": request.env.get("ABREAST_RELEASE", "")}
    if "ABREAST_IMAGE" in image:
        variables["ABREAST_IMAGE"] = _built_image(request)
    return Template(image).safe_substitute(variables)


def _built_image(request: StageRequest) -> str:
    """Return the image that was built, by its digest; raises PlatformError where none was."""
    try:
        return parse_record((request.artifact_path / RECORD_FILE).read_bytes()).pinned
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(
            f"no image was built of {request.service.name}, which $ABREAST_IMAGE stands for",
            need="build: {image: …} of that service",
            next="abreast docs build",
        ) from error


def _require_resumable(render_service: RenderService) -> None:
    """Raise PlatformError for a service that is suspended by others than a person of its workspace."""
    if others := [who for who in render_service.suspenders if who != USER_SUSPENDER]:
        raise PlatformError(
            f"the Render service {render_service.name} is suspended ({', '.join(others)})",
            need="one that may run",
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
