"""What the emulators have in common."""

from datetime import UTC, datetime

from starlette.requests import Request


def authorised(request: Request, token: str) -> None:
    """Raise PermissionError for a request without the token."""
    if request.headers.get("Authorization") != f"Bearer {token}":
        raise PermissionError


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
