"""The emulator's state as Render's JSON."""

from typing import Any

from abreast.testing.platforms.render.service import OWNER_ID, Deploy, EnvGroup, Event, Job, Service, ServiceKind

CONTAINERS = frozenset({"docker", "image"})
"""The runtimes that are containers; all others are languages."""

LINK_TYPES = {
    ServiceKind.WEB: "web", ServiceKind.PRIVATE: "pserv", ServiceKind.WORKER: "worker", ServiceKind.STATIC: "static",
    ServiceKind.CRON: "cron",
}  # fmt: skip


def owner_json() -> dict[str, Any]:
    """Return the workspace that has all services."""
    return {"id": OWNER_ID, "name": "Emulated", "email": "team@example.org", "type": "team"}


def service_json(base: str, service: Service) -> dict[str, Any]:
    """Return a service; ``base`` is the emulator's address."""
    source = {"imagePath": service.image_path} if service.image_path else {"repo": service.repo_url}
    return {
        "id": service.id, "name": service.name, "ownerId": OWNER_ID, "slug": service.name, "type": service.kind.value,
        "autoDeploy": service.auto_deploy, "branch": service.branch, **source, "rootDir": service.root_dir,
        "dashboardUrl": f"{base}/dashboard/{service.id}",
        "suspended": "suspended" if service.is_suspended else "not_suspended", "suspenders": service.suspenders,
        "notifyOnFail": "default", "createdAt": service.created_at, "updatedAt": service.created_at,
        "serviceDetails": _details(base, service),
    }  # fmt: skip


def _details(base: str, service: Service) -> dict[str, Any]:
    if service.kind is ServiceKind.STATIC:
        return {
            "url": f"{base}/r/{service.name}", "buildCommand": service.command, "publishPath": service.publish_path,
            "buildPlan": "starter",
        }  # fmt: skip
    pre_deploy = {"preDeployCommand": service.pre_deploy} if service.pre_deploy else {}
    commands = {"dockerCommand": service.command, "dockerContext": ".", "dockerfilePath": "./Dockerfile"}
    if service.runtime not in CONTAINERS:
        commands = {"buildCommand": service.build_command, "startCommand": service.command}
    details: dict[str, Any] = {
        "env": service.runtime, "runtime": service.runtime, "plan": service.plan, "region": service.region,
        "buildPlan": "starter", "envSpecificDetails": {**commands, **pre_deploy},
    }  # fmt: skip
    if service.kind is ServiceKind.CRON:
        return {**details, "schedule": service.schedule}
    details |= {"numInstances": service.instances}
    if service.shutdown_delay:
        details |= {"maxShutdownDelaySeconds": service.shutdown_delay}
    if service.autoscaling:
        details |= {"autoscaling": service.autoscaling}
    if service.has_disk:
        details |= {"disk": {"id": "dsk-00000000000000000000", "name": "data", "sizeGB": 1, "mountPath": "/data"}}
    if service.kind is ServiceKind.PRIVATE:
        details |= {"url": f"http://{service.name}:10000", "openPorts": [{"port": 10000, "protocol": "TCP"}]}
    if service.kind is ServiceKind.WEB:
        details |= {"url": f"{base}/r/{service.name}", "openPorts": [], "healthCheckPath": service.health_path}
        details |= {"maintenanceMode": {"enabled": service.in_maintenance, "uri": service.maintenance_uri}}
        details |= {} if service.ip_allow_list is None else {"ipAllowList": service.ip_allow_list}
    return details


def deploy_json(deploy: Deploy) -> dict[str, Any]:
    """Return a deploy."""
    commit = {"commit": {"id": deploy.commit, "message": "", "createdAt": deploy.created_at}}
    image = {"image": {"ref": deploy.image, "sha": "", "registryCredential": ""}}
    return {
        "id": deploy.id, "status": deploy.status, "trigger": deploy.trigger, "createdAt": deploy.created_at,
        "updatedAt": deploy.finished_at or deploy.created_at, **(image if deploy.image else commit),
        **({"finishedAt": deploy.finished_at} if deploy.finished_at else {}),
    }  # fmt: skip


def job_json(service: Service, job: Job) -> dict[str, Any]:
    """Return a one-off job."""
    return {
        "id": job.id, "serviceId": service.id, "startCommand": job.command, "planId": "plan-1",
        "status": job.status, "createdAt": job.created_at,
    }  # fmt: skip


def event_json(service: Service, event: Event) -> dict[str, Any]:
    """Return an event."""
    return {
        "id": event.id, "timestamp": event.timestamp, "serviceId": service.id, "type": event.type,
        "details": dict(event.details),
    }  # fmt: skip


def variable_json(key: str, value: str) -> dict[str, Any]:
    """Return a variable."""
    return {"key": key, "value": value}


def file_json(name: str, content: str) -> dict[str, Any]:
    """Return a secret file."""
    return {"name": name, "content": content}


def group_json(group: EnvGroup, links: list[Service]) -> dict[str, Any]:
    """Return what a list says of an environment group; ``links`` are the services that it is linked to."""
    return {
        "id": group.id, "name": group.name, "ownerId": OWNER_ID, "createdAt": group.created_at,
        "updatedAt": group.created_at,
        "serviceLinks": [{"id": link.id, "name": link.name, "type": LINK_TYPES[link.kind]} for link in links],
    }  # fmt: skip


def whole_group_json(group: EnvGroup, links: list[Service]) -> dict[str, Any]:
    """Return an environment group with its values."""
    return {
        **group_json(group, links),
        "envVars": [variable_json(*pair) for pair in group.env.items()],
        "secretFiles": [file_json(*pair) for pair in group.secret_files.items()],
    }
