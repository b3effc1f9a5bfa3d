"""Parse a site's ``_redirects``, ``_headers`` and ``netlify.toml`` as Netlify does."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RedirectRule:
    """Redirect ``path`` (which may end with ``*``) ``to`` another; with ``force`` even if a file has that path."""

    path: str
    to: str
    status: int = 301
    force: bool = False

    def destination_for(self, path: str) -> str | None:
        """Return the destination of a request, or None if the rule does not match."""
        match = re.fullmatch(re.escape(self.path).replace(r"\*", "(.*)"), path)
        if not match:
            return None
        return self.to.replace(":splat", match[1] if match.groups() else "")


def parse_redirects(files: Mapping[str, str]) -> list[RedirectRule]:
    """Return the redirect rules in order of precedence. ``files`` maps names to contents."""
    toml_rules = tomllib.loads(files.get("netlify.toml", "")).get("redirects", [])
    return [
        *(_parse_redirect_line(*line.split()) for line in _significant_lines(files.get("_redirects", ""))),
        *(
            RedirectRule(rule["from"], rule["to"], rule.get("status", 301), rule.get("force", False))
            for rule in toml_rules
        ),
    ]


def _parse_redirect_line(path: str, to: str, status: str = "301") -> RedirectRule:
    return RedirectRule(path, to, int(status.rstrip("!")), status.endswith("!"))


def headers_for_path(files: Mapping[str, str], path: str) -> dict[str, str]:
    """Return the additional response headers for ``path``. ``files`` maps names to contents."""
    return {
        name: value
        for pattern, name, value in _parse_headers(files)
        if RedirectRule(pattern, "").destination_for(path) is not None
    }


def _parse_headers(files: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    pattern = ""
    for line in _significant_lines(files.get("_headers", "")):
        if line.startswith((" ", "\t")):
            name, _, value = line.strip().partition(":")
            yield pattern, name, value.strip()
        else:
            pattern = line.strip()
    for rule in tomllib.loads(files.get("netlify.toml", "")).get("headers", []):
        for name, value in rule["values"].items():
            yield rule["for"], name, value


def _significant_lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
