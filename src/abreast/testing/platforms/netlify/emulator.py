"""The emulator: one application of all routes, and what tests read and change."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.common import require_token
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.netlify.deploys_api import DeploysApi
from abreast.testing.platforms.netlify.lifecycle import Lifecycle
from abreast.testing.platforms.netlify.model import API, TOKEN, NetlifyState, RefusedError, Site
from abreast.testing.platforms.netlify.rate_limits import RateLimiter, RateLimits
from abreast.testing.platforms.netlify.site_server import SiteHosts, SiteServer
from abreast.testing.platforms.netlify.sites_api import SitesApi
from abreast.testing.platforms.netlify.variables_api import VariablesApi

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class NetlifyEmulator(NetlifyState):
    """Serve ``app`` with ``ThreadedServer``.

    Tests read and change ``faults.planned`` and the inherited state.
    """

    def __init__(self, limits: RateLimits | None = None) -> None:
        super().__init__()
        routes = [
            Route(f"{API}/accounts/types", _not_emulated, methods=METHODS),
            *DeploysApi(self, Lifecycle(self)).routes(),
            *VariablesApi(self).routes(),
            *SitesApi(self).routes(),
            *SiteServer(self).routes(),
            Route(f"{API}/{{path:path}}", _not_emulated, methods=METHODS),
        ]
        handlers = {
            KeyError: _not_found_response, PermissionError: _unauthorized_response, RefusedError: _refused_response,
        }  # fmt: skip
        app = Starlette(routes=routes, exception_handlers=handlers)
        self.faults = FaultInjector(SiteHosts(RateLimiter(app, limits or RateLimits())))
        self.app = self.faults

    def add_site(self, name: str) -> Site:
        """Add a site without a deploy."""
        site = Site(f"site-{name}", name)
        self.sites[site.id] = site
        return site


async def _not_emulated(request: Request) -> Response:
    require_token(request, TOKEN)
    raise RefusedError(501, f"the emulator does not have {request.method} {request.url.path.removeprefix(API)}")


async def _not_found_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 404, "message": "Not Found"}, 404)


async def _unauthorized_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 401, "message": "Access Denied"}, 401)


async def _refused_response(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RefusedError) else 500
    return JSONResponse({"code": status, "message": str(error)}, status)
