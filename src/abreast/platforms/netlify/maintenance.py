"""Maintenance of a site: a deploy of its own is published, whose title names the deploy behind it.

So it needs no record, and ends on any machine with exactly the deploy that was live.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import Service
from abreast.core.site_rules.headers import HEADERS_FILE
from abreast.core.site_rules.redirects import REDIRECTS_FILE
from abreast.machine.tls import ssl_context
from abreast.platforms.interface import MaintenanceMove, Reporter
from abreast.platforms.netlify.client import Deploy, DeployContent, NetlifyClient, Site
from abreast.platforms.netlify.draft_deploys import FAILED_STATES, PREPARED_STATES, READY_STATES, DraftDeploys
from abreast.platforms.netlify.publishing import Publisher
from abreast.platforms.netlify.site_files import file_digests
from abreast.provider_api.api_client import NotFoundError, UnknownOutcomeError

PAGE_FILE = "maintenance.html"
PERMALINK_TIMEOUT = 15.0
_TITLE = "abreast maintenance in front of "
_HIDDEN = frozenset({401, 403})
"""The statuses of a site whose deploys only its team may see."""


def deploy_behind(deploy: Deploy | None) -> str:
    """Return the id of the deploy that users get when maintenance ends, "" if the deploy is not one of maintenance."""
    title = (deploy and deploy.title) or ""
    return title.removeprefix(_TITLE).split()[0] if title.startswith(_TITLE) else ""


def diagnose_maintenance(move: MaintenanceMove) -> Iterator[Diagnostic]:
    """Yield what makes maintenance of a service impossible at Netlify, and what users get."""
    if move.service.settings.get("branch"):
        need = "a service that publishes a site, not a branch of it"
        yield Diagnostic(DiagnosticSeverity.FAULT, "", "a branch deploy at Netlify cannot be in maintenance", need)
    if move.mode and move.mode.allow:
        need = "no --allow: rules of Netlify know no addresses. The live deploy's permalink still leads to the site"
        yield Diagnostic(DiagnosticSeverity.FAULT, "", "Netlify cannot let addresses through", need)
    what = "programs get the page too: rules of Netlify do not see who asks for JSON. It takes one of 100 deploys a day"
    yield Diagnostic(DiagnosticSeverity.WARNING, "", what)


class MaintenanceDeploys:
    """Publishes and takes back deploys of maintenance."""

    def __init__(self, netlify: NetlifyClient, drafts: DraftDeploys, publisher: Publisher) -> None:
        self._netlify = netlify
        self._drafts = drafts
        self._publisher = publisher

    async def begin(self, service: Service, site: Site, mode: MaintenanceMode, report: Reporter) -> None:
        """Publish the page, after a look at its permalink. Raises PlatformError if Netlify does not answer with 503."""
        live = site.published_deploy
        if live is None:
            raise PlatformError(f"the Netlify site {site.name} has no deploy that users reach", next="abreast deploy")
        with tempfile.TemporaryDirectory() as folder:
            files = _write_files(mode, Path(folder))
            await self._publish(service, site, deploy_behind(live) or live.id, file_digests(files), report, files)

    async def put_behind(self, service: Service, site: Site, deploy: str, report: Reporter) -> None:
        """Have users get another deploy when maintenance ends. The page stays what it is."""
        if deploy_behind(site.published_deploy) != deploy:
            files = await self._netlify.list_files(site.id)
            await self._publish(service, site, deploy, files, report)
            await report(service.name, f"netlify: users get {deploy} when maintenance ends")

    async def end(self, service: Service, site: Site, report: Reporter) -> None:
        """Publish the deploy behind the page, and delete the page."""
        if behind := deploy_behind(site.published_deploy):
            assert site.published_deploy
            try:
                await self._publisher.publish(service, site.id, behind, report)
            except NotFoundError as error:
                raise PlatformError(
                    f"the deploy {behind} that users of {site.name} would get is gone from Netlify",
                    need="another one behind the page",
                    next=f"abreast deploy --service {service.name} --force, then: abreast maintenance off",
                ) from error
            await self._delete(site.published_deploy.id)

    async def _publish(
        self, service: Service, site: Site, behind: str, digests: dict[str, str], report: Reporter,
        files: dict[str, Path] | None = None,
    ) -> None:  # fmt: skip
        """Publish files in front of a deploy, and delete what stood there. Only ``files`` can be uploaded."""
        title, before = _title(behind, digests), site.published_deploy
        if before and before.title == title:
            return
        deploy = await self._ensure_deploy(site, title, digests)
        deploy = await self._drafts.wait_for_state(service, deploy, PREPARED_STATES, report)
        for path, file in (files or {}).items():
            if digests[path] in (deploy.required or ()):
                await self._netlify.upload_file(deploy.id, path, file)
        deploy = await self._drafts.wait_for_state(service, deploy, READY_STATES, report)
        await self._require_page(deploy)
        await self._publisher.publish(service, site.id, deploy.id, report)
        if before and deploy_behind(before):
            await self._delete(before.id)

    async def _ensure_deploy(self, site: Site, title: str, digests: dict[str, str]) -> Deploy:
        found = await self._netlify.find_deploy(site.id, title)
        if found and found.state not in FAILED_STATES:
            return found
        try:
            return await self._netlify.create_deploy(site.id, title, DeployContent(files=digests))
        except UnknownOutcomeError:
            if again := await self._netlify.find_deploy(site.id, title):
                return again
            raise

    async def _require_page(self, deploy: Deploy) -> None:
        """Raise PlatformError, and delete the deploy, if its permalink does not answer with 503."""
        status = await _permalink_status(deploy)
        if status not in {503, *_HIDDEN}:
            await self._delete(deploy.id)
            raise PlatformError(
                f"Netlify answers with {status} where a rule of the deploy says 503; users noticed nothing",
                need="a site whose `_redirects` may answer with 503",
                next="abreast maintenance on --service … without this one",
            )

    async def _delete(self, deploy: str) -> None:
        with suppress(NotFoundError):
            await self._netlify.delete_deploy(deploy)


def _title(behind: str, digests: dict[str, str]) -> str:
    """Return the title: the deploy behind, and a digest of the page, so that new words are a new deploy."""
    content = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()
    return f"{_TITLE}{behind} {content[:8]}"


def _write_files(mode: MaintenanceMode, folder: Path) -> dict[str, Path]:
    """Write the page, the rule that answers everything with it, and its headers. Returns the files by path."""
    contents = {
        PAGE_FILE: mode.html,
        REDIRECTS_FILE: f"/* /{PAGE_FILE} 503!\n",
        HEADERS_FILE: f"/*\n  Cache-Control: no-store\n  Retry-After: {mode.retry_after}\n",
    }
    for path, content in contents.items():
        (folder / path).write_text(content)
    return {path: folder / path for path in contents}


async def _permalink_status(deploy: Deploy) -> int:
    """Return with which status a deploy answers at its permalink. Raises PlatformError if it does not."""
    url = (deploy.deploy_ssl_url or "").rstrip("/") + "/"
    try:
        async with httpx2.AsyncClient(timeout=PERMALINK_TIMEOUT, verify=ssl_context()) as client:
            return (await client.get(url)).status_code
    except (TimeoutError, httpx2.HTTPError) as error:
        raise PlatformError(f"{url} does not answer: {type(error).__name__}", need="Netlify to be up") from error
