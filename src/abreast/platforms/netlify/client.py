"""Netlify's API, as far as it is needed; https://open-api.netlify.com."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel

from abreast.platforms.cloud.api import Api, DeniedError, NotThereError, Provider, Request

NETLIFY = Provider(
    "Netlify", "https://api.netlify.com", "/api/v1", "NETLIFY_AUTH_TOKEN", "a personal access token that may deploy"
)
MANY_FILES = 500
"""From here on a deploy's files are worked through after the answer, as Netlify's own Go client has it."""

PAGES, PER_PAGE = 3, 100


class Deploy(BaseModel):
    """A deploy of a site; ``required`` are the SHA-1s of which Netlify wants the content."""

    id: str
    site_id: str = ""
    state: str
    title: str | None = None
    required: list[str] | None = None
    deploy_ssl_url: str | None = None
    error_message: str | None = None
    published_at: str | None = None
    locked: bool | None = None


class Site(BaseModel):
    """A site, and what its users reach."""

    id: str
    name: str
    url: str | None = None
    ssl_url: str | None = None
    admin_url: str | None = None
    account_slug: str | None = None
    custom_domain: str | None = None
    published_deploy: Deploy | None = None

    @property
    def address(self) -> str:
        """Where users reach it."""
        return (self.ssl_url or self.url or "").rstrip("/")


class Certificate(BaseModel):
    """A site's TLS certificate."""

    state: str | None = None
    expires_at: str | None = None


class _Person(BaseModel):
    id: str = ""
    email: str = ""
    role: str = ""


class Netlify:
    """The calls, one method each; errors are the Api's."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def site(self, name: str) -> Site:
        """Return a site by its name, domain or id."""
        return await self._api.ask(Site, Request("GET", f"/sites/{quote(name)}"))

    async def role(self, account: str) -> str | None:
        """Return the role in an account of whoever the token is of, None where the account does not tell."""
        try:
            me = await self._api.ask(_Person, Request("GET", "/user"))
            members = await self._api.ask(list[_Person], Request("GET", f"/{quote(account)}/members"))
        except DeniedError:
            return None
        return next((one.role for one in members if one.id == me.id or one.email == me.email), None)

    async def certificate(self, site: str) -> Certificate | None:
        """Return the state of a site's certificate, None where it has none."""
        try:
            return await self._api.ask(Certificate, Request("GET", f"/sites/{site}/ssl"))
        except NotThereError:
            return None

    async def provision(self, site: str) -> Certificate:
        """Ask for a certificate of Let's Encrypt; one that is there stays."""
        return await self._api.ask(Certificate, Request("POST", f"/sites/{site}/ssl"))

    async def create(self, site: str, title: str, files: Mapping[str, str]) -> Deploy:
        """Begin a draft: a deploy that only its permalink reaches."""
        body = {"files": files, "draft": True, "async": len(files) > MANY_FILES}
        return await self._api.ask(Deploy, Request("POST", f"/sites/{site}/deploys", body, {"title": title}))

    async def find(self, site: str, title: str) -> Deploy | None:
        """Return the newest deploy with this title, if it is among the last few hundred."""
        for page in range(1, PAGES + 1):
            query = {"page": page, "per_page": PER_PAGE}
            deploys = await self._api.ask(list[Deploy], Request("GET", f"/sites/{site}/deploys", query=query))
            for deploy in deploys:
                if deploy.title == title:
                    return deploy
            if len(deploys) < PER_PAGE:
                break
        return None

    async def deploy(self, id: str) -> Deploy:
        """Return a deploy as it stands."""
        return await self._api.ask(Deploy, Request("GET", f"/deploys/{id}"))

    async def upload(self, deploy: str, path: str, file: Path) -> None:
        """Send the content of one file."""
        await self._api.tell(Request("PUT", f"/deploys/{deploy}/files/{quote(path)}", file=file))

    async def publish(self, site: str, deploy: str) -> None:
        """Let users reach a deploy that is ready; the same for one that they reached before."""
        await self._api.tell(Request("POST", f"/sites/{site}/deploys/{deploy}/restore"))

    async def cancel(self, deploy: str) -> None:
        """Stop a deploy that is not ready yet."""
        await self._api.tell(Request("POST", f"/deploys/{deploy}/cancel"))

    async def delete(self, deploy: str) -> None:
        """Take a deploy away that users do not reach."""
        await self._api.tell(Request("DELETE", f"/deploys/{deploy}"))
