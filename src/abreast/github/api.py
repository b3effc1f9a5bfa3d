"""How GitHub limits requests, and how it says which permission is missing; https://docs.github.com/rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx2

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.provider_api.api_client import ApiClient, Provider, Settings, connect
from abreast.provider_api.rate_limits import rate_limit_delay

API_VERSION = "2022-11-28"
TOKEN_VARIABLES = ("GH_TOKEN", "GITHUB_TOKEN")
"""Where the token is looked up, in this order, as ``gh`` does."""

SECONDARY_LIMIT_DELAY = 60.0
"""Seconds to wait after a secondary rate limit that names none."""


def throttled_for(answer: httpx2.Response, now: float) -> float | None:
    """Return the seconds to wait if an answer refuses for a rate limit, which GitHub does with 403 and 429."""
    if answer.status_code not in {403, 429}:
        return None
    if "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0":
        return rate_limit_delay(answer.headers, now)
    return SECONDARY_LIMIT_DELAY if answer.status_code == 429 or b"secondary rate limit" in answer.content else None


def needed_permission(answer: httpx2.Response) -> str:
    """Return what the token lacks, as a workflow's ``permissions:`` writes it; "" if GitHub does not say.

    Of several that would do each, the first is named.
    """
    if accepted := answer.headers.get("x-accepted-github-permissions", ""):
        first = accepted.split(";")[0].strip()
        return ", ".join(part.strip().replace("=", ": ").replace("_", "-") for part in first.split(","))
    if scopes := answer.headers.get("x-accepted-oauth-scopes", ""):
        return f"the scope {scopes.split(',')[0].strip()}"
    return ""


GITHUB = Provider(
    "GitHub",
    "https://api.github.com",
    "",
    "GITHUB_TOKEN",
    "access to the repository",
    base_variable="GITHUB_API_URL",
    headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION},
    throttled_for=throttled_for,
    needed_permission=needed_permission,
)


def connect_github(settings: Settings) -> ApiClient:
    """Return a client of GitHub, or of the Enterprise server whose API ``GITHUB_API_URL`` names."""
    return connect(GITHUB, _TokenOfGitHub(settings))


@dataclass(frozen=True)
class _TokenOfGitHub:
    """Settings in which the token has either of its names."""

    settings: Settings

    @property
    def variable(self) -> Callable[[str], str | None]:
        return self.settings.variable

    def secret(self, _: str) -> Secret | None:
        found = (self.settings.secret(name) for name in TOKEN_VARIABLES)
        return next(filter(None, found), None)


@dataclass(frozen=True)
class VariableSettings:
    """Settings from environment variables."""

    variables: Mapping[str, str]

    def variable(self, name: str) -> str | None:
        """Return a variable, None if it is empty or not set."""
        return self.variables.get(name) or None

    def secret(self, name: str) -> Secret | None:
        """Return a variable as a secret."""
        return Secret(name, self.variables[name]) if self.variables.get(name) else None


def repository_name(variable: Callable[[str], str | None]) -> str:
    """Return ``OWNER/NAME``, as the variables of a workflow's run say. Raises UsageError if they do not."""
    if found := variable("GITHUB_REPOSITORY"):
        return found
    raise UsageError(
        "the repository at GitHub is unknown", need="GITHUB_REPOSITORY", next="export GITHUB_REPOSITORY=OWNER/NAME"
    )
