"""Faults that lie between the parts of abreast.yml."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from abreast.config import schema
from abreast.config.gates import build_gates
from abreast.config.variables import references
from abreast.config.yaml_document import Document
from abreast.core.dependency_order import dependency_waves
from abreast.core.errors import Fault
from abreast.core.gates import ScanKind, skippable_names


def consistency_faults(
    document: Document, project: schema.Project, gate_plugins: Mapping[str, BaseModel]
) -> list[Fault]:
    """Return what is wrong although each part alone is right."""
    return [
        *_service_faults(document, project),
        *_dependency_faults(document, project),
        *_gate_faults(document, project, gate_plugins),
    ]


def _service_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    reserved = set(schema.Environment.model_fields)
    for name, service in project.services.items():
        path = ("services", name)
        if name in reserved:
            yield document.fault(
                path, f"{name!r} is a setting of an environment; call the service something else", at_key=True
            )
        if service.run is None and service.build.output is None:
            yield document.fault(path, "needed: `run` (a backend) or `build.output` (a frontend's folder)", at_key=True)
        if service.run is None and "instances" in service.model_fields_set:
            yield document.fault((*path, "instances"), "a frontend is a folder and has no instances", at_key=True)


def _gate_faults(document: Document, project: schema.Project, plugins: Mapping[str, BaseModel]) -> Iterator[Fault]:
    tested = any(service.test for service in project.services.values())
    if project.gates.coverage and not tested:
        yield document.fault(("gates", "coverage"), "no service has a `test` that could report it", at_key=True)
    if "test" in (project.gates.model_extra or {}):
        yield document.fault(("gates", "test"), "tests are each service's own: services.….test", at_key=True)
    scanned = (*ScanKind, *plugins)
    for number, allowed in enumerate(project.allow):
        if allowed.gate not in scanned:
            yield document.fault(
                ("allow", number, "gate"), f"no gate {allowed.gate!r} has findings; these have: {', '.join(scanned)}"
            )
    for name, environment in project.environments.items():
        known = skippable_names(build_gates(project, name, plugins))
        for number, gate in enumerate(environment.may_skip):
            if gate not in known:
                there = ", ".join(known) or "none is asked for"
                path = ("environments", name, "may_skip", number)
                yield document.fault(path, f"there is no gate {gate!r}; there are: {there}")


def _dependency_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    faulty = False
    for name, service in project.services.items():
        for number, need in enumerate(service.needs):
            if need not in project.services or need == name:
                faulty = True
                message = "a service cannot need itself" if need == name else f"there is no service {need!r}"
                yield document.fault(("services", name, "needs", number), message)
    if not faulty:
        try:
            dependency_waves({name: service.needs for name, service in project.services.items()})
        except ValueError as error:
            first = str(error).split(" → ", 1)[0]
            yield document.fault(("services", first, "needs"), f"services need each other in a circle: {error}")


def shell_variables(command: str) -> set[str]:
    """Return the variables that a shell command names."""
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
