"""Drafts: deploys reachable only by their permalink. A draft's title is its version id."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.core.site_rules.redirects import REDIRECTS_FILE
from abreast.core.site_rules.rules import RULE_FILES, parse_rules
from abreast.platforms.interface import Reporter, StageRequest
from abreast.platforms.netlify.branch_contents import CONTENT_FILE
from abreast.platforms.netlify.bundled_functions import (
    FunctionArchive,
    published_files,
    read_functions,
    require_complete_bundle,
)
from abreast.platforms.netlify.client import Deploy, DeployContent, NetlifyClient, Site
from abreast.platforms.netlify.site_files import file_digests, list_files, render_redirects
from abreast.platforms.netlify.source_check import BUNDLED
from abreast.provider_api.polling import PollBudget

MAX_CONCURRENT_UPLOADS = 10
"""Concurrent uploads."""

PREPARED_STATES = frozenset({"prepared", "uploading", "uploaded", "processing", "processed", "ready"})
"""States in which ``required`` lists the files to upload."""

READY_STATES = frozenset({"ready"})
FAILED_STATES = frozenset({"error", "rejected"})


@dataclass(frozen=True, slots=True)
class _Upload:
    """A file of a site by its path, or the archive of a function."""

    path: str
    file: Path
    function: FunctionArchive | None = None


@dataclass(frozen=True, slots=True)
class _LocalDeploy:
    """A deploy on this machine."""

    content: DeployContent
    files: Mapping[str, Path]
    functions: Sequence[FunctionArchive]

    def missing(self, deploy: Deploy) -> Iterator[_Upload]:
        """Yield what Netlify asks for, each content once."""
        by_digest = {digest: path for path, digest in self.content.files.items()}
        for digest in dict.fromkeys(deploy.required or ()):
            if digest in by_digest:
                yield _Upload(by_digest[digest], self.files[by_digest[digest]])
        by_archive = {function.digest: function for function in self.functions}
        for digest in dict.fromkeys(deploy.required_functions or ()):
            if digest in by_archive:
                yield _Upload(by_archive[digest].name, by_archive[digest].file, by_archive[digest])


class DraftDeploys:
    """Creates drafts, or finds existing ones."""

    def __init__(self, netlify: NetlifyClient, poll_budget: PollBudget) -> None:
        self._netlify = netlify
        self._poll_budget = poll_budget

    async def ensure_draft(self, request: StageRequest, site: Site, report: Reporter) -> tuple[Deploy, DeployContent]:
        """Create or find the draft, upload what is missing, wait until ready. Returns it and its content.

        The draft of a branch has a file more, which lists that content.
        """
        with tempfile.TemporaryDirectory() as beside:
            released = await asyncio.to_thread(_local_deploy, request, Path(beside))
            local = _with_content_file(released, Path(beside)) if request.service.settings.get("branch") else released
            for fault in _rule_faults(local.files):
                await report(request.service.name, f"netlify skips: {fault}")
            deploy = await self._netlify.find_deploy(site.id, request.version_id)
            if deploy is None or deploy.state in FAILED_STATES:
                deploy = await self._netlify.create_deploy(site.id, request.version_id, local.content)
            deploy = await self.wait_for_state(request.service, deploy, PREPARED_STATES, report)
            if missing := list(local.missing(deploy)):
                await report(request.service.name, _upload_message(missing, local))
                await self._upload(deploy, missing)
        return await self.wait_for_state(request.service, deploy, READY_STATES, report), released.content

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

    async def _upload(self, deploy: Deploy, missing: Sequence[_Upload]) -> None:
        remaining = iter(missing)

        async def send() -> None:
            for item in remaining:
                if item.function is None:
                    await self._netlify.upload_file(deploy.id, item.path, item.file)
                else:
                    await self._netlify.upload_function(deploy.id, item.path, item.file, item.function.options)

        try:
            async with asyncio.TaskGroup() as sending:
                for _ in range(MAX_CONCURRENT_UPLOADS):
                    sending.create_task(send())
        except* PlatformError as failed:
            raise failed.exceptions[0] from None


def _upload_message(missing: Sequence[_Upload], local: _LocalDeploy) -> str:
    functions = sum(item.function is not None for item in missing)
    parts = [f"{len(missing) - functions} of {len(local.files)} files"]
    if local.functions:
        parts.append(f"{functions} of {len(local.functions)} functions")
    return f"netlify: uploading {', '.join(parts)}"


def _local_deploy(request: StageRequest, beside: Path) -> _LocalDeploy:
    require_complete_bundle(request.artifact_path, expected=request.service.settings.get("functions") == BUNDLED)
    files, functions = _site_files(request, beside), read_functions(request.artifact_path)
    content = DeployContent(
        files=file_digests(files),
        functions={function.name: function.digest for function in functions},
        function_schedules=[
            {"name": function.name, "cron": function.schedule} for function in functions if function.schedule
        ],
        functions_config={function.name: dict(function.config) for function in functions if function.config},
    )
    return _LocalDeploy(content, files, functions)


def _with_content_file(released: _LocalDeploy, beside: Path) -> _LocalDeploy:
    """Return the deploy with a file more, which lists its content."""
    listing = beside / "content.json"
    listing.write_text(released.content.model_dump_json())
    files = {CONTENT_FILE: listing}
    content = released.content.model_copy(update={"files": {**released.content.files, **file_digests(files)}})
    return replace(released, content=content, files={**released.files, **files})


def _rule_faults(files: Mapping[str, Path]) -> Sequence[str]:
    """Return what is wrong with rules of the site that Netlify skips."""
    return parse_rules({name: files[name].read_text(errors="replace") for name in RULE_FILES if name in files}).faults


def _site_files(request: StageRequest, beside: Path) -> dict[str, Path]:
    """Return the site's files by path, with edge functions, and a generated ``_redirects`` if it has routes."""
    files = {**list_files(request.artifact_path), **published_files(request.artifact_path)}
    if routes := request.service.routes:
        own = files[REDIRECTS_FILE].read_text() if REDIRECTS_FILE in files else ""
        files[REDIRECTS_FILE] = beside / REDIRECTS_FILE
        files[REDIRECTS_FILE].write_text(render_redirects(routes, request.addresses, own))
    return files
