"""The variables that a service needs: of examples in the repository, and those its code cannot do without."""

import re
from itertools import chain

from abreast.core.secrets import looks_secret
from abreast.detection.draft import LOCAL, Authority, Kind, ServiceDraft, Value
from abreast.detection.env_examples import committed_variables, example_variables
from abreast.detection.needed_variables import needed_in_code
from abreast.detection.repository import Repository

_SET_BY_PLATFORMS = re.compile(
    r"^(PORT|HOST|HOSTNAME|NODE_ENV|CI|PATH|HOME|PWD|DEBUG|APP_DEBUG|FLASK_DEBUG|FLASK_ENV|TZ|DYNO|RENDER\w*|VERCEL\w*|NETLIFY\w*|FLY_\w+|ABREAST_\w+|GITHUB_\w+|"
    r"RAILWAY_\w+|HEROKU_\w+|DJANGO_SETTINGS_MODULE|PYTHON\w+|COMPOSE_\w+|DOCKER_\w+|\w+_RELOAD)$|^TEST_|^CYPRESS_|^E2E_"
)
_IS_DEBUG = re.compile(r"^((APP|DJANGO|FLASK)_)?DEBUG$")
_OF_DEVELOPMENT = re.compile(r"(^|_)(DEBUG|DEV_MODE|DEVELOPMENT|ECHO)$")
"""Flags that an example switches on for whoever develops: without them the code decides, for users."""

_PLACEHOLDER = re.compile(
    r"^(<.*>|\[[^\"]*\]|\{.*\}|x{3,}|your.*|.*yourdomain.*|.*x{4,}.*|null|change.?me.*|.*\.\.\.|…|todo|replace.*|.*\[[^\"]+\].*|.*<.+>.*)$",
    re.IGNORECASE,
)
_ANY_TEXT = re.compile(
    r"^((APP|DJANGO|FLASK|RAILS|API|ADMIN|USER|COOKIE|JWT|AUTH|ACCESS|REFRESH|SESSION|VERIFICATION|RESET_PASSWORD|"
    r"PASSWORD_RESET|SECURITY_)_)*(SECRET_KEY|SESSION_SECRET|SESSION_KEY|JWT_SECRET\w*|JWT_\w+_SECRET|COOKIE_SECRET|"
    r"AUTH_SECRET|APP_SECRET|(ACCESS|REFRESH|FORGOT|CONFIRM(_EMAIL)?)_SECRET|NEXTAUTH_SECRET|SECRET_KEY_BASE|"
    r"TOKEN_SECRET|SESSION_PASSWORD|PAYLOAD_SECRET)$|^SECRET$"
)
"""Secrets that an application makes up for itself, of any text. It does not start without one."""

_OF_A_FORMAT = re.compile(r"^((APP|API|TOKEN)_)?(APP_KEY|ENCRYPTION_KEY|HMAC_KEY|TOKEN_ENCRYPTION_KEY)$")
"""Secrets that it makes up, but of a length or an encoding that the application prescribes."""

_WITH_DEFAULT = re.compile(
    r"(?:getenv|environ\.get|\bconfig|\benv(?:\.str)?)\(\s*['\"]([A-Z][A-Z0-9_]+)['\"]\s*,\s*(?:default\s*=\s*)?['\"][^'\"]"
    r"|process\.env\.([A-Z][A-Z0-9_]+)\s*(?:\|\||\?\?)\s*['\"`][^'\"`]"
)
"""A variable that code reads with a default that is a text."""
_BEGINS = ("getenv(", "environ.get(", "config(", "env(", "env.str(", "process.env.")
"""What ``_WITH_DEFAULT`` begins with: to look for it first takes a tenth of the time."""
_OF_RENDER = {"RENDER": "true", "RENDER_EXTERNAL_HOSTNAME": "127.0.0.1"}
_DURATION = re.compile(r"_(EXPIRES?(_IN)?|EXPIRATION\w*|EXPIRY|TTL|LIFETIME|MAX_AGE)$")
"""The ends of names of a time, such as that of a token, which is no secret itself."""

_TOKEN = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w.+/=-]{16,}")
_MAIL_SERVER = re.compile(r"^(\w+_)?(MAIL|EMAIL|SMTP)_(HOST|SERVER)$")
_LOCAL_ONLY = re.compile(r"localhost|127\.0\.0\.1|^development$|^dev$|^local$|@example\.|your_|sandbox", re.IGNORECASE)


def propose_variables(repository: Repository, draft: ServiceDraft) -> None:
    """Propose the variables of a service."""
    if draft.kind is Kind.CRON:
        return
    url = re.findall(r"\$\{(\w+)", draft.text("database.url"))
    file_urls = re.findall(r"(\w+)=file:", draft.text("release"))
    taken = {*url, *file_urls, *_part_names(draft)}
    committed = committed_variables(repository, draft)
    needed = {name: source for name, source in needed_in_code(repository, draft) if name not in committed}
    examples = {name: (value, source) for name, value, source in example_variables(repository, draft)}
    for name in dict.fromkeys((*needed, *examples)):
        if name in needed and _IS_DEBUG.match(name):
            draft.propose(f"env.{name}", f"${{{name}:-0}}", needed[name], Authority.CONTAINER, is_needed=True)
            continue
        if name in taken or _SET_BY_PLATFORMS.match(name) or (name == "LOG_LEVEL" and name not in needed):
            continue
        value, file = examples.get(name, ("", ""))
        written: Value = _from_example(name, value) if file else {"required": False}
        if name in needed:
            has_value = isinstance(written, str)
            source = f"{file}; {needed[name]}" if has_value else needed[name]
            template = written if has_value else f"${{{name}}}"
            draft.propose(f"env.{name}", template, source, Authority.CONTAINER, is_needed=True)
            _propose_local_value(draft, name, value, file)
        else:
            draft.propose(f"env.{name}", written, file, Authority.PROJECT)
    _replace_known_secrets(repository, draft, taken={*committed, *taken})
    _make_up_secrets(draft)
    _stand_in_for_render(repository, draft)


def _replace_known_secrets(repository: Repository, draft: ServiceDraft, taken: set[str]) -> None:
    """Propose secrets of the application's own for which its code has a default, which everybody can read there."""
    for file in repository.sources(draft.folder, ".py", ".js", ".ts", ".mjs", ".cjs") if draft.kind is Kind.WEB else ():
        text = repository.text(file)
        found = _WITH_DEFAULT.findall(text) if any(begin in text for begin in _BEGINS) else ()
        for name in filter(None, chain.from_iterable(found)):
            if _ANY_TEXT.match(name) and name not in taken and not draft.chosen(f"env.{name}"):
                source = f"{file} has a default that everybody can read"
                draft.propose(f"env.{name}", f"${{{name}}}", source, Authority.PROJECT)


def _stand_in_for_render(repository: Repository, draft: ServiceDraft) -> None:
    """Propose what Render sets, for code that looks there and for its build command: it would run half otherwise."""
    sources = {proposal.source for found in draft.proposals.values() for proposal in found}
    if not any(source.startswith("render.yaml") for source in sources):
        return
    suffixes = (".py", ".js", ".ts", ".mjs", ".cjs", ".rb")
    texts = [repository.text(file) for file in repository.sources(draft.folder, *suffixes)]
    for name, value in _OF_RENDER.items():
        if any(re.search(rf"['\"]{name}['\"]|\benv\.{name}\b", text) for text in texts):
            draft.propose(f"{LOCAL}env.{name}", value, "as on Render, which the code looks for")


def _propose_local_value(draft: ServiceDraft, name: str, value: str, file: str) -> None:
    """Propose for this machine what an example says that is true there only, such as an address.

    A server of mail need not be there for an application to start.
    """
    if not value and _MAIL_SERVER.match(name):
        draft.propose(f"{LOCAL}env.{name}", f"${{{name}:-localhost}}", "no mail is sent without one")
    if _LOCAL_ONLY.search(value) and not looks_secret(name, value) and not re.search(r"[${}]", value):
        draft.propose(f"{LOCAL}env.{name}", f"${{{name}:-{value}}}", file)


def _make_up_secrets(draft: ServiceDraft) -> None:
    """Have abreast make up what the application would make up for itself, where nobody sets it."""
    for key, chosen in [(key, draft.chosen(key)) for key in draft.proposals]:
        name = key.removeprefix("env.")
        if key != f"env.{name}" or chosen is None or chosen.value != f"${{{name}}}":
            continue
        if _ANY_TEXT.match(name) or chosen.is_made_up:
            draft.replace(key, {"generate": True})


def _from_example(name: str, value: str) -> Value:
    """Return how a variable of an example is written: what is no secret keeps the example's value as default."""
    is_placeholder = not value or bool(_PLACEHOLDER.match(value))
    if _ANY_TEXT.match(name) or _OF_A_FORMAT.match(name):
        return f"${{{name}}}"
    if _OF_DEVELOPMENT.search(name) and value.lower() in {"1", "true", "yes", "on"}:
        return {"required": False}
    if (
        is_placeholder
        or (looks_secret(name, value) and not _DURATION.search(name))
        or _TOKEN.fullmatch(value)
        or "$" in value
        or "}" in value
        or _LOCAL_ONLY.search(value)
    ):
        return {"required": False}
    return f"${{{name}:-{value}}}"


def _part_names(draft: ServiceDraft) -> frozenset[str]:
    """Return the variables by which a service gets parts of its database's URL."""
    parts = draft.chosen("database.variables")
    return frozenset(parts.value if parts and isinstance(parts.value, dict) else ())


def share_database(service: ServiceDraft, base: ServiceDraft) -> None:
    """Give a worker the variable with the database's URL of the service whose code it runs."""
    url = base.chosen("database.url")
    if url is None:
        return
    name = base.text("database.variable") or "DATABASE_URL"
    if ":-postgres" in str(url.value):
        for key in ("url", "variable", "variables"):
            if chosen := base.chosen(f"database.{key}"):
                service.propose(f"database.{key}", chosen.value, chosen.source, chosen.authority)
        for passed in (name, *_part_names(base)):
            service.proposals.pop(f"env.{passed}", None)
        return
    is_file = ":-sqlite" in str(url.value)
    value: Value = {"required": False} if is_file else f"${{{name}}}"
    service.propose(f"env.{name}", value, url.source, Authority.CONTAINER)
    if is_file:
        service.remarks.append(
            f"it needs {name} to reach the database of {base.name}; a file of SQLite belongs to one service"
        )
