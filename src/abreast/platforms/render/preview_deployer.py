"""Deploys a preview: creates its service like the base service, and then treats it as any other."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Service, Version
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.api_deployer import ApiDeployer, deployed_image
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.preview_service import (
    MARK_VARIABLE,
    PreviewBase,
    description,
    mark_value,
    may_be_named,
    preview_notes,
    service_name,
)
from abreast.platforms.render.resources import IN_PROGRESS, RenderService
from abreast.provider_api.api_client import NotFoundError, UnknownOutcomeError


class PreviewDeployer:
    """Implements the platform for previews. Their services are found by name, and known by their mark."""

    def __init__(self, render: RenderClient, deployer: ApiDeployer) -> None:
        self._render = render
        self._deployer = deployer
        self._bases: dict[str, PreviewBase] = {}
        self._found: dict[str, RenderService] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """As every service on Render; notes what the preview costs, lacks and does, once Render was asked."""
        notes = tuple(preview_notes(service, self._bases.get(_base_id(service))))
        return replace(self._deployer.capabilities(_as_deployed(service, "")), notes=notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the live deploy of the preview, None if the preview is not there yet."""
        base = await self._read_base(service)
        found = await self._find(service, base.found)
        return await self._deployer.live_version(_as_deployed(service, found.id)) if found else None

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the preview, or whether it can be created."""
        self._deployer.require_secret_files(service)
        base = (await self._read_base(service)).found
        if found := await self._find(service, base):
            return await self._deployer.diagnose(_as_deployed(service, found.id))
        name = service_name(base, str(service.settings["preview"]))
        return [Diagnostic(DiagnosticSeverity.OK, "", f"{name} will be created like {base.name} ({base.type.label})")]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Create the preview's service unless it is there. It runs nothing before traffic switches."""
        self._deployer.require_secret_files(request.service)
        base = await self._base_service(request.service)
        found = await self._find(request.service, base) or await self._create(base, request, report)
        await self._cancel_first_deploy(found)
        return await self._deployer.stage(replace(request, service=_as_deployed(request.service, found.id)), report)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Deploy the version, or suspend the preview's service if it is None."""
        found = await self._find(move.service, await self._base_service(move.service))
        if found:
            deployed = replace(move, service=_as_deployed(move.service, found.id))
            await self._deployer.switch_traffic(deployed, version, report)
        elif version:
            raise _gone(move.service)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the preview runs the version."""
        found = await self._find(version.service, await self._base_service(version.service))
        if found is None:
            return Observation(present=False, exit_reason="Render has no service of this preview")
        return await self._deployer.observe(replace(version, service=_as_deployed(version.service, found.id)))

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:
        """Return the last lines that the preview printed, oldest first. Raises PlatformError if it is not there."""
        found = await self._find(service, await self._base_service(service))
        if found is None:
            raise _gone(service)
        return await self._deployer.recent_logs(_as_deployed(service, found.id), limit)

    async def remove(self, service: Service, report: Reporter) -> None:
        """Delete the preview's services: also what was made when the base had another name, or that is gone.

        Raises PlatformError for a service of its name that abreast did not create for this preview.
        """
        with suppress(NotFoundError):
            await self._find(service, await self._base_service(service))
        self._found.pop(mark_value(service), None)
        for found in await self._marked(service):
            await self._render.delete_service(found.id)
            await report(service.name, f"render: deleted {found.name}")

    async def _marked(self, service: Service) -> list[RenderService]:
        """Return the services with the preview's mark, among those that can be called like its own."""
        named = [
            found
            for found in await self._render.list_services()
            if found.id != _base_id(service) and may_be_named(found.name, str(service.settings["preview"]))
        ]
        marks = [(await self._render.get_variables(found.id)).get(MARK_VARIABLE) for found in named]
        return [found for found, mark in zip(named, marks, strict=True) if mark == mark_value(service)]

    async def _create(self, base: RenderService, request: StageRequest, report: Reporter) -> RenderService:
        """Create the service with its mark. Raises PlatformError, or UnknownOutcomeError if Render does not list it."""
        files = self._deployer.require_secret_files(request.service)
        wanted = description(base, request.service, deployed_image(request), request.env, files)
        try:
            created = (await self._render.create_service(wanted)).service
        except UnknownOutcomeError:
            there = await self._find(request.service, base)
            if there is None:
                raise
            created = there
        await report(request.service.name, f"render: created {created.name} like {base.name}")
        return created

    async def _cancel_first_deploy(self, found: RenderService) -> None:
        """Cancel what Render starts when it creates a service: a deploy of the newest commit of the branch."""
        deploys = await self._render.list_deploys(found.id)
        if len(deploys) == 1 and deploys[0].status in IN_PROGRESS:
            try:
                await self._render.cancel_deploy(found.id, deploys[0].id)
            except TransientError:
                raise
            except PlatformError:  # it has ended meanwhile; what is live now is replaced when traffic switches
                return

    async def _find(self, service: Service, base: RenderService) -> RenderService | None:
        """Return the preview's service, None if there is none. Raises PlatformError for one that is not abreast's."""
        mark, name = mark_value(service), service_name(base, str(service.settings["preview"]))
        if mark in self._found:
            return self._found[mark]
        found = await self._render.find_service(base.owner_id, name)
        if found is None:
            return None
        if found.id == base.id or (await self._render.get_variables(found.id)).get(MARK_VARIABLE) != mark:
            raise PlatformError(
                f"the Render service {name} ({found.id}) was not created by abreast for this preview",
                need=f"a service whose variable {MARK_VARIABLE} is {mark!r}, or none of that name",
                next=f"rename or delete it: {found.dashboard_url}",
            )
        self._found[mark] = found
        return found

    async def _base_service(self, service: Service) -> RenderService:
        known = self._bases.get(_base_id(service))
        return known.found if known else await self._render.get_service(_base_id(service))

    async def _read_base(self, service: Service) -> PreviewBase:
        """Read what a plan says of the base service. Raises PlatformError if a preview of it cannot be deployed."""
        found = await self._deployer.find_service(_as_deployed(service, _base_id(service)))
        groups = await self._render.linked_groups(found.owner_id, found.id)
        variables = {*await self._render.get_variables(found.id)}
        variables.update(variable.key for group in groups for variable in group.variables)
        files = {*await self._render.get_secret_files(found.id)}
        files.update(file.name for group in groups for file in group.files)
        self._bases[found.id] = PreviewBase(found, variables, files)
        return self._bases[found.id]


def _as_deployed(service: Service, id_: str) -> Service:
    """Return the service as one that exists at Render."""
    kept = {name: value for name, value in service.settings.items() if name not in {"base", "preview"}}
    return replace(service, settings={**kept, "service": id_})


def _base_id(service: Service) -> str:
    return str(service.settings["base"])


def _gone(service: Service) -> PlatformError:
    return PlatformError(
        f"Render has no service of the preview {service.settings['preview']} of {service.name}",
        need="a preview that was deployed",
        next="abreast deploy",
    )
