"""Maintenance: users of a service get a page that says so, and the service itself only whom it lets through."""

import json
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass

DEFAULT_MESSAGE = "We are working on it, and will be back soon."
DEFAULT_RETRY_AFTER = 300
"""Seconds after which clients may ask again, if nobody says."""

MAX_PAGE_SIZE = 65536
"""Bytes of a project's own page: routers keep it in memory."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>Down for maintenance</title>
<style>
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1.125rem/1.5 system-ui, sans-serif; }}
main {{ max-width: 36rem; padding: 1.5rem; }}
</style>
</head>
<body>
<main>
<h1>Down for maintenance</h1>
<p>{message}</p>
</main>
</body>
</html>
"""


class MaintenancePhase(StrEnum):
    """How far a switch has come. A process that was killed leaves ``STARTING`` or ``ENDING``."""

    STARTING = "starting"
    ON = "on"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class MaintenanceSettings:
    """Where a project's own page is: a ``page`` of the project, and a ``url`` that serves it; "" for none."""

    page: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class MaintenancePage:
    """A project's own page: ``content`` is its HTML, ``url`` its address for platforms that take one; "" for none."""

    content: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class MaintenanceMode:
    """What users of a service get instead of it. ``since`` is ISO 8601 in UTC, ``retry_after`` is in seconds.

    ``allow`` holds the ranges of addresses (``203.0.113.0/24``) that reach the service all the same. ``deployment`` is
    the one that ends it, "" if a person does.
    """

    reason: str
    by: str
    since: str
    message: str = DEFAULT_MESSAGE
    retry_after: int = DEFAULT_RETRY_AFTER
    allow: tuple[str, ...] = ()
    page: MaintenancePage = MaintenancePage()
    deployment: str = ""
    phase: MaintenancePhase = MaintenancePhase.ON

    @property
    def html(self) -> str:
        """The page for browsers: the project's own, or a plain one with the message."""
        from html import escape  # noqa: PLC0415 (slow, and every command has this module)

        return self.page.content or _PAGE.format(message=escape(self.message))

    @property
    def json(self) -> str:
        """The answer for programs: ``error``, ``message`` and ``retry_after``."""
        answer = {"error": "maintenance", "message": self.message, "retry_after": self.retry_after}
        return json.dumps(answer, ensure_ascii=False) + "\n"


def address_range(text: str) -> str:
    """Return the range of an address or a range, such as ``192.0.2.7/32``. Raises ValueError for other text."""
    import ipaddress  # noqa: PLC0415 (slow, as above)

    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is neither an IP address nor a range such as 203.0.113.0/24") from None
