"""Faults between parts of abreast.yml that are valid on their own."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from abreast.config import environment_schema, schema
from abreast.config.flags import flag_faults
from abreast.config.gates import build_gates
from abreast.config.variables import references
from abreast.config.yaml_document import Document
from abreast.core.dependency_order import dependency_waves
from abreast.core.errors import Fault
from abreast.core.freeze import FREEZE
from abreast.core.gates import BACKUP, ScanKind, skippable_names


def consistency_faults(
    document: Document, project: schema.Project, gate_plugins: Mapping[str, BaseModel]
) -> list[Fault]:
    """Return the faults of a file whose parts are each valid."""
    return [
        *_service_faults(document, project),
        *_dependency_faults(document, project),
        *_gate_faults(document, project, gate_plugins),
        *flag_faults(document, project),
    ]


def _service_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    reserved = set(environment_schema.Environment.model_fields)
    for name, service in project.services.items():
        path = ("services", name)
        if name in reserved:
            yield document.fault(path, "this name is a setting of environments; rename the service", at_key=True)
        yield from _type_faults(document, name, service)
        if service.run is None and service.build.output is None and service.type == "web" and not service.schedule:
            yield document.fault(
                path, "expected `run` (backend) or `build.output` (frontend), found neither", at_key=True
            )
        if service.run is None and "instances" in service.model_fields_set:
            yield document.fault((*path, "instances"), "only a backend (with `run`) has instances", at_key=True)
        if service.run is None and "resources" in service.model_fields_set:
            yield document.fault((*path, "resources"), "only a backend (with `run`) has resources", at_key=True)
        if service.run is not None and service.routes:
            yield document.fault((*path, "routes"), "only a frontend (without `run`) routes to services", at_key=True)


def _type_faults(document: Document, name: str, service: schema.Service) -> Iterator[Fault]:
    """Yield what contradicts ``type`` and ``schedule``."""
    path = ("services", name)
    if service.type == "worker" and service.schedule:
        text = "a worker always runs; remove `type: worker`, or `schedule`"
        yield document.fault((*path, "schedule"), text, at_key=True)
        return
    if service.type == "worker" and service.run is None:
        yield document.fault((*path, "type"), "a worker needs `run`", at_key=True)
    if "timezone" in service.model_fields_set and not service.schedule:
        yield document.fault((*path, "timezone"), "only a `schedule` has a time zone", at_key=True)
    if service.schedule and service.run is None:
        yield document.fault((*path, "schedule"), "a scheduled command needs `run`", at_key=True)
    if service.schedule:
        for key in ("instances", "health"):
            if key in service.model_fields_set:
                yield document.fault((*path, key), "a scheduled command has none", at_key=True)
    elif service.type == "worker" and "path" in service.health.model_fields_set:
        text = "a worker has no address; write `health: {command: …}`, or leave it out"
        yield document.fault((*path, "health"), text, at_key=True)
    elif service.type == "web" and service.health.command:
        yield document.fault((*path, "health", "command"), "only a worker (`type: worker`) has one", at_key=True)


def _gate_faults(document: Document, project: schema.Project, plugins: Mapping[str, BaseModel]) -> Iterator[Fault]:
    tested = any(service.test for service in project.services.values())
    if project.gates.coverage and not tested:
        yield document.fault(
            ("gates", "coverage"), "expected a service with a `test` that reports coverage, found none", at_key=True
        )
    if "test" in (project.gates.model_extra or {}):
        yield document.fault(("gates", "test"), "tests belong to a service: services.NAME.test", at_key=True)
    scanned = (*ScanKind, *plugins)
    for number, allowed in enumerate(project.allow):
        if allowed.gate not in scanned:
            yield document.fault(
                ("allow", number, "gate"),
                f"expected a gate with findings ({', '.join(scanned)}), found {allowed.gate!r}",
            )
    for name, environment in project.environments.items():
        gates = skippable_names(build_gates(project, name, plugins))
        if any(service.database for service in project.services.values()):
            gates = (*gates, BACKUP)
        if environment.freeze:
            gates = (*gates, FREEZE)
        for number, gate in enumerate(environment.may_skip):
            if gate not in gates:
                choices = ", ".join(gates) or "none is configured"
                path = ("environments", name, "may_skip", number)
                yield document.fault(path, f"unknown gate {gate!r}; gates here: {choices}")


def _service_needs(service: schema.Service) -> list[str]:
    """Return the services that must be healthy before a service: those that it needs, and those that it routes to."""
    return list(dict.fromkeys([*service.needs, *service.routes.values()]))


def _route_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    """Yield the routes that do not lead to another service with a `run`."""
    for name, service in project.services.items():
        for path, target in service.routes.items():
            others = [other for other, config in project.services.items() if other != name and _has_address(config)]
            if target not in others:
                found = _described(target, project.services.get(target))
                message = f"expected a service with `run` ({', '.join(others) or 'there is none'}), found {found}"
                yield document.fault(("services", name, "routes", path), message)


def _has_address(service: schema.Service) -> bool:
    return bool(service.run) and service.type == "web" and not service.schedule


def _described(name: str, service: schema.Service | None) -> str:
    if service is None:
        return repr(name)
    kind = "scheduled command" if service.schedule else "worker" if service.type == "worker" else "frontend"
    return f"the {kind} {name!r}"


def _dependency_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    routes = list(_route_faults(document, project))
    yield from routes
    faulty = bool(routes)
    for name, service in project.services.items():
        for number, need in enumerate(service.needs):
            if need not in project.services or need == name:
                faulty = True
                message = "a service cannot need itself" if need == name else f"unknown service {need!r}"
                yield document.fault(("services", name, "needs", number), message)
    if not faulty:
        try:
            dependency_waves({name: _service_needs(service) for name, service in project.services.items()})
        except ValueError as error:
            start = str(error).split(" → ", 1)[0]
            key = "needs" if project.services[start].needs else "routes"
            yield document.fault(("services", start, key), f"dependency cycle: {error}")


def shell_variables(command: str) -> set[str]:
    """Return the names of the variables that a shell command expands."""
    return set(references(command)) | set(_variable_names(command))


def _variable_names(command: str) -> Iterator[str]:
    for piece in command.split("$")[1:]:
        name = ""
        for letter in piece.lstrip("{"):
            if not (letter.isalnum() or letter == "_"):
                break
            name += letter
        if name:
            yield name
