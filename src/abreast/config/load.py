"""Load abreast.yml into values of the core. Reports every fault at once, each with its position."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from abreast.config import environment_schema, gate_schema, instance_schema, schema
from abreast.config.approvals import approval_faults, promotion_faults
from abreast.config.consistency import consistency_faults
from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.environment_schema import Person
from abreast.config.fault_messages import found_text, suggestion, validation_faults
from abreast.config.files import read_config_file
from abreast.config.inheritance import expand_environments
from abreast.config.previews import preview_faults
from abreast.config.receivers import receiver_kind, route_faults, unknown_receiver
from abreast.config.render_blueprint import BlueprintService, read_blueprint
from abreast.config.yaml_document import Document, parse_document
from abreast.core.environment import Environment
from abreast.core.errors import ConfigError, Fault, UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.previews import PreviewName

PlatformSettings = Mapping[str, type[BaseModel]]
GateSettings = Mapping[str, type[BaseModel] | None]
NotifierSettings = Mapping[str, type[BaseModel]]


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """The settings models of each kind, by name. None: abreast's own gates, without keys of their own."""

    platforms: PlatformSettings
    gates: GateSettings
    notifiers: NotifierSettings


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """A loaded abreast.yml."""

    name: str
    environments: tuple[str, ...]
    resolver: EnvironmentResolver
    artifacts: schema.Artifacts
    backups: schema.Backups
    notifiers: Mapping[str, BaseModel]
    people: Mapping[str, Person] = field(default_factory=dict)

    def environment(self, name: str, *, needs_values: bool = True) -> Environment:
        """Return an environment or a preview, ``${…}`` interpolated; without ``needs_values``, an unset one is empty.

        Raises UsageError for an unknown name and ConfigError for variables that are not set.
        """
        self.require_environment(name)
        derive = self.resolver.environment if name in self.environments else self.resolver.preview
        return derive(name, needs_values=needs_values)

    def require_environment(self, name: str) -> None:
        """Raise UsageError if there is no environment, and can be no preview, of this name."""
        if name in self.environments or self.resolver.preview_base(name):
            return
        preview = PreviewName.parse(name)
        if preview and preview.base in self.environments:
            raise UsageError(
                f"{preview.base} has no previews", need=f"`preview: true` of {preview.base} in abreast.yml"
            )
        raise UsageError(
            f"there is no environment {name!r}{suggestion(name, self.environments)}",
            need=f"one of: {', '.join(self.environments)}",
        )

    @property
    def preview_lifetimes(self) -> Mapping[str, float]:
        """After how many seconds without a deployment a preview is removed, by environment that has previews."""
        environments = self.resolver.project.environments
        return {name: found.preview.ttl for name, found in environments.items() if found.preview}

    def platforms(self, environment: str) -> frozenset[str]:
        """Return the platforms that an environment names. Needs no variables."""
        name = self.resolver.preview_base(environment) or environment
        named = (platform for (where, _), (platform, _) in self.resolver.platform_settings.items() if where == name)
        return frozenset(named)


def load_config(file: Path, variables: Mapping[str, str], plugins: PluginSettings) -> ProjectConfig:
    """Read and validate the whole file. Raises ConfigError with every fault in it."""
    document = parse_document(file.name, read_config_file(file))
    if not isinstance(document.value, dict):
        raise ConfigError(
            [document.fault((), "expected project, services and environments, found " + found_text((), document.value))]
        )
    document, inheritance_faults = expand_environments(document)
    if inheritance_faults:
        raise ConfigError(sorted(inheritance_faults))
    assert isinstance(document.value, dict)
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
                hint = suggestion(service, (*model.services, *environment_schema.Environment.model_fields))
                faults.append(document.fault(path, f"neither a setting nor a service{hint}", at_key=True))
                continue
            validated, new_faults = _validate_override(document, path, override, plugins.platforms)
            faults += new_faults
            if validated:
                overrides[environment, service], settings[environment, service] = validated
    notifiers, new_faults = _notifiers(document, model.notify, plugins.notifiers)
    faults += [*new_faults, *route_faults(document, notifiers, model.environments)]
    _apply_blueprint(model, settings, read_blueprint(file.parent))
    faults += consistency_faults(document, model, gate_plugins)
    faults += preview_faults(document, model, settings)
    faults += (*approval_faults(document, model), *promotion_faults(document, model))
    if faults:
        raise ConfigError(sorted(set(faults)))
    resolver = EnvironmentResolver(document, model, overrides, settings, gate_plugins, variables, plugins.platforms)
    faults += resolver.faults()
    if faults:
        raise ConfigError(sorted(set(faults)))
    environments = tuple(model.environments)
    return ProjectConfig(model.project, environments, resolver, model.artifacts, model.backups, notifiers, model.people)


def _plugin_gates(document: Document, plugins: GateSettings) -> tuple[dict[str, BaseModel | None], list[Fault]]:
    """Return the settings of plug-in gates, None for invalid ones, and their faults.

    A text, or a mapping with ``run``, is a command gate.
    """
    configured = document.value.get("gates") if isinstance(document.value, dict) else None
    gates: dict[str, BaseModel | None] = {}
    faults: list[Fault] = []
    for name, value in (configured if isinstance(configured, dict) else {}).items():
        if (
            name in gate_schema.Gates.model_fields
            or isinstance(value, str)
            or (isinstance(value, dict) and "run" in value)
        ):
            continue
        if name in plugins and (model := plugins[name]):
            gates[name], new_faults = _validate(document, model, value or {}, ("gates", name))
            faults += new_faults
    return gates, faults


def _notifiers(
    document: Document, configured: Mapping[str, object], plugins: NotifierSettings
) -> tuple[dict[str, BaseModel], list[Fault]]:
    """Return the settings of the notifiers, by name, and their faults."""
    notifiers: dict[str, BaseModel] = {}
    faults: list[Fault] = []
    for name, value in configured.items():
        if (kind := receiver_kind(name, plugins)) is None:
            faults.append(unknown_receiver(document, name, plugins))
            continue
        validated, new_faults = _validate(document, plugins[kind], value or {}, ("notify", name))
        faults += new_faults
        if validated:
            notifiers[name] = validated
    return notifiers, faults


def _without(value: dict[str, Any], gates: Mapping[str, object]) -> dict[str, Any]:
    """Return the file's content without plug-in gates, which have models of their own."""
    if not gates:
        return value
    return {**value, "gates": {name: gate for name, gate in value["gates"].items() if name not in gates}}


def _apply_blueprint(
    model: schema.Project,
    settings: Mapping[tuple[str, str], tuple[str, BaseModel]],
    blueprint_services: Mapping[str, BlueprintService],
) -> None:
    """Fill gaps of abreast.yml from ``render.yaml``, for services on Render."""
    on_render = {service for (_, service), (platform, _) in settings.items() if platform == "render"}
    for name in on_render & blueprint_services.keys():
        service, blueprint = model.services[name], blueprint_services[name]
        service.run = service.run or blueprint.start_command
        if blueprint.health_path and "health" not in service.model_fields_set:
            service.health = instance_schema.Health(path=blueprint.health_path)


def _validate_override(
    document: Document,
    path: tuple[str, ...],
    override: Any,  # noqa: ANN401 (any YAML value)
    platforms: PlatformSettings,
) -> tuple[tuple[schema.ServiceOverride, tuple[str, BaseModel]] | None, list[Fault]]:
    if override is None:
        override = {}
    if not isinstance(override, dict):
        message = f"expected a platform ({', '.join(platforms)}) and its settings, found {found_text(path, override)}"
        return None, [document.fault(path, message)]
    platform_names = [key for key in override if key not in schema.ServiceOverride.model_fields and key in platforms]
    if len(platform_names) > 1:
        return None, [
            document.fault(
                (*path, platform_names[1]), f"expected one platform, found {platform_names[0]} too", at_key=True
            )
        ]
    rest = {key: value for key, value in override.items() if key not in platform_names}
    common, faults = _validate(document, schema.ServiceOverride, rest, path, extra_keys=platforms)
    platform = platform_names[0] if platform_names else next(iter(platforms))
    described = _with_instances(override.get(platform) or {}, platforms[platform], common)
    settings, settings_faults = _validate(document, platforms[platform], described, (*path, platform))
    if isinstance(common, schema.ServiceOverride) and settings is not None:
        return (common, (platform, settings)), faults + settings_faults
    return None, faults + settings_faults


def _with_instances(described: object, settings: type[BaseModel], common: BaseModel | None) -> object:
    """Return a platform's settings with the ``instances`` beside them, for a provider that takes them."""
    instances = getattr(common, "instances", None)
    if instances is None or not isinstance(described, dict) or "instances" not in settings.model_fields:
        return described
    return {"instances": instances, **described}


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
        return None, validation_faults(document, model, path, error, extra_keys)
