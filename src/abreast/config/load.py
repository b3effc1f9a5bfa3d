"""abreast.yml to the core's values; every fault at once, each with its place."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from abreast.config import schema
from abreast.config.consistency import consistency_faults
from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.render_blueprint import BlueprintService, read_blueprint
from abreast.config.yaml_document import Document, parse_document
from abreast.core.errors import ConfigError, Fault, UsageError
from abreast.core.model import Environment

CONFIG_FILE = "abreast.yml"
PlatformSettings = Mapping[str, type[BaseModel]]
GateSettings = Mapping[str, type[BaseModel] | None]


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """The settings that each platform and each gate takes, by its name; None for what is no key of abreast.yml."""

    platforms: PlatformSettings
    gates: GateSettings


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """A project as its file describes it."""

    name: str
    environments: tuple[str, ...]
    resolver: EnvironmentResolver
    artifacts: schema.Artifacts
    backups: schema.Backups

    def environment(self, name: str) -> Environment:
        """Return an environment with ``${…}`` looked up.

        Raises UsageError for an unknown name, ConfigError for variables that are not set.
        """
        if name not in self.environments:
            raise UsageError(
                f"there is no environment {name!r}{_suggestion(name, self.environments)}",
                need=f"one of: {', '.join(self.environments)}",
            )
        return self.resolver.environment(name)

    def platforms(self, environment: str) -> frozenset[str]:
        """Return the platforms that an environment names. Needs no variables."""
        named = (
            platform for (where, _), (platform, _) in self.resolver.platform_settings.items() if where == environment
        )
        return frozenset(named)


def find_config_file(start: Path) -> Path:
    """Return the abreast.yml of ``start`` or of the nearest folder above; raises ConfigError if there is none."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    raise ConfigError([Fault(CONFIG_FILE, 1, 1, f"not found in {start} or above")], next="abreast init")


def load_config(file: Path, variables: Mapping[str, str], plugins: PluginSettings) -> ProjectConfig:
    """Read and check the whole file; raises ConfigError with every fault in it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(file.name, 1, 1, f"cannot be read: {error.strerror}")]) from error
    document = parse_document(file.name, content)
    if not isinstance(document.value, dict):
        raise ConfigError([document.fault((), "needed: project, services and environments")])
    plugin_gates, faults = _plugin_gates(document, plugins.gates)
    model, new_faults = _validate(document, schema.Project, _without(document.value, plugin_gates))
    faults += new_faults
    gate_plugins = {name: settings for name, settings in plugin_gates.items() if settings}
    if model is None:
        raise ConfigError(sorted(faults))
    assert isinstance(model, schema.Project)
    settings: dict[tuple[str, str], tuple[str, BaseModel]] = {}
    overrides: dict[tuple[str, str], schema.ServiceOverride] = {}
    for environment, described in model.environments.items():
        for service, override in (described.model_extra or {}).items():
            path = ("environments", environment, service)
            if service not in model.services:
                known = (*model.services, *schema.Environment.model_fields)
                faults.append(
                    document.fault(
                        path,
                        f"{service!r} is neither a setting nor a service{_suggestion(service, known)}",
                        at_key=True,
                    )
                )
                continue
            validated, new_faults = _validate_override(document, path, override, plugins.platforms)
            faults += new_faults
            if validated:
                overrides[environment, service], settings[environment, service] = validated
    _apply_blueprint(model, settings, read_blueprint(file.parent))
    faults += consistency_faults(document, model, gate_plugins)
    if faults:
        raise ConfigError(sorted(set(faults)))
    resolver = EnvironmentResolver(document, model, overrides, settings, gate_plugins, variables)
    faults += resolver.faults()
    if faults:
        raise ConfigError(sorted(set(faults)))
    return ProjectConfig(model.project, tuple(model.environments), resolver, model.artifacts, model.backups)


def _plugin_gates(document: Document, plugins: GateSettings) -> tuple[dict[str, BaseModel | None], list[Fault]]:
    """Return the settings of gates that packages provide, None for invalid ones, and the faults in them.

    A gate that is a text, or has a ``run``, is a command.
    """
    asked = document.value.get("gates") if isinstance(document.value, dict) else None
    gates: dict[str, BaseModel | None] = {}
    faults: list[Fault] = []
    for name, value in (asked if isinstance(asked, dict) else {}).items():
        if name in schema.Gates.model_fields or isinstance(value, str) or (isinstance(value, dict) and "run" in value):
            continue
        if name in plugins and (model := plugins[name]):
            gates[name], more = _validate(document, model, value or {}, ("gates", name))
            faults += more
    return gates, faults


def _without(value: dict[str, Any], gates: Mapping[str, object]) -> dict[str, Any]:
    """Return the file's content without the gates that packages provide, whose settings are their own."""
    if not gates:
        return value
    return {**value, "gates": {name: asked for name, asked in value["gates"].items() if name not in gates}}


def _apply_blueprint(
    model: schema.Project,
    settings: Mapping[tuple[str, str], tuple[str, BaseModel]],
    blueprint_services: Mapping[str, BlueprintService],
) -> None:
    """Take what abreast.yml leaves open for services on Render from ``render.yaml``."""
    on_render = {service for (_, service), (platform, _) in settings.items() if platform == "render"}
    for name in on_render & blueprint_services.keys():
        service, blueprint = model.services[name], blueprint_services[name]
        service.run = service.run or blueprint.start_command
        if blueprint.health_path and "health" not in service.model_fields_set:
            service.health = schema.Health(path=blueprint.health_path)


def _validate_override(
    document: Document,
    path: tuple[str, ...],
    override: Any,  # noqa: ANN401 (whatever the file holds)
    platforms: PlatformSettings,
) -> tuple[tuple[schema.ServiceOverride, tuple[str, BaseModel]] | None, list[Fault]]:
    if override is None:
        override = {}
    if not isinstance(override, dict):
        return None, [document.fault(path, f"needed: a platform ({', '.join(platforms)}) and its settings")]
    platform_names = [key for key in override if key not in schema.ServiceOverride.model_fields and key in platforms]
    if len(platform_names) > 1:
        return None, [document.fault((*path, platform_names[1]), "a service runs on one platform", at_key=True)]
    rest = {key: value for key, value in override.items() if key not in platform_names}
    common, faults = _validate(document, schema.ServiceOverride, rest, path, extra_keys=platforms)
    platform = platform_names[0] if platform_names else next(iter(platforms))
    settings, settings_faults = _validate(
        document, platforms[platform], override.get(platform) or {}, (*path, platform)
    )
    if isinstance(common, schema.ServiceOverride) and settings is not None:
        return (common, (platform, settings)), faults + settings_faults
    return None, faults + settings_faults


def _validate(
    document: Document,
    model: type[BaseModel],
    value: object,
    path: tuple[str, ...] = (),
    extra_keys: Iterable[str] = (),
) -> tuple[BaseModel | None, list[Fault]]:
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [_fault_from_error(document, model, path, dict(one), extra_keys) for one in error.errors()]


def _fault_from_error(
    document: Document,
    model: type[BaseModel],
    path: tuple[str, ...],
    error: dict[str, Any],
    extra_keys: Iterable[str],
) -> Fault:
    where = path + tuple(part for part in error["loc"] if not _is_union_branch(part))
    if error["type"] == "extra_forbidden":
        known = (*_known_keys(model, error["loc"][:-1]), *extra_keys)
        name = str(error["loc"][-1])
        where = (*path, *(part for part in error["loc"][:-1] if not _is_union_branch(part)), name)
        message = f"unknown key {name!r}{_suggestion(name, known)}; known: {', '.join(known)}"
        return document.fault(where, message, at_key=True)
    at_key = error["loc"][-1:] == ("[key]",)
    return document.fault(where, _MESSAGES.get(error["type"], _plain_message)(error), at_key=at_key)


def _is_union_branch(part: object) -> bool:
    """Whether pydantic means one of several shapes by this part of a place, not a part of the file."""
    return isinstance(part, str) and (part in {"[key]", "str", "Variable"} or "[" in part)


def _known_keys(kind: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the keys known at a place, by following the models' annotations."""
    model: Any = kind
    for part in loc:
        annotation = (
            model.model_fields[part].annotation
            if hasattr(model, "model_fields") and part in model.model_fields
            else None
        )
        model = next(iter(_nested_models(annotation)), model)
    return tuple(model.model_fields)


def _nested_models(annotation: Any) -> Iterable[type[BaseModel]]:  # noqa: ANN401 (a type form)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in (*getattr(annotation, "__args__", ()), getattr(annotation, "__origin__", None)):
        if inner is not None and inner is not annotation:
            yield from _nested_models(inner)


def _plain_message(error: dict[str, Any]) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[0].lower() + text[1:]


_MESSAGES: dict[str, Any] = {
    "missing": lambda error: f"{error['loc'][-1]!r} is missing",
    "string_type": lambda _: "needed: a text",
    "int_type": lambda _: "needed: a whole number",
    "bool_type": lambda _: "needed: true or false",
    "list_type": lambda _: "needed: a list",
    "dict_type": lambda _: "needed: a mapping of keys to values",
    "model_type": lambda _: "needed: a mapping of keys to values",
    "model_attributes_type": lambda _: "needed: a mapping of keys to values",
    "too_short": lambda _: "needed: at least one",
    "string_too_short": lambda _: "must not be empty",
    "literal_error": lambda error: f"needed: {error['ctx']['expected']}",
    "string_pattern_mismatch": lambda error: f"needed: a text of the form {error['ctx']['pattern']}",
    "greater_than_equal": lambda error: f"needed: {error['ctx']['ge']} or more",
    "less_than_equal": lambda error: f"needed: {error['ctx']['le']} or less",
}


def _suggestion(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
