"""The effective configuration of an environment: each setting with its value and where that comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel

from abreast.config import environment_schema, schema
from abreast.config.environment_resolver import LOCAL, EnvironmentResolver
from abreast.config.flags import resolve_flags
from abreast.config.yaml_document import KeyPath, YamlValue, with_key_path
from abreast.core.frozen_dataclass import dataclass

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as it is written: variables are named, never shown. ``source``: FILE:LINE, or default."""

    key: str
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that differs between two environments; None where one has none."""

    key: str
    first: Setting | None
    second: Setting | None


def effective_settings(resolver: EnvironmentResolver, environment: str) -> list[Setting]:
    """Return the settings of an environment, or of a preview as its base has them, in the order of the reference."""
    return list(_Effective(resolver, resolver.preview_base(environment) or environment).settings())


def compare_settings(first: Sequence[Setting], second: Sequence[Setting]) -> list[Difference]:
    """Return the settings whose values differ, in the order of the first."""
    one, other = ({setting.key: setting for setting in settings} for settings in (first, second))
    pairs = [Difference(key, one.get(key), other.get(key)) for key in dict.fromkeys((*one, *other))]
    return [pair for pair in pairs if _value(pair.first) != _value(pair.second)]


def _value(setting: Setting | None) -> object:
    return setting.value if setting else None


class _Effective:
    def __init__(self, resolver: EnvironmentResolver, environment: str) -> None:
        self._resolver = resolver
        self._environment = environment

    def settings(self) -> Iterator[Setting]:
        place = ("environments", self._environment)
        yield from self._of_model(self._resolver.project.environments[self._environment], place, ())
        yield from self._of_flags()
        for name in self._resolver.project.services:
            yield from self._of_service(name)
        for section in ("on_failure", "gates", "artifacts", "backups", "notify", "allow"):
            source = (section,) if section in self._resolver.project.model_fields_set else ()
            yield from self._of_value(getattr(self._resolver.project, section), source, (section,))

    def _of_service(self, name: str) -> Iterator[Setting]:
        resolver, shown, place = self._resolver, ("services", name), ("environments", self._environment, name)
        service, override = resolver.project.services[name], resolver.overrides.get((self._environment, name))
        platform, settings = resolver.platform_settings.get((self._environment, name), (LOCAL, None))
        yield replace(self._setting(platform, (*place, platform), (*shown, "platform")), value=platform)
        for setting in self._of_model(settings, (*place, platform), (*shown, platform)) if settings else ():
            if not (setting.source == DEFAULT and setting.key.endswith(".instances")):  # it is that of the service
                yield setting
        for field in schema.Service.model_fields:
            if field == "env":
                for declared in resolver.declared_variables(self._environment, name):
                    yield self._setting(declared.template, declared.path, (*shown, "env", declared.name))
            elif field == "database":
                path, database = resolver.declared_database(self._environment, name)
                yield from self._of_value(database, path, (*shown, field))
            elif field == "strategy":
                path, strategy = resolver.declared_strategy(self._environment, name) or ((), None)
                yield from self._of_value(strategy, path, (*shown, field))
            elif field in {"health", "resources"}:
                yield from self._of_merged(getattr(service, field), override, place, (*shown, field))
            elif override and getattr(override, field, None) is not None:
                yield from self._of_value(getattr(override, field), (*place, field), (*shown, field))
            else:
                source = (*shown, field) if field in service.model_fields_set else ()
                yield from self._of_value(getattr(service, field), source, (*shown, field))

    def _of_merged(
        self, common: BaseModel, override: schema.ServiceOverride | None, place: KeyPath, shown: KeyPath
    ) -> Iterator[Setting]:
        """Yield settings that the environment replaces key by key. ``shown`` is where the common ones are."""
        own = getattr(override, str(shown[-1]), None)
        for field in type(common).model_fields:
            here = own is not None and field in own.model_fields_set
            source = (*(place if here else shown[:-1]), shown[-1], field)
            model = own if own is not None and here else common
            is_set = field in model.model_fields_set
            yield from self._of_value(getattr(model, field), source if is_set else (), (*shown, field))

    def _of_flags(self) -> Iterator[Setting]:
        own = self._resolver.project.environments[self._environment].flags
        for name, value in resolve_flags(self._resolver.project, self._environment).items():
            path = ("environments", self._environment, "flags", name) if name in own else ("flags", name)
            yield self._setting(value, path, ("flags", name))

    def _of_model(self, model: BaseModel, path: KeyPath, shown: KeyPath) -> Iterator[Setting]:
        for field in type(model).model_fields:
            if field == "flags":
                continue  # they are shown with those of the project
            source = (*path, field) if field in model.model_fields_set else ()
            yield from self._of_value(getattr(model, field), source, (*shown, field))
        if not isinstance(model, environment_schema.Environment):  # whose further keys are services
            yield from self._of_value(model.model_extra, path, shown)

    def _of_value(self, value: object, path: KeyPath, shown: KeyPath) -> Iterator[Setting]:
        """Yield the settings in a value, which is at ``path`` or a default. What is not set is left out."""
        if value is None or value in ([], {}):
            return
        if isinstance(value, BaseModel):
            yield from self._of_model(value, path, shown)
        elif isinstance(value, Mapping):
            for key, content in value.items():
                yield from self._of_value(content, (*path, str(key)), (*shown, str(key)))
        else:
            yield self._setting(value, path, shown)

    def _setting(self, value: object, path: KeyPath, shown: KeyPath) -> Setting:
        document = self._resolver.document
        for place in (path, path[:-1]) if path else ():  # a text may stand for a mapping with one key: `health: /up`
            if place in document.value_positions and (place == path or isinstance(self._written(place), str)):
                line, _ = document.value_positions[place]
                return Setting(_key(shown), self._written(place), f"{document.file}:{line}")
        return Setting(_key(shown), value, DEFAULT)

    def _written(self, path: KeyPath) -> YamlValue:
        value = self._resolver.document.value
        for part in path:
            value = value.get(part) if isinstance(value, dict) and isinstance(part, str) else None
        return value


def _key(path: KeyPath) -> str:
    return with_key_path(path, "").removesuffix(": ")
