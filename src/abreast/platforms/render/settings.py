"""The settings of a service on Render."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from abreast.core.model import Resources
from abreast.core.strategy import Strategy
from abreast.platforms.instance_sizes import require_size
from abreast.platforms.render.plans import PLANS

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Percentage = Annotated[int, Field(ge=1, le=100)]


class AutoscalingSettings(BaseModel):
    """From `min` to `max` instances, so that their use of `cpu` and `memory` stays near these percentages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    min: int = Field(ge=1, le=100, description="The minimum number of instances.")
    max: int = Field(ge=1, le=100, description="The maximum number of instances.")
    cpu: Percentage | None = Field(None, description="The percentage of CPU to aim at.")
    memory: Percentage | None = Field(None, description="The percentage of memory to aim at.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.min > self.max:
            raise ValueError("`min` is above `max`")
        if self.cpu is None and self.memory is None:
            raise ValueError("needed: `cpu`, `memory` or both")
        return self


class RenderSettings(BaseModel):
    """The Render service of any type that a service is deployed to. `RENDER_API_KEY` holds the key.

    Without a key, set `hook` and `url` and nothing else.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    service: Annotated[str, Field(pattern=r"^(srv|crn)-[A-Za-z0-9]+$")] | None = Field(
        None, description="The service's id, `srv-…` or `crn-…`, from the URL of its dashboard."
    )
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9./:@_$-]+$")] | None = Field(
        None,
        description="The image to deploy instead of the commit, such as `ghcr.io/acme/api:$ABREAST_COMMIT`. "
        "`$ABREAST_IMAGE` is the image that `build.image` built, by digest.",
    )
    instances: int | None = Field(None, ge=1, le=100, description="The number of instances, set when traffic switches.")
    autoscaling: AutoscalingSettings | None = Field(
        None,
        description="Autoscaling in place of `instances`, set when traffic switches: from `min` to `max` instances, "
        "which aim at `cpu` and `memory` in percent, or at one of them.",
    )
    pre_deploy: str | None = Field(
        None, min_length=1, description="The command to run in each new build before it goes live, such as a migration."
    )
    job: str | None = Field(
        None, min_length=1, description="The command to run once as a job when the new build is live."
    )
    secret_files: dict[Annotated[str, Field(pattern=r"^[^/\s]+$")], EnvironmentName] | None = Field(
        None, min_length=1, description="Secret files by name: the name of the variable that holds the content."
    )
    disk: str | None = Field(None, pattern=r"^/", description="The mount path of its disk, for `init --render`.")
    hook: EnvironmentName | None = Field(
        None, description="The name of the variable that holds the deploy hook's URL, a secret."
    )
    url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None, description="The public URL. Required with `hook`."
    )

    @model_validator(mode="after")
    def _key_or_hook(self) -> Self:
        by_key = self.model_fields_set - {"hook", "url"}
        if (self.service is None) == (self.hook is None):
            raise ValueError("needed: `service` (with a key), or `hook` and `url`")
        if self.hook and (self.url is None or by_key):
            raise ValueError("needed with `hook`: `url`, and nothing that takes a key")
        if self.autoscaling and (self.instances or self.disk):
            raise ValueError("a service with `autoscaling` has neither a fixed number of `instances` nor a `disk`")
        if self.disk and (self.instances or 1) > 1:
            raise ValueError("a service with a disk has one instance")
        return self

    def variable_names(self) -> tuple[str, ...]:
        """Return the names of the variables that hold the deploy hook and the secret files."""
        return (*([self.hook] if self.hook else []), *(self.secret_files or {}).values())

    def known_strategies(self) -> tuple[Strategy, ...] | None:
        """Return the strategies of the service, none for a way of Render's own; None if only Render knows its disk."""
        if self.hook:
            return ()
        return (Strategy.RECREATE,) if self.disk else None

    def check_resources(self, resources: Resources) -> None:
        """Raise ValueError for resources that no plan has, or where a deploy hook cannot set one."""
        if self.hook:
            raise ValueError("a deploy hook cannot choose a plan; needed: `service`, and an API key")
        require_size("Render", PLANS, resources)

    def for_preview(self, preview: str) -> "RenderPreviewSettings":
        """Return the settings of a preview: a service of its own, made like this one, with one instance and no disk."""
        if self.service is None:
            raise ValueError("a service with a deploy hook has no previews: they take `service`, and an API key")
        kept = self.model_dump(include={"image", "pre_deploy", "job", "secret_files"})
        return RenderPreviewSettings(**kept, base=self.service, preview=preview)


class RenderPreviewSettings(BaseModel):
    """The settings of a preview. ``base`` is the service that it is made like, and never the one that is deployed."""

    base: str
    preview: str
    image: str | None = None
    pre_deploy: str | None = None
    job: str | None = None
    secret_files: dict[str, str] | None = None
