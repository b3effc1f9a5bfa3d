"""The gates that abreast.yml configures."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from abreast.config import gate_schema, schema
from abreast.config.service_folder import globs_in_folder, service_folder
from abreast.core.gates import TEST, AllowlistEntry, CoverageThreshold, Gate, ScanKind, Severity

QUICK_SCANS = frozenset({ScanKind.SECRETS, ScanKind.DEPENDENCIES})
"""Scans that run in every environment."""


def build_gates(project: schema.Project, environment: str, plugins: Mapping[str, BaseModel]) -> tuple[Gate, ...]:
    """Return the gates of an environment: the services' tests, the project's commands, scans and plug-ins."""
    config = project.environments[environment]
    thorough = config.gates == "full" or (config.gates is None and environment == "production")
    return (
        *_test_gates(project),
        *_command_gates(project),
        *_scan_gates(project, thorough=thorough),
        *_plugin_gates(project, plugins, thorough=thorough),
    )


def _test_gates(project: schema.Project) -> Iterator[Gate]:
    coverage = project.gates.coverage
    threshold = CoverageThreshold(coverage.total, coverage.changed) if coverage else None
    for name, service in project.services.items():
        if test := service.test:
            folder = service_folder(service)
            yield Gate(
                TEST,
                name,
                folder=folder,
                run=test.run,
                timeout=test.timeout,
                env=test.env,
                reports=globs_in_folder(folder, test.reports),
                coverage=globs_in_folder(folder, test.coverage),
                threshold=threshold,
            )


def _command_gates(project: schema.Project) -> Iterator[Gate]:
    for name, command in (project.gates.model_extra or {}).items():
        yield Gate(name, run=command.run, timeout=command.timeout, env=command.env)


def _scan_gates(project: schema.Project, *, thorough: bool) -> Iterator[Gate]:
    for scan in ScanKind:
        config: gate_schema.Scan | None = getattr(project.gates, scan)
        if config and (thorough or scan in QUICK_SCANS):
            default_severity = Severity.LOW if scan is ScanKind.SECRETS else Severity.HIGH
            yield Gate(
                scan.value,
                timeout=config.timeout,
                env=config.env,
                runner="scan",
                scan=scan,
                min_severity=Severity(config.block) if config.block else default_severity,
                pass_if_unknown=config.unknown == "allow",
                include_artifacts=thorough,
                since=config.since if isinstance(config, gate_schema.SecretScan) else None,
                max_image_bytes=round(config.size) if isinstance(config, gate_schema.ImageScan) else 0,
                allowlist=_allowlist(project, scan),
            )


def _plugin_gates(project: schema.Project, plugins: Mapping[str, BaseModel], *, thorough: bool) -> Iterator[Gate]:
    for name, settings in plugins.items():
        allow = _allowlist(project, name)
        yield Gate(
            name, runner=name, settings=settings.model_dump(mode="json"), include_artifacts=thorough, allowlist=allow
        )


def _allowlist(project: schema.Project, gate: str) -> tuple[AllowlistEntry, ...]:
    return tuple(
        AllowlistEntry(entry.gate, entry.rule, entry.path, entry.owner, entry.reason, entry.expires)
        for entry in project.allow
        if entry.gate == gate
    )
