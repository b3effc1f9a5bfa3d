"""How requests are read: token, body, query and pages. What Render does not describe is refused."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

T = TypeVar("T")

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class ApiError(Exception):
    """An answer with a status and Render's ``{id, message}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def error_response(status: int, message: str) -> Response:
    """Return an error as Render writes it."""
    return JSONResponse({"id": "req-emulated", "message": message}, status)


def not_emulated(what: str) -> ApiError:
    """Return the answer for what Render can do and the emulator cannot."""
    return ApiError(501, f"not emulated: {what}")


async def read_body(request: Request, body_type: type[T]) -> T:
    """Return the body. Raises ApiError(400) for one that the description does not allow."""
    try:
        return TypeAdapter(body_type).validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"invalid body: {where or 'JSON'}: {first['msg']}") from error


def require_known_query(request: Request, *known: str) -> None:
    """Raise ApiError(400) for a parameter that is not among ``known``."""
    if unknown := set(request.query_params) - set(known):
        raise ApiError(400, f"unknown query parameter: {', '.join(sorted(unknown))}")


def selected(request: Request, name: str, value: str, choices: Collection[str] = ()) -> bool:
    """Return whether a filter allows ``value``: comma-separated or repeated, none allows all."""
    wanted = {part for text in request.query_params.getlist(name) for part in text.split(",") if part}
    if choices and (unknown := wanted - set(choices)):
        raise ApiError(400, f"{name}: {', '.join(sorted(unknown))} is not among {', '.join(choices)}")
    return not wanted or value in wanted


def within(request: Request, names: tuple[str, str], moment: str) -> bool:
    """Return whether ``moment`` lies between the query's two times; "" lies in no bounds."""
    after, before = (_time(request, name) for name in names)
    if not moment:
        return after is None and before is None
    at = _parse_time(moment)
    return (after is None or at >= after) and (before is None or at <= before)


def _time(request: Request, name: str) -> tuple[datetime, str] | None:
    text = request.query_params.get(name)
    try:
        return _parse_time(text) if text else None
    except ValueError as error:
        raise ApiError(400, f"{name}: expected a time such as 2026-01-31T12:00:00Z") from error


def _parse_time(text: str) -> tuple[datetime, str]:
    """Return a time to the second, and the digits of its fraction: Render's logs have nanoseconds."""
    fraction = re.search(r"\.(\d+)", text)
    parsed = datetime.fromisoformat(text.replace(fraction[0], "") if fraction else text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC), (fraction[1] if fraction else "").ljust(9, "0")


def limit(request: Request) -> int:
    """Return how many items a page has. Raises ApiError(400) outside of 1 to 100."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise ApiError(400, f"limit: expected 1 to {MAX_LIMIT}, found {text!r}")
    return int(text)


def page(request: Request, items: Iterable[T], cursor_of: Callable[[T], str]) -> Sequence[T]:
    """Return the items after the query's cursor, as many as a page has."""
    listed = list(items)
    cursor = request.query_params.get("cursor")
    if cursor is not None:
        cursors = [cursor_of(item) for item in listed]
        if cursor not in cursors:
            raise ApiError(400, f"cursor: unknown: {cursor!r}")
        listed = listed[cursors.index(cursor) + 1 :]
    return listed[: limit(request)]


def wrapped(name: str, items: Iterable[dict[str, Any]], cursor_key: str = "id") -> list[dict[str, Any]]:
    """Return items as a list answers them: each beside its cursor."""
    return [{"cursor": item[cursor_key], name: item} for item in items]
