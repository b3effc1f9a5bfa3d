"""The Netlify platform: a draft is staged and checked at its permalink, published in the turn, restored to go back.

A branch of a site is led to the draft's files by a deploy of its own instead.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import LostAnswerError, NotThereError, connect
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    StageRequest,
    Tell,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.netlify.account import Accounts
from abreast.platforms.netlify.branch import Branches, address
from abreast.platforms.netlify.client import NETLIFY, Deploy, Netlify, Site
from abreast.platforms.netlify.draft import Drafts, routes_of
from abreast.platforms.netlify.https import of_certificate, of_redirect
from abreast.platforms.netlify.settings import NetlifySettings

ALONG = ("netlify.toml",)
"""What Netlify reads of a site beside the files that users get."""

PAUSE, ROOM = 1.0, 6
"""Seconds between two looks at a deploy, at last, and how many are followed so: 360 of the 500 requests a minute."""


FRESH = 5.0
"""Seconds for which a look at a deploy serves others, too."""


class NetlifyPlatform(Platform):
    """Publishes folders to sites of one account; every deploy bears its version's id as title."""

    name = "netlify"

    def __init__(self, netlify: Netlify, home: Path, pause: float = PAUSE) -> None:
        self._netlify = netlify
        self._pace = Pace(pause, ROOM)
        self._drafts = Drafts(netlify, self._pace)
        self._branches = Branches(netlify, self._drafts, home, self._pace)
        self._accounts = Accounts(netlify)
        self._sites: dict[str, Site] = {}
        self._looks: dict[str, tuple[float, Observation]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """Candidates are drafts; each site is published by a request of its own, and never emptied."""
        leads_to = tuple(dict.fromkeys(routes_of(service).values()))
        return Capabilities(has_candidates=True, can_unpublish=False, routes_to=leads_to, config_files=ALONG)

    async def live_version(self, service: Service) -> Version | None:
        """Return the deploy that is published, whoever made it."""
        site = await self._netlify.site(_site_of(service))
        await self._accounts.refuse_reader(site)
        branch = _branch_of(service)
        live = await self._branches.live(site, branch) if branch else site.published_deploy
        if live is None:
            return None
        return _version(
            live.title if branch and live.title else f"{service.name}-netlify-{live.id}", service, site, live
        )

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell of the site's certificate, its redirect to HTTPS, and a lock."""
        await self.live_version(service)
        site = await self._netlify.site(_site_of(service))
        _refuse_locked(site)
        certificate = await self._netlify.certificate(site.id)
        return [
            Remark(Level.OK, "", f"{site.name} is at {site.address}"),
            of_certificate(site, certificate, datetime.now(UTC)),
            await of_redirect(site),
        ]

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """Make the draft, or find the one that was made; send what Netlify lacks; wait until it is ready."""
        site, branch = await self._netlify.site(_site_of(order.service)), _branch_of(order.service)
        if not branch:
            _refuse_locked(site)
        await self._accounts.certify(site, order, tell)
        context = {"context": "branch", "context_parameter": branch} if branch else {"context": "production"}
        await self._accounts.set(site, order, context)
        deploy, files = await self._drafts.make(order, site, tell)
        if branch:
            await asyncio.to_thread(self._branches.remember, order.version_id, files)
        return _version(order.version_id, order.service, site, deploy)

    async def switch_traffic(self, moves: Sequence[TrafficMove], tell: Tell) -> None:
        """Publish each deploy, and wait until its site says so; a branch is led to its files."""
        await asyncio.gather(*(self._move(move.service, move.target, tell) for move in moves if move.target))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:  # noqa: ARG002 (nothing is in flight)
        """Delete drafts that were never published; what users had stays at Netlify, to be gone back to."""
        for version in versions:
            site = await self._site(version.service)
            deploy = await self._netlify.find(site.id, version.id)
            if deploy and not deploy.published_at:
                with suppress(NotThereError):
                    await self._netlify.delete(deploy.id)
            self._branches.forget(version.id)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell whether each deploy is there and ready."""
        return {version.id: await self._seen(version.handle.get("deploy", "")) for version in versions}

    # ── parts of the turn ───────────────────────────────────────────────────────────────────────

    async def _move(self, service: Service, version: Version, tell: Tell) -> None:
        if branch := _branch_of(service):
            await self._branches.lead(service, await self._site(service), branch, version, tell)
        else:
            await self._publish(service, version, tell)

    async def _publish(self, service: Service, version: Version, tell: Tell) -> None:
        site, deploy = version.handle["site"], version.handle["deploy"]
        if await self._is_published(service, deploy):
            return
        lost = None
        try:
            await self._netlify.publish(site, deploy)
        except LostAnswerError as error:
            lost = error
        with self._pace.waiting(self._pace.longest * (3 if lost else 30)) as pauses:
            for pause in pauses:
                if await self._is_published(service, deploy):
                    await tell(service.name, f"netlify: {deploy} is published")
                    return
                await asyncio.sleep(pause)
        raise lost or PlatformError(
            f"Netlify does not publish deploy {deploy} of {_site_of(service)}",
            need="a site that is not locked to another deploy",
            next="unlock it in Netlify, then: abreast deploy",
        )

    async def _is_published(self, service: Service, deploy: str) -> bool:
        site = await self._netlify.site(_site_of(service))
        _refuse_locked(site, besides=deploy)
        return site.published_deploy is not None and site.published_deploy.id == deploy

    async def _seen(self, deploy: str) -> Observation:
        """Look at a deploy, or remember the look of a moment ago."""
        now = asyncio.get_running_loop().time()
        at, seen = self._looks.get(deploy, (-FRESH, Observation(present=False, exit_reason="it was never made")))
        if deploy and now - at >= FRESH:
            try:
                state = (await self._netlify.deploy(deploy)).state
                seen = Observation(
                    present=state == "ready", exit_reason="" if state == "ready" else f"netlify: {state}"
                )
            except NotThereError:
                seen = Observation(present=False, exit_reason="somebody deleted it at Netlify")
            self._looks[deploy] = now, seen
        return seen

    async def _site(self, service: Service) -> Site:
        name = _site_of(service)
        if name not in self._sites:
            self._sites[name] = await self._netlify.site(name)
        return self._sites[name]


def _site_of(service: Service) -> str:
    return str(service.settings["site"])


def _branch_of(service: Service) -> str:
    return str(service.settings.get("branch") or "")


def _version(id: str, service: Service, site: Site, deploy: Deploy) -> Version:
    branch = _branch_of(service)
    users = address(deploy, branch) if branch else site.address
    return Version(
        id,
        service.name,
        probes=(Address((deploy.deploy_ssl_url or site.address).rstrip("/")),),
        url=users,
        turned=(Address(users),),
        handle={"site": site.id, "deploy": deploy.id},
    )


def _refuse_locked(site: Site, besides: str = "") -> None:
    live = site.published_deploy
    if live and live.locked and live.id != besides:
        raise PlatformError(
            f"the Netlify site {site.name} is locked to deploy {live.id}: nothing else is published",
            need="an unlocked site",
            next=f"unlock it at {site.admin_url or 'Netlify'}, then: abreast deploy",
        )


def _create(context: PlatformContext) -> NetlifyPlatform:
    return NetlifyPlatform(Netlify(connect(NETLIFY, context)), context.state)


PLUGIN = PlatformPlugin(NetlifySettings, _create)
