"""What each version of a branch consists of, so that a branch can be led back to it. Netlify does not report that.

It is in a file of this machine, and in a file of the version's draft, which other machines read at its permalink.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from abreast.core.errors import PlatformError
from abreast.core.model import Version
from abreast.platforms.netlify.client import Deploy, DeployContent, NetlifyClient
from abreast.provider_api.api_client import NotFoundError

CONTENT_FILE = ".well-known/abreast-deploy.json"
"""The file of a draft that lists what the draft consists of besides it. Deploys of the branch do not have it."""


class BranchContents:
    """The contents of versions: kept in the folder ``home``, else read from drafts."""

    def __init__(self, netlify: NetlifyClient, home: Path) -> None:
        self._netlify = netlify
        self._home = home

    async def save(self, version: str, content: DeployContent) -> None:
        """Keep what a version consists of."""
        await asyncio.to_thread(self._write, version, content)

    def delete(self, version: str) -> None:
        """Delete what is kept of a version."""
        self._file(version).unlink(missing_ok=True)

    async def find(self, version: str, draft: Deploy | None) -> DeployContent | None:
        """Return what a version consists of, None if that is unknown. Keeps what was read from its draft."""
        if self._file(version).exists():
            return DeployContent.model_validate_json(self._file(version).read_bytes())
        if draft is None or not draft.deploy_ssl_url:
            return None
        listed = await self._netlify.fetch_page(f"{draft.deploy_ssl_url.rstrip('/')}/{CONTENT_FILE}")
        try:
            content = DeployContent.model_validate_json(listed or b"")
        except ValidationError:
            return None
        await self.save(version, content)
        return content

    async def load(self, version: Version) -> DeployContent:
        """Return what a version consists of. Raises PlatformError if that is unknown."""
        draft = None
        with suppress(NotFoundError):
            draft = await self._netlify.get_deploy(version.handle["deploy"])
        content = await self.find(version.id, draft)
        if content is None:
            raise PlatformError(
                f"the file list of {version.id} is missing: neither this machine nor a draft at Netlify has it",
                need="a version whose draft Netlify still has",
                next="abreast deploy",
            )
        return content

    def _write(self, version: str, content: DeployContent) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._home / f".{version}.json"
        unfinished.write_text(content.model_dump_json())
        unfinished.replace(self._file(version))

    def _file(self, version: str) -> Path:
        return self._home / f"{version}.deploy.json"
