"""What an environment sets of a service's health check and resources, key by key, and what it cannot set."""

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from abreast.config import instance_schema, schema
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.errors import Fault
from abreast.core.model import DEFAULT_PLATFORM, Resources

M = TypeVar("M", bound=BaseModel)

Overrides = Mapping[tuple[str, str], schema.ServiceOverride]
PlacedSettings = Mapping[tuple[str, str], tuple[str, BaseModel]]
"""Platform and settings by environment and service; what is missing is on ``local``."""


@runtime_checkable
class TakesResources(Protocol):
    """The settings of a platform whose instances have a size that can be chosen."""

    def check_resources(self, resources: Resources) -> None:
        """Raise ValueError with why instances cannot have exactly these resources, and the nearest that they can."""
        ...


def merged(common: M, override: M | None) -> M:
    """Return the common settings with those that the override sets."""
    return (
        common.model_copy(update={key: getattr(override, key) for key in override.model_fields_set})
        if override
        else common
    )


def resolve_resources(declared: instance_schema.Resources) -> Resources:
    """Return resources as values of the core."""
    return Resources(declared.cpu, None if declared.memory is None else round(declared.memory))


def override_faults(
    document: Document, project: schema.Project, overrides: Overrides, settings: PlacedSettings
) -> Iterator[Fault]:
    """Yield what an environment sets of a service that the service, or its platform there, does not have."""
    for name, service in project.services.items():
        for key, why in _missing_keys(service):
            for environment in project.environments:
                override = overrides.get((environment, name))
                if override and getattr(override, key) is not None:
                    yield document.fault(("environments", environment, name, key), why, at_key=True)
        for environment in project.environments:
            yield from _resource_faults(document, (environment, name), service, overrides, settings)


def _missing_keys(service: schema.Service) -> Iterator[tuple[str, str]]:
    """Yield the keys of an override that a service of this type does not have, and why."""
    if service.run is None:
        yield "instances", "only a backend (with `run`) has instances"
        yield "resources", "only a backend (with `run`) has resources"
    elif service.schedule:
        yield "instances", "a scheduled command has none"
        yield "health", "a scheduled command has none"


def _resource_faults(
    document: Document,
    placed: tuple[str, str],
    service: schema.Service,
    overrides: Overrides,
    settings: PlacedSettings,
) -> Iterator[Fault]:
    """Yield why the platform of a service in an environment cannot give it its resources."""
    override = overrides.get(placed)
    declared = override.resources if override else None
    wanted = resolve_resources(merged(service.resources, declared))
    environment, name = placed
    if not wanted or service.run is None:
        return
    path: KeyPath = ("environments", environment, name, "resources") if declared else ("services", name, "resources")
    platform, chosen = settings.get(placed, (DEFAULT_PLATFORM, None))
    if chosen is None:
        return
    if not isinstance(chosen, TakesResources):
        text = f"{platform} gives its services no size to choose, and {name} is on it in {environment}"
        yield document.fault(path, text, at_key=True)
        return
    try:
        chosen.check_resources(wanted)
    except ValueError as error:
        yield document.fault(path, f"{error} ({name} in {environment})", at_key=True)
