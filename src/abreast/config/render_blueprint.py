"""Read, compare and generate ``render.yaml``, Render's blueprint.

https://render.com/docs/blueprint-spec
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from abreast.config.yaml_document import YamlValue, parse_document
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.environment import Environment
from abreast.core.errors import ConfigError, Fault
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Service, ServiceType

BLUEPRINT_FILE = "render.yaml"
_BLUEPRINT_TYPES = {ServiceType.WEB: "web", ServiceType.WORKER: "worker", ServiceType.SCHEDULED: "cron"}
MAX_SHUTDOWN_DELAY = 300
"""Render's maximum, in seconds."""


@dataclass(frozen=True, slots=True)
class BlueprintService:
    """One service of a blueprint. None stands for a setting that is not in the file."""

    start_command: str | None = None
    health_path: str | None = None
    instances: int | None = None
    pre_deploy: str | None = None
    schedule: str | None = None
    disk_path: str | None = None
    auto_deploys: bool = False


def read_blueprint(root: Path) -> dict[str, BlueprintService]:
    """Return the services in the folder's ``render.yaml`` by name. Raises ConfigError if it is not valid."""
    file = root / BLUEPRINT_FILE
    if not file.is_file():
        return {}
    try:
        value = parse_document(BLUEPRINT_FILE, file.read_bytes()).value
    except OSError as error:
        raise ConfigError([Fault(BLUEPRINT_FILE, 1, 1, f"cannot be read: {error.strerror}")]) from error
    services = value.get("services") if isinstance(value, dict) else None
    entries = [service for service in services if isinstance(service, dict)] if isinstance(services, list) else []
    return {str(entry.get("name")): _parse_service(entry) for entry in entries}


def _parse_service(service: dict[str, YamlValue]) -> BlueprintService:
    disk = service.get("disk")
    auto = service.get("autoDeploy", True)
    trigger = service.get("autoDeployTrigger", "commit" if auto not in (False, "no") else "off")
    instances = service.get("numInstances")
    return BlueprintService(
        start_command=_text_or_none(service.get("startCommand") or service.get("dockerCommand")),
        health_path=_health_path(service.get("healthCheckPath")),
        instances=instances if isinstance(instances, int) else None,
        pre_deploy=_text_or_none(service.get("preDeployCommand")),
        schedule=_text_or_none(service.get("schedule")),
        disk_path=_text_or_none(disk.get("mountPath")) if isinstance(disk, dict) else None,
        auto_deploys=trigger not in ("off", False),
    )


def _text_or_none(value: YamlValue) -> str | None:
    return value if isinstance(value, str) else None


def _health_path(value: YamlValue) -> str | None:
    """Return a path as abreast.yml expects it. Render also accepts one without the leading slash."""
    text = "/" + value.lstrip("/") if isinstance(value, str) else ""
    return text if re.fullmatch(r"/[!-~]*", text) else None


def diagnose_blueprint(
    environment: Environment, blueprint_services: Mapping[str, BlueprintService]
) -> Iterator[Diagnostic]:
    """Yield the differences between the blueprint and abreast.yml, for services on Render."""
    for service in environment.services:
        blueprint = blueprint_services.get(service.name)
        if blueprint is None or service.platform != "render":
            continue
        subject = f"{service.name} ({BLUEPRINT_FILE})"
        for key, theirs, ours in (
            ("healthCheckPath", blueprint.health_path, service.health.path if service.has_address else None),
            ("numInstances", blueprint.instances, service.settings.get("instances")),
            ("preDeployCommand", blueprint.pre_deploy, _pre_deploy_command(service)),
            ("schedule", blueprint.schedule, service.schedule),
            ("disk.mountPath", blueprint.disk_path, service.settings.get("disk")),
        ):
            if theirs is not None and ours is not None and theirs != ours:
                yield Diagnostic(
                    DiagnosticSeverity.WARNING,
                    subject,
                    f"{key} is {theirs!r} there, but {ours!r} in abreast.yml",
                    "the same value in both files",
                )
        if blueprint.auto_deploys:
            what = "auto-deploy is on there, and the next sync of the blueprint turns it on again"
            yield Diagnostic(DiagnosticSeverity.WARNING, subject, what, "autoDeployTrigger: off")
        if blueprint.disk_path and (blueprint.instances or 1) > 1:
            yield Diagnostic(
                DiagnosticSeverity.FAULT,
                subject,
                f"{blueprint.instances} instances share a disk, which Render does not support",
                "one instance or no disk",
            )


def generate_blueprint(environment: Environment, root: Path) -> str:
    """Return a ``render.yaml`` for the environment's services on Render, "" if there are none.

    Cron jobs without a ``schedule`` are left out: theirs is at Render only.
    """
    services = [
        _service_definition(service, environment.drain, root)
        for service in environment.services
        if service.platform == "render"
        and (service.schedule or not str(service.settings.get("service")).startswith("crn-"))
    ]
    return yaml.safe_dump({"services": services}, sort_keys=False) if services else ""


def _service_definition(service: Service, drain: float, root: Path) -> dict[str, object]:
    image, disk = service.settings.get("image"), service.settings.get("disk")
    autoscaling = service.settings.get("autoscaling")
    runtime = "image" if image else _runtime(root / service.folder)
    build = " && ".join(filter(None, (service.build.install, service.build.run))) or None
    commands = {} if runtime in {"image", "docker"} else {"buildCommand": build, "startCommand": service.run}
    always_runs = service.type is not ServiceType.SCHEDULED
    definition: dict[str, object] = {
        "type": _BLUEPRINT_TYPES[service.type],
        "name": service.name,
        "runtime": runtime,
        "rootDir": service.folder or None,
        "image": {"url": str(image).partition("$")[0].rstrip(":")} if image else None,
        **commands,
        "schedule": service.schedule,
        "preDeployCommand": _pre_deploy_command(service),
        "healthCheckPath": service.health.path if service.has_address else None,
        "maxShutdownDelaySeconds": min(MAX_SHUTDOWN_DELAY, max(1, round(drain))) if always_runs else None,
        "numInstances": None if disk else service.settings.get("instances"),
        "scaling": _scaling(autoscaling) if isinstance(autoscaling, Mapping) else None,
        "disk": {"name": "data", "mountPath": disk, "sizeGB": 1} if disk else None,
        "autoDeployTrigger": "off",
        "envVars": [
            *({"key": name, "value": value} for name, value in service.env.items()),
            *({"key": name, "sync": False} for name in service.secrets),
        ],
    }
    return {key: value for key, value in definition.items() if value not in (None, [])}


def _pre_deploy_command(service: Service) -> object:
    return service.settings.get("pre_deploy") or (service.release.run if service.release else None)


def _scaling(autoscaling: Mapping[str, str | int]) -> dict[str, str | int]:
    names = {"min": "minInstances", "max": "maxInstances", "cpu": "targetCPUPercent", "memory": "targetMemoryPercent"}
    return {names[key]: value for key, value in autoscaling.items()}


def _runtime(root: Path) -> str:
    marker_files = {
        "docker": "Dockerfile",
        "node": "package.json",
        "go": "go.mod",
        "rust": "Cargo.toml",
        "ruby": "Gemfile",
    }
    return next((runtime for runtime, file in marker_files.items() if (root / file).is_file()), "python")
