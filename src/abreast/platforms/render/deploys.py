"""Starts deploys, or finds started ones, and waits until they are live."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Service, Version
from abreast.platforms.interface import Reporter, TrafficMove
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.resources import FAILED, IN_PROGRESS, Deploy, RenderService
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.provider_api.polling import PollBudget

LOG_TAIL_LINES = 20
LOOKUP_INTERVALS = 10
"""Maximum poll intervals to look for a requested deploy before it counts as not started."""


class Deploys:
    """The deploys of existing services."""

    def __init__(self, render: RenderClient, poll_budget: PollBudget) -> None:
        self._render = render
        self._poll_budget = poll_budget

    async def deploy_version(self, move: TrafficMove, version: Version, report: Reporter) -> None:
        """Deploy the version, or restore the deploy in its handle, and wait until it is live."""
        service, id_, source = move.service, render_service_id(move.service), version.handle["of"]
        deploys = await self._render.list_deploys(id_)
        live = next((deploy for deploy in deploys if deploy.status == "live"), None)
        in_progress = next((deploy for deploy in deploys if deploy.status in IN_PROGRESS), None)
        if in_progress and not _matches_move(in_progress, move, version):
            await report(service.name, f"render: cancelling {in_progress.id} of {short_source(in_progress.source)}")
            await self._render.cancel_deploy(id_, in_progress.id)
            in_progress = None
        if in_progress is None and live and _matches_move(live, move, version):
            return
        if in_progress is None:
            # A redeploy of the live commit changes only settings, which a rollback would not apply.
            built = None if live and live.source == source else _reusable_deploy_id(deploys, source)
            known_ids = {deploy.id for deploy in deploys}
            in_progress = await self._start_deploy(
                id_, version.handle, version.handle.get("deploy") or built, known_ids
            )
        await self._wait_until_live(service, in_progress, report)

    async def _start_deploy(
        self, id_: str, handle: Mapping[str, str], built: str | None, known_ids: set[str]
    ) -> Deploy:
        """Start a deploy, from the build of deploy ``built`` if it still exists, and find it in the list."""
        lost = None
        try:
            await self._request_deploy(id_, handle, built)
        except UnknownOutcomeError as error:
            lost = error
        with self._poll_budget.schedule(self._poll_budget.max_interval * (1 if lost else LOOKUP_INTERVALS)) as pauses:
            for pause in pauses:
                for deploy in await self._render.list_deploys(id_):
                    if deploy.id not in known_ids and deploy.source == handle["of"]:
                        return deploy
                await asyncio.sleep(pause)
        raise lost or PlatformError(
            f"Render accepted a deploy of {short_source(handle['of'])} to {id_} but does not list it",
            next="abreast deploy",
        )

    async def _request_deploy(self, id_: str, handle: Mapping[str, str], built: str | None) -> None:
        if built:
            try:
                await self._render.roll_back(id_, built)
            except TransientError:
                raise
            except PlatformError:  # its build is gone: build the commit again
                built = None
        if not built:
            await self._render.create_deploy(id_, handle["of"], handle.get("image", ""))

    async def _wait_until_live(self, service: Service, deploy: Deploy, report: Reporter) -> None:
        id_, reported_status = render_service_id(service), ""
        with self._poll_budget.schedule(service.build.timeout) as pauses:
            for pause in pauses:
                if deploy.status != reported_status:
                    reported_status = deploy.status
                    await report(service.name, f"render: {deploy.id} {reported_status}")
                if deploy.status == "live":
                    return
                if deploy.status in FAILED or deploy.status == "deactivated":
                    raise await self._failure(service, deploy)
                await asyncio.sleep(pause)
                deploy = await self._render.get_deploy(id_, deploy.id)
        raise PlatformError(
            f"Render deploy {deploy.id} is still {deploy.status} after {service.build.timeout:g} s",
            need="a deploy that goes live, or a longer build.timeout",
        )

    async def _failure(self, service: Service, deploy: Deploy) -> PlatformError:
        render_service = await self._render.get_service(render_service_id(service))
        log = await self.log_tail(render_service)
        return PlatformError(
            f"Render deploy {deploy.id} of {render_service.name} failed ({deploy.status}); traffic did not switch{log}",
            need="a commit that Render can build and start",
            next=render_service.dashboard_url,
        )

    async def live_deploy(self, id_: str) -> Deploy | None:
        """Return the live deploy, None if there is none."""
        return next(iter(await self._render.list_deploys(id_, "live")), None)

    async def log_tail(self, render_service: RenderService) -> str:
        """Return the last log lines of a service and its builds, indented for an error message."""
        return "".join(f"\n    {line}" for line in await self.last_lines(render_service))

    async def last_lines(self, render_service: RenderService) -> tuple[str, ...]:
        """Return the last log lines of a service and its builds, oldest first; none if they cannot be read."""
        with suppress(PlatformError):
            lines = await self._render.get_logs(render_service.owner_id, render_service.id, LOG_TAIL_LINES)
            return tuple(line.message for line in lines)
        return ()


def render_service_id(service: Service) -> str:
    """Return Render's id of a service."""
    return str(service.settings["service"])


def short_source(source: str) -> str:
    """Return a commit shortened to 7 characters, or an image unchanged."""
    return source if "/" in source or ":" in source else source[:7]


def _matches_move(deploy: Deploy, move: TrafficMove, version: Version) -> bool:
    """Return whether a deploy is the target of a move: by id, as its rollback, or new with its source."""
    deploy_id = version.handle.get("deploy")
    if deploy_id:
        return deploy.id == deploy_id or (deploy.source == version.handle["of"] and deploy.trigger == "rollback")
    previous_id = move.before.handle.get("deploy") if move.before else None
    return deploy.source == version.handle["of"] and deploy.id != previous_id


def _reusable_deploy_id(deploys: Sequence[Deploy], source: str) -> str | None:
    """Return the id of the newest deploy of ``source`` that was live before; its build may still exist."""
    return next((deploy.id for deploy in deploys if deploy.source == source and deploy.status == "deactivated"), None)
