"""Who issues the ID tokens of workflows: https://docs.github.com/actions/reference/security/oidc."""

from collections.abc import Callable
from urllib.parse import urlsplit


def token_issuer(server_url: str) -> str:
    """Return the issuer of a server: GitHub, one with data residency, or an Enterprise server."""
    host = urlsplit(server_url).netloc
    if host == "github.com":
        return "https://token.actions.githubusercontent.com"
    return f"https://token.actions.{host}" if host.endswith(".ghe.com") else f"{server_url}/_services/token"


def server_of_api(variable: Callable[[str], str | None]) -> str:
    """Return the server whose API ``GITHUB_API_URL`` names: its pages are at another host, or above ``/api/v3``."""
    api = (variable("GITHUB_API_URL") or "https://api.github.com").rstrip("/")
    return api.removesuffix("/api/v3").replace("://api.", "://", 1)
