"""Lay what the repository declares for other platforms over the services that its own files show."""

import re

from abreast.detection.commands import is_development, steps
from abreast.detection.containers import container_file, propose_container
from abreast.detection.declarations import compose, other_platforms, procfile, render
from abreast.detection.draft import Kind, Note, ServiceDraft
from abreast.detection.ecosystems.compiled import go_binaries
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.ecosystems.python import describe_environment
from abreast.detection.ecosystems.python_project import PythonProject, has_manifest
from abreast.detection.repository import Repository, is_inside, parents
from abreast.detection.services import is_aside

_SCRIPT = re.compile(r"(?:npm|pnpm|yarn|bun)(?: run)? ([\w:.-]+)")
_SHARED = ("python", "build.install", "build.run")
"""What a worker has in common with the service whose code it runs."""

_ONE_OFF = re.compile(r"\b(migrate|migrations?|upgrade|seed|collectstatic|initdb|createsuperuser)\b")
"""Commands that come to an end, in containers of their own."""

_SOURCES = (procfile.declare, render.declare, other_platforms.declare, compose.declare)


def add_declarations(repository: Repository, services: list[ServiceDraft]) -> list[Note]:
    """Add what is declared to the services, and services that only a declaration shows. Returns notes."""
    notes: list[Note] = []
    for declare in _SOURCES:
        declared, said = declare(repository)
        notes += said
        for draft in declared:
            if is_aside(draft.folder) and draft.ecosystem != "image" and "railway" not in str(draft.proposals):
                continue
            _drop_development(repository, draft)
            _enter_folder(draft)
            if draft.kind in {Kind.WORKER, Kind.CRON}:
                notes += _add_background(repository, services, draft)
            else:
                notes += _add_to_service(repository, services, draft)
    for service in services:
        propose_container(repository, service)
    services[:] = [service for service in services if service.is_certain]
    return notes


def _drop_development(repository: Repository, draft: ServiceDraft) -> None:
    run = draft.text("run")
    script = _SCRIPT.fullmatch(run)
    named = NodePackage(repository, draft.folder).expanded_script(script[1]) if script else ""
    if run and is_development(named or run):
        del draft.proposals["run"]


def _enter_folder(draft: ServiceDraft) -> None:
    """Turn ``cd FOLDER && …`` in front of commands into the folder of the declaration."""
    run = draft.text("run")
    found = re.match(r"cd\s+([\w./-]+)\s*&&\s*", run)
    if not found or draft.folder:
        return
    draft.folder = found[1].strip("./")
    for key in ("run", "release", "build.run"):
        if draft.chosen(key):
            draft.replace(key, re.sub(rf"(^|&& )cd\s+{re.escape(found[1])}\s*&&\s*", r"\1", draft.text(key)))


def _add_to_service(repository: Repository, services: list[ServiceDraft], draft: ServiceDraft) -> list[Note]:
    target = _target(services, draft)
    if target is None:
        return _add_alone(repository, services, draft)
    if target.kind is Kind.WEB:
        draft.proposals.pop("build.output", None)
        if draft.kind is Kind.SITE and not target.has_pages:  # they build functions of that platform
            draft.proposals.pop("build.run", None)
        if (run := draft.chosen("run")) and target.ecosystem == "go":
            _name_binary(repository, target, draft, str(run.value))
    else:
        for key in ("run", "health", "instances", "release"):
            draft.proposals.pop(key, None)
    if draft.folder != target.folder and draft.text("context") in {"", "."} and not container_file(repository, target):
        for key in ("run", "build.run", "build.install", "build.output"):
            draft.proposals.pop(key, None)
    if draft.name and draft.ecosystem != "image":
        target.name = draft.name
    target.take(draft)
    return []


def _name_binary(repository: Repository, target: ServiceDraft, draft: ServiceDraft, command: str) -> None:
    """Heroku has a Go program on the PATH; here it is where the build leaves it."""
    words = command.split()
    if words[0].rpartition("/")[2] in go_binaries(repository, target.folder):
        draft.replace("run", " ".join([f"./bin/{words[0].rpartition('/')[2]}", *words[1:]]))


def _target(services: list[ServiceDraft], draft: ServiceDraft) -> ServiceDraft | None:
    """Return the service that a declaration is about: in its folder, or else the only one that it can mean."""
    context = draft.text("context").removeprefix(".")
    for folder in dict.fromkeys((draft.folder, context)):
        here = [
            each
            for each in services
            if each.folder == folder and each.kind in {Kind.SITE, Kind.WEB} and each.ecosystem != "image"
        ]
        same = [each for each in here if each.kind is draft.kind] or here
        if same and (folder or draft.ecosystem != "image" or draft.kind is Kind.WEB):
            return same[0]
    commands = f"{draft.text('run')} {draft.text('build.run')} {draft.text('build.install')}"
    named = [
        each
        for each in services
        if each.folder
        and re.search(
            rf"(?<![\w-])({re.escape(each.folder)}|{re.escape(each.folder.rpartition('/')[2])})(?![\w-])", commands
        )
    ]
    output = draft.text("build.output")
    if owner := next(
        (each for each in services if each.kind is Kind.SITE and each.folder and output.startswith(f"{each.folder}/")),
        None,
    ):
        draft.replace("build.output", output.removeprefix(f"{owner.folder}/"))
        return owner
    webs = [each for each in services if each.kind is Kind.WEB and is_inside(each.folder, draft.folder)]
    candidates = named or (webs if draft.kind is Kind.WEB else [])
    return candidates[0] if len(candidates) == 1 else None


def _add_alone(repository: Repository, services: list[ServiceDraft], draft: ServiceDraft) -> list[Note]:
    """Add a service that only a declaration shows, or say why not."""
    if draft.ecosystem == "image":
        return _container_note(repository, services, draft)
    if not draft.chosen("run") and not draft.chosen("build.output"):
        return []
    if draft.kind is Kind.SITE and any(each.folder == draft.folder for each in services):
        return []
    _describe(repository, draft)
    services.append(draft)
    return []


def _container_note(repository: Repository, services: list[ServiceDraft], draft: ServiceDraft) -> list[Note]:
    file = container_file(repository, draft)
    if not file or any(is_inside(each.folder, draft.text("context").removeprefix(".")) for each in services):
        return []
    line = f"{draft.name or 'app'}: {{build: {{image: …, dockerfile: {file}}}, run: …}}"
    return [Note(f"{file}: nothing else says how to build and run it, and `local` runs no containers", line)]


def _describe(repository: Repository, draft: ServiceDraft) -> None:
    home = next((above for above in parents(draft.folder) if has_manifest(repository, above)), None)
    if home is not None and re.match(
        r"(python|gunicorn|uvicorn|celery|rq|streamlit|fastapi|flask)\b", draft.text("run")
    ):
        project = PythonProject(repository, draft.folder)
        draft.ecosystem, draft.packages = "python", project.packages
        describe_environment(project, draft)


def _add_background(repository: Repository, services: list[ServiceDraft], draft: ServiceDraft) -> list[Note]:
    """Add a worker or a scheduled command, with the environment of the service whose code it runs."""
    if draft.kind is Kind.WORKER and _ONE_OFF.search(draft.text("run")):
        return []
    if _confirm_program(services, draft):
        return []
    base = _base(services, draft)
    if draft.ecosystem == "image":
        propose_container(repository, draft)
    run = draft.text("run")
    if not run and draft.ecosystem == "image" and base is None:
        return _container_note(repository, services, draft)
    if not run or (base and run == base.text("run")) or _is_known(services, draft):
        return []
    if base:
        _run_code_of(base, draft)
    else:
        _describe(repository, draft)
    if base is None and draft.ecosystem in {"", "image"}:
        place = draft.folder or "the root"
        return [Note(f"{place}: the worker {draft.name} runs {run}, but nothing says how it is built")]
    services.append(draft)
    return []


def _confirm_program(services: list[ServiceDraft], draft: ServiceDraft) -> bool:
    """Name a program of .NET that was found, but could be anything until a declaration says it is a worker."""
    for service in services:
        if service.kind is Kind.WORKER and service.folder == draft.folder and service.ecosystem == "dotnet":
            service.name, service.is_certain = draft.name, True
            return True
    return False


def _run_code_of(base: ServiceDraft, draft: ServiceDraft) -> None:
    for key in _SHARED:
        if base.chosen(key) and not draft.chosen(key):
            draft.proposals[key] = list(base.proposals[key])
    draft.folder, draft.ecosystem, draft.packages = base.folder, base.ecosystem, base.packages


def _base(services: list[ServiceDraft], draft: ServiceDraft) -> ServiceDraft | None:
    context = draft.text("context").removeprefix(".")
    for folder in dict.fromkeys((draft.folder, context)):
        if here := [each for each in services if each.folder == folder and each.kind is Kind.WEB]:
            return here[0]
    webs = [each for each in services if each.kind is Kind.WEB]
    return webs[0] if len(webs) == 1 and is_inside(webs[0].folder, draft.folder) else None


def _is_known(services: list[ServiceDraft], draft: ServiceDraft) -> bool:
    program = steps(draft.text("run"))[-1].split()[:3]
    return any(
        each.kind is draft.kind
        and (each.name == draft.name or steps(each.text("run") or "-")[-1].split()[:3] == program)
        for each in services
    )
