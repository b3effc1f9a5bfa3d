"""Examples of a service's variables in the repository, such as ``.env.example``."""

import re
from collections.abc import Iterable, Iterator

from abreast.detection.draft import Kind, ServiceDraft
from abreast.detection.repository import Repository, path_in

PUBLIC = re.compile(r"^(VITE|NEXT_PUBLIC|PUBLIC|REACT_APP|NUXT|GATSBY|VUE_APP|EXPO_PUBLIC)_")
"""What the code of a site may read."""

EXAMPLES = (
    ".env.example", ".env.sample", ".env.template", ".env.dist", ".env.local.example", ".env.production.example",
    "env.example",
)  # fmt: skip
"""The usual names, the best one first. Others that look alike come after them."""

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_CODE = {
    "python": (".py", ".toml", ".cfg", ".ini"),
    "node": (".js", ".ts", ".mjs", ".cjs", ".tsx", ".jsx", ".vue", ".svelte", ".prisma"),
}
_ALIKE = re.compile(
    r"(?!.*\.([jt]s|py|json|ya?ml)$)\.?env[._-]([\w.-]*(example|sample|template)|(example|sample|template|dist)[._-].*)"
)
_OF_PRODUCTION, _OF_TESTS = re.compile(r"prod"), re.compile(r"test|e2e|\bci\b")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
_HOST = re.compile(r"HOST(NAME)?$")
_ADDRESS = re.compile(
    r"_?(HOST|HOSTNAME|PORT|USER|USERNAME|PASS|PASSWORD|DB|DATABASE|UR[LI]|DSN|(DB|DATABASE|POSTGRES|SQL|MONGO)_NAME)$"
)
"""The ends of names of what leads to a container. Others with its prefix are settings."""

_ENGINE = re.compile(r"postgres|mysql|mariadb|mongo", re.IGNORECASE)

OWN_PORTS = frozenset({"APP_PORT", "SERVER_PORT", "HTTP_PORT", "WEB_PORT", "LISTEN_PORT"})
"""Variables with the port that a server listens on, beside ``PORT``."""


def example_variables(repository: Repository, draft: ServiceDraft) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and file of an example, but for what a committed ``.env`` sets, and a site has no use of.

    The value is "" where it leads to another container, or is a port to listen on, which is the platform's.
    """
    file = _example_file(repository, draft.folder)
    known = committed_variables(repository, draft)
    is_of_others = draft.kind is Kind.SITE and file.rpartition("/")[0] != draft.folder
    variables = dict(_read(repository.text(file))) if file else {}
    unreachable = _unreachable(variables, draft.engine)
    known |= _read_by_containers_only(repository, draft, variables)
    for name, value in variables.items():
        if name not in known and not (is_of_others and not PUBLIC.match(name)):
            yield name, "" if name in unreachable or name in OWN_PORTS else value, file


def committed_variables(repository: Repository, draft: ServiceDraft) -> set[str]:
    """Return the variables that a committed ``.env`` sets."""
    text = repository.text(path_in(draft.folder, ".env")) + "\n" + repository.text(".env")
    return {name for name, _ in _read(text)}


def _read_by_containers_only(repository: Repository, draft: ServiceDraft, names: Iterable[str]) -> set[str]:
    """Return the variables that a compose file names and no code of the service: they are for containers beside it."""
    folders = dict.fromkeys((draft.folder, ""))
    compose = "\n".join(repository.text(path_in(folder, file)) for folder in folders for file in COMPOSE_FILES)
    found = {name for name in names if re.search(rf"(?<!\w){name}(?!\w)", compose)}
    suffixes = _CODE.get(draft.ecosystem)
    if not found or not suffixes:
        return set()
    code = "\n".join(map(repository.text, repository.sources(draft.folder, *suffixes))).lower()
    # settings in Python leave out a prefix such as APP_
    return {name for name in found if name.lower() not in code and name.partition("_")[2].lower() not in code}


def _example_file(repository: Repository, folder: str) -> str:
    folders = tuple(dict.fromkeys((folder, "")))
    usual = repository.has(*(path_in(place, name) for place in folders for name in EXAMPLES))
    return usual or next((file for place in folders if (file := _example_alike(repository, place))), "")


def _example_alike(repository: Repository, folder: str) -> str:
    """Return the example of another name: the one that a Dockerfile copies to ``.env``, or else one for development."""
    names = [name for name in repository.names(folder) if _ALIKE.fullmatch(name)]
    copied = re.search(r"cp (\S+) \.env\b", repository.text(path_in(folder, "Dockerfile")))
    if copied and copied[1] in names:
        return path_in(folder, copied[1])
    names.sort(key=lambda name: (bool(_OF_TESTS.search(name)), bool(_OF_PRODUCTION.search(name))))
    return path_in(folder, names[0]) if names else ""


def _unreachable(variables: dict[str, str], engine: str) -> set[str]:
    """Return the variables that lead to a container: URLs, and the address in ``DB_…`` if ``DB_HOST`` is one.

    So does the name of an engine that the service does not have otherwise.

    Containers of one network call each other by names without a dot, which nobody else can resolve.
    """

    def leads(name: str) -> bool:
        return bool(_ADDRESS.search(name) or (engine != "postgresql" and _ENGINE.search(variables[name])))

    found = set()
    for name, value in variables.items():
        prefix = _HOST.sub("", name)
        host = re.search(r"://(?:[^/@]*@)?([\w.-]+)", value)
        if prefix and prefix != name and _is_container(value):
            found |= {other for other in variables if other.startswith(prefix) and leads(other)}
        elif host and _is_container(host[1]):
            found.add(name)
    return found


def _is_container(host: str) -> bool:
    return bool(re.fullmatch(r"[a-z][\w-]*", host)) and host != "localhost"


def _read(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            value = re.sub(r"\s+#.*$", "", found[2]) if not found[2].startswith(("'", '"')) else found[2]
            quoted = re.match(r"(['\"])(.*?)\1", value)
            yield found[1], quoted[2] if quoted else "" if value.startswith("#") else value
