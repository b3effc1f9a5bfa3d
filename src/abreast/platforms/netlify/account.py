"""What a site needs of its account beside files: somebody who may deploy, variables, a certificate."""

from collections.abc import Mapping

from abreast.core.errors import PlatformError
from abreast.platforms.interface import Reporter, StageRequest
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient, Site

READ_ONLY_ROLES = frozenset({"Reviewer", "Git Contributor", "Billing Admin", "Content Editor"})
"""Roles of an account that may not deploy to its sites."""

RELEASE_VARIABLE_PREFIX = "ABREAST_"
"""How variables begin that differ with each release; a deploy of folders does not need them at Netlify."""


class Accounts:
    """The accounts that the sites belong to."""

    def __init__(self, netlify: NetlifyClient) -> None:
        self._netlify = netlify
        self._roles: dict[str, str | None] = {}

    async def require_deploy_access(self, site: Site) -> None:
        """Raise PlatformError for a token of somebody who may look at the site, but not deploy to it."""
        account = site.account_slug or ""
        if account and account not in self._roles:
            self._roles[account] = await self._netlify.get_role(account)
        if self._roles.get(account) in READ_ONLY_ROLES:
            raise PlatformError(
                f"the token is of a {self._roles[account]} of {account}, who may not deploy to {site.name}",
                need=f"{NETLIFY.token_variable} of a member with the role Developer or Owner",
                next=f"export {NETLIFY.token_variable}=…",
            )

    async def request_certificate(self, site: Site, order: StageRequest, report: Reporter) -> None:
        """Ask for a certificate where a domain has none; that it cannot be had yet keeps nobody from deploying."""
        if not site.custom_domain or await self._netlify.get_certificate(site.id):
            return
        try:
            await self._netlify.provision_certificate(site.id)
            message = f"a certificate for {site.custom_domain} is asked for"
        except PlatformError as error:
            message = f"there is no certificate for {site.custom_domain}: {error.what}"
        await report(order.service.name, f"netlify: {message}")

    async def set_variables(self, site: Site, order: StageRequest, context: Mapping[str, str]) -> None:
        """Set the variables that differ in one context (``context``, ``context_parameter``); all others stay.

        They hold from the next deploy on, so for the draft. A secret cannot be read back and is set each time.
        """
        wanted = {name: value for name, value in order.env.items() if not name.startswith(RELEASE_VARIABLE_PREFIX)}
        if not wanted:
            return
        account = site.account_id or ""
        have = await self._netlify.get_variables(account, site.id)
        for name, value in wanted.items():
            secret = name in order.secrets
            if name not in have:
                await self._netlify.add_variable(account, site.id, name, {**context, "value": value}, secret=secret)
            elif secret or value != have[name].in_context(context):
                await self._netlify.set_variable(account, site.id, name, {**context, "value": value})
