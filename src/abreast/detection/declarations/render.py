"""All services of a render.yaml, Render's blueprint."""

import re
from collections.abc import Iterator
from typing import Any

from abreast.core.secrets import looks_secret
from abreast.detection.commands import steps
from abreast.detection.draft import Authority, Kind, Note, ServiceDraft
from abreast.detection.proxies import propose_proxy
from abreast.detection.repository import Repository

FILE = "render.yaml"
_KINDS = {"web": Kind.WEB, "pserv": Kind.WEB, "worker": Kind.WORKER, "cron": Kind.CRON, "static": Kind.SITE}
_PARTS = frozenset({"host", "port", "user", "password", "database"})
"""The properties of a database that are parts of its URL (https://render.com/docs/blueprint-spec)."""

_INSTALL = re.compile(
    r"^(npm (ci|i|install)|(pnpm|bun) (i|install)|yarn( install)?$|pip3? install|uv sync|"
    r"poetry install|pipenv|bundle install|composer install)\b"
)


def declare(repository: Repository) -> tuple[list[ServiceDraft], list[Note]]:
    """Return the services of the blueprint, and what of it abreast does not deploy."""
    blueprint = repository.yaml(repository.has(FILE, "render.yml"))
    services = blueprint.get("services")
    entries = [entry for entry in services if isinstance(entry, dict)] if isinstance(services, list) else []
    drafts = [draft for entry in entries if (draft := _service(repository, entry))]
    return drafts, [*_cache_notes(entries), *_database_notes(blueprint.get("databases"))]


def _cache_notes(entries: list[dict[str, Any]]) -> Iterator[Note]:
    for entry in entries:
        if entry.get("type") in {"redis", "keyvalue"}:
            what = f"{FILE}: abreast does not create the {entry['type']} {entry.get('name')}"
            yield Note(what, 'env: {REDIS_URL: "${REDIS_URL}"}')


def _database_notes(databases: object) -> Iterator[Note]:
    for database in databases if isinstance(databases, list) else []:
        if isinstance(database, dict):
            what = f"{FILE}: abreast does not create the database {database.get('name')}"
            yield Note(what, "export DATABASE_URL=postgresql://…")


def _service(repository: Repository, entry: dict[str, Any]) -> ServiceDraft | None:
    runtime = entry.get("runtime") or entry.get("env")
    kind = Kind.SITE if runtime == "static" else _KINDS.get(str(entry.get("type")))
    if kind is None:
        return None
    folder = str(entry.get("rootDir") or "").strip("./").rstrip("/")
    draft = ServiceDraft(str(entry.get("name") or ""), folder, kind)

    def propose(key: str, value: object, named: str) -> None:
        if isinstance(value, str):
            draft.propose(key, value, f"{FILE}: {named}", Authority.PLATFORM)

    _propose_build(repository, draft, entry.get("buildCommand"))
    if kind is Kind.SITE:
        propose("build.output", _folder(entry.get("staticPublishPath")), "staticPublishPath")
        _propose_routes(draft, entry.get("routes"))
    else:
        propose("run", entry.get("startCommand") or entry.get("dockerCommand"), "startCommand")
    if kind is Kind.CRON:
        propose("schedule", entry.get("schedule"), "schedule")
    if kind is Kind.WEB:
        health = entry.get("healthCheckPath")
        propose("health", "/" + health.lstrip("/") if isinstance(health, str) else None, "healthCheckPath")
    propose("release", entry.get("preDeployCommand"), "preDeployCommand")
    if isinstance(entry.get("numInstances"), int) and kind is Kind.WEB:
        draft.propose("instances", entry["numInstances"], f"{FILE}: numInstances", Authority.PLATFORM)
    _propose_variables(draft, entry.get("envVars"))
    return draft


def _propose_build(repository: Repository, draft: ServiceDraft, command: object) -> None:
    """Propose a build command, split into what installs and the rest. A script of shell is read for its steps."""
    if not isinstance(command, str):
        return
    source = f"{FILE}: buildCommand"
    script = re.fullmatch(r"(?:(?:ba)?sh )?\./?([\w./-]+\.sh)", command.strip())
    if script and (text := repository.text(f"{draft.folder}/{script[1]}".lstrip("/"))):
        lines = [
            line.strip()
            for line in text.splitlines()
            if line.strip() and not line.lstrip().startswith(("#", "set ", "echo "))
        ]
        if any(re.match(r"(if|for|while|fi|done|case)\b", line) for line in lines):
            draft.propose("build.run", command.strip(), source, Authority.PLATFORM)
            return
        source, command = f"{source} ({script[1]})", " && ".join(lines)
    parts = steps(command)
    install = [part for part in parts if _INSTALL.match(part)]
    migrations = [part for part in parts if re.search(r"\bmigrate\b|upgrade head|db:migrate", part)]
    rest = [part for part in parts if part not in install and part not in migrations]
    named = [part for part in install if "upgrade pip" not in part]
    draft.propose("build.install", " && ".join(named), source, Authority.GUESS)
    draft.propose("build.run", " && ".join(rest), source, Authority.PLATFORM)
    draft.propose("release", " && ".join(migrations), source, Authority.PROJECT)


def _propose_routes(draft: ServiceDraft, routes: object) -> None:
    for route in routes if isinstance(routes, list) else []:
        if isinstance(route, dict) and route.get("type") == "rewrite" and "://" in str(route.get("destination")):
            propose_proxy(draft, str(route.get("source")), str(route.get("destination")), f"{FILE}: routes")


def _propose_variables(draft: ServiceDraft, variables: object) -> None:
    parts: dict[str, str | bool] = dict(_parts_of_database(variables))
    if parts:
        draft.propose("database.variables", parts, f"{FILE}: envVars", Authority.PLATFORM)
    for variable in variables if isinstance(variables, list) else []:
        if not isinstance(variable, dict) or not isinstance(variable.get("key"), str):
            continue
        name, value = variable["key"], variable.get("value")
        if name in {"PORT", "PYTHON_VERSION", "NODE_VERSION", "RENDER"} or (
            value is None and "fromDatabase" in variable
        ):
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        is_written = value is not None and not looks_secret(name, text)
        template = f"${{{name}}}" if value is None or "}" in text else f"${{{name}:-{text}}}"
        draft.propose(
            f"env.{name}",
            text if is_written else template,
            f"{FILE}: envVars",
            Authority.PLATFORM,
            is_made_up=variable.get("generateValue") is True,
        )


def _parts_of_database(variables: object) -> Iterator[tuple[str, str]]:
    """Yield the variables with a part of a database's URL, and which part that is."""
    for variable in variables if isinstance(variables, list) else []:
        origin = variable.get("fromDatabase") if isinstance(variable, dict) else None
        if isinstance(origin, dict) and origin.get("property") in _PARTS and isinstance(variable.get("key"), str):
            yield variable["key"], origin["property"]


def _folder(value: object) -> object:
    return value.removeprefix("./").rstrip("/") if isinstance(value, str) else None
