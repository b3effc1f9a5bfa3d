"""The part of Netlify's API that abreast uses; https://open-api.netlify.com."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field

from abreast.platforms.cloud.api_client import AccessDeniedError, ApiClient, NotFoundError, Provider, Request

NETLIFY = Provider(
    "Netlify",
    "https://api.netlify.com",
    "/api/v1",
    "NETLIFY_AUTH_TOKEN",
    "a personal access token that may deploy",
    base_variable="NETLIFY_API_URL",
)
ASYNC_FILE_THRESHOLD = 500
"""Number of files from which a deploy is created asynchronously, as in Netlify's own Go client."""

MAX_PAGES, PER_PAGE = 3, 100


class Deploy(BaseModel):
    """A deploy of a site. ``required``: SHA-1s of the files to upload."""

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
    """A site and its published deploy."""

    id: str
    name: str
    url: str | None = None
    ssl_url: str | None = None
    admin_url: str | None = None
    account_id: str | None = None
    account_slug: str | None = None
    custom_domain: str | None = None
    published_deploy: Deploy | None = None

    @property
    def address(self) -> str:
        """The public URL."""
        return (self.ssl_url or self.url or "").rstrip("/")


class Certificate(BaseModel):
    """A site's TLS certificate."""

    state: str | None = None
    expires_at: str | None = None


class Branch(BaseModel):
    """A branch of a site that has a deploy of its own."""

    name: str | None = None
    slug: str | None = None
    deploy_id: str | None = None


class _Value(BaseModel):
    context: str = "all"
    context_parameter: str | None = None
    value: str | None = None


class Variable(BaseModel):
    """A variable of a site, with its value by context."""

    key: str
    values: list[_Value] = Field(default_factory=list)

    def in_context(self, context: Mapping[str, str]) -> str | None:
        """Return its value in exactly this context."""
        wanted = context["context"], context.get("context_parameter")
        return next((value.value for value in self.values if (value.context, value.context_parameter) == wanted), None)


class _Member(BaseModel):
    id: str = ""
    email: str = ""
    role: str = ""


class NetlifyClient:
    """One method per API call. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get_site(self, name: str) -> Site:
        """Return a site by its name, domain or id."""
        return await self._api.fetch(Site, Request("GET", f"/sites/{quote(name)}"))

    async def get_role(self, account: str) -> str | None:
        """Return the role of the token's user in an account, None if it cannot be read."""
        try:
            me = await self._api.fetch(_Member, Request("GET", "/user"))
            members = await self._api.fetch(list[_Member], Request("GET", f"/{quote(account)}/members"))
        except (AccessDeniedError, NotFoundError):
            return None
        return next((member.role for member in members if member.id == me.id or member.email == me.email), None)

    async def get_certificate(self, site: str) -> Certificate | None:
        """Return a site's certificate, None if it has none."""
        try:
            return await self._api.fetch(Certificate, Request("GET", f"/sites/{site}/ssl"))
        except NotFoundError:
            return None

    async def provision_certificate(self, site: str) -> Certificate:
        """Request a Let's Encrypt certificate. An existing one stays."""
        return await self._api.fetch(Certificate, Request("POST", f"/sites/{site}/ssl"))

    async def list_branches(self, site: str) -> list[Branch]:
        """Return a site's deployed branches."""
        return await self._api.fetch(list[Branch], Request("GET", f"/sites/{site}/deployed-branches"))

    async def get_variables(self, account: str, site: str) -> dict[str, Variable]:
        """Return a site's own variables by name."""
        request = Request("GET", f"/accounts/{account}/env", query={"site_id": site})
        return {variable.key: variable for variable in await self._api.fetch(list[Variable], request)}

    async def add_variable(self, account: str, site: str, name: str, value: Mapping[str, str], *, secret: bool) -> None:
        """Add a variable with its value in one context."""
        body = [{"key": name, "values": [value], "is_secret": secret}]
        await self._api.send(Request("POST", f"/accounts/{account}/env", body, {"site_id": site}))

    async def set_variable(self, account: str, site: str, name: str, value: Mapping[str, str]) -> None:
        """Set a variable's value in one context; other contexts are unchanged."""
        path = f"/accounts/{account}/env/{quote(name, safe='')}"
        await self._api.send(Request("PATCH", path, value, {"site_id": site}))

    async def create_deploy(self, site: str, title: str, files: Mapping[str, str], branch: str | None = None) -> Deploy:
        """Create a deploy of a branch, or a draft if ``branch`` is None. ``files``: path to SHA-1."""
        body: dict[str, object] = {"files": files, "async": len(files) > ASYNC_FILE_THRESHOLD}
        body |= {"branch": branch, "draft": False} if branch else {"draft": True}
        return await self._api.fetch(Deploy, Request("POST", f"/sites/{site}/deploys", body, {"title": title}))

    async def find_deploy(self, site: str, title: str) -> Deploy | None:
        """Return the newest deploy with this title among the last 300, None if there is none."""
        for page in range(1, MAX_PAGES + 1):
            query = {"page": page, "per_page": PER_PAGE}
            deploys = await self._api.fetch(list[Deploy], Request("GET", f"/sites/{site}/deploys", query=query))
            for deploy in deploys:
                if deploy.title == title:
                    return deploy
            if len(deploys) < PER_PAGE:
                break
        return None

    async def get_deploy(self, id: str) -> Deploy:
        """Return a deploy."""
        return await self._api.fetch(Deploy, Request("GET", f"/deploys/{id}"))

    async def upload_file(self, deploy: str, path: str, file: Path) -> None:
        """Upload a file of a deploy."""
        await self._api.send(Request("PUT", f"/deploys/{deploy}/files/{quote(path)}", file=file))

    async def publish_deploy(self, site: str, deploy: str) -> None:
        """Publish a ready deploy, new or earlier."""
        await self._api.send(Request("POST", f"/sites/{site}/deploys/{deploy}/restore"))

    async def cancel_deploy(self, deploy: str) -> None:
        """Cancel a deploy that is not ready."""
        await self._api.send(Request("POST", f"/deploys/{deploy}/cancel"))

    async def delete_deploy(self, deploy: str) -> None:
        """Delete a deploy that is not published."""
        await self._api.send(Request("DELETE", f"/deploys/{deploy}"))
