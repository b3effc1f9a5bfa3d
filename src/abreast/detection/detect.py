"""Draft an abreast.yml from the files of a repository."""

import re
from pathlib import Path

from abreast.detection.commands import is_development, listen_on_port, steps, takes_port, unwrap
from abreast.detection.database import propose_database
from abreast.detection.draft import LOCAL, Authority, Draft, Kind, Note, ServiceDraft, valid_name
from abreast.detection.ecosystems.python_apps import find_applications
from abreast.detection.ecosystems.python_project import PythonProject
from abreast.detection.ecosystems.table_commands import makes_tables_at_start
from abreast.detection.env_examples import OWN_PORTS
from abreast.detection.health import propose_health
from abreast.detection.nested_builds import merge_nested_builds
from abreast.detection.overlay import add_declarations
from abreast.detection.own_address import propose_addresses_of_others, propose_own_addresses
from abreast.detection.relations import name_services, propose_routes, propose_watch
from abreast.detection.repository import Repository, path_in
from abreast.detection.services import find_services
from abreast.detection.test_suites import propose_tests
from abreast.detection.variables import propose_variables, share_database

_READS_PORT = {
    "node": ((".js", ".ts", ".mjs", ".cjs"), re.compile(r"\bPORT\b")),
    "python": ((".py",), re.compile(r"['\"]PORT['\"]")),
    "go": ((".go",), re.compile(r"\"PORT\"|gin-gonic/gin[\s\S]*\.Run\(\)")),
    "rust": ((".rs",), re.compile(r"PORT\b")),
}
_READS_OWN_PORT = re.compile(
    rf"(?:process\.env\.|(?:environ|[gG]etenv|process\.env)(?:\.get)?[(\[]\s*['\"])({'|'.join(sorted(OWN_PORTS))})\b"
)
_FIXED_PORT = re.compile(
    r"(?:listen\(\s*|port\s*[:=]\s*|addr\s*[:=]\s*\"[\w.]*:|(?:bind|Run)\(&?\"[\w.]*:|bind\(\(\"[\w.]+\", )(\d{2,5})\b"
)

_OTHERS_PORTS = frozenset({25, 465, 587, 1025, 1433, 3306, 5432, 5672, 6379, 9042, 9092, 9200, 11211, 27017})
"""The usual ports of databases, queues and mail servers, which a program connects to."""

_MIGRATION = re.compile(r"\bdb upgrade|upgrade head|manage\.py migrate|db:migrate|migrate deploy|artisan migrate")
_COLLECT = re.compile(r"manage\.py collectstatic")


def draft_config(root: Path) -> Draft:
    """Return the draft for the repository in a folder. Without services, its notes say what was seen."""
    repository = Repository(root)
    services, notes = find_services(repository)
    notes += add_declarations(repository, services)
    merge_nested_builds(repository, services)
    for service in services:
        _finish_service(repository, service, notes)
    name_services(services)
    _migrate_once(services)
    services.sort(key=lambda service: (list(Kind).index(service.kind), service.folder))
    propose_own_addresses(services)
    propose_addresses_of_others(repository, services)
    for service in services:
        propose_tests(repository, service, notes)
        if service.kind in {Kind.WORKER, Kind.CRON}:
            _share_database(service, services)
    propose_routes(repository, services, notes)
    propose_watch(services)
    return Draft(valid_name(root.resolve().name), services, list(dict.fromkeys(notes)))


def _migrate_once(services: list[ServiceDraft]) -> None:
    """Leave the migrations of a database that several services use to one of them: the one that is deployed today."""
    seen: dict[str, ServiceDraft] = {}
    for service in sorted(services, key=lambda service: not _is_declared(service)):
        source = service.chosen("database.command") or service.chosen("database.migrations")
        if source is None:
            continue
        owner = seen.setdefault(source.source, service)
        if owner is not service:
            for key in [key for key in service.proposals if key.removeprefix(LOCAL).startswith("database.")]:
                del service.proposals[key]
            share_database(service, owner)


def _is_declared(service: ServiceDraft) -> bool:
    return any(proposal.authority is Authority.PLATFORM for found in service.proposals.values() for proposal in found)


def _share_database(service: ServiceDraft, services: list[ServiceDraft]) -> None:
    for base in services:
        if base.kind is Kind.WEB and base.folder == service.folder:
            share_database(service, base)


def _finish_service(repository: Repository, service: ServiceDraft, notes: list[Note]) -> None:
    """Complete a service by what its code says, and write its commands as abreast runs them."""
    if service.folder:
        service.propose("folder", service.folder, "")
    if service.kind is Kind.WORKER:
        service.propose("type", "worker", "")
    _write_run(repository, service)
    propose_health(repository, service)
    propose_database(repository, service, notes)
    _start_alone(repository, service)
    _remove_preparations_from_run(service)
    propose_variables(repository, service)
    _name_flask_app(repository, service)
    if service.ecosystem == "python" and not service.chosen("build.install"):
        missing, name = PythonProject(repository, service.folder).missing_packages(), service.folder or "the root"
        notes += [Note(f"{name}: no install, since {missing}", "build: {install: pip install …}")] if missing else []


def _start_alone(repository: Repository, service: ServiceDraft) -> None:
    """Propose one process for a program that makes its tables when it starts: two at once both find none."""
    if service.ecosystem != "python" or service.chosen("database.command") or service.chosen("release"):
        return
    if file := makes_tables_at_start(repository, service.folder):
        service.propose("instances", 1, f"{file} makes missing tables when it starts", Authority.PROJECT)


def _write_run(repository: Repository, service: ServiceDraft) -> None:
    run = service.text("run")
    if not run or is_development(run):
        return
    parts = [unwrap(part) for part in steps(run)]
    command = "; ".join(parts) if ";" in run else " && ".join(parts)
    if service.kind is Kind.WEB:
        command = _overrule_config(repository, service, listen_on_port(command))
        command = _set_own_port(repository, service, command)
        _propose_port(repository, service, command)
    service.replace("run", command)


def _overrule_config(repository: Repository, service: ServiceDraft, command: str) -> str:
    """Return a command of gunicorn so that it listens on ``$PORT``, whatever port its configuration names."""
    if not re.search(r"(^|/|\s)gunicorn\s", command) or "$PORT" in command:
        return command
    named = re.search(r"\s(?:-c|--config)[ =](?:file:)?([\w./-]+)", command)
    text = repository.text(path_in(service.folder, named[1] if named else "gunicorn.conf.py"))
    return f"{command} --bind 127.0.0.1:$PORT" if re.search(r"^bind\s*=(?!.*PORT)", text, re.MULTILINE) else command


def _set_own_port(repository: Repository, service: ServiceDraft, command: str) -> str:
    """Return a command that passes ``$PORT`` on by the name that the code reads, if that is another one."""
    suffixes, reads = _READS_PORT.get(service.ecosystem, ((), None))
    if reads is None or service.has_pages or takes_port(command) or "PORT" in command:
        return command
    texts = [repository.text(file) for file in repository.sources(service.folder, *suffixes)]
    if any(reads.search(text) for text in texts):
        return command
    names = (found[1] for text in texts if (found := _READS_OWN_PORT.search(text)))
    name = next(names, "")
    return f"{name}=$PORT {command}" if name else command


def _propose_port(repository: Repository, service: ServiceDraft, command: str) -> None:
    """Propose the port that a program listens on if it cannot be told another one."""
    suffixes, reads = _READS_PORT.get(service.ecosystem, ((), None))
    if reads is None or service.has_pages or takes_port(command) or "PORT" in command:
        return
    files = repository.sources(service.folder, *suffixes)
    if any(reads.search(repository.text(file)) for file in files) or not files:
        return
    for file in files:
        ports = [int(port) for port in _FIXED_PORT.findall(repository.text(file)) if int(port) not in _OTHERS_PORTS]
        if ports and ports[0] < 65536:
            source = f"{file} listens there; read the variable PORT in it, and remove this line"
            service.propose(f"{LOCAL}local.app_port", ports[0], source, Authority.PROJECT)
            return


def _remove_preparations_from_run(service: ServiceDraft) -> None:
    """Leave to abreast the migrations, and to the build its own step, that each process would run when it starts."""
    parts = steps(service.text("run"))
    migrates = service.chosen("database.command") or service.chosen("release")
    done = [_MIGRATION] if migrates else []
    done += [_COLLECT] if _COLLECT.search(service.text("build.run")) else []
    kept = [part for part in parts[:-1] if not any(step.search(part) for step in done)] + parts[-1:]
    if len(kept) < len(parts):
        service.replace("run", " && ".join(kept))


def _name_flask_app(repository: Repository, service: ServiceDraft) -> None:
    """Name the application for commands of Flask. They find ``app.py`` and ``wsgi.py`` without a ``.flaskenv``."""
    commands = (service.text(key) for key in ("database.command", "release", "build.run"))
    if not any(re.search(r"(^|&& )flask [a-z]", command) for command in commands):
        return
    named = re.search(
        r"^FLASK_APP=[\"']?([\w.:]+)", repository.text(path_in(service.folder, ".flaskenv")), re.MULTILINE
    )
    runs = re.match(r"gunicorn (?:-\S+ )*([\w.]+):\w+ ", service.text("run"))
    apps = find_applications(repository, service.folder)
    if named and runs and repository.has(path_in(service.folder, f"{runs[1].replace('.', '/')}.py")):
        if not named[1].startswith(runs[1]):
            service.propose("env.FLASK_APP", runs[1], "what run starts; .flaskenv has another", Authority.PROJECT)
    elif apps and apps[0].module not in {"app", "wsgi"}:
        file = f"{apps[0].module}.py"  # a module of that name is not found before Flask 1.0
        name = file if repository.has(path_in(service.folder, file)) else apps[0].module
        service.propose("env.FLASK_APP", name, f"{apps[0].file}: {apps[0].name}", Authority.PROJECT)
