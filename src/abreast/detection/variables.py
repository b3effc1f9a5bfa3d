"""The variables that a service needs: of examples in the repository, and those its code cannot do without."""

import re
from collections.abc import Iterator

from abreast.core.secrets import looks_secret
from abreast.detection.draft import Authority, Kind, ServiceDraft, Value
from abreast.detection.repository import Repository, path_in

EXAMPLES = (
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    ".env.local.example",
    ".env.production.example",
    "env.example",
)
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
_PUBLIC = re.compile(r"^(VITE|NEXT_PUBLIC|PUBLIC|REACT_APP|NUXT|GATSBY|VUE_APP|EXPO_PUBLIC)_")
_NEEDED = {
    "python": ((".py",), re.compile(r"os\.environ\[\s*['\"]([A-Z][A-Z0-9_]+)['\"]\s*\](?!\s*=[^=])")),
    "ruby": ((".rb", ".yml"), re.compile(r"ENV\.fetch\(\s*['\"]([A-Z][A-Z0-9_]+)['\"]\s*\)(?!\s*(?:\{|do|rescue))")),
    "rust": ((".rs",), re.compile(r"env!\(\s*\"([A-Z][A-Z0-9_]+)\"")),
}
_SET_BY_PLATFORMS = re.compile(
    r"^(PORT|HOST|HOSTNAME|NODE_ENV|CI|PATH|HOME|PWD|DEBUG|APP_DEBUG|FLASK_DEBUG|FLASK_ENV|LOG_LEVEL|TZ|DYNO|RENDER\w*|VERCEL\w*|NETLIFY\w*|FLY_\w+|ABREAST_\w+|GITHUB_\w+|"
    r"RAILWAY_\w+|HEROKU_\w+|DJANGO_SETTINGS_MODULE|PYTHON\w+|COMPOSE_\w+)$|^TEST_|^CYPRESS_|^E2E_"
)
_PLACEHOLDER = re.compile(
    r"^(<.*>|\[.*\]|\{.*\}|x{3,}|your.*|.*yourdomain.*|.*x{4,}.*|null|change.?me.*|.*\.\.\.|…|todo|replace.*|.*\[.+\].*|.*<.+>.*)$",
    re.IGNORECASE,
)
_OWN_SECRET = re.compile(
    r"^((APP|DJANGO|FLASK|RAILS|API|ADMIN|USER|COOKIE|JWT|AUTH)_)?(SECRET_KEY|SESSION_SECRET|SESSION_KEY|JWT_SECRET\w*|"
    r"COOKIE_SECRET|AUTH_SECRET|APP_SECRET|APP_KEY|NEXTAUTH_SECRET|ENCRYPTION_KEY|SECRET_KEY_BASE|TOKEN_SECRET|HMAC_KEY|"
    r"SESSION_PASSWORD|TOKEN_ENCRYPTION_KEY)$|^SECRET$"
)
"""Secrets that an application makes up for itself: any random value will do, and it does not start without one."""

_TOKEN = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w.+/=-]{16,}")
_LOCAL_ONLY = re.compile(r"localhost|127\.0\.0\.1|^development$|^dev$|^local$|@example\.|your_|sandbox", re.IGNORECASE)


def propose_variables(repository: Repository, draft: ServiceDraft) -> None:
    """Propose the variables of a service."""
    if draft.kind is Kind.CRON:
        return
    url = re.findall(r"\$\{(\w+)", draft.text("database.url"))
    file_urls = re.findall(r"(\w+)=file:", draft.text("release"))
    taken = {draft.text("database.variable") or "DATABASE_URL", *url, *file_urls}
    for name, source in _needed_in_code(repository, draft):
        if name not in taken and not _SET_BY_PLATFORMS.match(name):
            draft.propose(f"env.{name}", f"${{{name}}}", source, Authority.CONTAINER)
    for name, value, source in _example_variables(repository, draft):
        if name not in taken and not _SET_BY_PLATFORMS.match(name):
            draft.propose(f"env.{name}", _from_example(name, value), source, Authority.PROJECT)


def _example_variables(repository: Repository, draft: ServiceDraft) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and file of an example, but for what a committed ``.env`` sets, and a site has no use of."""
    file = _example_file(repository, draft.folder)
    committed = repository.text(path_in(draft.folder, ".env")) + repository.text(".env")
    known = {name for name, _ in _read_example(committed)}
    is_of_others = draft.kind is Kind.SITE and file.rpartition("/")[0] != draft.folder
    for name, value in _read_example(repository.text(file)) if file else ():
        if name not in known and not (is_of_others and not _PUBLIC.match(name)):
            yield name, value, file


def _from_example(name: str, value: str) -> Value:
    """Return how a variable of an example is written: what is no secret keeps the example's value as default."""
    is_placeholder = not value or bool(_PLACEHOLDER.match(value))
    if _OWN_SECRET.match(name):
        return f"${{{name}}}"
    if (
        is_placeholder
        or looks_secret(name, value)
        or _TOKEN.fullmatch(value)
        or "$" in value
        or "}" in value
        or _LOCAL_ONLY.search(value)
    ):
        return {"required": False}
    return f"${{{name}:-{value}}}"


def _example_file(repository: Repository, folder: str) -> str:
    places = (path_in(place, name) for place in dict.fromkeys((folder, "")) for name in EXAMPLES)
    return repository.has(*places)


def _read_example(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            value = re.sub(r"\s+#.*$", "", found[2]) if not found[2].startswith(("'", '"')) else found[2]
            quoted = re.match(r"(['\"])(.*?)\1", value)
            yield found[1], quoted[2] if quoted else "" if value.startswith("#") else value


def _needed_in_code(repository: Repository, draft: ServiceDraft) -> Iterator[tuple[str, str]]:
    suffixes, pattern = _NEEDED.get(draft.ecosystem, ((), None))
    if pattern is None:
        return
    seen = set()
    for file in repository.sources(draft.folder, *suffixes):
        if re.search(r"(^|/)(scripts?|tools|docs|docker|\.github)/", file):
            continue
        text = repository.text(file)
        for name in pattern.findall(text) if re.search("environ|ENV|env!", text) else ():
            if name not in seen and not _is_guarded(name, text):
                seen.add(name)
                yield name, f"{file} cannot do without it"


def _is_guarded(name: str, text: str) -> bool:
    """Whether code looks whether a variable is set, or sets it, before it reads it."""
    return bool(re.search(rf"['\"]{name}['\"] (?:not )?in os\.environ|setdefault\(\s*['\"]{name}", text))


def share_database(service: ServiceDraft, base: ServiceDraft) -> None:
    """Give a worker the variable with the database's URL of the service whose code it runs."""
    url = base.chosen("database.url")
    if url is None:
        return
    name = base.text("database.variable") or "DATABASE_URL"
    is_file = ":-sqlite" in str(url.value)
    service.propose(f"env.{name}", {"required": False} if is_file else f"${{{name}}}", url.source, Authority.PROJECT)
    if is_file:
        service.remarks.append(
            f"it needs {name} to reach the database of {base.name}; a file of SQLite belongs to one service"
        )
