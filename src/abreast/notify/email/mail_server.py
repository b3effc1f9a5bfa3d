"""The address of a mail server."""

from urllib.parse import unquote, urlsplit

from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.secrets import Secret

_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server. ``is_implicit``: TLS from the beginning, not by STARTTLS. ``user`` is "" if it asks for none."""

    host: str
    port: int
    is_implicit: bool
    user: str
    password: Secret

    @classmethod
    def parse(cls, url: Secret) -> "MailServer":
        """Return the server of a URL. Raises UsageError, without quoting it."""
        parts = urlsplit(url.reveal())
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            port = 0
        if not port or not parts.hostname:
            need = "smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465"
            raise UsageError("the address of the mail server is not a URL", need=need)
        password = Secret(url.name, unquote(parts.password or ""))
        return cls(parts.hostname, port, parts.scheme == "smtps", unquote(parts.username or ""), password)
