"""Derive previews from the environment that has them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from abreast.config import schema
from abreast.config.yaml_document import Document
from abreast.core.environment import Environment
from abreast.core.errors import Fault
from abreast.core.model import DEFAULT_PLATFORM, BreakingChangePolicy, Service
from abreast.core.previews import PreviewName
from abreast.core.strategy import Strategy


@runtime_checkable
class HasPreviews(Protocol):
    """The settings of a platform that can host previews."""

    def for_preview(self, preview: str) -> BaseModel:
        """Return the settings of a service in the preview of that name. Raises ValueError with why it can have none."""
        ...


def derive_preview(base: Environment, name: PreviewName, settings: Mapping[str, BaseModel]) -> Environment:
    """Return a preview. ``settings`` are those of each service of ``base`` for its platform."""
    services = (_preview_service(service, name, settings[service.name]) for service in base.services)
    return replace(
        base,
        name=str(name),
        services=tuple(services),
        breaking=BreakingChangePolicy.ALLOW,  # nobody relies on the version that runs there
        tag=False,
        rto=None,
        rpo=None,
        attested=False,  # what a pull request builds is signed by nobody
        approval=None,
        freeze=(),
        promotion=None,
        lock_after_failure=False,
        needs_id_token=False,  # jobs that run code of pull requests have none
        base=base,
    )


def _preview_service(service: Service, name: PreviewName, settings: BaseModel) -> Service:
    assert isinstance(settings, HasPreviews)  # `preview_faults` has looked
    database = service.database and replace(service.database, copy=name.database_copy)
    own_settings = settings.for_preview(str(name)).model_dump(exclude_none=True)
    # Elsewhere than here, a preview is another kind of place than its base, and each has strategies of its own.
    strategy = service.strategy if service.platform == DEFAULT_PLATFORM else Strategy.BLUE_GREEN
    return replace(service, settings=own_settings, instances=1, database=database, strategy=strategy)


def preview_faults(
    document: Document, project: schema.Project, settings: Mapping[tuple[str, str], tuple[str, BaseModel]]
) -> Iterator[Fault]:
    """Yield the environments that are named like a preview of another, and services that can have no preview.

    ``settings``: platform and settings by environment and service; what is missing is on ``local``.
    """
    for name, environment in project.environments.items():
        parsed = PreviewName.parse(name)
        if parsed and (base := project.environments.get(parsed.base)) and base.preview:
            text = f"this is the name of a preview of {parsed.base}; choose another name"
            yield document.fault(("environments", name), text, at_key=True)
        if environment.preview:
            placed = {service: settings.get((name, service), ("", None)) for service in project.services}
            for text in _why_no_previews(placed):
                yield document.fault(("environments", name, "preview"), text)


def _why_no_previews(placed: Mapping[str, tuple[str, BaseModel | None]]) -> Iterator[str]:
    """Yield which services can have no preview, and why. ``placed``: platform and settings by service."""
    places: dict[tuple[str, str], str] = {}
    for service, (platform, settings) in placed.items():
        if settings is None:
            continue
        if not isinstance(settings, HasPreviews):
            yield f"{service} can have none: the platform {platform} hosts no previews"
            continue
        try:
            place = settings.for_preview(str(PreviewName("preview", 1))).model_dump_json()
        except ValueError as error:
            yield f"{service} can have none: {error}"
            continue
        other = places.setdefault((platform, place), service)
        if other != service and platform != DEFAULT_PLATFORM:
            yield f"{other} and {service} would have one and the same on {platform}"
