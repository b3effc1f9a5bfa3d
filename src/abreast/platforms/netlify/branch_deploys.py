"""Branch deploys, such as staging or a preview: a traffic switch makes a new deploy of the branch."""

import asyncio
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.model import Service, Version
from abreast.platforms.interface import Reporter
from abreast.platforms.netlify.client import Deploy, DeployContent, NetlifyClient, Site
from abreast.platforms.netlify.draft_deploys import FAILED_STATES, READY_STATES, DraftDeploys
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.provider_api.polling import PollBudget


class BranchDeploys:
    """Points branches at versions. Keeps each version's content in ``home``, since Netlify does not return it."""

    def __init__(self, netlify: NetlifyClient, drafts: DraftDeploys, home: Path, poll_budget: PollBudget) -> None:
        self._netlify = netlify
        self._drafts = drafts
        self._home = home
        self._poll_budget = poll_budget

    def save_content(self, version: str, content: DeployContent) -> None:
        """Save what a version consists of."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._home / f".{version}.json"
        unfinished.write_text(content.model_dump_json())
        unfinished.replace(self._content_file(version))

    def delete_content(self, version: str) -> None:
        """Delete what was saved of a version."""
        self._content_file(version).unlink(missing_ok=True)

    def _content_file(self, version: str) -> Path:
        return self._home / f"{version}.deploy.json"

    async def live_deploy(self, site: Site, branch: str) -> Deploy | None:
        """Return the draft of the branch's live version; None if it was not deployed from this state folder."""
        version = await self._live_version_id(site, branch)
        known = version and self._content_file(version).exists()
        return await self._netlify.find_deploy(site.id, version) if known else None

    async def point_branch(self, service: Service, site: Site, branch: str, version: Version, report: Reporter) -> None:
        """Deploy the version's files to the branch and wait until it is live. Uploads nothing."""
        if await self._live_version_id(site, branch) == version.id:
            return
        deploy = await self._ensure_deploy(site, branch, version)
        await self._drafts.wait_for_state(service, deploy, READY_STATES, report)
        with self._poll_budget.schedule(self._poll_budget.max_interval * 30) as pauses:
            for pause in pauses:
                if await self._live_version_id(site, branch) == version.id:
                    await report(service.name, f"netlify: branch {branch} serves {deploy.id}")
                    return
                await asyncio.sleep(pause)
        raise PlatformError(
            f"the branch {branch} of {site.name} does not serve deploy {deploy.id}",
            need="branch deploys to be enabled, and no other deploys of this branch",
            next="abreast deploy",
        )

    async def _ensure_deploy(self, site: Site, branch: str, version: Version) -> Deploy:
        title = _deploy_title(version.id, branch)
        found = await self._netlify.find_deploy(site.id, title)
        if found and found.state not in FAILED_STATES | READY_STATES:
            return found
        try:
            return await self._netlify.create_deploy(site.id, title, self._load_content(version), branch=branch)
        except UnknownOutcomeError:
            again = await self._netlify.find_deploy(site.id, title)
            if again is None or (found and again.id == found.id):
                raise
            return again

    def _load_content(self, version: Version) -> DeployContent:
        try:
            return DeployContent.model_validate_json(self._content_file(version.id).read_bytes())
        except FileNotFoundError as error:
            raise PlatformError(
                f"the file list of {version.id} is missing here, and Netlify does not return it",
                need="a version that was deployed from this state folder",
                next="abreast deploy",
            ) from error

    async def _live_version_id(self, site: Site, branch: str) -> str:
        """Return the version id of the branch's live deploy, "" if it has none."""
        for listed in await self._netlify.list_branches(site.id):
            if branch in {listed.name, listed.slug} and listed.deploy_id:
                title = (await self._netlify.get_deploy(listed.deploy_id)).title or ""
                return title.removesuffix(_deploy_title("", branch))
        return ""


def branch_url(deploy: Deploy, branch: str) -> str:
    """Return a branch's URL: the permalink of a deploy with the branch's name in place of the deploy id."""
    return (deploy.deploy_ssl_url or "").replace(deploy.id, branch, 1).rstrip("/")


def _deploy_title(version: str, branch: str) -> str:
    return f"{version} on {branch}"
