"""The Netlify platform: a draft is staged and checked at its permalink, published in the turn, restored to go back."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import LostAnswerError, NotThereError
from abreast.platforms.cloud.polling import pauses
from abreast.platforms.interface import Abilities, Move, Named, Order, Platform, Sighting, Tell
from abreast.platforms.netlify.client import NETLIFY, Deploy, Netlify, Site
from abreast.platforms.netlify.files import digests, listed, redirects
from abreast.platforms.netlify.https import of_certificate, of_redirect

REDIRECTS = "_redirects"
AT_ONCE = 10
"""Uploads under way at once."""

WANTED = frozenset({"prepared", "uploading", "uploaded", "processing", "processed", "ready"})
"""States in which Netlify has said which files it wants."""

READERS = frozenset({"Reviewer", "Git Contributor", "Billing Admin", "Content Editor"})
"""Roles of an account that may not deploy to its sites."""

BROKEN = frozenset({"error", "rejected"})
PAUSE = 1.0
"""Seconds between two looks at a deploy, at last: with 500 requests a minute, room for eight at once."""


FRESH = 5.0
"""Seconds for which a look at a deploy serves others, too."""


class NetlifyPlatform(Platform):
    """Publishes folders to sites of one account; every deploy bears its version's id as title."""

    name = "netlify"

    def __init__(self, netlify: Netlify, pause: float = PAUSE) -> None:
        self._netlify = netlify
        self._pause = pause
        self._sites: dict[str, Site] = {}
        self._roles: dict[str, str | None] = {}
        self._looks: dict[str, tuple[float, Sighting]] = {}

    def abilities(self, service: Service) -> Abilities:
        """Candidates are drafts; each site is published by a request of its own, and never emptied."""
        leads_to = tuple(dict.fromkeys(_routes_of(service).values()))
        return Abilities(candidates=True, together=False, empties=False, leads_to=leads_to)

    async def present(self, service: Service) -> Version | None:
        """Return the deploy that is published, whoever made it."""
        site = await self._netlify.site(_site_of(service))
        await self._refuse_reader(site)
        live = site.published_deploy
        return _version(f"{service.name}-netlify-{live.id}", service, site, live) if live else None

    async def examine(self, service: Service) -> list[Remark]:
        """Tell of the site's certificate, its redirect to HTTPS, and a lock."""
        await self.present(service)
        site = await self._netlify.site(_site_of(service))
        _refuse_locked(site)
        certificate = await self._netlify.certificate(site.id)
        return [
            Remark(Level.OK, "", f"{site.name} is at {site.address}"),
            of_certificate(site, certificate, datetime.now(UTC)),
            await of_redirect(site),
        ]

    async def stage(self, order: Order, tell: Tell) -> Version:
        """Make the draft, or find the one that was made; send what Netlify lacks; wait until it is ready."""
        site = await self._netlify.site(_site_of(order.service))
        _refuse_locked(site)
        await self._certify(site, order, tell)
        with tempfile.TemporaryDirectory() as beside:
            files = await asyncio.to_thread(_files, order, Path(beside))
            deploy = await self._sent(order, site, files, tell)
        deploy = await self._follow(order.service, deploy, frozenset({"ready"}), tell)
        return _version(order.version, order.service, site, deploy)

    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """Publish each deploy, and wait until its site says so."""
        await asyncio.gather(*(self._publish(move.service, move.to, tell) for move in moves if move.to))

    async def retire(self, versions: Sequence[Named], drain: float) -> None:  # noqa: ARG002 (nothing is in flight)
        """Delete drafts that were never published; what users had stays at Netlify, to be gone back to."""
        for version in versions:
            site = await self._site(version.service)
            deploy = await self._netlify.find(site.id, version.id)
            if deploy and not deploy.published_at:
                with suppress(NotThereError):
                    await self._netlify.delete(deploy.id)

    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell whether each deploy is there and ready."""
        return {version.id: await self._seen(version.handle.get("deploy", "")) for version in versions}

    async def down(self) -> None:
        """Leave all as it is: nothing of it runs on this machine."""

    async def _refuse_reader(self, site: Site) -> None:
        """Raise PlatformError for a token of somebody who may look at the site, but not deploy to it."""
        account = site.account_slug or ""
        if account and account not in self._roles:
            self._roles[account] = await self._netlify.role(account)
        if self._roles.get(account) in READERS:
            raise PlatformError(
                f"the token is of a {self._roles[account]} of {account}, who may not deploy to {site.name}",
                need=f"{NETLIFY.variable} of a member with the role Developer or Owner",
                next=f"export {NETLIFY.variable}=…",
            )

    # ── parts of staging ────────────────────────────────────────────────────────────────────────

    async def _certify(self, site: Site, order: Order, tell: Tell) -> None:
        """Ask for a certificate where a domain has none; that it cannot be had yet keeps nobody from deploying."""
        if not site.custom_domain or await self._netlify.certificate(site.id):
            return
        try:
            await self._netlify.provision(site.id)
            told = f"a certificate for {site.custom_domain} is asked for"
        except PlatformError as error:
            told = f"there is no certificate for {site.custom_domain}: {error.what}"
        await tell(order.service.name, f"netlify: {told}")

    async def _sent(self, order: Order, site: Site, files: Mapping[str, Path], tell: Tell) -> Deploy:
        """Return the draft, of which Netlify has every file."""
        by_path = await asyncio.to_thread(digests, files)
        deploy = await self._netlify.find(site.id, order.version)
        if deploy is None or deploy.state in BROKEN:
            deploy = await self._netlify.create(site.id, order.version, by_path)
        deploy = await self._follow(order.service, deploy, WANTED, tell)
        by_digest = {digest: path for path, digest in by_path.items()}
        wanted = [by_digest[digest] for digest in dict.fromkeys(deploy.required or ()) if digest in by_digest]
        if wanted:
            await tell(order.service.name, f"netlify: {len(wanted)} of {len(files)} files to send")
            await self._upload(deploy, {path: files[path] for path in wanted})
        return deploy

    async def _follow(self, service: Service, deploy: Deploy, until: frozenset[str], tell: Tell) -> Deploy:
        """Wait for one of the states; each that comes is told."""
        for pause in pauses(self._pause, service.build.timeout):
            if deploy.state in until:
                return deploy
            if deploy.state in BROKEN:
                raise PlatformError(
                    f"Netlify ended deploy {deploy.id} as {deploy.state}: {deploy.error_message or 'no reason given'}",
                    need="a deploy that gets ready; users still reach what they did",
                )
            await asyncio.sleep(pause)
            before, deploy = deploy.state, await self._netlify.deploy(deploy.id)
            if deploy.state != before:
                await tell(service.name, f"netlify: {deploy.state}")
        raise PlatformError(
            f"Netlify left deploy {deploy.id} as {deploy.state} for {service.build.timeout:g} s",
            need="a deploy that gets ready; users still reach what they did",
        )

    async def _upload(self, deploy: Deploy, files: Mapping[str, Path]) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def send(path: str, file: Path) -> None:
            async with room:
                await self._netlify.upload(deploy.id, path, file)

        try:
            async with asyncio.TaskGroup() as sending:
                for path, file in files.items():
                    sending.create_task(send(path, file))
        except* PlatformError as failed:
            raise failed.exceptions[0] from None

    # ── parts of the turn ───────────────────────────────────────────────────────────────────────

    async def _publish(self, service: Service, version: Version, tell: Tell) -> None:
        site, deploy = version.handle["site"], version.handle["deploy"]
        if await self._is_published(service, deploy):
            return
        lost = None
        try:
            await self._netlify.publish(site, deploy)
        except LostAnswerError as error:
            lost = error
        for pause in islice(pauses(self._pause), 6 if lost else 30):
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

    async def _seen(self, deploy: str) -> Sighting:
        """Look at a deploy, or remember the look of a moment ago."""
        now = asyncio.get_running_loop().time()
        at, seen = self._looks.get(deploy, (-FRESH, Sighting(present=False, exit="it was never made")))
        if deploy and now - at >= FRESH:
            try:
                state = (await self._netlify.deploy(deploy)).state
                seen = Sighting(present=state == "ready", exit="" if state == "ready" else f"netlify: {state}")
            except NotThereError:
                seen = Sighting(present=False, exit="somebody deleted it at Netlify")
            self._looks[deploy] = now, seen
        return seen

    async def _site(self, service: Service) -> Site:
        name = _site_of(service)
        if name not in self._sites:
            self._sites[name] = await self._netlify.site(name)
        return self._sites[name]


def _site_of(service: Service) -> str:
    return str(service.settings["site"])


def _routes_of(service: Service) -> Mapping[str, str]:
    routes = service.settings.get("routes")
    return routes if isinstance(routes, Mapping) else {}


def _files(order: Order, beside: Path) -> dict[str, Path]:
    """Return the site's files by their paths; where it passes something on, with a ``_redirects`` that says so."""
    files = listed(order.artifact)
    if routes := _routes_of(order.service):
        own = files[REDIRECTS].read_text() if REDIRECTS in files else ""
        files[REDIRECTS] = beside / REDIRECTS
        files[REDIRECTS].write_text(redirects(routes, order.addresses, own))
    return files


def _version(id: str, service: Service, site: Site, deploy: Deploy) -> Version:
    return Version(
        id,
        service.name,
        probes=(Address((deploy.deploy_ssl_url or site.address).rstrip("/")),),
        url=site.address,
        turned=(Address(site.address),),
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
