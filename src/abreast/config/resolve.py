"""One environment's services: what is common, what differs there, and its variables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from abreast.config import schema
from abreast.config.checks import names_in
from abreast.config.gates import gates
from abreast.config.variables import filled, is_secret, missing, references
from abreast.config.yaml import Document, Path
from abreast.core.errors import ConfigError, Fault
from abreast.core.formats import wrong
from abreast.core.model import Breaking, Build, DatabaseSettings, Environment, Health, OnFailure, Service

FIRST_PORT = 8080
ENGINES = ("sqlite:///", "postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Said:
    """A variable as the file says it, and where."""

    name: str
    variable: schema.Variable
    path: Path

    @property
    def template(self) -> str:
        """What its value is looked up by."""
        return f"${{{self.name}}}" if self.variable.value is None else self.variable.value


@dataclass(frozen=True, slots=True)
class Resolver:
    """A checked file, ready to be made into environments."""

    document: Document
    project: schema.Project
    overrides: Mapping[tuple[str, str], schema.InEnvironment]
    settings: Mapping[tuple[str, str], tuple[str, BaseModel]]
    gate_plugins: Mapping[str, BaseModel]
    variables: Mapping[str, str]

    def environment(self, name: str) -> Environment:
        """Return an environment; raises ConfigError for variables that are not set."""
        found = [fault for service in self.project.services for fault in self._wrong_values(name, service)]
        if found:
            raise ConfigError(sorted(set(found)), next="export them, or give a default: ${NAME:-value}")
        described = self.project.environments[name]
        ports = self._ports(name)
        return Environment(
            name,
            tuple(self._service(name, service, ports[service]) for service in self.project.services),
            described.settle,
            described.drain,
            OnFailure(described.on_failure or self.project.on_failure),
            gates(self.project, name, self.gate_plugins),
            tuple(described.may_skip),
            self._rotations(name),
            described.tag,
            Breaking(described.breaking or ("block" if name == "production" else "warn")),
            described.objectives.rto,
            described.objectives.rpo,
        )

    def _rotations(self, environment: str) -> dict[str, float]:
        """Return how old secrets may get, in seconds, by ``service/NAME``."""
        return {
            f"{service}/{one.name}": one.variable.rotate_after
            for service in self.project.services
            for one in self.said(environment, service)
            if one.variable.rotate_after and self._secret(one)
        }

    def drift(self) -> Iterator[str]:
        """Yield variables that a service has in staging and not in production, or the other way round."""
        pair = ("staging", "production")
        if not set(pair) <= set(self.project.environments):
            return
        for service in self.project.services:
            first, second = ({one.name for one in self.said(name, service)} for name in pair)
            for names, here, there in ((first - second, *pair), (second - first, *reversed(pair))):
                for name in sorted(names):
                    yield f"{service} has {name} in {here}, and not in {there}"

    def faults(self) -> list[Fault]:
        """Return what is wrong with variables and ports in any environment."""
        return [
            fault
            for name in self.project.environments
            for service in self.project.services
            for fault in (
                *self._variable_faults(name, service),
                *self._port_faults(name, service),
                *self._database_faults(name, service),
                *self._route_faults(name, service),
            )
        ]

    def _service(self, environment: str, name: str, settings: dict[str, str | int]) -> Service:
        said = self.project.services[name]
        over = self.overrides.get((environment, name), schema.InEnvironment(env={}))
        meant = [one for one in self.said(environment, name) if not self._left_out(one)]
        secret = {one.name for one in meant if self._secret(one)}
        variables = {one.name: one.template for one in meant}
        return Service(
            name=name,
            platform=self.settings.get((environment, name), ("local", None))[0],
            settings=settings,
            watch=tuple(said.watch),
            uses=tuple(said.uses),
            needs=tuple(said.needs),
            build=Build(said.build.run, said.build.output, said.build.timeout, said.build.image, said.build.dockerfile),
            run=said.run,
            instances=over.instances or said.instances,
            health=Health(said.health.path, said.health.within, said.health.start, said.health.hold),
            env={one: filled(text, self.variables) for one, text in variables.items() if one not in secret},
            secrets={one: text for one, text in variables.items() if one in secret},
            database=self._database(environment, name),
        )

    def _database(self, environment: str, service: str) -> DatabaseSettings | None:
        _, said = self._said_database(environment, service)
        return DatabaseSettings(**said.model_dump()) if said else None

    def _said_database(self, environment: str, service: str) -> tuple[Path, schema.Database | None]:
        over = self.overrides.get((environment, service))
        if over and over.database:
            return ("environments", environment, service, "database"), over.database
        return ("services", service, "database"), self.project.services[service].database

    def _database_faults(self, environment: str, service: str) -> Iterator[Fault]:
        path, said = self._said_database(environment, service)
        if said is None:
            return
        if said.migrations and said.command:
            yield self.document.fault((*path, "command"), "either a folder of migrations, or a command", at_key=True)
        for key in ("status", "down"):
            if getattr(said, key) and not said.command:
                yield self.document.fault(
                    (*path, key), "it belongs to a `command`; files say it themselves", at_key=True
                )
        for key, template in (("url", said.url), ("scratch", said.scratch)):
            if template and not references(template) and is_secret("", template, self.variables):
                yield self.document.fault(
                    (*path, key), "a secret in clear: write ${NAME} and set it where abreast runs"
                )
        if not missing(said.url, self.variables) and not filled(said.url, self.variables).startswith(ENGINES):
            yield self.document.fault((*path, "url"), "needed: sqlite:///… or postgresql://…")

    def said(self, environment: str, service: str) -> Iterator[Said]:
        """Yield a service's variables; the environment's own instead of the common."""
        common = (("services", service, "env"), self.project.services[service].env)
        over = self.overrides.get((environment, service))
        own = (("environments", environment, service, "env"), over.env if over else {})
        for path, said in (common, own):
            for name, value in said.items():
                if said is not common[1] or name not in own[1]:
                    whole = value if isinstance(value, schema.Variable) else schema.Variable(value=value)
                    yield Said(name, whole, (*path, name))

    def _secret(self, one: Said) -> bool:
        marked = one.variable.secret
        return is_secret(one.name, one.template, self.variables) if marked is None else marked

    def _left_out(self, one: Said) -> bool:
        return not one.variable.required and bool(missing(one.template, self.variables))

    def _wrong_values(self, environment: str, service: str) -> Iterator[Fault]:
        """Yield what is not set, or not as it must be; never what it is."""
        for one in self.said(environment, service):
            unset = missing(one.template, self.variables)
            if unset and one.variable.required:
                yield from (self.document.fault(one.path, f"${{{name}}} is not set") for name in unset)
            elif not unset:
                needed = wrong(filled(one.template, self.variables), one.variable.format, one.variable.pattern)
                if needed:
                    yield self.document.fault(one.path, f"the value of {one.name} is not {needed}")

    def _variable_faults(self, environment: str, service: str) -> Iterator[Fault]:
        said = self.project.services[service]
        for one in self.said(environment, service):
            name = one.name
            if name == "PORT" or name.startswith("ABREAST_"):
                yield self.document.fault(one.path, f"{name} is set by abreast", at_key=True)
            if not self._secret(one):
                continue
            if not references(one.template):
                text = f"a secret in clear: write ${{{name}}} and set it where abreast runs"
                yield self.document.fault(one.path, text)
            for where, command in ((("run",), said.run), (("build", "run"), said.build.run)):
                if command and name in names_in(command):
                    text = f"${name} would stand in the list of processes: let the program read it from its environment"
                    yield self.document.fault(("services", service, *where), text)

    def _port_faults(self, environment: str, service: str) -> Iterator[Fault]:
        mine = self._ports(environment)[service]
        for other, theirs in self._ports(environment).items():
            if other == service or mine["port"] != theirs["port"]:
                continue
            if not (mine.get("host") and theirs.get("host")) or mine["host"] == theirs["host"]:
                path = ("environments", environment, service, "local", "port")
                yield self.document.fault(
                    path, f"port {mine['port']} is {other}'s too: give each a host, or another port"
                )

    def _route_faults(self, environment: str, service: str) -> Iterator[Fault]:
        """Yield routes that lead to no other service."""
        platform, settings = self.settings.get((environment, service), ("", None))
        for path, target in getattr(settings, "routes", {}).items():
            if target == service or target not in self.project.services:
                others = ", ".join(name for name in self.project.services if name != service)
                where = ("environments", environment, service, platform, "routes", path)
                yield self.document.fault(where, f"{target!r} is not another service; there are: {others}")

    def _ports(self, environment: str) -> dict[str, dict[str, str | int]]:
        """Return each service's settings, with a port of its own from 8080 on where none is given."""
        found: dict[str, dict[str, str | int]] = {}
        for service in self.project.services:
            said = self.settings.get((environment, service))
            found[service] = said[1].model_dump(exclude_none=True) if said else {}
        taken = {settings["port"] for settings in found.values() if "port" in settings}
        free = (port for port in range(FIRST_PORT, 65536) if port not in taken)
        for settings in found.values():
            if "port" not in settings:
                settings["port"] = next(free)
        return found
