"""The path to ask for a service's health, from the routes in its code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from abreast.detection.commands import steps
from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.repository import Repository, path_in

HEALTH_NAMES = (
    "healthz", "health", "health-check", "healthcheck", "health_check", "livez", "readyz", "heartbeat", "up",
    "ping", "alive", "live", "ready", "readiness", "liveness", "status",
)  # fmt: skip
"""The last part of a path that is made to be asked, the most common first."""

_PREFIX = re.compile(r"prefix\s*=|setGlobalPrefix|url_prefix|\.use\(\s*['\"]/|\.register\([^)]*prefix")
_GO_GROUP = re.compile(r"(\w+)\s*:?=\s*\w+\.(?:Group|Route|PathPrefix)\(\s*\"([^\"]*)\"")
_ROOT_OBJECTS = frozenset(
    {"app", "application", "server", "Route", "health", "MapHealthChecks", "UseHealthChecks", "MapGet", "get"}
)
"""What a route is added to so that no prefix comes before it."""

_SERVES_FILES = re.compile(
    r"serve-static|@fastify/static|StaticFiles|app\.UseStaticFiles|root\s+(to:|['\"])|http\.FileServer"
)
_EXPRESS_STATIC = re.compile(r"express\.static\([^'\"`\n]*(?:['\"`][^'\"`\n]*['\"`]\s*,\s*)*['\"`]([^'\"`\n]*)['\"`]")
_BUILD_FOLDERS = frozenset({"dist", "build", "out", "browser", "client"})
_PRIVATE = re.compile(r"auth|login|admin|me$|user")
_ASKS_WHO = re.compile(r"authenticat|require_?auth|jwt|passport|login_required|get_current_user", re.IGNORECASE)
_PINS = ("uv.lock", "poetry.lock", "Pipfile.lock", "requirements.txt")
_STREAMLIT = re.compile(r"\bstreamlit(?:\"\nversion = \"|==|\": \{[^{}]*?\"version\": \"==)(\d+)\.(\d+)")
_FASTAPI = re.compile(r"\bFastAPI\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
_CODE = re.compile(r"^/[\w./-]*$")
_PATTERNS: dict[str, tuple[tuple[str, ...], tuple[re.Pattern[str], ...]]] = {
    "node": ((".js", ".ts", ".mjs", ".cjs", ".mts", ".tsx", ".jsx"), (
        re.compile(r"\b(app|server|fastify|router|application|api|expressApp)\.(?:get|all)(?:<[^()]*>)?\(\s*['\"`](/[^'\"`]*)"),
        re.compile(r"\b(createRoute|route)\(\s*\{[^{}]*?method:\s*['\"](?:get|GET)['\"],\s*(?:path|url):\s*['\"](/[^'\"]*)"),
    )),
    "python": ((".py",), (
        re.compile(r"^@(\w+)\.(?:get|route|api_route|head)\(\s*(?:path=)?['\"](/[^'\"]*)", re.MULTILINE),
        re.compile(r"^(@get)\(\s*(?:\[)?(?:path=)?['\"](/[^'\"]*)", re.MULTILINE),
        re.compile(r"^[ \t]*(@get)\((?:[^()]|\([^()]*\))*?path=['\"](/[^'\"]*)", re.MULTILINE),
        re.compile(r"\b(Route)\(\s*['\"](/[^'\"]*)"),
    )),
    "go": ((".go",), (
        re.compile(r"\b(\w+)\.(?:GET|Get|HandleFunc|Handle)\(\s*\"(?:GET )?(/[^\"]*)"),
    )),
    "rust": ((".rs",), (
        re.compile(r"(\.route)\(\s*\"(/[^\"]*)"),
        re.compile(r"(#\[get)\(\s*\"(/[^\"]*)"),
    )),
    "dotnet": ((".cs",), (
        re.compile(r"(MapHealthChecks|UseHealthChecks)\(\s*\"(/[^\"]*)"),
        re.compile(r"(MapGet)\(\s*\"(/[^\"]*)"),
    )),
    "java": ((".java", ".kt"), (re.compile(r"@(GetMapping)\(\s*(?:value\s*=\s*|path\s*=\s*)?\{?\s*\"(/[^\"]*)"),)),
    "ruby": (("config/routes.rb",), (
        re.compile(r"^\s*(get)\s*\(?\s*['\"]/?(up|health\w*|ping|status|alive)['\"]", re.MULTILINE),
    )),
    "php": (("routes/web.php", "routes/api.php", "bootstrap/app.php"), (
        re.compile(r"(health):\s*['\"](/[^'\"]*)"),
        re.compile(r"(Route)::get\(\s*['\"](/[^'\"]*)"),
    )),
}  # fmt: skip


_ROUTE_WORDS = {"node": (".get(", ".get<", ".all(", "oute(", "@Get("), "python": ("get(", "oute(", "head(")}
"""What the text of a file has that has a route: quick to look for."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path that answers a GET, and the file that says so.

    ``sure``: nothing can have put a prefix before it. ``is_of_framework``: a page that the framework
    brings along, such as a login.
    """

    path: str
    file: str
    sure: bool = True
    is_of_framework: bool = False


def propose_health(repository: Repository, draft: ServiceDraft) -> None:
    """Propose the path of a health check. Without any route that is known, "/" is left as it is, with a remark."""
    if draft.kind is not Kind.WEB or draft.chosen("health"):
        return
    command = next(iter(steps(draft.text("run"))[-1:]), "")
    if command.startswith("streamlit"):
        draft.propose("health", _streamlit_path(repository, draft), "Streamlit answers there")
        return
    routes = [
        *_file_routes(repository, draft), *_django_routes(repository, draft), *_code_routes(repository, draft),
        *_fastapi_pages(repository, draft),
    ]  # fmt: skip
    if _has_dependencies(repository, draft):
        routes = [route for route in routes if route.is_of_framework]
    best = _named(routes) or _best(routes, answers_root=_answers_root(repository, draft))
    if best and not _is_made_for_it(best) and _asks_who(repository, draft):
        draft.remarks.append(f"health: {best.path} ({best.file}) may ask who is there, so / is asked")
        return
    if best:
        if best.path != "/":
            draft.propose("health", best.path, best.file, Authority.PROJECT)
    elif draft.ecosystem in _PATTERNS:
        draft.remarks.append("health: no route was found that answers a GET without parameters, so / is asked")


def _streamlit_path(repository: Repository, draft: ServiceDraft) -> str:
    """Return the health check of the Streamlit that is pinned, or of today's: 1.18 gave it another name."""
    places = (path_in(folder, name) for folder in dict.fromkeys((draft.folder, "")) for name in _PINS)
    pinned = next((found for place in places if (found := _STREAMLIT.search(repository.text(place)))), None)
    older = pinned is not None and (int(pinned[1]), int(pinned[2])) < (1, 18)
    return "/healthz" if older else "/_stcore/health"


def _is_made_for_it(route: Route) -> bool:
    name = route.path.rstrip("/").rpartition("/")[2].lower()
    return route.path == "/" or route.is_of_framework or name in HEALTH_NAMES


def _asks_who(repository: Repository, draft: ServiceDraft) -> bool:
    """Whether the code checks who sends a request, so that a route can answer 401."""
    suffixes, _ = _PATTERNS.get(draft.ecosystem, ((), ()))
    files = repository.sources(draft.folder, *suffixes) if suffixes else []
    return any(_ASKS_WHO.search(repository.text(file)) for file in files)


def _named(routes: list[Route]) -> Route | None:
    """Return the route that is named like a health check."""
    named = {route.path.rstrip("/").rpartition("/")[2].lower(): route for route in reversed(routes) if route.sure}
    return next((named[name] for name in HEALTH_NAMES if name in named), None)


def _best(routes: list[Route], *, answers_root: bool) -> Route | None:
    roots = sorted((route for route in routes if route.path == "/"), key=lambda route: not route.sure)
    if answers_root or (roots and roots[0].sure):
        return roots[0] if roots else Route("/", "")
    public = [route for route in routes if route.sure and not _PRIVATE.search(route.path)]
    own = next((route for route in routes if route.is_of_framework), None)
    return own or next(iter([*roots, *public]), None)


def _answers_root(repository: Repository, draft: ServiceDraft) -> bool:
    """Whether something answers "/" that is not written as a route: files, a framework's pages."""
    if draft.has_pages or draft.packages & {"gradio", "dash"}:
        return True
    suffixes = (".js", ".ts", ".py", ".rb", ".cs", ".go")
    texts = [repository.text(file) for file in repository.sources(draft.folder, *suffixes)[:120]]
    return any(_SERVES_FILES.search(text) or _serves_pages(repository, draft.folder, text) for text in texts)


def _serves_pages(repository: Repository, folder: str, text: str) -> bool:
    """Whether Express serves a folder with a page, or one that a build leaves."""
    for found in _EXPRESS_STATIC.finditer(text):
        name = re.split(r"[/\\]", found[1].rstrip("/"))[-1]
        if name in _BUILD_FOLDERS or any(repository.below(folder, f"{name}/index.html")):
            return True
    return False


def _code_routes(repository: Repository, draft: ServiceDraft) -> Iterator[Route]:
    suffixes, patterns = _PATTERNS.get(draft.ecosystem, ((), ()))
    if not suffixes or draft.has_pages:
        return
    texts = {file: repository.text(file) for file in repository.sources(draft.folder, *suffixes)}
    has_prefixes = any(_PREFIX.search(text) for text in texts.values())
    words = _ROUTE_WORDS.get(draft.ecosystem, ("",))
    for file, text in texts.items():
        if not any(word in text for word in words):
            continue
        groups = dict(_GO_GROUP.findall(text)) if draft.ecosystem == "go" else {}
        for found in (found for pattern in patterns for found in pattern.finditer(text)):
            path = "/" + (groups.get(found[1], "").rstrip("/") + "/" + found[2].lstrip("/")).lstrip("/")
            if _CODE.match(path):
                yield Route(path, f"{file}: {path}", found[1] in _ROOT_OBJECTS or not has_prefixes)
        if draft.ecosystem == "node":
            yield from _controller_routes(file, text, has_prefix=has_prefixes)
        if draft.ecosystem == "ruby" and re.search(r"^\s*root\s", text, re.MULTILINE):
            yield Route("/", file)


def _fastapi_pages(repository: Repository, draft: ServiceDraft) -> Iterator[Route]:
    """Yield what FastAPI answers by itself: its documentation, or else the schema, where settings do not hide them."""
    if "fastapi" not in draft.packages:
        return
    files = {file: found for file in repository.sources(draft.folder, ".py")
             if (found := _FASTAPI.search(repository.text(file)))}  # fmt: skip
    for file, found in files.items():
        for name, default in (("docs_url", "/docs"), ("openapi_url", "/openapi.json")):
            said = re.search(rf"\b{name}\s*=\s*([^,\n]+)", found[1])
            path = said[1].strip().strip("'\"") if said else default
            if _CODE.match(path):
                yield Route(path, f"{file}: {name}" if said else "FastAPI answers there", is_of_framework=True)


def _has_dependencies(repository: Repository, draft: ServiceDraft) -> bool:
    """Whether all routes of FastAPI ask for something first, such as a token. Its own pages do not."""
    files = repository.sources(draft.folder, ".py") if "fastapi" in draft.packages else ()
    return any("dependencies" in found[1] for file in files if (found := _FASTAPI.search(repository.text(file))))


def _controller_routes(file: str, text: str, *, has_prefix: bool) -> Iterator[Route]:
    """Yield the routes of a controller of Nest."""
    controller = re.search(r"@Controller\(\s*(?:['\"]([^'\"]*)['\"])?\s*\)", text)
    if not controller:
        return
    for found in re.finditer(r"@Get\(\s*(?:['\"]([^'\"]*)['\"])?\s*\)", text):
        parts = [part.strip("/") for part in (controller[1] or "", found[1] or "") if part]
        path = "/" + "/".join(filter(None, parts))
        if _CODE.match(path):
            yield Route(path, f"{file}: {path}", not has_prefix)


_HEALTH_WORDS = frozenset(HEALTH_NAMES)
_FILE_ROUTES = (
    re.compile(r"(?:^|/)(?:src/)?app(/(?:[\w-]+/|\([\w-]+\)/)*[\w-]+)/route\.[jt]sx?$"),
    re.compile(r"(?:^|/)(?:src/)?pages(/api/[\w/-]+)\.[jt]sx?$"),
    re.compile(r"(?:^|/)(?:src/)?app/routes(/[\w$.-]+?)(?:\.(?:tsx?|jsx?)|/route\.tsx?)$"),
    re.compile(r"(?:^|/)src/routes(/[\w/-]+)/\+(?:server|page)\.[\w.]+$"),
    re.compile(r"(?:^|/)server(/(?:api|routes)/[\w/-]+?)(?:\.get)?\.[jt]s$"),
    re.compile(r"(?:^|/)src/pages(/[\w/-]+)\.(?:[jt]s|astro)$"),
)  # fmt: skip


def _file_routes(repository: Repository, draft: ServiceDraft) -> Iterator[Route]:
    """Yield the health routes of frameworks whose files are their routes."""
    if draft.ecosystem != "node":
        return
    for file in repository.below(draft.folder, ".ts", ".js", ".tsx", ".jsx", ".astro"):
        inside = file[len(draft.folder) + 1 :] if draft.folder else file
        if _HEALTH_WORDS.isdisjoint(re.split(r"[/.+]", inside.lower())):
            continue
        for pattern in _FILE_ROUTES:
            if found := pattern.search(inside):
                path = (
                    re.sub(r"/\([\w-]+\)", "", found[1])
                    .replace("/routes/", "/")
                    .replace(".", "/")
                    .replace("[/]", ".")
                    .removesuffix("+")
                )
                if path.rpartition("/")[2].lower() in HEALTH_NAMES and path.count("/") <= 3 and path != "/status":
                    yield Route(path, file)


def _django_routes(repository: Repository, draft: ServiceDraft) -> Iterator[Route]:
    """Yield the routes of Django's root URLconf."""
    if "django" not in draft.packages:
        return
    files = repository.below(draft.folder, "urls.py")
    roots = sorted(
        files, key=lambda file: (not repository.has(path_in(file.rpartition("/")[0], "wsgi.py")), file.count("/"))
    )
    includes_root = False
    for file in roots[:1]:
        text = re.sub(r"\"\"\".*?\"\"\"|#[^\n]*", "", repository.text(file), flags=re.DOTALL)
        for found in re.finditer(r"\b(?:re_)?(?:path|url)\(\s*r?['\"]([^'\"]*)['\"]\s*,\s*(include\()?", text):
            path = "/" + found[1].lstrip("^").rstrip("$")
            includes_root = includes_root or (path == "/" and bool(found[2]))
            if text.startswith("admin.site.urls", found.end()) and _CODE.match(path):
                yield Route(f"{path}login/", f"{file}: {path}, whose login asks for nobody", is_of_framework=True)
            elif not found[2] and _CODE.match(path):
                yield Route(path, f"{file}: {path}")
    if includes_root:
        yield Route("/", roots[0])
