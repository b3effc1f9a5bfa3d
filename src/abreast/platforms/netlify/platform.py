"""The Netlify platform: stages a draft, checks it at its permalink, publishes it when traffic switches.

For a branch, the switch deploys the draft's files to the branch instead.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Address, Service, Version
from abreast.core.strategy import Strategy
from abreast.machine.tasks import run_all
from abreast.platforms.interface import (
    Capabilities,
    MaintenanceMove,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    Reporter,
    SourceFiles,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.netlify.account import Accounts
from abreast.platforms.netlify.branch_contents import BranchContents
from abreast.platforms.netlify.branch_deploys import BranchDeploys, branch_url
from abreast.platforms.netlify.bundled_functions import BUILD_FILES
from abreast.platforms.netlify.client import NETLIFY, Deploy, NetlifyClient, Site
from abreast.platforms.netlify.draft_deploys import DraftDeploys
from abreast.platforms.netlify.https_diagnostics import diagnose_certificate, diagnose_redirect
from abreast.platforms.netlify.maintenance import MaintenanceDeploys, deploy_behind, diagnose_maintenance
from abreast.platforms.netlify.plan_notes import (
    deploy_limit_diagnostics,
    lost_function_diagnostics,
    preview_notes,
    rewrite_notes,
    unknown_content_diagnostics,
)
from abreast.platforms.netlify.publishing import Publisher, require_unlocked
from abreast.platforms.netlify.settings import NetlifySettings
from abreast.platforms.netlify.source_check import require_deployable_source
from abreast.provider_api.api_client import NotFoundError, connect
from abreast.provider_api.polling import PollBudget

EXTRA_FILES = ("netlify.toml", *BUILD_FILES)
"""What Netlify gets besides the output folder."""

POLL_INTERVAL, MAX_POLLERS = 1.0, 6
"""Maximum poll interval in seconds, and the pollers it allows: 360 of 500 requests a minute."""


OBSERVATION_TTL = 5.0
"""Seconds for which an observation is reused."""


class NetlifyPlatform(Platform):
    """Publishes folders to sites of one account. A deploy's title is its version id."""

    name = "netlify"

    def __init__(self, netlify: NetlifyClient, home: Path, poll_interval: float = POLL_INTERVAL) -> None:
        self._netlify = netlify
        self._poll_budget = PollBudget(poll_interval, MAX_POLLERS)
        self._draft_deploys = DraftDeploys(netlify, self._poll_budget)
        self._publisher = Publisher(netlify, self._poll_budget)
        self._maintenance = MaintenanceDeploys(netlify, self._draft_deploys, self._publisher)
        self._branch_contents = BranchContents(netlify, home)
        self._branch_deploys = BranchDeploys(netlify, self._draft_deploys, self._branch_contents, self._poll_budget)
        self._accounts = Accounts(netlify)
        self._sites: dict[str, Site] = {}
        self._observations: dict[str, tuple[float, Observation]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """Candidates are drafts. Sites are published one by one; only previews can be unpublished."""
        return Capabilities(
            has_candidates=True,
            can_unpublish=_is_preview(service),
            routes_to=tuple(dict.fromkeys(service.routes.values())),
            config_files=EXTRA_FILES,
            notes=(*preview_notes(service), *rewrite_notes(service.routes)),
            strategies=(Strategy.BLUE_GREEN,),
        )

    async def live_version(self, service: Service) -> Version | None:
        """Return the published deploy, whoever made it."""
        site = await self._netlify.get_site(_site_name(service))
        await self._accounts.require_deploy_access(site)
        branch = _branch_name(service)
        live = await self._live_deploy(site, branch)
        if live is None:
            return None
        return _version(
            live.title if branch and live.title else f"{service.name}-netlify-{live.id}", service, site, live
        )

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose access, locks, the certificate and the redirect to HTTPS."""
        await self.live_version(service)
        site = await self._netlify.get_site(_site_name(service))
        if not _branch_name(service):
            require_unlocked(site)
        certificate = await self._netlify.get_certificate(site.id)
        return [
            Diagnostic(DiagnosticSeverity.OK, "", f"{site.name} is at {site.address}"),
            diagnose_certificate(site, certificate, datetime.now(UTC)),
            await diagnose_redirect(site),
        ]

    async def inspect_release(self, service: Service, files: SourceFiles | None) -> list[Diagnostic]:
        """Warn of functions that users lose, of what cannot be led back to, and of limits.

        Raises PlatformError for functions that would be left out, and for a locked site.
        """
        if files:
            require_deployable_source(service, files)
        site, branch = await self._netlify.get_site(_site_name(service)), _branch_name(service)
        if not branch:
            require_unlocked(site)
        live = await self._live_deploy(site, branch)
        limits = deploy_limit_diagnostics(site, await self._netlify.list_deploys(site.id), datetime.now(UTC))
        served = await self._branch_deploys.served_deploy(site, branch) if branch and live is None else None
        return [
            *lost_function_diagnostics(service, live),
            *unknown_content_diagnostics(service, branch, served),
            *limits,
        ]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Create the draft or find it, upload missing files, wait until it is ready."""
        site, branch = await self._netlify.get_site(_site_name(request.service)), _branch_name(request.service)
        if not branch:
            require_unlocked(site)
        await self._accounts.request_certificate(site, request, report)
        await self._accounts.set_variables(site, request, _variable_context(branch))
        deploy, content = await self._draft_deploys.ensure_draft(request, site, report)
        if branch:
            await self._branch_contents.save(request.version_id, content)
        return _version(request.version_id, request.service, site, deploy)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Publish each deploy, or deploy it to its branch, and wait until it is live."""
        await run_all(*(self._switch_service(move.service, move.target, report) for move in moves))

    async def inspect_maintenance(self, move: MaintenanceMove) -> list[Diagnostic]:
        """Return a fault for a branch and for addresses to let through. Raises PlatformError for a locked site."""
        found = [*diagnose_maintenance(move)]
        if not _branch_name(move.service):
            require_unlocked(await self._netlify.get_site(_site_name(move.service)))
        return found

    async def switch_maintenance(self, moves: Sequence[MaintenanceMove], report: Reporter) -> None:
        """Publish a page in front of what each site serves, or that again. A branch has none to end."""
        await run_all(*(self._switch_maintenance(move, report) for move in moves if not _branch_name(move.service)))

    async def _switch_maintenance(self, move: MaintenanceMove, report: Reporter) -> None:
        site = await self._netlify.get_site(_site_name(move.service))
        if move.mode:
            await self._maintenance.begin(move.service, site, move.mode, report)
        else:
            await self._maintenance.end(move.service, site, report)

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:  # noqa: ARG002 (Netlify keeps deploys)
        """Delete drafts that were never published. Published deploys stay, for rollbacks."""
        for version in versions:
            site = await self._cached_site(version.service)
            deploy = await self._netlify.find_deploy(site.id, version.id)
            if deploy and not deploy.published_at:
                with suppress(NotFoundError):
                    await self._netlify.delete_deploy(deploy.id)
            self._branch_contents.delete(version.id)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return whether each deploy exists and is ready."""
        return {version.id: await self._observe(version.handle.get("deploy", "")) for version in versions}

    async def remove_preview(self, service: Service, report: Reporter) -> None:
        """Delete the branch's deploys, their drafts, and the variables of the branch. The site stays as it is."""
        site, branch = await self._netlify.get_site(_site_name(service)), _branch_name(service)
        await self._branch_deploys.remove(service, site, branch, report)
        await self._accounts.delete_variables(site, _variable_context(branch))

    # ── the traffic switch ───────────────────────────────────────────────────────────────────────

    async def _switch_service(self, service: Service, version: Version | None, report: Reporter) -> None:
        branch = _branch_name(service)
        if version is None:
            if _is_preview(service):
                await self._branch_deploys.remove(
                    service, await self._netlify.get_site(_site_name(service)), branch, report
                )
        elif branch:
            await self._branch_deploys.point_branch(service, await self._cached_site(service), branch, version, report)
        else:
            await self._publish(service, version, report)

    async def _publish(self, service: Service, version: Version, report: Reporter) -> None:
        """Publish the version, or put it behind the maintenance page that users get."""
        site, deploy = await self._netlify.get_site(_site_name(service)), version.handle["deploy"]
        if deploy_behind(site.published_deploy):
            await self._maintenance.put_behind(service, site, deploy, report)
        else:
            await self._publisher.publish(service, site.id, deploy, report)

    async def _live_deploy(self, site: Site, branch: str) -> Deploy | None:
        """Return the deploy that users get, in maintenance the one that they get when it ends."""
        if branch:
            return await self._branch_deploys.live_deploy(site, branch)
        if not (behind := deploy_behind(site.published_deploy)):
            return site.published_deploy
        with suppress(NotFoundError):
            return await self._netlify.get_deploy(behind)
        return None

    async def _observe(self, deploy: str) -> Observation:
        """Observe a deploy, or return the cached observation."""
        now = asyncio.get_running_loop().time()
        at, seen = self._observations.get(
            deploy, (-OBSERVATION_TTL, Observation(present=False, exit_reason="it was never created"))
        )
        if deploy and now - at >= OBSERVATION_TTL:
            try:
                state = (await self._netlify.get_deploy(deploy)).state
                seen = Observation(
                    present=state == "ready", exit_reason="" if state == "ready" else f"netlify: {state}"
                )
            except NotFoundError:
                seen = Observation(present=False, exit_reason="it was deleted at Netlify")
            self._observations[deploy] = now, seen
        return seen

    async def _cached_site(self, service: Service) -> Site:
        name = _site_name(service)
        if name not in self._sites:
            self._sites[name] = await self._netlify.get_site(name)
        return self._sites[name]


def _site_name(service: Service) -> str:
    return str(service.settings["site"])


def _branch_name(service: Service) -> str:
    return str(service.settings.get("branch") or "")


def _is_preview(service: Service) -> bool:
    return "preview" in service.settings


def _variable_context(branch: str) -> dict[str, str]:
    """Return the context in which a deploy gets its variables."""
    return {"context": "branch", "context_parameter": branch} if branch else {"context": "production"}


def _version(id: str, service: Service, site: Site, deploy: Deploy) -> Version:
    branch = _branch_name(service)
    url = branch_url(deploy, branch) if branch else site.address
    return Version(
        id,
        service.name,
        probes=(Address((deploy.deploy_ssl_url or site.address).rstrip("/")),),
        url=url,
        live_probes=(Address(url),),
        handle={"site": site.id, "deploy": deploy.id},
    )


def _create(context: PlatformContext) -> NetlifyPlatform:
    return NetlifyPlatform(NetlifyClient(connect(NETLIFY, context)), context.state)


PLUGIN = PlatformPlugin(NetlifySettings, _create, NETLIFY.token_variable)
