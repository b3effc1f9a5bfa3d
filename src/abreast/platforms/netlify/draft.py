"""Drafts: a deploy of a site's files that only its permalink reaches; every one bears its version's id as title."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import StageRequest, Tell
from abreast.platforms.netlify.client import Deploy, Netlify, Site
from abreast.platforms.netlify.files import digests, listed, redirects

REDIRECTS = "_redirects"
AT_ONCE = 10
"""Uploads under way at once."""

WANTED = frozenset({"prepared", "uploading", "uploaded", "processing", "processed", "ready"})
"""States in which Netlify has said which files it wants."""

READY = frozenset({"ready"})
BROKEN = frozenset({"error", "rejected"})


class Drafts:
    """Makes drafts, or finds those that were made."""

    def __init__(self, netlify: Netlify, pace: Pace) -> None:
        self._netlify = netlify
        self._pace = pace

    async def make(self, order: StageRequest, site: Site, tell: Tell) -> tuple[Deploy, Mapping[str, str]]:
        """Return the draft, ready, and the SHA-1 of each of its files by its path."""
        with tempfile.TemporaryDirectory() as beside:
            files = await asyncio.to_thread(_files, order, Path(beside))
            by_path = await asyncio.to_thread(digests, files)
            deploy = await self._netlify.find(site.id, order.version_id)
            if deploy is None or deploy.state in BROKEN:
                deploy = await self._netlify.create(site.id, order.version_id, by_path)
            deploy = await self.follow(order.service, deploy, WANTED, tell)
            by_digest = {digest: path for path, digest in by_path.items()}
            wanted = [by_digest[digest] for digest in dict.fromkeys(deploy.required or ()) if digest in by_digest]
            if wanted:
                await tell(order.service.name, f"netlify: {len(wanted)} of {len(files)} files to send")
                await self._upload(deploy, {path: files[path] for path in wanted})
        return await self.follow(order.service, deploy, READY, tell), by_path

    async def follow(self, service: Service, deploy: Deploy, until: frozenset[str], tell: Tell) -> Deploy:
        """Wait for one of the states; each that comes is told."""
        with self._pace.waiting(service.build.timeout) as pauses:
            for pause in pauses:
                if deploy.state in until:
                    return deploy
                if deploy.state in BROKEN:
                    why = deploy.error_message or "no reason given"
                    raise PlatformError(
                        f"Netlify ended deploy {deploy.id} as {deploy.state}: {why}",
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
        left = iter(files.items())

        async def send() -> None:
            for path, file in left:
                await self._netlify.upload(deploy.id, path, file)

        try:
            async with asyncio.TaskGroup() as sending:
                for _ in range(AT_ONCE):
                    sending.create_task(send())
        except* PlatformError as failed:
            raise failed.exceptions[0] from None


def routes_of(service: Service) -> Mapping[str, str]:
    """Return the paths that a site passes on, and to which services."""
    routes = service.settings.get("routes")
    return routes if isinstance(routes, Mapping) else {}


def _files(order: StageRequest, beside: Path) -> dict[str, Path]:
    """Return the site's files by their paths; where it passes something on, with a ``_redirects`` that says so."""
    files = listed(order.artifact_path)
    if routes := routes_of(order.service):
        own = files[REDIRECTS].read_text() if REDIRECTS in files else ""
        files[REDIRECTS] = beside / REDIRECTS
        files[REDIRECTS].write_text(redirects(routes, order.addresses, own))
    return files
