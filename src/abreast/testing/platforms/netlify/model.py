"""Sites and deploys, and how tests change what the emulator does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request

from abreast.testing.platforms.common import require_token

TOKEN = "netlify-token"  # noqa: S105 (the emulator's own)
USER = {"id": "1", "email": "me@example.org", "full_name": "Me"}
PRODUCTION_BRANCH = "main"
ACCOUNT = {"id": "acc1", "name": "Team", "slug": "team", "type": "PRO", "roles_allowed": ["Owner"]}
DOMAIN = "netlify.app"
API = "/api/v1"
MAX_PER_PAGE = 100


T = TypeVar("T")


class RefusedError(Exception):
    """A request that Netlify refuses: ``status`` and the message of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Deploy:
    """A deploy. ``files`` maps paths to SHA-1s, ``functions`` names to SHA-256s of archives.

    ``state`` changes to ``pending_states``, not before ``done_at``. ``missing_digests`` and ``missing_functions``
    must be uploaded first. The ``routes`` in ``functions_config`` are the paths that a function serves besides its own.
    """

    id: str
    site_id: str
    title: str
    draft: bool
    files: dict[str, str] = field(default_factory=dict)
    state: str = "new"
    pending_states: list[str] = field(default_factory=list)
    branch: str = "main"
    created_at: str = ""
    published_at: str | None = None
    locked: bool = False
    error: str | None = None
    missing_digests: set[str] = field(default_factory=set)
    done_at: float = 0.0
    functions: dict[str, str] = field(default_factory=dict)
    missing_functions: set[str] = field(default_factory=set)
    runtimes: dict[str, str] = field(default_factory=dict)
    functions_config: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether everything is uploaded."""
        return not self.missing_digests and not self.missing_functions

    @property
    def context(self) -> str:
        """The context whose variables it gets."""
        return "production" if self.branch == PRODUCTION_BRANCH else "branch-deploy"


@dataclass
class Site:
    """A site. ``branch_deploys`` maps branches to deploy ids, ``env`` names to variables as they were set.

    ``published`` lists the ids of all deploys that were live, in order.
    """

    id: str
    name: str
    live_deploy_id: str | None = None
    branch_deploys: dict[str, str] = field(default_factory=dict)
    env: dict[str, dict[str, Any]] = field(default_factory=dict)
    domain: str = ""
    certificate_expires_at: datetime | None = None
    published: list[str] = field(default_factory=list)


class NetlifyState:
    """All that the emulator holds; tests read and change it.

    ``stuck_state``: deploys never leave this state. ``build_error``: deploys end as ``error`` with this message.
    ``unsupported_statuses``: rules with them answer with 404, as at Netlify those with 307. ``role``: the token
    owner's role in the team. ``work_seconds`` returns the processing time of a deploy whose files are all uploaded.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.deploys: dict[str, Deploy] = {}
        self.blobs: dict[str, bytes] = {}
        self.stuck_state: str | None = None
        self.build_error: str | None = None
        self.role = "Developer"
        self.unsupported_statuses: set[int] = set()
        self.work_seconds: Callable[[], float] = float

    def authorized_site(self, request: Request) -> Site:
        """Return the site that a request names by its id or a domain. A plain name is unknown, as at Netlify."""
        require_token(request, TOKEN)
        wanted = request.path_params["site"]
        by_domain = {domain: site for site in self.sites.values() for domain in (f"{site.name}.{DOMAIN}", site.domain)}
        return self.sites[wanted] if wanted in self.sites else by_domain[wanted]

    def authorized_deploy(self, request: Request) -> Deploy:
        """Return the deploy that a request names."""
        require_token(request, TOKEN)
        deploy = self.deploys[request.path_params["deploy"]]
        if "site" in request.path_params and self.authorized_site(request).id != deploy.site_id:
            raise KeyError(deploy.id)
        return deploy

    def deploys_of(self, site: Site) -> Iterator[Deploy]:
        """Yield a site's deploys, the newest first."""
        return (deploy for deploy in reversed(self.deploys.values()) if deploy.site_id == site.id)

    def live_deploy(self, site: Site) -> Deploy | None:
        """Return what a site serves."""
        return self.deploys.get(site.live_deploy_id or "")


async def json_body(request: Request, kind: type[T]) -> T:
    """Return the object or list that a request carries. Raises RefusedError for anything else."""
    if request.headers.get("content-type") == "application/zip":
        raise RefusedError(501, "the emulator has no deploys of a zip archive")
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise RefusedError(400, "the body is not JSON") from error
    if not isinstance(body, kind):
        raise RefusedError(400, f"the body is not a {kind.__name__}")
    return body


def page_of(request: Request, items: list[Any]) -> list[Any]:
    """Return the page of ``items`` that a request asks for; at most 100."""
    page, size = (int(request.query_params.get(name, value)) for name, value in (("page", 1), ("per_page", 100)))
    size = min(size, MAX_PER_PAGE)
    return items[(page - 1) * size : page * size]


def base_url(request: Request) -> str:
    """Return the emulator's address."""
    return str(request.base_url).rstrip("/")
