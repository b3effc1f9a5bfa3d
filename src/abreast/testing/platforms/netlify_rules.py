"""What a site's ``_redirects``, ``_headers`` and ``netlify.toml`` say, as Netlify reads them."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RedirectRule:
    """Requests for ``path`` (which may end with ``*``) go ``to`` another; ``force``: also where a file has it."""

    path: str
    to: str
    status: int = 301
    force: bool = False

    def destination_for(self, path: str) -> str | None:
        """Return where a request goes, None where the rule is not for it."""
        found = re.fullmatch(re.escape(self.path).replace(r"\*", "(.*)"), path)
        if not found:
            return None
        return self.to.replace(":splat", found[1] if found.groups() else "")


def parse_redirects(files: Mapping[str, str]) -> list[RedirectRule]:
    """Return the rules in the order in which they are tried; ``files`` holds texts by their names."""
    toml_rules = tomllib.loads(files.get("netlify.toml", "")).get("redirects", [])
    return [
        *(_parse_redirect_line(*line.split()) for line in _significant_lines(files.get("_redirects", ""))),
        *(RedirectRule(one["from"], one["to"], one.get("status", 301), one.get("force", False)) for one in toml_rules),
    ]


def _parse_redirect_line(path: str, to: str, status: str = "301") -> RedirectRule:
    return RedirectRule(path, to, int(status.rstrip("!")), status.endswith("!"))


def headers_for_path(files: Mapping[str, str], path: str) -> dict[str, str]:
    """Return the headers that an answer for ``path`` has in addition."""
    return {
        name: value
        for at, name, value in _parse_headers(files)
        if RedirectRule(at, "").destination_for(path) is not None
    }


def _parse_headers(files: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    at = ""
    for line in _significant_lines(files.get("_headers", "")):
        if line.startswith((" ", "\t")):
            name, _, value = line.strip().partition(":")
            yield at, name, value.strip()
        else:
            at = line.strip()
    for one in tomllib.loads(files.get("netlify.toml", "")).get("headers", []):
        for name, value in one["values"].items():
            yield one["for"], name, value


def _significant_lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
