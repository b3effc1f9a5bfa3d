"""The part of Render's API that abreast uses; https://api-docs.render.com."""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

from abreast.platforms.render.resources import (
    Autoscaling,
    CreatedService,
    Deploy,
    EnvGroup,
    FailureEvent,
    Instance,
    Job,
    Listed,
    LogLine,
    LogPage,
    M,
    MaintenanceMode,
    RenderService,
    SecretFile,
    Variable,
)
from abreast.provider_api.api_client import ApiClient, NotFoundError, Provider, Request

RENDER = Provider(
    "Render",
    "https://api.render.com",
    "/v1",
    "RENDER_API_KEY",
    "an API key of the service's workspace",
    base_variable="RENDER_API_URL",
)

PAGE_SIZE = 100
"""Render's maximum."""


class RenderClient:
    """One method per API call. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    # ── services ───────────────────────────────────────────────────────────────────────────────

    async def get_service(self, id: str) -> RenderService:
        """Return a service."""
        return await self._api.fetch(RenderService, Request("GET", f"/services/{id}"))

    async def find_service(self, owner: str, name: str) -> RenderService | None:
        """Return the service of a workspace with exactly this name, None if there is none."""
        query = {"name": name, "ownerId": owner, "limit": PAGE_SIZE}
        listed = await self._api.fetch(list[Listed[RenderService]], Request("GET", "/services", query=query))
        return next((entry.item for entry in listed if (entry.item.name, entry.item.owner_id) == (name, owner)), None)

    async def list_services(self) -> list[RenderService]:
        """Return the services of all workspaces of the key."""
        return await self._fetch_all(list[Listed[RenderService]], "/services")

    async def create_service(self, description: Mapping[str, object]) -> CreatedService:
        """Create a service. Render starts a first deploy of it."""
        return await self._api.fetch(CreatedService, Request("POST", "/services", description))

    async def delete_service(self, id: str) -> None:
        """Delete a service for good. A missing one is fine."""
        with suppress(NotFoundError):
            await self._api.send(Request("DELETE", f"/services/{id}"))

    async def disable_auto_deploy(self, id: str) -> None:
        """Turn off auto-deploy of a service."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"autoDeploy": "no"}))

    async def set_maintenance(self, id: str, mode: MaintenanceMode) -> None:
        """Turn maintenance mode of a web service on or off."""
        details = {"maintenanceMode": mode.model_dump()}
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": details}))

    async def suspend(self, id: str) -> None:
        """Suspend a service."""
        await self._api.send(Request("POST", f"/services/{id}/suspend"))

    async def resume(self, id: str) -> None:
        """Resume a suspended service."""
        await self._api.send(Request("POST", f"/services/{id}/resume"))

    async def scale(self, id: str, instances: int) -> None:
        """Set the number of instances. Render ignores it while autoscaling is on."""
        await self._api.send(Request("POST", f"/services/{id}/scale", {"numInstances": instances}))

    async def set_autoscaling(self, id: str, autoscaling: Autoscaling | None) -> None:
        """Set when Render starts instances by itself; None removes the configuration."""
        path = f"/services/{id}/autoscaling"
        if autoscaling is None:
            await self._api.send(Request("DELETE", path))
        else:
            await self._api.send(Request("PUT", path, autoscaling.model_dump()))

    async def set_pre_deploy_command(self, id: str, command: str) -> None:
        """Set the command that runs in each new build before it goes live."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": {"preDeployCommand": command}}))

    async def set_plan(self, id: str, plan: str) -> None:
        """Set the plan of a service, which its next deploy runs on."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": {"plan": plan}}))

    async def set_schedule(self, id: str, schedule: str) -> None:
        """Set when a cron job runs, as a cron expression in UTC."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": {"schedule": schedule}}))

    async def list_instances(self, id: str) -> list[Instance]:
        """Return the running instances of a service."""
        return await self._api.fetch(list[Instance], Request("GET", f"/services/{id}/instances"))

    async def list_failures(self, id: str, since: str | None) -> list[FailureEvent]:
        """Return when instances of a service ended since a time, newest first, 20 at most."""
        query = {"type": "server_failed", "startTime": since, "limit": 20}
        request = Request("GET", f"/services/{id}/events", query=query)
        return [entry.item for entry in await self._api.fetch(list[Listed[FailureEvent]], request)]

    # ── deploys and jobs ───────────────────────────────────────────────────────────────────────

    async def list_deploys(self, id: str, status: str | None = None) -> list[Deploy]:
        """Return a service's last 100 deploys, newest first; only those of a status if one is named."""
        query = {"limit": PAGE_SIZE, "status": status}
        request = Request("GET", f"/services/{id}/deploys", query=query)
        return [entry.item for entry in await self._api.fetch(list[Listed[Deploy]], request)]

    async def get_deploy(self, id: str, deploy: str) -> Deploy:
        """Return a deploy."""
        return await self._api.fetch(Deploy, Request("GET", f"/services/{id}/deploys/{deploy}"))

    async def create_deploy(self, id: str, commit: str, image: str = "") -> None:
        """Start a deploy of a commit or an image. Find it by listing: the answer may not contain it."""
        body = {"imageUrl": image} if image else {"commitId": commit}
        await self._api.send(Request("POST", f"/services/{id}/deploys", body))

    async def roll_back(self, id: str, deploy: str) -> None:
        """Start a deploy of the build of an earlier deploy."""
        await self._api.send(Request("POST", f"/services/{id}/rollback", {"deployId": deploy}))

    async def cancel_deploy(self, id: str, deploy: str) -> None:
        """Cancel a running deploy. The live one stays."""
        await self._api.send(Request("POST", f"/services/{id}/deploys/{deploy}/cancel"))

    async def list_jobs(self, id: str) -> list[Job]:
        """Return a service's last 20 jobs, newest first."""
        request = Request("GET", f"/services/{id}/jobs", query={"limit": 20})
        return [entry.item for entry in await self._api.fetch(list[Listed[Job]], request)]

    async def get_job(self, id: str, job: str) -> Job:
        """Return a job."""
        return await self._api.fetch(Job, Request("GET", f"/services/{id}/jobs/{job}"))

    async def run_job(self, id: str, command: str) -> Job:
        """Run a command once in the live build."""
        return await self._api.fetch(Job, Request("POST", f"/services/{id}/jobs", {"startCommand": command}))

    # ── variables and files ────────────────────────────────────────────────────────────────────

    async def get_variables(self, id: str) -> dict[str, str]:
        """Return a service's own environment variables."""
        listed = await self._fetch_all(list[Listed[Variable]], f"/services/{id}/env-vars")
        return {variable.key: variable.value for variable in listed}

    async def set_variable(self, id: str, name: str, value: str) -> None:
        """Set one variable. It applies from the next deploy."""
        await self._api.send(Request("PUT", f"/services/{id}/env-vars/{quote(name, safe='')}", {"value": value}))

    async def linked_groups(self, owner: str, id: str) -> list[EnvGroup]:
        """Return the environment groups that are linked to a service, with their variables."""
        query = {"ownerId": owner, "limit": PAGE_SIZE}
        groups = await self._api.fetch(list[EnvGroup], Request("GET", "/env-groups", query=query))
        linked = [group.id for group in groups if any(link.id == id for link in group.links)]
        return [await self._api.fetch(EnvGroup, Request("GET", f"/env-groups/{group}")) for group in linked]

    async def get_secret_files(self, id: str) -> dict[str, str]:
        """Return the contents of a service's own secret files, by name."""
        listed = await self._fetch_all(list[Listed[SecretFile]], f"/services/{id}/secret-files")
        return {file.name: file.content for file in listed}

    async def set_secret_file(self, id: str, name: str, content: str) -> None:
        """Set one secret file. It applies from the next deploy."""
        path = f"/services/{id}/secret-files/{quote(name, safe='')}"
        await self._api.send(Request("PUT", path, {"content": content}))

    # ── logs ───────────────────────────────────────────────────────────────────────────────────

    async def get_logs(self, owner: str, id: str, count: int, only: str | None = None) -> list[LogLine]:
        """Return the last ``count`` log lines of a service, oldest first; ``only`` those of a type, such as ``app``."""
        lines: dict[str, LogLine] = {}
        query: dict[str, object] = {"ownerId": owner, "resource": id, "direction": "backward", "type": only}
        while len(lines) < count:
            limited = {**query, "limit": min(PAGE_SIZE, count - len(lines) + 1)}
            page = await self._api.fetch(LogPage, Request("GET", "/logs", query=limited))
            new = {line.id: line for line in page.logs if line.id not in lines}
            lines.update(new)
            if not page.has_more or not new:
                break
            query["endTime"] = page.next_end_time
        return [*lines.values()][:count][::-1]

    async def _fetch_all(self, answer_type: type[list[Listed[M]]], path: str) -> list[M]:
        """Return the items of all pages of a list."""
        items: list[M] = []
        query: dict[str, object] = {"limit": PAGE_SIZE}
        while True:
            page = await self._api.fetch(answer_type, Request("GET", path, query=query))
            items += [entry.item for entry in page]
            if len(page) < PAGE_SIZE:
                return items
            query["cursor"] = page[-1].cursor
