"""Render's API, as far as it is needed; https://api-docs.render.com."""

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
    """What a deploy was made of."""

    id: str | None = None


class Image(BaseModel):
    """What a deploy was made of where it was not a commit."""

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
        """The image or the commit that it was made of."""
        return (self.image.ref if self.image else None) or (self.commit.id if self.commit else None) or ""


class Disk(BaseModel):
    """A service's disk."""

    name: str = ""


class ServiceDetails(BaseModel):
    """What differs by a service's kind."""

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
    """A command that ran, or runs, once, in the build that is live."""

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
    """The calls, one method each; errors are the Api's."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get_service(self, id: str) -> RenderService:
        """Return a service."""
        return await self._api.fetch(RenderService, Request("GET", f"/services/{id}"))

    async def disable_auto_deploy(self, id: str) -> None:
        """Keep Render from deploying a service by itself."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"autoDeploy": "no"}))

    async def list_deploys(self, id: str) -> list[Deploy]:
        """Return a service's latest deploys, newest first."""
        listed = await self._api.fetch(
            list[_ListedDeploy], Request("GET", f"/services/{id}/deploys", query={"limit": 100})
        )
        return [one.deploy for one in listed]

    async def get_deploy(self, id: str, deploy: str) -> Deploy:
        """Return a deploy as it stands."""
        return await self._api.fetch(Deploy, Request("GET", f"/services/{id}/deploys/{deploy}"))

    async def create_deploy(self, id: str, commit: str, image: str = "") -> None:
        """Begin a deploy of a commit, or of an image; it is found by listing, since Render may not name it."""
        body = {"imageUrl": image} if image else {"commitId": commit}
        await self._api.send(Request("POST", f"/services/{id}/deploys", body))

    async def suspend(self, id: str) -> None:
        """Take a service off its users."""
        await self._api.send(Request("POST", f"/services/{id}/suspend"))

    async def resume(self, id: str) -> None:
        """Let a suspended service run again."""
        await self._api.send(Request("POST", f"/services/{id}/resume"))

    async def scale(self, id: str, instances: int) -> None:
        """Run a service in so many instances."""
        await self._api.send(Request("POST", f"/services/{id}/scale", {"numInstances": instances}))

    async def set_pre_deploy_command(self, id: str, command: str) -> None:
        """Set what runs in each new build before it goes live."""
        await self._api.send(Request("PATCH", f"/services/{id}", {"serviceDetails": {"preDeployCommand": command}}))

    async def list_jobs(self, id: str) -> list[Job]:
        """Return a service's latest jobs, newest first."""
        listed = await self._api.fetch(list[_ListedJob], Request("GET", f"/services/{id}/jobs", query={"limit": 20}))
        return [one.job for one in listed]

    async def get_job(self, id: str, job: str) -> Job:
        """Return a job as it stands."""
        return await self._api.fetch(Job, Request("GET", f"/services/{id}/jobs/{job}"))

    async def run_job(self, id: str, command: str) -> Job:
        """Run a command once, in the build that is live."""
        return await self._api.fetch(Job, Request("POST", f"/services/{id}/jobs", {"startCommand": command}))

    async def roll_back(self, id: str, deploy: str) -> None:
        """Begin a deploy of what an earlier one built."""
        await self._api.send(Request("POST", f"/services/{id}/rollback", {"deployId": deploy}))

    async def cancel_deploy(self, id: str, deploy: str) -> None:
        """Stop a deploy that is under way; what users reach stays."""
        await self._api.send(Request("POST", f"/services/{id}/deploys/{deploy}/cancel"))

    async def get_variables(self, id: str) -> dict[str, str]:
        """Return a service's own environment variables."""
        query = {"limit": 100}
        listed = await self._api.fetch(list[_ListedVariable], Request("GET", f"/services/{id}/env-vars", query=query))
        return {one.variable.key: one.variable.value for one in listed}

    async def set_variable(self, id: str, name: str, value: str) -> None:
        """Set one variable, all others stay; it holds from the next deploy on."""
        await self._api.send(Request("PUT", f"/services/{id}/env-vars/{quote(name, safe='')}", {"value": value}))

    async def get_logs(self, owner: str, id: str, count: int) -> tuple[str, ...]:
        """Return the last lines that a service and its builds printed, oldest first."""
        query = {"ownerId": owner, "resource": id, "limit": count, "direction": "backward"}
        found = await self._api.fetch(_Logs, Request("GET", "/logs", query=query))
        return tuple(line.message for line in reversed(found.logs))
