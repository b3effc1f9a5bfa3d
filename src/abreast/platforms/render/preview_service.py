"""The service of a preview: how it is made like its base, how abreast knows it again, what a plan says of it."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from abreast.core.model import Service
from abreast.platforms.preview_names import preview_label
from abreast.platforms.render.resources import RenderService, ServiceDetails, ServiceType
from abreast.platforms.render.service_types import SWITCH_NOTE

MARK_VARIABLE = "ABREAST_PREVIEW"
"""The variable of a preview's service that says for which base service and which preview abreast created it."""

MAX_NAME_LENGTH = 50
"""Leaves room in a label of DNS for what Render appends to a name that is taken."""

_CUT_NAME = re.compile(r".*-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class PreviewBase:
    """The base service, and the names of the variables and secret files that it has, also by groups."""

    found: RenderService
    variables: Collection[str] = ()
    files: Collection[str] = ()


def service_name(base: RenderService, preview: str) -> str:
    """Return the name of a preview's service."""
    return preview_label(f"{base.name}-{preview}", MAX_NAME_LENGTH)


def may_be_named(name: str, preview: str) -> bool:
    """Whether the service of a preview may have this name, whatever its base is called. A cut name ends in a digest."""
    return name.endswith(f"-{preview}") or _CUT_NAME.fullmatch(name) is not None


def mark_value(service: Service) -> str:
    """Return the value of the mark of a preview's service."""
    return f"{service.settings['preview']} of {service.settings['base']}"


def description(
    base: RenderService, service: Service, image: str, env: Mapping[str, str], files: Mapping[str, str]
) -> dict[str, object]:
    """Return what Render creates the service from: like ``base``, with one instance, no disk, and its own variables.

    ``image`` is the image to deploy, "" for a service that Render builds.
    """
    env = {**env, MARK_VARIABLE: mark_value(service)}
    return {
        "type": base.type.value,
        "name": service_name(base, str(service.settings["preview"])),
        "ownerId": base.owner_id,
        "autoDeploy": "no",
        "envVars": [{"key": name, "value": value} for name, value in env.items()],
        "secretFiles": [{"name": name, "content": content} for name, content in files.items()],
        "serviceDetails": _details(base.type, base.details),
        **(_image(base, image) if base.image_path else _source(base)),
    }


def _source(base: RenderService) -> dict[str, object]:
    return _without_none({"repo": base.repo, "branch": base.branch, "rootDir": base.root_dir or None})


def _image(base: RenderService, image: str) -> dict[str, object]:
    credential = base.registry_credential.id if base.registry_credential else None
    path = {"ownerId": base.owner_id, "imagePath": image or base.image_path, "registryCredentialId": credential}
    return {"image": _without_none(path)}


def _details(kind: ServiceType, base: ServiceDetails) -> dict[str, object]:
    if kind is ServiceType.STATIC:
        site = {"buildCommand": base.build_command, "publishPath": base.publish_path, "ipAllowList": base.ip_allow_list}
        return _without_none(site)
    specific = base.env_specific
    credential = specific.registry_credential.id if specific.registry_credential else None
    commands = {
        "buildCommand": specific.build_command, "startCommand": specific.start_command,
        "dockerCommand": specific.docker_command, "dockerContext": specific.docker_context,
        "dockerfilePath": specific.dockerfile_path, "registryCredentialId": credential,
    }  # fmt: skip
    details: dict[str, object] = {
        "runtime": base.runtime, "envSpecificDetails": _without_none(commands), "plan": base.plan,
        "region": base.region,
    }  # fmt: skip
    if kind is ServiceType.CRON:
        return _without_none({**details, "schedule": base.schedule})
    details |= {"preDeployCommand": specific.pre_deploy or None, "maxShutdownDelaySeconds": base.shutdown_delay}
    if kind is ServiceType.WEB:
        details |= {"healthCheckPath": base.health_check_path, "ipAllowList": base.ip_allow_list}
    return _without_none(details)


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def preview_notes(service: Service, base: PreviewBase | None) -> Iterator[str]:
    """Yield what a plan says of a preview; less before Render was asked (``base`` is None)."""
    if base is None:
        yield f"is a service of its own at Render, made like {service.settings['base']}; Render bills it"
        return
    found = base.found
    yield f"is a service of its own at Render, {service_name(found, str(service.settings['preview']))}: {_cost(found)}"
    yield from _work_notes(service, found)
    if names := ", ".join(sorted(_missing_variables(service, base))):
        yield f"without variables that only {found.name} has, for it could write to what they lead to: {names}"
    declared = service.settings.get("secret_files")
    if names := ", ".join(sorted(set(base.files) - set(declared if isinstance(declared, Mapping) else ()))):
        yield f"without the secret files that only {found.name} has: {names}"
    if found.details.disk:
        yield f"without a disk, which {found.name} has: what it writes is lost with each deploy"
    if found.type is ServiceType.STATIC:
        yield f"without the headers and the redirects that {found.name} has at Render"


def _cost(base: RenderService) -> str:
    if base.type is ServiceType.STATIC:
        return "Render bills what it transfers"
    if base.details.plan == "free":
        return "one instance of Render's free plan"
    return f"Render bills one instance of the plan {base.details.plan or 'of its base'} as long as it is there"


def _work_notes(service: Service, base: RenderService) -> Iterator[str]:
    """Yield when it goes live, and that what works by itself works for real."""
    if base.type is ServiceType.CRON:
        yield f"runs from its next run on ({service.schedule or base.details.schedule}), and does its work for real"
        return
    yield SWITCH_NOTE
    if base.type is ServiceType.WORKER:
        yield f"does its work for real, beside {base.name}: give it a queue of its own by its variables"
    if service.release:
        yield f"`{service.release.run}` runs at Render before each new build goes live, as its pre-deploy command"


def _missing_variables(service: Service, base: PreviewBase) -> set[str]:
    named = {*service.env, *service.secrets, *(service.database.variable_names if service.database else ())}
    return {name for name in base.variables if name not in named and not name.startswith("ABREAST_")}
