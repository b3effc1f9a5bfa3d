"""The part of Netlify's API that abreast uses; https://open-api.netlify.com."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field

from abreast.provider_api.api_client import AccessDeniedError, ApiClient, NotFoundError, Provider, Request

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

T = TypeVar("T")


class DeployContent(BaseModel):
    """What a deploy consists of: SHA-1s of files by path, SHA-256s of archives by function, and their settings."""

    files: dict[str, str]
    functions: dict[str, str] = Field(default_factory=dict)
    function_schedules: list[dict[str, str]] = Field(default_factory=list)
    functions_config: dict[str, dict[str, object]] = Field(default_factory=dict)


class Deploy(BaseModel):
    """A deploy of a site. ``required``: SHA-1s of the files to upload. ``required_functions``: SHA-256s of archives."""

    id: str
    site_id: str = ""
    state: str
    title: str | None = None
    required: list[str] | None = None
    required_functions: list[str] | None = None
    deploy_ssl_url: str | None = None
    error_message: str | None = None
    published_at: str | None = None
    created_at: str = ""
    locked: bool | None = None
    available_functions: object = None
    edge_functions_present: object = None

    @property
    def function_names(self) -> tuple[str, ...]:
        """The functions that it serves; ``edge functions`` stands for those of that kind, which are not named.

        The API's description does not have the fields: what is not as expected counts as none.
        """
        listed = self.available_functions if isinstance(self.available_functions, list) else []
        names = [str(function["n"]) for function in listed if isinstance(function, dict) and "n" in function]
        return (*names, *(["edge functions"] if self.edge_functions_present else []))


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
    id: str = ""
    context: str = "all"
    context_parameter: str | None = None
    value: str | None = None

    def is_in(self, context: Mapping[str, str]) -> bool:
        """Return whether it is the value of exactly this context."""
        return (self.context, self.context_parameter) == (context["context"], context.get("context_parameter"))


class Variable(BaseModel):
    """A variable of a site, with its value by context."""

    key: str
    values: list[_Value] = Field(default_factory=list)

    def in_context(self, context: Mapping[str, str]) -> str | None:
        """Return its value in exactly this context."""
        return next((value.value for value in self.values if value.is_in(context)), None)


class _File(BaseModel):
    path: str
    sha: str


class _Member(BaseModel):
    id: str = ""
    email: str = ""
    role: str = ""


class NetlifyClient:
    """One method per API call. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._site_ids: dict[str, str] = {}

    async def get_site(self, name: str) -> Site:
        """Return a site by its id, domain or name. The API knows a plain name in its list of sites only."""
        try:
            site = await self._api.fetch(Site, Request("GET", f"/sites/{quote(self._site_ids.get(name, name))}"))
        except NotFoundError:
            site = await self._find_site(name)
        self._site_ids[name] = site.id
        return site

    async def _find_site(self, name: str) -> Site:
        async for site in self._items(list[Site], "/sites", {"name": name, "filter": "all"}):
            if site.name == name:
                return site
        raise NotFoundError(
            f"Netlify has no site {name} that the token may see",
            need="the name, domain or id of a site of the token's teams",
            next="correct `site` in abreast.yml",
        )

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

    async def list_files(self, site: str) -> dict[str, str]:
        """Return the SHA-1s of what a site serves, by path."""
        listed = await self._api.fetch(list[_File], Request("GET", f"/sites/{site}/files"))
        return {file.path.lstrip("/"): file.sha for file in listed}

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

    async def delete_values(self, account: str, site: str, variable: Variable, context: Mapping[str, str]) -> None:
        """Delete a variable's value in one context, and the variable if it has no other."""
        path = f"/accounts/{account}/env/{quote(variable.key, safe='')}"
        there = [value for value in variable.values if value.is_in(context)]
        paths = [path] if there == variable.values else [f"{path}/value/{quote(value.id, safe='')}" for value in there]
        for one in paths if there else ():
            with suppress(NotFoundError):
                await self._api.send(Request("DELETE", one, query={"site_id": site}))

    async def create_deploy(self, site: str, title: str, content: DeployContent, branch: str | None = None) -> Deploy:
        """Create a deploy of a branch, or a draft if ``branch`` is None."""
        body: dict[str, object] = content.model_dump(exclude_defaults=True)
        body["async"] = len(content.files) > ASYNC_FILE_THRESHOLD
        body |= {"branch": branch, "draft": False} if branch else {"draft": True}
        return await self._api.fetch(Deploy, Request("POST", f"/sites/{site}/deploys", body, {"title": title}))

    async def find_deploy(self, site: str, title: str) -> Deploy | None:
        """Return the newest deploy with this title among the last 300, None if there is none."""
        async for deploy in self._items(list[Deploy], f"/sites/{site}/deploys"):
            if deploy.title == title:
                return deploy
        return None

    async def list_latest_deploys(self, site: str, branch: str | None = None) -> list[Deploy]:
        """Return the newest 300 deploys, of one branch if it is named."""
        query = {"branch": branch} if branch else {}
        return [deploy async for deploy in self._items(list[Deploy], f"/sites/{site}/deploys", query)]

    async def fetch_page(self, url: str) -> bytes | None:
        """Return what a deploy serves at a URL, None if it serves nothing there to everybody."""
        try:
            return await self._api.fetch_bytes(Request("GET", url))
        except (AccessDeniedError, NotFoundError):
            return None

    async def list_deploys(self, site: str) -> list[Deploy]:
        """Return the newest 100 deploys."""
        query = {"page": 1, "per_page": PER_PAGE}
        return await self._api.fetch(list[Deploy], Request("GET", f"/sites/{site}/deploys", query=query))

    async def get_deploy(self, id: str) -> Deploy:
        """Return a deploy."""
        return await self._api.fetch(Deploy, Request("GET", f"/deploys/{id}"))

    async def upload_file(self, deploy: str, path: str, file: Path) -> None:
        """Upload a file of a deploy."""
        await self._api.send(Request("PUT", f"/deploys/{deploy}/files/{quote(path)}", file=file))

    async def upload_function(self, deploy: str, name: str, file: Path, options: Mapping[str, object]) -> None:
        """Upload the archive of a function of a deploy."""
        path = f"/deploys/{deploy}/functions/{quote(name, safe='')}"
        given = {option: value for option, value in options.items() if value is not None}
        await self._api.send(Request("PUT", f"{path}?{urlencode(given)}", file=file))

    async def publish_deploy(self, site: str, deploy: str) -> None:
        """Publish a ready deploy, new or earlier."""
        await self._api.send(Request("POST", f"/sites/{site}/deploys/{deploy}/restore"))

    async def cancel_deploy(self, deploy: str) -> None:
        """Cancel a deploy that is not ready."""
        await self._api.send(Request("POST", f"/deploys/{deploy}/cancel"))

    async def delete_deploy(self, deploy: str) -> None:
        """Delete a deploy that is not published."""
        await self._api.send(Request("DELETE", f"/deploys/{deploy}"))

    async def _items(
        self, answer_type: type[list[T]], path: str, query: Mapping[str, object] | None = None
    ) -> AsyncIterator[T]:
        """Yield the items of a list, at most 300."""
        for page in range(1, MAX_PAGES + 1):
            request = Request("GET", path, query={**(query or {}), "page": page, "per_page": PER_PAGE})
            items = await self._api.fetch(answer_type, request)
            for item in items:
                yield item
            if len(items) < PER_PAGE:
                break
