"""A branch of a site, such as a staging or a preview: users of it are led by a deploy of its own, made in the turn."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Service, Version
from abreast.platforms.cloud.api_client import UnknownOutcomeError
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.interface import Reporter
from abreast.platforms.netlify.client import Deploy, NetlifyClient, Site
from abreast.platforms.netlify.draft_deploys import FAILED_STATES, READY_STATES, DraftDeploys


class BranchDeploys:
    """Leads branches to versions; what files each version has is kept in ``home``, since Netlify does not tell."""

    def __init__(self, netlify: NetlifyClient, drafts: DraftDeploys, home: Path, poll_budget: PollBudget) -> None:
        self._netlify = netlify
        self._drafts = drafts
        self._home = home
        self._poll_budget = poll_budget

    def save_files(self, version: str, files: Mapping[str, str]) -> None:
        """Keep the SHA-1 of each of the version's files by its path."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._home / f".{version}.json"
        unfinished.write_text(json.dumps(files))
        unfinished.replace(self._home / f"{version}.json")

    def delete_files(self, version: str) -> None:
        """Let go of a version that nobody is led to."""
        (self._home / f"{version}.json").unlink(missing_ok=True)

    async def live_deploy(self, site: Site, branch: str) -> Deploy | None:
        """Return the draft of the version that the branch leads to; None for one that was not made from here."""
        version = await self._live_version_id(site, branch)
        known = version and (self._home / f"{version}.json").exists()
        return await self._netlify.find_deploy(site.id, version) if known else None

    async def point_branch(self, service: Service, site: Site, branch: str, version: Version, report: Reporter) -> None:
        """Make the version's files the branch's next deploy, and wait until it leads there; nothing is sent."""
        if await self._live_version_id(site, branch) == version.id:
            return
        deploy = await self._ensure_deploy(site, branch, version)
        await self._drafts.wait_for_state(service, deploy, READY_STATES, report)
        with self._poll_budget.schedule(self._poll_budget.max_interval * 30) as pauses:
            for pause in pauses:
                if await self._live_version_id(site, branch) == version.id:
                    await report(service.name, f"netlify: {branch} leads to {deploy.id}")
                    return
                await asyncio.sleep(pause)
        raise PlatformError(
            f"the branch {branch} of {site.name} does not lead to deploy {deploy.id}",
            need="branch deploys that are allowed, and nobody else who makes them",
            next="abreast deploy",
        )

    async def _ensure_deploy(self, site: Site, branch: str, version: Version) -> Deploy:
        title = _deploy_title(version.id, branch)
        found = await self._netlify.find_deploy(site.id, title)
        if found and found.state not in FAILED_STATES | READY_STATES:
            return found
        try:
            return await self._netlify.create_deploy(site.id, title, self._load_files(version), branch=branch)
        except UnknownOutcomeError:
            again = await self._netlify.find_deploy(site.id, title)
            if again is None or (found and again.id == found.id):
                raise
            return again

    def _load_files(self, version: Version) -> Mapping[str, str]:
        try:
            files: dict[str, str] = json.loads((self._home / f"{version.id}.json").read_text())
        except FileNotFoundError as error:
            raise PlatformError(
                f"which files {version.id} has is not known here, and Netlify does not tell",
                need="a version that was deployed from here",
                next="abreast deploy",
            ) from error
        return files

    async def _live_version_id(self, site: Site, branch: str) -> str:
        """Return the id of the version that the branch leads to, "" where nothing is known of it."""
        for one in await self._netlify.list_branches(site.id):
            if branch in {one.name, one.slug} and one.deploy_id:
                title = (await self._netlify.get_deploy(one.deploy_id)).title or ""
                return title.removesuffix(_deploy_title("", branch))
        return ""


def branch_url(deploy: Deploy, branch: str) -> str:
    """Return where a branch is reached: its name stands where a draft's permalink has the deploy's id."""
    return (deploy.deploy_ssl_url or "").replace(deploy.id, branch, 1).rstrip("/")


def _deploy_title(version: str, branch: str) -> str:
    return f"{version} on {branch}"
