"""The part of Render's API that abreast uses; https://api-docs.render.com."""

from urllib.parse import quote

from pydantic import BaseModel, Field

from abreast.platforms.cloud.api_client import ApiClient, Provider, Request

RENDER = Provider(
    "Render",
    "https://api.render.com",
    "/v1",
    "RENDER_API_KEY",
    "an API key of the service's workspace",
    base_variable="RENDER_API_URL",
)

IN_PROGRESS = frozenset({"created", "queued", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"})
FAILED = frozenset({"build_failed", "pre_deploy_failed", "update_failed", "canceled"})


class Commit(BaseModel):
    """The commit of a deploy."""

    id: str | None = None


class Image(BaseModel):
    """The image of a deploy, if it has no commit."""

    ref: str | None = None


class Deploy(BaseModel):
    """A deploy of a service."""

    id: str
    status: str
    commit: Commit | None = None
    image: Image | None = None
    trigger: str | None = None
    createdAt: str | None = None  # noqa: N815 (Render's name)

    @property
    def source(self) -> str:
        """The image or the commit that was deployed."""
        return (self.image.ref if self.image else None) or (self.commit.id if self.commit else None) or ""


class Disk(BaseModel):
    """A service's disk."""

    name: str = ""


class ServiceDetails(BaseModel):
    """The details that depend on a service's type."""

    url: str | None = None
    disk: Disk | None = None
    instances: int | None = Field(None, alias="numInstances")
    pre_deploy: str | None = Field(None, alias="preDeployCommand")
    health_check_path: str | None = Field(None, alias="healthCheckPath")


class RenderService(BaseModel):
    """A service."""

    id: str
    name: str
    owner_id: str = Field("", alias="ownerId")
    auto_deploy: str = Field("no", alias="autoDeploy")
    suspended: str = "not_suspended"
    suspenders: list[str] = Field(default_factory=list)
    dashboard_url: str = Field("", alias="dashboardUrl")
    details: ServiceDetails = Field(default_factory=ServiceDetails, alias="serviceDetails")


class Job(BaseModel):
    """A one-off command in the live build."""

    id: str
    command: str = Field("", alias="startCommand")
    status: str = "pending"
    created_at: str = Field("", alias="createdAt")


class _ListedJob(BaseModel):
    job: Job


class _ListedDeploy(BaseModel):
    deploy: Deploy


class _Variable(BaseModel):
    key: str
    value: str = ""


class _ListedVariable(BaseModel):
    variable: _Variable = Field(alias="envVar")


class _LogLine(BaseModel):
    message: str = ""


class _Logs(BaseModel):
    logs: list[_LogLine] = Field(default_factory=list)


class RenderClient:
    """One method per API call. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get_service(self, id: str) -> RenderService:
        """Return a service."""
        return await self._api.fetch(RenderService, Request("GET", f"/services/{id}"))

    async def disable_auto_deploy(self, id: str) -> None:
        """Turn off auto-deploy of a service."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"autoDeploy": "no"}))

    async def list_deploys(self, id: str) -> list[Deploy]:
        """Return a service's last 100 deploys, newest first."""
        listed = await self._api.fetch(
            list[_ListedDeploy], Request("GET", f"/services/{id}/deploys", query={"limit": 100})
        )
        return [entry.deploy for entry in listed]

    async def get_deploy(self, id: str, deploy: str) -> Deploy:
        """Return a deploy."""
        return await self._api.fetch(Deploy, Request("GET", f"/services/{id}/deploys/{deploy}"))

    async def create_deploy(self, id: str, commit: str, image: str = "") -> None:
        """Start a deploy of a commit or an image. Find it by listing: the answer may not contain it."""
        body = {"imageUrl": image} if image else {"commitId": commit}
        await self._api.send(Request("POST", f"/services/{id}/deploys", body))

    async def suspend(self, id: str) -> None:
        """Suspend a service."""
        await self._api.send(Request("POST", f"/services/{id}/suspend"))

    async def resume(self, id: str) -> None:
        """Resume a suspended service."""
        await self._api.send(Request("POST", f"/services/{id}/resume"))

    async def scale(self, id: str, instances: int) -> None:
        """Set the number of instances."""
        await self._api.send(Request("POST", f"/services/{id}/scale", {"numInstances": instances}))

    async def set_pre_deploy_command(self, id: str, command: str) -> None:
        """Set the command that runs in each new build before it goes live."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": {"preDeployCommand": command}}))

    async def list_jobs(self, id: str) -> list[Job]:
        """Return a service's last 20 jobs, newest first."""
        listed = await self._api.fetch(list[_ListedJob], Request("GET", f"/services/{id}/jobs", query={"limit": 20}))
        return [entry.job for entry in listed]

    async def get_job(self, id: str, job: str) -> Job:
        """Return a job."""
        return await self._api.fetch(Job, Request("GET", f"/services/{id}/jobs/{job}"))

    async def run_job(self, id: str, command: str) -> Job:
        """Run a command once in the live build."""
        return await self._api.fetch(Job, Request("POST", f"/services/{id}/jobs", {"startCommand": command}))

    async def roll_back(self, id: str, deploy: str) -> None:
        """Start a deploy of the build of an earlier deploy."""
        await self._api.send(Request("POST", f"/services/{id}/rollback", {"deployId": deploy}))

    async def cancel_deploy(self, id: str, deploy: str) -> None:
        """Cancel a running deploy. The live one stays."""
        await self._api.send(Request("POST", f"/services/{id}/deploys/{deploy}/cancel"))

    async def get_variables(self, id: str) -> dict[str, str]:
        """Return a service's own environment variables."""
        query = {"limit": 100}
        listed = await self._api.fetch(list[_ListedVariable], Request("GET", f"/services/{id}/env-vars", query=query))
        return {entry.variable.key: entry.variable.value for entry in listed}

    async def set_variable(self, id: str, name: str, value: str) -> None:
        """Set one variable. It applies from the next deploy."""
        await self._api.send(Request("PUT", f"/services/{id}/env-vars/{quote(name, safe='')}", {"value": value}))

    async def get_logs(self, owner: str, id: str, count: int) -> tuple[str, ...]:
        """Return the last ``count`` log lines of a service and its builds, oldest first."""
        query = {"ownerId": owner, "resource": id, "limit": count, "direction": "backward"}
        page = await self._api.fetch(_Logs, Request("GET", "/logs", query=query))
        return tuple(line.message for line in reversed(page.logs))
