"""What a site needs besides files: permission to deploy, variables, a certificate."""

from collections.abc import Mapping

from abreast.core.errors import PlatformError
from abreast.platforms.interface import Reporter, StageRequest
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient, Site

READ_ONLY_ROLES = frozenset({"Reviewer", "Git Contributor", "Billing Admin", "Content Editor"})
"""Account roles that may not deploy."""

RELEASE_VARIABLE_PREFIX = "ABREAST_"
"""Prefix of variables that differ by release. They are not set at Netlify: a folder is built already."""


class Accounts:
    """Permissions, variables and certificates of sites."""

    def __init__(self, netlify: NetlifyClient) -> None:
        self._netlify = netlify
        self._roles: dict[str, str | None] = {}

    async def require_deploy_access(self, site: Site) -> None:
        """Raise PlatformError if the token may not deploy to the site."""
        account = site.account_slug or ""
        if account and account not in self._roles:
            self._roles[account] = await self._netlify.get_role(account)
        if self._roles.get(account) in READ_ONLY_ROLES:
            raise PlatformError(
                f"the token has the role {self._roles[account]} in {account}, which may not deploy to {site.name}",
                need=f"{NETLIFY.token_variable} of a member with the role Developer or Owner",
                next=f"export {NETLIFY.token_variable}=…",
            )

    async def request_certificate(self, site: Site, request: StageRequest, report: Reporter) -> None:
        """Request a certificate if a custom domain has none. A failure is reported and does not stop the deployment."""
        if not site.custom_domain or await self._netlify.get_certificate(site.id):
            return
        try:
            await self._netlify.provision_certificate(site.id)
            message = f"requested a certificate for {site.custom_domain}"
        except PlatformError as error:
            message = f"no certificate for {site.custom_domain}: {error.what}"
        await report(request.service.name, f"netlify: {message}")

    async def delete_variables(self, site: Site, context: Mapping[str, str]) -> None:
        """Delete what is set in one context; the values in all others stay."""
        account = site.account_id or ""
        for variable in (await self._netlify.get_variables(account, site.id)).values():
            await self._netlify.delete_values(account, site.id, variable, context)

    async def set_variables(self, site: Site, request: StageRequest, context: Mapping[str, str]) -> None:
        """Set the variables that differ in one context (``context``, ``context_parameter``); all others stay.

        They apply from the next deploy, so to the draft. A secret cannot be read back and is set each time.
        """
        wanted = {name: value for name, value in request.env.items() if not name.startswith(RELEASE_VARIABLE_PREFIX)}
        if not wanted:
            return
        account = site.account_id or ""
        have = await self._netlify.get_variables(account, site.id)
        for name, value in wanted.items():
            secret = name in request.secrets
            if name not in have:
                await self._netlify.add_variable(account, site.id, name, {**context, "value": value}, secret=secret)
            elif secret or value != have[name].in_context(context):
                await self._netlify.set_variable(account, site.id, name, {**context, "value": value})
