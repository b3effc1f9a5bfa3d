"""``render.yaml``, which Render calls a blueprint: read for what abreast.yml leaves open, held against it, written.

https://render.com/docs/blueprint-spec
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from abreast.config.yaml import Value, read
from abreast.core.errors import ConfigError, Fault
from abreast.core.model import Environment, Service
from abreast.core.remarks import Level, Remark

FILE = "render.yaml"
LONGEST = 300
"""Seconds that Render lets a service take to end, at most."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the file says of one service; None where it says nothing."""

    start: str | None = None
    health: str | None = None
    instances: int | None = None
    pre_deploy: str | None = None
    disk: str | None = None
    deploys_itself: bool = False


def blueprints(root: Path) -> dict[str, Blueprint]:
    """Return the services of the folder's ``render.yaml`` by name, none without one; raises ConfigError."""
    file = root / FILE
    if not file.is_file():
        return {}
    try:
        value = read(FILE, file.read_bytes()).value
    except OSError as error:
        raise ConfigError([Fault(FILE, 1, 1, f"cannot be read: {error.strerror}")]) from error
    services = value.get("services") if isinstance(value, dict) else None
    known = [one for one in services if isinstance(one, dict)] if isinstance(services, list) else []
    return {str(one.get("name")): _blueprint(one) for one in known}


def _blueprint(said: dict[str, Value]) -> Blueprint:
    disk = said.get("disk")
    auto = said.get("autoDeploy", True)
    trigger = said.get("autoDeployTrigger", "commit" if auto not in (False, "no") else "off")
    instances = said.get("numInstances")
    return Blueprint(
        start=_text(said.get("startCommand") or said.get("dockerCommand")),
        health=_path(said.get("healthCheckPath")),
        instances=instances if isinstance(instances, int) else None,
        pre_deploy=_text(said.get("preDeployCommand")),
        disk=_text(disk.get("mountPath")) if isinstance(disk, dict) else None,
        deploys_itself=trigger not in ("off", False),
    )


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _path(value: Value) -> str | None:
    """Return a path as abreast.yml takes it; Render takes one without the slash too."""
    text = "/" + value.lstrip("/") if isinstance(value, str) else ""
    return text if re.fullmatch(r"/[!-~]*", text) else None


def compared(environment: Environment, blueprints: Mapping[str, Blueprint]) -> Iterator[Remark]:
    """Yield where the file and abreast.yml do not agree about a service on Render."""
    for service in environment.services:
        said = blueprints.get(service.name)
        if said is None or service.platform != "render":
            continue
        about = f"{service.name} ({FILE})"
        for key, theirs, ours in (
            ("healthCheckPath", said.health, service.health.path),
            ("numInstances", said.instances, service.settings.get("instances")),
            ("preDeployCommand", said.pre_deploy, service.settings.get("pre_deploy")),
            ("disk.mountPath", said.disk, service.settings.get("disk")),
        ):
            if theirs is not None and ours is not None and theirs != ours:
                yield Remark(
                    Level.WARNING, about, f"{key} is {theirs!r} there, and {ours!r} in abreast.yml", "one of them"
                )
        if said.deploys_itself:
            what = "its auto-deploy is on there, and would be again with the next sync of the blueprint"
            yield Remark(Level.WARNING, about, what, "autoDeployTrigger: off")
        if said.disk and (said.instances or 1) > 1:
            yield Remark(Level.FAULT, about, f"{said.instances} instances with a disk", "one instance, or no disk")


def written(environment: Environment, root: Path) -> str:
    """Return a ``render.yaml`` with the services that the environment has on Render; "" where there is none."""
    services = [_said(one, environment.drain, root) for one in environment.services if one.platform == "render"]
    return yaml.safe_dump({"services": services}, sort_keys=False) if services else ""


def _said(service: Service, drain: float, root: Path) -> dict[str, object]:
    image, disk = service.settings.get("image"), service.settings.get("disk")
    runtime = "image" if image else _runtime(root)
    commands = (
        {} if runtime in {"image", "docker"} else {"buildCommand": service.build.run, "startCommand": service.run}
    )
    told: dict[str, object] = {
        "type": "web",
        "name": service.name,
        "runtime": runtime,
        "image": {"url": str(image).partition("$")[0].rstrip(":")} if image else None,
        **commands,
        "preDeployCommand": service.settings.get("pre_deploy"),
        "healthCheckPath": service.health.path,
        "maxShutdownDelaySeconds": min(LONGEST, max(1, round(drain))),
        "numInstances": None if disk else service.settings.get("instances"),
        "disk": {"name": "data", "mountPath": disk, "sizeGB": 1} if disk else None,
        "autoDeployTrigger": "off",
        "envVars": [
            *({"key": name, "value": value} for name, value in service.env.items()),
            *({"key": name, "sync": False} for name in service.secrets),
        ],
    }
    return {key: value for key, value in told.items() if value not in (None, [])}


def _runtime(root: Path) -> str:
    marks = {"docker": "Dockerfile", "node": "package.json", "go": "go.mod", "rust": "Cargo.toml", "ruby": "Gemfile"}
    return next((runtime for runtime, file in marks.items() if (root / file).is_file()), "python")
