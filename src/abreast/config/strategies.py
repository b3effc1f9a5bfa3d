"""Which strategy a service has in an environment, and where abreast.yml says so."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from abreast.config import schema
from abreast.config.service_overrides import Overrides, PlacedSettings
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.errors import Fault
from abreast.core.model import DEFAULT_PLATFORM
from abreast.core.strategy import Strategy, is_missing, missing_strategy


@runtime_checkable
class KnowsStrategies(Protocol):
    """The settings of a platform that may show what the platform has for a service."""

    def known_strategies(self) -> tuple[Strategy, ...] | None:
        """Return the service's strategies, none for a way of the platform's own; None if only the platform knows."""
        ...


def declared_strategy(
    project: schema.Project, overrides: Overrides, environment: str, name: str
) -> tuple[KeyPath, Strategy] | None:
    """Return the strategy of a service with its key path, None if nothing says one.

    What is said of the service counts before what is said of its environment, which is for services with ``run``.
    """
    service, override = project.services[name], overrides.get((environment, name))
    said: list[tuple[KeyPath, str | None]] = [
        (("environments", environment, name, "strategy"), override.strategy if override else None),
        (("services", name, "strategy"), service.strategy),
    ]
    if service.run is not None:
        said.append((("environments", environment, "strategy"), project.environments[environment].strategy))
    return next(((path, Strategy(word)) for path, word in said if word), None)


def strategy_faults(
    document: Document, project: schema.Project, overrides: Overrides, settings: PlacedSettings
) -> Iterator[Fault]:
    """Yield the strategies that services cannot have, wherever their versions run."""
    for environment in project.environments:
        for name, service in project.services.items():
            path, strategy = declared_strategy(project, overrides, environment, name) or ((), None)
            platform, chosen = settings.get((environment, name)) or (DEFAULT_PLATFORM, None)
            port = getattr(chosen, "app_port", None) if platform == DEFAULT_PLATFORM else None
            if service.run is None and strategy is Strategy.RECREATE:
                text = (
                    f"{name} is a folder, of which nothing runs twice; needed: {Strategy.BLUE_GREEN}, or no `strategy`"
                )
                yield document.fault(path, text)
            elif port and strategy is Strategy.BLUE_GREEN:
                why = f"{name} listens on app_port {port} in {environment}, which one version at a time can have"
                yield document.fault(path, f"{why}; needed: `{name}: {{strategy: {Strategy.RECREATE}}}`, or $PORT")
            elif strategy and chosen and (text := _unsupported(name, platform, chosen, strategy)):
                yield document.fault(path, text)


def _unsupported(name: str, platform: str, settings: BaseModel, strategy: Strategy) -> str:
    """Return why the platform does not have the strategy, "" if it has, or only it knows."""
    offered = settings.known_strategies() if isinstance(settings, KnowsStrategies) else None
    if offered is None or not is_missing(strategy, offered):
        return ""
    what, need = missing_strategy(name, platform, strategy, offered)
    return f"{what}; needed: {need}"
