"""Branch deploys, such as staging or a preview: a traffic switch makes a new deploy of the branch."""

import asyncio
import re
from contextlib import suppress

from abreast.core.errors import PlatformError
from abreast.core.model import Service, Version
from abreast.platforms.interface import Reporter
from abreast.platforms.netlify.branch_contents import BranchContents
from abreast.platforms.netlify.client import Deploy, NetlifyClient, Site
from abreast.platforms.netlify.draft_deploys import FAILED_STATES, READY_STATES, DraftDeploys
from abreast.provider_api.api_client import NotFoundError, UnknownOutcomeError
from abreast.provider_api.polling import PollBudget

_VERSION = re.compile(r"[a-z][a-z0-9-]*-[0-9A-HJKMNP-TV-Z]{26}")
"""The id of a version of any service: one that has another name now deployed to the branch before."""


class BranchDeploys:
    """Points branches at versions, whose ``contents`` are known."""

    def __init__(
        self, netlify: NetlifyClient, drafts: DraftDeploys, contents: BranchContents, poll_budget: PollBudget
    ) -> None:
        self._netlify = netlify
        self._drafts = drafts
        self._contents = contents
        self._poll_budget = poll_budget

    async def live_deploy(self, site: Site, branch: str) -> Deploy | None:
        """Return the draft of the branch's live version; None if it is unknown what the version consists of."""
        version = await self._live_version_id(site, branch)
        draft = await self._netlify.find_deploy(site.id, version) if version else None
        return draft if draft and await self._contents.find(version, draft) else None

    async def served_deploy(self, site: Site, branch: str) -> Deploy | None:
        """Return the deploy that users of the branch reach, whoever made it."""
        for listed in await self._netlify.list_branches(site.id):
            if branch in {listed.name, listed.slug} and listed.deploy_id:
                return await self._netlify.get_deploy(listed.deploy_id)
        return None

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

    async def remove(self, service: Service, site: Site, branch: str, report: Reporter) -> None:
        """Delete the deploys of a branch and their drafts, the oldest first.

        Raises PlatformError, and deletes nothing, if others made one of them, or if users of the site are on one.
        """
        deleted = set[str]()
        while deploys := await self._deploys_of(site, branch, deleted):
            _require_own(deploys, service, site, branch)
            listed = await self._netlify.list_latest_deploys(site.id)
            for deploy in reversed(deploys):
                version = _version_id(deploy, branch)
                drafts = [draft for draft in listed if draft.title == version and not _is_published(draft, site)]
                for made in (*drafts, deploy):
                    with suppress(NotFoundError):
                        await self._netlify.delete_deploy(made.id)
                self._contents.delete(version)
                deleted.add(deploy.id)
            await report(service.name, f"netlify: deleted the deploys of the branch {branch}: {len(deploys)}")

    async def _deploys_of(self, site: Site, branch: str, deleted: set[str]) -> list[Deploy]:
        listed = await self._netlify.list_latest_deploys(site.id, branch)
        return [deploy for deploy in listed if deploy.id not in deleted]

    async def _ensure_deploy(self, site: Site, branch: str, version: Version) -> Deploy:
        title = _deploy_title(version.id, branch)
        found = await self._netlify.find_deploy(site.id, title)
        if found and found.state not in FAILED_STATES | READY_STATES:
            return found
        try:
            return await self._netlify.create_deploy(site.id, title, await self._contents.load(version), branch=branch)
        except UnknownOutcomeError:
            again = await self._netlify.find_deploy(site.id, title)
            if again is None or (found and again.id == found.id):
                raise
            return again

    async def _live_version_id(self, site: Site, branch: str) -> str:
        """Return the version id of the branch's live deploy, "" if it has none."""
        served = await self.served_deploy(site, branch)
        return _version_id(served, branch) if served else ""


def branch_url(deploy: Deploy, branch: str) -> str:
    """Return a branch's URL: the permalink of a deploy with the branch's name in place of the deploy id."""
    return (deploy.deploy_ssl_url or "").replace(deploy.id, branch, 1).rstrip("/")


def _deploy_title(version: str, branch: str) -> str:
    return f"{version} on {branch}"


def _version_id(deploy: Deploy, branch: str) -> str:
    return (deploy.title or "").removesuffix(_deploy_title("", branch))


def _require_own(deploys: list[Deploy], service: Service, site: Site, branch: str) -> None:
    """Raise PlatformError if abreast did not make one of the deploys, for this service or under its earlier name."""
    for deploy in deploys:
        title = deploy.title or ""
        version = title.removesuffix(_deploy_title("", branch))
        is_ours = version.startswith(f"{service.name}-") or _VERSION.fullmatch(version)
        is_own = version != title and bool(is_ours)
        if not is_own or _is_published(deploy, site):
            what = "is what the site's own users get" if is_own else "was not made by abreast"
            raise PlatformError(
                f"the deploy {deploy.id} ({title or 'without a title'}) of the branch {branch} of {site.name} {what}",
                need="a branch that only abreast deploys to",
                next=f"delete the deploys of that branch at {site.admin_url or 'Netlify'}",
            )


def _is_published(deploy: Deploy, site: Site) -> bool:
    return site.published_deploy is not None and site.published_deploy.id == deploy.id
