"""A request for an approval, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from abreast.core.approvals.request import ApprovalRequest, request_sections
from abreast.core.codec import dump

WIDTH = 200
"""Characters of the longest line."""


def request_lines(request: ApprovalRequest) -> Iterator[str]:
    """Yield what the deployment changes, and who may approve it, a paragraph for each section."""
    for section in request_sections(request):
        yield f"{section.title}:"
        yield from (f"  {line}" for line in section.shortened(len(section.lines), WIDTH).lines)


def request_json(request: ApprovalRequest) -> dict[str, Any]:
    """Return the request as JSON values."""
    return {**dump(request), "missing": request.missing}
