"""Resolve one environment: common settings, its overrides, and its variables."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import BaseModel

from abreast.config import instance_schema, schema
from abreast.config.approvals import resolve_approval
from abreast.config.consistency import shell_variables
from abreast.config.databases import DatabasePlace, database_faults
from abreast.config.flags import resolve_flags
from abreast.config.gates import build_gates
from abreast.config.previews import derive_preview
from abreast.config.service_folder import in_folder, service_folder, watched_globs
from abreast.config.service_overrides import merged, override_faults, resolve_resources
from abreast.config.strategies import declared_strategy, strategy_faults
from abreast.config.variables import interpolate, is_secret, references, unset_references
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.environment import Environment
from abreast.core.errors import ConfigError, Fault
from abreast.core.frozen_dataclass import dataclass
from abreast.core.maintenance import MaintenanceSettings
from abreast.core.model import (
    BreakingChangePolicy,
    Build,
    DatabaseSettings,
    HealthSettings,
    ReleaseCommand,
    Service,
    ServiceType,
)
from abreast.core.plan import OnFailure
from abreast.core.previews import PreviewData, PreviewName, PreviewSettings
from abreast.core.promotion import PromotionRule
from abreast.core.strategy import Strategy
from abreast.core.variable_formats import expected_format
from abreast.machine.cron_schedule import CronSchedule

LOCAL = "local"
"""The platform of services for which an environment names none."""
FIRST_PORT = 8080
CLIENT_ERROR, SERVER_ERROR = 400, 500


@dataclass(frozen=True, slots=True)
class DeclaredVariable:
    """A variable as declared in the file, and its key path."""

    name: str
    variable: schema.Variable
    path: KeyPath

    @property
    def template(self) -> str:
        """The template of its value."""
        return f"${{{self.name}}}" if self.variable.value is None else self.variable.value


@dataclass(frozen=True, slots=True)
class EnvironmentResolver:
    """A validated file that can be resolved into environments."""

    document: Document
    project: schema.Project
    overrides: Mapping[tuple[str, str], schema.ServiceOverride]
    platform_settings: Mapping[tuple[str, str], tuple[str, BaseModel]]
    gate_plugins: Mapping[str, BaseModel]
    variables: Mapping[str, str]
    platforms: Mapping[str, type[BaseModel]]

    def preview_base(self, name: str) -> str:
        """Return the environment that a preview of this name is derived from, "" if there are none of it."""
        preview = PreviewName.parse(name)
        base = self.project.environments.get(preview.base) if preview else None
        return preview.base if preview and base and base.preview else ""

    def preview(self, name: str, *, needs_values: bool = True) -> Environment:
        """Return a preview, whose base ``preview_base`` knows. Raises as ``environment``."""
        preview = PreviewName.parse(name)
        assert preview
        settings = {
            service: configured[1] if configured else self.platforms[LOCAL]()
            for service in self.project.services
            for configured in (self.platform_settings.get((preview.base, service)),)
        }
        return derive_preview(self.environment(preview.base, needs_values=needs_values), preview, settings)

    def environment(self, name: str, *, needs_values: bool = True) -> Environment:
        """Return an environment. No value that only others refer to is read.

        Raises ConfigError for variables that are not set or not valid, if they are needed, and for what only the values
        show, such as a secret in a command.
        """
        if known := [fault for service in self.project.services for fault in self._faults_of(name, service)]:
            raise ConfigError(sorted(set(known)))
        faults = [fault for service in self.project.services for fault in self._value_faults(name, service)]
        if faults and needs_values:
            raise ConfigError(sorted(set(faults)), next="export NAME=…, or write a default: ${NAME:-value}")
        config = self.project.environments[name]
        ports = self._settings_with_ports(name)
        return Environment(
            name,
            tuple(self._resolve_service(name, service, ports[service]) for service in self.project.services),
            config.settle,
            config.drain,
            OnFailure(config.on_failure or self.project.on_failure),
            build_gates(self.project, name, self.gate_plugins),
            tuple(config.may_skip),
            self._rotations(name),
            config.tag,
            BreakingChangePolicy(config.breaking or ("block" if name == "production" else "warn")),
            config.objectives.rto,
            config.objectives.rpo,
            PreviewSettings(config.preview.ttl, PreviewData(config.preview.database)) if config.preview else None,
            attested=config.attested,
            approval=resolve_approval(self.project, config),
            freeze=tuple(freeze.window() for freeze in config.freeze),
            maintenance=MaintenanceSettings(config.maintenance.page or "", config.maintenance.url or ""),
            lock_after_failure=name == "production" if config.lock_after_failure is None else config.lock_after_failure,
            promotion=PromotionRule(**config.promotion.model_dump()) if config.promotion else None,
            needs_id_token=config.identity is not None,
        )

    def _rotations(self, environment: str) -> dict[str, float]:
        """Return the maximum age of secrets, in seconds, by ``service/NAME``."""
        return {
            f"{service}/{declared.name}": declared.variable.rotate_after
            for service in self.project.services
            for declared in self.declared_variables(environment, service)
            if declared.variable.rotate_after and self._is_secret(declared)
        }

    def variable_drift(self) -> Iterator[str]:
        """Yield the variables that a service has in only one of staging and production."""
        pair = ("staging", "production")
        if not set(pair) <= set(self.project.environments):
            return
        for service in self.project.services:
            first, second = ({declared.name for declared in self.declared_variables(name, service)} for name in pair)
            for names, here, there in ((first - second, *pair), (second - first, *reversed(pair))):
                for name in sorted(names):
                    yield f"{service} has {name} in {here}, but not in {there}"

    def faults(self) -> list[Fault]:
        """Return the faults of all environments that show without a value of a variable."""
        without_values = replace(self, variables={})
        places = [(name, service) for name in self.project.environments for service in self.project.services]
        return [
            *override_faults(self.document, self.project, self.overrides, self.platform_settings),
            *strategy_faults(self.document, self.project, self.overrides, self.platform_settings),
            *(fault for name, service in places for fault in without_values._faults_of(name, service)),
            *(fault for name, service in places for fault in self._port_faults(name, service)),
        ]

    def _faults_of(self, environment: str, service: str) -> Iterator[Fault]:
        yield from self._variable_faults(environment, service)
        yield from self._database_faults(environment, service)

    def _resolve_service(self, environment: str, name: str, settings: dict[str, str | int]) -> Service:
        config = self.project.services[name]
        override = self.overrides.get((environment, name), schema.ServiceOverride(env={}))
        declared = [
            variable for variable in self.declared_variables(environment, name) if not self._is_omitted(variable)
        ]
        secret_names = {variable.name for variable in declared if self._is_secret(variable)}
        variables = {variable.name: variable.template for variable in declared}
        platform = self.platform_settings.get((environment, name), (LOCAL, None))[0]
        return Service(
            name=name,
            platform=platform,
            settings=settings,
            folder=service_folder(config),
            python=config.python,
            node=config.node,
            watch=watched_globs(config),
            uses=tuple(config.uses),
            needs=tuple(config.needs),
            build=_resolve_build(config),
            run=config.run,
            instances=1 if config.schedule or "app_port" in settings else override.instances or config.instances,
            health=_resolve_health(config, self.declared_health(environment, name), platform),
            env={key: interpolate(text, self.variables) for key, text in variables.items() if key not in secret_names},
            secrets={key: text for key, text in variables.items() if key in secret_names},
            generated=tuple(variable.name for variable in declared if variable.variable.generate),
            database=self._resolve_database(environment, name),
            type=ServiceType.SCHEDULED if config.schedule else ServiceType(config.type),
            schedule=str(CronSchedule(config.schedule, config.timezone)) if config.schedule else None,
            release=ReleaseCommand(**config.release.model_dump()) if config.release else None,
            routes=dict(config.routes),
            flags=resolve_flags(self.project, environment),
            resources=resolve_resources(self.declared_resources(environment, name)),
            strategy=(self.declared_strategy(environment, name) or ((), Strategy.BLUE_GREEN))[1],
        )

    def declared_health(self, environment: str, service: str) -> instance_schema.Health:
        """Return a service's health check, with the keys that the environment sets."""
        override = self.overrides.get((environment, service))
        return merged(self.project.services[service].health, override.health if override else None)

    def declared_resources(self, environment: str, service: str) -> instance_schema.Resources:
        """Return a service's resources, with the keys that the environment sets."""
        override = self.overrides.get((environment, service))
        return merged(self.project.services[service].resources, override.resources if override else None)

    def declared_strategy(self, environment: str, service: str) -> tuple[KeyPath, Strategy] | None:
        """Return a service's strategy with its key path, None if nothing says one."""
        return declared_strategy(self.project, self.overrides, environment, service)

    def _resolve_database(self, environment: str, service: str) -> DatabaseSettings | None:
        _, config = self.declared_database(environment, service)
        if config is None:
            return None
        folder = service_folder(self.project.services[service])
        return DatabaseSettings(
            **config.model_dump(exclude={"rehearsal", "migrations"}),
            migrations=in_folder(folder, config.migrations),
            rehearsal_env=config.rehearsal.env,
        )

    def is_local(self, environment: str, service: str) -> bool:
        """Return whether a service runs on this machine."""
        return self.platform_settings.get((environment, service), (LOCAL, None))[0] == LOCAL

    def declared_database(self, environment: str, service: str) -> tuple[KeyPath, schema.Database | None]:
        """Return a service's database with its key path. That of the environment replaces the common one."""
        override = self.overrides.get((environment, service))
        if override and override.database:
            return ("environments", environment, service, "database"), override.database
        return ("services", service, "database"), self.project.services[service].database

    def _database_faults(self, environment: str, service: str) -> Iterator[Fault]:
        path, config = self.declared_database(environment, service)
        platform = self.platform_settings.get((environment, service), (LOCAL, None))[0]
        if config:
            place = DatabasePlace(self.document, path, environment, service, platform)
            yield from database_faults(place, config, self.variables)

    def declared_variables(self, environment: str, service: str) -> Iterator[DeclaredVariable]:
        """Yield a service's variables. Those of the environment replace the common ones."""
        common = (("services", service, "env"), self.project.services[service].env)
        override = self.overrides.get((environment, service))
        own = (("environments", environment, service, "env"), override.env if override else {})
        for path, values in (common, own):
            for name, value in values.items():
                if values is not common[1] or name not in own[1]:
                    variable = value if isinstance(value, schema.Variable) else schema.Variable(value=value)
                    yield DeclaredVariable(name, variable, (*path, name))

    def _is_secret(self, declared: DeclaredVariable) -> bool:
        marked = True if declared.variable.generate else declared.variable.secret
        return is_secret(declared.name, declared.template, self.variables) if marked is None else marked

    def _is_omitted(self, declared: DeclaredVariable) -> bool:
        return not declared.variable.required and bool(unset_references(declared.template, self.variables))

    def _value_faults(self, environment: str, service: str) -> Iterator[Fault]:
        """Yield the variables that are not set or not valid, never their values."""
        for declared in self.declared_variables(environment, service):
            unset = unset_references(declared.template, self.variables)
            if unset and declared.variable.generate:
                platform = self.platform_settings.get((environment, service), (LOCAL, None))[0]
                if platform != LOCAL:
                    text = f"${{{declared.name}}} is not set, and abreast makes up values on `local` only"
                    yield self.document.fault(declared.path, text)
            elif unset and declared.variable.required:
                yield from (self.document.fault(declared.path, f"${{{name}}} is not set") for name in unset)
            elif not unset:
                expected = expected_format(
                    interpolate(declared.template, self.variables), declared.variable.format, declared.variable.pattern
                )
                if expected:
                    yield self.document.fault(declared.path, f"the value of {declared.name} is not {expected}")

    def _variable_faults(self, environment: str, service: str) -> Iterator[Fault]:
        config = self.project.services[service]
        for declared in self.declared_variables(environment, service):
            name = declared.name
            if name == "PORT" or name.startswith("ABREAST_"):
                yield self.document.fault(declared.path, "set by abreast; choose another name", at_key=True)
            for key in ("value", "secret", "format", "pattern") if declared.variable.generate else ():
                if getattr(declared.variable, key) is not None:
                    yield self.document.fault((*declared.path, key), "not allowed with `generate`", at_key=True)
            if not self._is_secret(declared):
                continue
            if not references(declared.template):
                text = f"plain-text secret; write ${{{name}}} and set that variable where abreast runs"
                yield self.document.fault(declared.path, text)
            for where, command in _commands(config).items():
                if command and name in shell_variables(command):
                    text = f"${name} would be visible in the process list; read it from the environment instead"
                    yield self.document.fault(("services", service, *where), text)

    def _port_faults(self, environment: str, service: str) -> Iterator[Fault]:
        settings = self._settings_with_ports(environment)
        own = settings[service]
        path = ("environments", environment, service, "local")
        if not self._has_port(service):
            for key in own.keys() & {"port", "app_port"}:
                yield self.document.fault((*path, key), "only a web service has a port", at_key=True)
            return
        if "app_port" in own and not self.project.services[service].run:
            yield self.document.fault((*path, "app_port"), "only a service with `run` listens by itself", at_key=True)
        for other, theirs in settings.items():
            if "app_port" in own and own["app_port"] in _ports(theirs, is_own=other == service):
                is_app = other != service and own["app_port"] == theirs.get("app_port")
                remedy = "let the code of one of them read PORT" if is_app else "set another port for users"
                message = f"port {own['app_port']} is also used by {other}; {remedy}"
                yield self.document.fault((*path, "app_port"), message)
            if other == service or "port" not in own or own["port"] != theirs.get("port"):
                continue
            if not (own.get("host") and theirs.get("host")) or own["host"] == theirs["host"]:
                message = f"port {own['port']} is also used by {other}; set another port, or a host for each"
                yield self.document.fault((*path, "port"), message)

    def _has_port(self, service: str) -> bool:
        config = self.project.services[service]
        return config.type == "web" and config.schedule is None

    def _settings_with_ports(self, environment: str) -> dict[str, dict[str, str | int]]:
        """Return each service's settings. A web service without a port gets the next free one from 8080 on."""
        settings_by_service: dict[str, dict[str, str | int]] = {}
        for service in self.project.services:
            configured = self.platform_settings.get((environment, service))
            settings_by_service[service] = configured[1].model_dump(exclude_none=True) if configured else {}
        taken = {
            settings[key]
            for settings in settings_by_service.values()
            for key in ("port", "app_port")
            if key in settings
        }
        free = (port for port in range(FIRST_PORT, 65536) if port not in taken)
        for service, settings in settings_by_service.items():
            if "port" not in settings and self._has_port(service):
                settings["port"] = next(free)
        return settings_by_service


def _ports(settings: Mapping[str, str | int], *, is_own: bool) -> set[str | int | None]:
    """Return the ports that a service takes, but for what its own code listens on."""
    return {settings.get("port"), None if is_own else settings.get("app_port")} - {None}


def _resolve_build(config: schema.Service) -> Build:
    """Return how a service is built, with paths relative to the project."""
    build, folder = config.build, service_folder(config)
    return Build(
        run=build.run,
        output=in_folder(folder, build.output),
        timeout=build.timeout,
        install=build.install,
        image=build.image,
        dockerfile=in_folder(folder, build.dockerfile),
    )


def _resolve_health(config: schema.Service, health: instance_schema.Health, platform: str) -> HealthSettings:
    """Return a service's health check. A folder on ``local`` need not hold: what serves it serves users already."""
    failing_status = CLIENT_ERROR if health.path or not config.run else SERVER_ERROR
    found = HealthSettings(**health.model_dump(exclude_none=True), failing_status=failing_status)
    is_local_folder = platform == LOCAL and not config.run
    return replace(found, hold=0.0) if is_local_folder and health.hold is None else found


def _commands(config: schema.Service) -> dict[tuple[str, ...], str | None]:
    """Return the commands of a service that run with its secrets, by their keys."""
    return {
        ("run",): config.run,
        ("build", "install"): config.build.install,
        ("build", "run"): config.build.run,
        ("release", "run"): config.release.run if config.release else None,
        ("health", "command"): config.health.command,
    }
