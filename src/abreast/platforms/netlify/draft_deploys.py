"""Drafts: deploys reachable only by their permalink. A draft's title is its version id."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.interface import Reporter, StageRequest
from abreast.platforms.netlify.client import Deploy, NetlifyClient, Site
from abreast.platforms.netlify.site_files import file_digests, list_files, render_redirects

REDIRECTS_FILE = "_redirects"
MAX_CONCURRENT_UPLOADS = 10
"""Concurrent uploads."""

PREPARED_STATES = frozenset({"prepared", "uploading", "uploaded", "processing", "processed", "ready"})
"""States in which ``required`` lists the files to upload."""

READY_STATES = frozenset({"ready"})
FAILED_STATES = frozenset({"error", "rejected"})


class DraftDeploys:
    """Creates drafts, or finds existing ones."""

    def __init__(self, netlify: NetlifyClient, poll_budget: PollBudget) -> None:
        self._netlify = netlify
        self._poll_budget = poll_budget

    async def ensure_draft(
        self, request: StageRequest, site: Site, report: Reporter
    ) -> tuple[Deploy, Mapping[str, str]]:
        """Create or find the draft, upload missing files, wait until ready. Returns it and SHA-1 by path."""
        with tempfile.TemporaryDirectory() as beside:
            files = await asyncio.to_thread(_site_files, request, Path(beside))
            by_path = await asyncio.to_thread(file_digests, files)
            deploy = await self._netlify.find_deploy(site.id, request.version_id)
            if deploy is None or deploy.state in FAILED_STATES:
                deploy = await self._netlify.create_deploy(site.id, request.version_id, by_path)
            deploy = await self.wait_for_state(request.service, deploy, PREPARED_STATES, report)
            by_digest = {digest: path for path, digest in by_path.items()}
            wanted = [by_digest[digest] for digest in dict.fromkeys(deploy.required or ()) if digest in by_digest]
            if wanted:
                await report(request.service.name, f"netlify: uploading {len(wanted)} of {len(files)} files")
                await self._upload_files(deploy, {path: files[path] for path in wanted})
        return await self.wait_for_state(request.service, deploy, READY_STATES, report), by_path

    async def wait_for_state(
        self, service: Service, deploy: Deploy, states: frozenset[str], report: Reporter
    ) -> Deploy:
        """Wait until the deploy is in one of ``states``, reporting each change. Raises PlatformError if it fails."""
        with self._poll_budget.schedule(service.build.timeout) as pauses:
            for pause in pauses:
                if deploy.state in states:
                    return deploy
                if deploy.state in FAILED_STATES:
                    why = deploy.error_message or "no reason given"
                    raise PlatformError(
                        f"Netlify deploy {deploy.id} failed ({deploy.state}): {why}",
                        need="a deploy that becomes ready; the previous version is still live",
                    )
                await asyncio.sleep(pause)
                before, deploy = deploy.state, await self._netlify.get_deploy(deploy.id)
                if deploy.state != before:
                    await report(service.name, f"netlify: {deploy.state}")
        raise PlatformError(
            f"Netlify deploy {deploy.id} is still {deploy.state} after {service.build.timeout:g} s",
            need="a deploy that becomes ready; the previous version is still live",
        )

    async def _upload_files(self, deploy: Deploy, files: Mapping[str, Path]) -> None:
        remaining = iter(files.items())

        async def send() -> None:
            for path, file in remaining:
                await self._netlify.upload_file(deploy.id, path, file)

        try:
            async with asyncio.TaskGroup() as sending:
                for _ in range(MAX_CONCURRENT_UPLOADS):
                    sending.create_task(send())
        except* PlatformError as failed:
            raise failed.exceptions[0] from None


def service_routes(service: Service) -> Mapping[str, str]:
    """Return the proxied paths of a site: path to service name."""
    routes = service.settings.get("routes")
    return routes if isinstance(routes, Mapping) else {}


def _site_files(request: StageRequest, beside: Path) -> dict[str, Path]:
    """Return the site's files by path, with a generated ``_redirects`` if it has routes."""
    files = list_files(request.artifact_path)
    if routes := service_routes(request.service):
        own = files[REDIRECTS_FILE].read_text() if REDIRECTS_FILE in files else ""
        files[REDIRECTS_FILE] = beside / REDIRECTS_FILE
        files[REDIRECTS_FILE].write_text(render_redirects(routes, request.addresses, own))
    return files
