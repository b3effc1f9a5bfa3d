"""Values that must not be shown: a type that masks itself, and a filter for what others print."""

import re
from collections.abc import Iterable

MASK = "••••"

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PWD|APIKEY|KEY|CREDENTIALS?|DSN|PRIVATE|AUTH|WEBHOOK)(?:_|$)"
    r"|^DATABASE_URL$|_DATABASE_URL$|WEBHOOK_URL$",
    re.IGNORECASE,
)
_CREDENTIALS_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


class Secret:
    """A value whose text shows only through ``reveal()``; ``str``, ``repr`` and formatting give a mask.

    It does not pickle, so that it cannot reach a file by accident.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; only for a child's environment or a request's header."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other._value)

    def __hash__(self) -> int:
        return hash((self.name, self._value))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"{self!r} is not written anywhere: pass its name and look the value up again")


def looks_secret(name: str, value: str = "") -> bool:
    """Tell whether a variable of this name, or with this value, should be treated as a secret."""
    return bool(_SECRET_NAME.search(name) or _CREDENTIALS_IN_URL.match(value))


class Redactor:
    """Replaces known secrets in a stream of bytes, also where one is split across chunks.

    Holds back at most the longest secret's length; ``flush`` lets that go.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        needles = {
            part.encode() for secret in secrets for part in (secret, *secret.splitlines()) if len(part.strip()) >= 3
        }
        ordered = sorted(needles, key=len, reverse=True)
        self._longest = len(ordered[0]) if ordered else 0
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._needles = ordered
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the stream so far is safe to show."""
        if self._pattern is None:
            return chunk
        text = self._pattern.sub(MASK.encode(), self._tail + chunk)
        held = self._unfinished(text)
        self._tail = text[len(text) - held :] if held else b""
        return text[: len(text) - held] if held else text

    def flush(self) -> bytes:
        """Return what was held back, at the end of the stream or of a wait."""
        tail, self._tail = self._tail, b""
        return tail

    def text(self, value: str) -> str:
        """Return one whole text with every secret replaced; independent of the stream."""
        if self._pattern is None:
            return value
        return self._pattern.sub(MASK.encode(), value.encode(errors="surrogateescape")).decode(errors="replace")

    def _unfinished(self, text: bytes) -> int:
        """Length of the longest end of ``text`` that could be the start of a secret."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(needle.startswith(end) for needle in self._needles):
                return length
        return 0
