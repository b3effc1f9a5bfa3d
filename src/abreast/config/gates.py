"""The gates that abreast.yml asks for."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from abreast.config import schema
from abreast.core.gates import TEST, Allowed, Gate, Scan, Severity, Threshold

QUICK = frozenset({Scan.SECRETS, Scan.DEPENDENCIES})
"""Scans that every environment asks for."""


def gates(project: schema.Project, environment: str, plugins: Mapping[str, BaseModel]) -> tuple[Gate, ...]:
    """Return what an environment asks for: each service's tests, the project's own commands, scans, plug-ins."""
    described = project.environments[environment]
    thorough = described.gates == "full" or (described.gates is None and environment == "production")
    return (
        *_tests(project),
        *_commands(project),
        *_scans(project, thorough=thorough),
        *_plugins(project, plugins, thorough=thorough),
    )


def _tests(project: schema.Project) -> Iterator[Gate]:
    asked = project.gates.coverage
    threshold = Threshold(asked.total, asked.changed) if asked else None
    for name, service in project.services.items():
        if test := service.test:
            yield Gate(
                TEST,
                name,
                run=test.run,
                timeout=test.timeout,
                env=test.env,
                reports=tuple(test.reports),
                coverage=tuple(test.coverage),
                threshold=threshold,
            )


def _commands(project: schema.Project) -> Iterator[Gate]:
    for name, command in (project.gates.model_extra or {}).items():
        yield Gate(name, run=command.run, timeout=command.timeout, env=command.env)


def _scans(project: schema.Project, *, thorough: bool) -> Iterator[Gate]:
    for scan in Scan:
        said: schema.Scan | None = getattr(project.gates, scan)
        if said and (thorough or scan in QUICK):
            usual = Severity.LOW if scan is Scan.SECRETS else Severity.HIGH
            yield Gate(
                scan.value,
                timeout=said.timeout,
                env=said.env,
                runner="scan",
                scan=scan,
                block=Severity(said.block) if said.block else usual,
                unknown=said.unknown == "allow",
                thorough=thorough,
                largest=round(said.size) if isinstance(said, schema.ImageScan) else 0,
                allow=_allowed(project, scan),
            )


def _plugins(project: schema.Project, plugins: Mapping[str, BaseModel], *, thorough: bool) -> Iterator[Gate]:
    for name, settings in plugins.items():
        allow = _allowed(project, name)
        yield Gate(name, runner=name, settings=settings.model_dump(mode="json"), thorough=thorough, allow=allow)


def _allowed(project: schema.Project, gate: str) -> tuple[Allowed, ...]:
    return tuple(
        Allowed(one.gate, one.rule, one.path, one.owner, one.reason, one.expires)
        for one in project.allow
        if one.gate == gate
    )
