"""Whether the platform of a service can run what abreast.yml asks for."""

from collections.abc import Mapping

from abreast.core.errors import UsageError
from abreast.core.model import Service, ServiceType
from abreast.core.strategy import is_missing, missing_strategy
from abreast.platforms.interface import Platform

_ALTERNATIVES = {
    ServiceType.WEB: "a platform that serves users, such as local",
    ServiceType.WORKER: "local, or a background worker on render",
    ServiceType.SCHEDULED: "local, or a cron job on render",
}


def require_support(platforms: Mapping[str, Platform], service: Service) -> None:
    """Raise UsageError if the platform does not run services of this type, or not their health command."""
    capabilities = platforms[service.platform].capabilities(service)
    if service.type not in capabilities.service_types:
        raise UsageError(
            f"{service.name} is a {service.type.label}, and {service.platform} runs none",
            need=f"{_ALTERNATIVES[service.type]} for it, in each environment of abreast.yml",
            next="abreast docs service",
        )
    if service.health.command and capabilities.data is None:
        raise UsageError(
            f"{service.name} has a health command, and {service.platform} runs none",
            need=f"{service.name} on local, or its health without `command`",
            next="abreast docs health",
        )


def require_strategy(platforms: Mapping[str, Platform], service: Service) -> None:
    """Raise UsageError if the platform does not have the strategy. It may know that only after ``live_version``."""
    offered = platforms[service.platform].capabilities(service).strategies
    if is_missing(service.strategy, offered):
        what, need = missing_strategy(service.name, service.platform, service.strategy, offered)
        raise UsageError(what, need=need, next="abreast docs environment")
