"""Tokens and timestamps for all emulators."""

from datetime import UTC, datetime

from starlette.requests import Request


def require_token(request: Request, token: str) -> None:
    """Raise PermissionError for a request without the bearer ``token``."""
    if request.headers.get("Authorization") != f"Bearer {token}":
        raise PermissionError


def utc_timestamp() -> str:
    """Return the current time in UTC as ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
