"""A compose file: services that are built here, and what they need that is not."""

import re
from typing import Any

from abreast.detection.commands import is_development
from abreast.detection.draft import Authority, Kind, Note, ServiceDraft
from abreast.detection.env_examples import COMPOSE_FILES
from abreast.detection.repository import Repository, path_in

_BACKING = re.compile(
    r"(postgres|postgis|timescale|mysql|mariadb|redis|valkey|mongo|rabbitmq|kafka|elasticsearch|opensearch|minio|memcached|nats|"
    r"clickhouse|sql-edge|mssql|meilisearch|supabase|pgvector)", re.IGNORECASE
)  # fmt: skip
_POSTGRES = frozenset({"postgres", "postgis", "timescale", "pgvector"})
_PROXIES = re.compile(r"nginx|traefik|caddy|haproxy|envoy")
_TOOLS = re.compile(rf"{_PROXIES.pattern}|adminer|pgadmin|mailhog|mailpit|maildev|inbucket|prometheus|grafana|jaeger")
_HEALTH_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::([\w${}:-]+))?(/[^\s'\"|;&]*)?")


def declare(repository: Repository) -> tuple[list[ServiceDraft], list[Note]]:
    """Return the services that a compose file builds, and notes of the others."""
    drafts: list[ServiceDraft] = []
    notes: list[Note] = []
    for folder in repository.folders:
        if folder.count("/") > 2 or ".devcontainer" in folder or "test" in folder or "cypress" in folder:
            continue
        if file := repository.has(*(path_in(folder, name) for name in COMPOSE_FILES)):
            found, said = _services(repository, folder, file)
            drafts += found
            notes += said
    return drafts, notes


def _services(repository: Repository, folder: str, file: str) -> tuple[list[ServiceDraft], list[Note]]:
    declared = repository.yaml(file).get("services")
    items = declared.items() if isinstance(declared, dict) else ()
    services = {str(name): service for name, service in items if isinstance(service, dict)}
    drafts: list[ServiceDraft] = []
    notes: list[Note] = []
    for name, service in services.items():
        image, build = str(service.get("image") or ""), service.get("build")
        if build and not service.get("profiles"):
            is_reached = _is_published(service) or _is_behind_proxy(services, name)
            drafts.append(_service(repository, folder, file, name, service, Kind.WEB if is_reached else Kind.WORKER))
        elif build and (command := _command(service)) and not is_development(command):
            line = f"{name}: {{type: worker, run: {command}}}"
            notes.append(Note(f"{file}: {name} belongs to a profile, so it is not deployed", line))
        elif found := _BACKING.search(image):
            notes.append(
                Note(
                    f"{file}: {name} ({image.partition('@')[0]}) is not deployed: {_instead(found[1])}",
                    _connection_line(found[1], service),
                )
            )
        elif _is_own_image(repository, folder, image) and not _TOOLS.search(image) and _health(service):
            draft = ServiceDraft(name, folder, Kind.WEB, "image")
            draft.propose("health", _health(service), f"{file}: {name}.healthcheck", Authority.CONTAINER)
            drafts.append(draft)
    return drafts, notes


def _instead(kind: str) -> str:
    """Return who runs a server that is not deployed."""
    return f"{'abreast runs PostgreSQL on `local`; elsewhere, ' if kind.lower() in _POSTGRES else ''}run it yourself"


def _is_own_image(repository: Repository, folder: str, image: str) -> bool:
    """Whether an image is one of this repository, by its name. The health check of another one is not about it."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
    owner = image.rpartition("/")[0].rpartition("/")[2].lower()
    manifest = repository.json(path_in(folder, "package.json")).get("name")
    project = repository.toml(path_in(folder, "pyproject.toml")).get("project") or {}
    names = (repository.root.resolve().name, folder.rpartition("/")[2], manifest, project.get("name"))
    ours = [str(own).lower() for own in names if own]
    return bool(name) and any(name in own or own in {name, owner} for own in ours)


def _connection_line(kind: str, service: dict[str, Any]) -> str:
    """Return what says where a server is, as far as its container does. A password stays out of abreast.yml."""
    port = _published_port(service)
    if kind.lower() in _POSTGRES:
        named = _variables(service.get("environment"))
        user = named.get("POSTGRES_USER", "postgres")
        place = f"{user}:…@localhost:{port}/{named.get('POSTGRES_DB', user)}"
        return f"export DATABASE_URL=postgresql://{place if port and '$' not in place else '…'}"
    if kind.lower() in {"redis", "valkey"}:
        return f"export REDIS_URL=redis://{f'localhost:{port}' if port else '…'}"
    return ""


def _published_port(service: dict[str, Any]) -> str:
    """Return the first port of this machine that leads to a service, "" if none does."""
    ports = service.get("ports")
    for port in ports if isinstance(ports, list) else []:
        text = f"{port.get('published')}:{port.get('target')}" if isinstance(port, dict) else str(port)
        if found := re.search(r"(?:^|:)(\d+):\d+(?:/tcp)?$", text):
            return found[1]
    return ""


def _variables(environment: object) -> dict[str, str]:
    if isinstance(environment, dict):
        return {str(name): str(value) for name, value in environment.items()}
    pairs = (str(each).partition("=") for each in environment) if isinstance(environment, list) else ()
    return {name: value for name, _, value in pairs}


def _service(
    repository: Repository, folder: str, file: str, name: str, service: dict[str, Any], kind: Kind
) -> ServiceDraft:
    build = service["build"]
    context = str(build.get("context", ".") if isinstance(build, dict) else build)
    place = path_in(folder, context) if "://" not in context else folder
    dockerfile = path_in(place, str(build.get("dockerfile", "Dockerfile") if isinstance(build, dict) else "Dockerfile"))
    if not repository.has(dockerfile) and folder:  # started from the root, or written for another place
        place, dockerfile = "", repository.has(path_in(folder, "Dockerfile")) or dockerfile
    home = dockerfile.rpartition("/")[0] if repository.has(dockerfile) else place
    draft = ServiceDraft(name, home, kind, "image")
    draft.propose("dockerfile", dockerfile, f"{file}: {name}", Authority.CONTAINER)
    draft.propose("context", place or ".", f"{file}: {name}", Authority.CONTAINER)
    text = _command(service)
    if text and not is_development(text):
        draft.propose(
            "run",
            re.sub(r"^(?:/bin/)?(?:ba)?sh -c ['\"]?(.*?)['\"]?$", r"\1", text),
            f"{file}: {name}.command",
            Authority.CONTAINER,
        )
    if health := _health(service):
        draft.propose("health", health, f"{file}: {name}.healthcheck", Authority.CONTAINER)
    return draft


def _command(service: dict[str, Any]) -> str:
    command = service.get("command")
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "")


def _is_published(service: dict[str, Any]) -> bool:
    has_route = "traefik.http" in str(service.get("labels"))
    return bool(service.get("ports") or service.get("expose") or _health(service) or has_route)


def _is_behind_proxy(services: dict[str, dict[str, Any]], name: str) -> bool:
    """Whether a proxy of the file waits for a service: it leads users there over their network, by no port of ours."""
    return any(
        _PROXIES.search(f"{other} {service.get('image', '')}") and name in _waited_for(service)
        for other, service in services.items()
        if other != name
    )


def _waited_for(service: dict[str, Any]) -> list[str]:
    """Return the services that must be there before a service: names, keys with conditions, or links ``name:alias``."""
    named = [service.get("depends_on"), service.get("links")]
    return [str(name).partition(":")[0] for names in named if isinstance(names, list | dict) for name in names]


def _health(service: dict[str, Any]) -> str:
    """Return the path that a health check of a service asks for."""
    check = service.get("healthcheck")
    test = check.get("test") if isinstance(check, dict) else None
    return health_path(" ".join(map(str, test)) if isinstance(test, list) else str(test or ""))


def health_path(command: str) -> str:
    """Return the path in the URL that a check of a container asks for, "" if it asks for none."""
    found = _HEALTH_URL.search(command)
    return (found[2] or "/").rstrip(")") if found else ""
