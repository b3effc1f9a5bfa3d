"""What a static site answers to a request, as data."""

import heapq
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from functools import cached_property
from urllib.parse import quote_plus, unquote_plus

from abreast.core.frozen_dataclass import dataclass
from abreast.core.site_rules.headers import FIXED_HEADERS
from abreast.core.site_rules.path_patterns import (
    PathPattern,
    canonical_path,
    fill_in,
    header_pattern,
    redirect_pattern,
)
from abreast.core.site_rules.redirects import Redirect, is_url
from abreast.core.site_rules.rules import LOCAL_CONDITIONS, RULE_FILES, SiteRules

ERROR_PAGE = "404.html"
INDEX_PAGE = "index.html"
DEFAULT_STATUS = 301
DEFAULT_LANGUAGE = "en"
LANGUAGE_COOKIE = "nf_lang"
_INTERNAL = ".netlify/"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""See RFC 9110, 5.6.2."""


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """A request: the ``path`` as it was sent, and what conditions can depend on. ``cookies`` are their names."""

    path: str
    query: str = ""
    scheme: str = "http"
    host: str = ""
    language: str = DEFAULT_LANGUAGE
    cookies: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A file of the site."""

    file: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RedirectAnswer:
    """A redirect of the client."""

    location: str
    status: int = DEFAULT_STATUS


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """Another server's answer to the same request, with ``headers`` added."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MissingAnswer:
    """No page, but the ``file`` that says so, if there is one. Something else may be at the path ``target``."""

    target: str
    file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = FileAnswer | RedirectAnswer | ProxyAnswer | MissingAnswer


@dataclass(frozen=True, slots=True)
class Page:
    """What a path has: a ``file``, or a redirect to the path ``moved_to`` that serves it."""

    file: str
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class RedirectRoute:
    """A redirect rule and the pattern of its path."""

    rule: Redirect
    pattern: PathPattern

    @property
    def status(self) -> int:
        """The status of its answer."""
        return self.rule.status or DEFAULT_STATUS


class StaticSite:
    """A site of ``files``, by path without a leading slash, served by ``rules``. It never changes."""

    def __init__(self, files: Iterable[str], rules: SiteRules) -> None:
        served = [file for file in files if file not in RULE_FILES and not file.startswith(_INTERNAL)]
        self.pages = site_pages(served, pretty_urls=rules.pretty_urls)
        self.error_page = ERROR_PAGE if ERROR_PAGE in served else ""
        self.redirects = [
            RedirectRoute(rule, redirect_pattern(rule.path))
            for rule in rules.redirects
            if not rule.signed and rule.conditions.keys() <= LOCAL_CONDITIONS
        ]
        self.headers = [
            (header_pattern(rule.path), _settable(rule.values)) for rule in rules.headers if _settable(rule.values)
        ]

    def answer(self, request: SiteRequest) -> Answer:
        """Return the answer: the first redirect that matches, unless there is a file and the rule is not forced."""
        path = canonical_path(request.path)
        page = self.pages.get(path)
        found = self.find_redirect(request)
        if found and (page is None or found[0].rule.force):
            return self._redirected(request, path, *found)
        if page is None:
            return self._missing(path, path)
        if page.moved_to:
            return RedirectAnswer(_with_query(page.moved_to, request.query))
        return FileAnswer(page.file, headers=self.headers_of(path))

    def find_redirect(self, request: SiteRequest) -> tuple[RedirectRoute, str] | None:
        """Return the first redirect that applies, and its destination. One that leads to itself does not."""
        path = canonical_path(request.path)
        literal, patterns = self.redirect_positions
        query = _query_values(request.query)
        for position in heapq.merge(literal.get(path.rstrip("/"), ()), patterns):
            route = self.redirects[position]
            to = _destination(route, request, path, query)
            if to is not None and not _is_same_place(to, path):
                return route, to
        return None

    @cached_property
    def redirect_positions(self) -> tuple[Mapping[str, Collection[int]], Collection[int]]:
        """Return the positions of redirects of a single path, by path, and those of all others."""
        literal: dict[str, list[int]] = {}
        patterns: list[int] = []
        for position, route in enumerate(self.redirects):
            single = route.pattern.literal
            (patterns if single is None else literal.setdefault(single, [])).append(position)
        return literal, patterns

    def _redirected(self, request: SiteRequest, path: str, route: RedirectRoute, to: str) -> Answer:
        if 300 <= route.status < 400:
            return RedirectAnswer(_with_query(to, request.query), route.status)
        if is_url(to):
            return ProxyAnswer(_with_query(to, request.query), route.rule.headers)
        target = canonical_path(_path_of(to))
        page = self.pages.get(target)
        if page is None:
            return self._missing(path, target)
        return FileAnswer(page.file, route.status, self.headers_of(path))

    def _missing(self, path: str, target: str) -> Answer:
        return MissingAnswer(target, self.error_page, self.headers_of(path))

    def headers_of(self, path: str) -> dict[str, str]:
        """Return the headers that rules set for a path."""
        lowered = path.lower()
        return {
            name: value
            for pattern, values in self.headers
            if pattern.regex().fullmatch(lowered)
            for name, value in values.items()
        }


def preferred_language(accept_language: str, cookie: str = "") -> str:
    """Return the language that conditions compare: that of the cookie ``nf_lang``, or the first that is accepted."""
    return cookie or accept_language.partition(",")[0][:2] or DEFAULT_LANGUAGE


def site_pages(files: Collection[str], *, pretty_urls: bool) -> dict[str, Page]:
    """Return what each path has. A file comes before a page without its suffix, and that before a folder's page.

    With ``pretty_urls``, ``about.html`` is at ``/about`` and ``about/index.html`` at ``/about/``, and the other one is
    redirected there. Without, both are served.
    """
    urls = {file: canonical_path(f"/{file}") for file in files}
    pages = {url: Page(file) for file, url in urls.items()}
    for file, url in urls.items():
        if url.endswith(".html"):
            bare = url.removesuffix(".html")
            pages.setdefault(bare, Page(file))
            if bare != "/":
                pages.setdefault(f"{bare}/", Page(file, bare if pretty_urls else ""))
    for file, url in urls.items():
        if url.endswith(f"/{INDEX_PAGE}"):
            folder = url.removesuffix(INDEX_PAGE)
            pages.setdefault(folder, Page(file))
            pages.setdefault(folder.rstrip("/") or "/", Page(file, folder if pretty_urls else ""))
    return pages


def _settable(values: Mapping[str, str]) -> dict[str, str]:
    """Return the headers, in lower case, that a server can send and a rule can set."""
    return {
        name.lower(): value
        for name, value in values.items()
        if name.lower() not in FIXED_HEADERS and _HEADER_NAME.fullmatch(name) and value.isprintable()
    }


def _query_values(query: str) -> dict[str, str]:
    """Return the parameters that have a value, even an empty one; of several, the last."""
    pairs = (part.partition("=") for part in query.split("&"))
    return {unquote_plus(name): unquote_plus(value) for name, equals, value in pairs if equals}


def _destination(route: RedirectRoute, request: SiteRequest, path: str, query: Mapping[str, str]) -> str | None:
    """Return where a redirect leads, None if it does not apply."""
    rule, match = route.rule, route.pattern.regex().fullmatch(path)
    if match is None or not _is_met(rule, request):
        return None
    names, values = list(route.pattern.names), list(match.groups())
    for name, wanted in rule.query.items():
        found = query.get(name)
        if found is None or (found != wanted and not wanted.startswith(":")):
            return None
        if wanted.startswith(":"):
            names.append(wanted[1:])
            values.append(quote_plus(found))
    return fill_in(rule.to, names, values)


def _is_met(rule: Redirect, request: SiteRequest) -> bool:
    """Whether the host and the conditions of a rule hold."""
    if rule.host and (rule.host, rule.scheme) != (request.host, request.scheme):
        return False
    language = request.language.lower()
    languages, cookies = (rule.conditions.get(name) for name in ("Language", "Cookie"))
    if languages and not any(_is_language(language, wanted.lower()) for wanted in languages):
        return False
    return not cookies or any(name in request.cookies for name in cookies)


def _is_language(language: str, wanted: str) -> bool:
    return language == wanted or language.startswith(f"{wanted}-")


def _is_same_place(to: str, path: str) -> bool:
    return "?" not in to and canonical_path(_path_of(to)).rstrip("/") == path.rstrip("/")


def _path_of(target: str) -> str:
    return target.partition("#")[0].partition("?")[0]


def _with_query(target: str, query: str) -> str:
    """Return the target with the query of the request, unless it has one of its own."""
    place, hash_sign, fragment = target.partition("#")
    return f"{place}?{query}{hash_sign}{fragment}" if query and "?" not in place else target
