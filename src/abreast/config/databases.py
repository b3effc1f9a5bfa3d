"""What is wrong with the database of a service."""

from collections.abc import Iterator, Mapping

from abreast.config import schema
from abreast.config.variables import interpolate, is_secret, references, unset_references
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.database_url import is_supported, managed_database
from abreast.core.errors import Fault
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import DEFAULT_PLATFORM


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Where a database is declared in ``document``, and for which service of an environment, on which platform."""

    document: Document
    path: KeyPath
    environment: str
    service: str
    platform: str

    def fault(self, key: str, message: str, *, at_key: bool = False) -> Fault:
        """Return the fault of a key."""
        return self.document.fault((*self.path, key), message, at_key=at_key)


def database_faults(place: DatabasePlace, config: schema.Database, variables: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the faults of a database, as far as the variables in its URL are set."""
    if config.migrations and config.command:
        yield place.fault("command", "expected `migrations` or `command`, found both", at_key=True)
    for key in ("status", "down"):
        if getattr(config, key) and not config.command:
            yield place.fault(key, "only allowed with `command`", at_key=True)
    for name in config.variables:
        if name == "PORT" or name.startswith("ABREAST_"):
            yield place.document.fault(
                (*place.path, "variables", name), "set by abreast; choose another name", at_key=True
            )
    for key, template in (("url", config.url), ("scratch", config.scratch)):
        if template and not references(template) and is_secret("", template, variables):
            yield place.fault(key, "plain-text secret; write ${NAME} and set that variable where abreast runs")
    if not unset_references(config.url, variables):
        yield from _url_faults(place, config, variables)


def _url_faults(place: DatabasePlace, config: schema.Database, variables: Mapping[str, str]) -> Iterator[Fault]:
    url = interpolate(config.url, variables)
    if not is_supported(url):
        yield place.fault("url", "expected a URL that starts with sqlite:/// or postgresql://, found another text")
    if config.variables and url.startswith("sqlite:"):
        yield place.fault(
            "variables", "only a URL of PostgreSQL has such parts, and this one is of SQLite", at_key=True
        )
    if not managed_database(url):
        return
    may_be_set = references(config.url) and not variables  # where it is deployed
    if place.platform != DEFAULT_PLATFORM and not may_be_set:
        own = f'environments: {{{place.environment}: {{{place.service}: {{database: {{url: "${{DATABASE_URL}}"}}}}}}}}'
        yield place.fault(
            "url",
            f"abreast runs PostgreSQL for services on `{DEFAULT_PLATFORM}`, and {place.service} is on {place.platform} "
            f"in {place.environment}; set the variable in it, or write {own}",
        )
    for key in ("scratch", "admin"):
        if getattr(config, key):
            yield place.fault(key, "not needed: abreast runs the server of this URL itself", at_key=True)
