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
from abreast.core.model import Build, Environment, Health, OnFailure, Service

FIRST_PORT = 8080


@dataclass(frozen=True, slots=True)
class Resolver:
    """A checked file, ready to be made into environments."""

    document: Document
    project: schema.Project
    overrides: Mapping[tuple[str, str], schema.InEnvironment]
    settings: Mapping[tuple[str, str], tuple[str, BaseModel]]
    variables: Mapping[str, str]

    def environment(self, name: str) -> Environment:
        """Return an environment; raises ConfigError for variables that are not set."""
        unset = [fault for service in self.project.services for fault in self._unset(name, service)]
        if unset:
            raise ConfigError(sorted(set(unset)), next="export them, or give a default: ${NAME:-value}")
        described = self.project.environments[name]
        ports = self._ports(name)
        return Environment(
            name,
            tuple(self._service(name, service, ports[service]) for service in self.project.services),
            described.settle,
            described.drain,
            OnFailure(described.on_failure or self.project.on_failure),
            gates(self.project, name),
            tuple(described.may_skip),
        )

    def faults(self) -> list[Fault]:
        """Return what is wrong with variables and ports in any environment."""
        return [
            fault
            for name in self.project.environments
            for service in self.project.services
            for fault in (
                *self._variable_faults(name, service),
                *self._port_faults(name, service),
                *self._route_faults(name, service),
            )
        ]

    def _service(self, environment: str, name: str, settings: dict[str, str | int]) -> Service:
        said = self.project.services[name]
        over = self.overrides.get((environment, name), schema.InEnvironment(env={}))
        variables = {one: template for one, template, _, _ in self._variables(environment, name)}
        secret = {
            one
            for one, template, marked, _ in self._variables(environment, name)
            if self._secret(one, template, marked)
        }
        return Service(
            name=name,
            platform=self.settings.get((environment, name), ("local", None))[0],
            settings=settings,
            watch=tuple(said.watch),
            uses=tuple(said.uses),
            needs=tuple(said.needs),
            build=Build(said.build.run, said.build.output, said.build.timeout),
            run=said.run,
            instances=over.instances or said.instances,
            health=Health(said.health.path, said.health.within, said.health.start, said.health.hold),
            env={one: filled(text, self.variables) for one, text in variables.items() if one not in secret},
            secrets={one: text for one, text in variables.items() if one in secret},
        )

    def _variables(self, environment: str, service: str) -> Iterator[tuple[str, str, bool | None, Path]]:
        """Yield each variable's name, template, mark and place; the environment's own instead of the common."""
        common = (("services", service, "env"), self.project.services[service].env)
        over = self.overrides.get((environment, service))
        own = (("environments", environment, service, "env"), over.env if over else {})
        for path, said in (common, own):
            for name, value in said.items():
                if said is common[1] and name in own[1]:
                    continue
                if isinstance(value, schema.Variable):
                    yield name, value.value, value.secret, (*path, name)
                else:
                    yield name, value, None, (*path, name)

    def _secret(self, name: str, template: str, marked: bool | None) -> bool:
        return is_secret(name, template, self.variables) if marked is None else marked

    def _unset(self, environment: str, service: str) -> Iterator[Fault]:
        for _, template, _, path in self._variables(environment, service):
            for name in missing(template, self.variables):
                yield self.document.fault(path, f"${{{name}}} is not set")

    def _variable_faults(self, environment: str, service: str) -> Iterator[Fault]:
        said = self.project.services[service]
        for name, template, marked, path in self._variables(environment, service):
            if name == "PORT" or name.startswith("ABREAST_"):
                yield self.document.fault(path, f"{name} is set by abreast", at_key=True)
            if not self._secret(name, template, marked):
                continue
            if not references(template):
                yield self.document.fault(path, f"a secret in clear: write ${{{name}}} and set it where abreast runs")
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
