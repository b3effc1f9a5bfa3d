"""Sites and deploys as the API returns them."""

from typing import Any

from starlette.requests import Request

from abreast.testing.platforms.netlify.functions import has_edge_functions
from abreast.testing.platforms.netlify.model import ACCOUNT, USER, Deploy, NetlifyState, Site, base_url


def site_document(state: NetlifyState, request: Request, site: Site) -> dict[str, Any]:
    """Return a site with its published deploy."""
    address = f"{base_url(request)}/s/{site.name}"
    live = state.live_deploy(site)
    return {
        "id": site.id, "name": site.name, "state": "current", "url": address, "ssl_url": address,
        "admin_url": f"{base_url(request)}/admin/{site.name}", "account_id": ACCOUNT["id"],
        "account_slug": ACCOUNT["slug"], "account_name": ACCOUNT["name"], "ssl": True, "force_ssl": True,
        "custom_domain": site.domain, "build_settings": {}, "capabilities": {},
        "created_at": "2026-01-01T00:00:00.000Z",
        **({"published_deploy": deploy_document(state, request, live)} if live else {}),
    }  # fmt: skip


def deploy_document(state: NetlifyState, request: Request, deploy: Deploy) -> dict[str, Any]:
    """Return a deploy."""
    site = state.sites[deploy.site_id]
    base = base_url(request)
    address, permalink = f"{base}/s/{site.name}", f"{base}/d/{deploy.id}--{site.name}"
    functions = [
        {"n": name, "d": digest, "r": deploy.runtimes.get(name, "")} for name, digest in deploy.functions.items()
    ]
    document = {
        "id": deploy.id, "site_id": site.id, "state": deploy.state, "name": site.name, "draft": deploy.draft,
        "url": address, "ssl_url": address, "deploy_url": permalink, "deploy_ssl_url": permalink,
        "admin_url": f"{base}/admin/{site.name}", "user_id": USER["id"], "branch": deploy.branch,
        "required": sorted(deploy.missing_digests), "required_functions": sorted(deploy.missing_functions),
        "context": deploy.context, "locked": deploy.locked, "title": deploy.title,
        "created_at": deploy.created_at, "updated_at": deploy.created_at, "function_schedules": deploy.schedules,
        "available_functions": functions, "edge_functions_present": has_edge_functions(deploy.files),
    }  # fmt: skip
    return {
        **document,
        **({"published_at": deploy.published_at} if deploy.published_at else {}),
        **({"error_message": deploy.error} if deploy.error else {}),
    }
