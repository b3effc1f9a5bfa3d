"""Publishes ready deploys: new ones, and earlier ones to go back to."""

import asyncio

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.platforms.interface import Reporter
from abreast.platforms.netlify.client import NetlifyClient, Site
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.provider_api.polling import PollBudget


class Publisher:
    """Publishes deploys to sites, and waits until users get them."""

    def __init__(self, netlify: NetlifyClient, poll_budget: PollBudget) -> None:
        self._netlify = netlify
        self._poll_budget = poll_budget

    async def publish(self, service: Service, site: str, deploy: str, report: Reporter) -> None:
        """Publish a ready deploy of a site. Raises PlatformError if the site is locked to another one."""
        if await self._is_published(site, deploy):
            return
        lost = None
        try:
            await self._netlify.publish_deploy(site, deploy)
        except UnknownOutcomeError as error:
            lost = error
        with self._poll_budget.schedule(self._poll_budget.max_interval * (3 if lost else 30)) as pauses:
            for pause in pauses:
                if await self._is_published(site, deploy):
                    await report(service.name, f"netlify: {deploy} is published")
                    return
                await asyncio.sleep(pause)
        raise lost or PlatformError(
            f"Netlify did not publish deploy {deploy} of {service.settings['site']}",
            need="a site that is not locked to another deploy",
            next="unlock it in Netlify, then: abreast deploy",
        )

    async def _is_published(self, name: str, deploy: str) -> bool:
        site = await self._netlify.get_site(name)
        require_unlocked(site, allowed_deploy=deploy)
        return site.published_deploy is not None and site.published_deploy.id == deploy


def require_unlocked(site: Site, allowed_deploy: str = "") -> None:
    """Raise PlatformError if a person has locked the site to another deploy."""
    live = site.published_deploy
    if live and live.locked and live.id != allowed_deploy:
        raise PlatformError(
            f"the Netlify site {site.name} is locked to deploy {live.id}, so no other can be published",
            need="an unlocked site",
            next=f"unlock it at {site.admin_url or 'Netlify'}, or: "
            f'netlify api unlockDeploy --data \'{{"deploy_id": "{live.id}"}}\'',
        )
