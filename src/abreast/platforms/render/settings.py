"""What abreast.yml says of a service on Render."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RenderSettings(BaseModel):
    """Which of Render's services a backend is; the key is read from `RENDER_API_KEY`.

    Without a key: `hook` and `url`, and nothing else.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    service: Annotated[str, Field(pattern=r"^srv-[A-Za-z0-9]+$")] | None = Field(
        None, description="The service's id, as its dashboard's address shows it."
    )
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9./:@_$-]+$")] | None = Field(
        None,
        description="The image to deploy instead of the commit, such as `ghcr.io/acme/api:$ABREAST_COMMIT`, "
        "or `$ABREAST_IMAGE` for the one that `build.image` makes, by its digest.",
    )
    instances: int | None = Field(None, ge=1, le=100, description="How many instances it is scaled to in the turn.")
    pre_deploy: str | None = Field(
        None, min_length=1, description="What runs in each new build before it goes live, such as a migration."
    )
    job: str | None = Field(None, min_length=1, description="What runs once, as a job, when the new build is live.")
    disk: str | None = Field(None, pattern=r"^/", description="Where its disk is mounted, for `init --render`.")
    hook: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        None, description="The name of the variable that holds the deploy hook's address, which is a secret."
    )
    url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None, description="Where users reach it; needed with `hook`, which tells nothing."
    )

    @model_validator(mode="after")
    def _key_or_hook(self) -> Self:
        by_key = (self.service, self.image, self.instances, self.pre_deploy, self.job, self.disk)
        if (self.service is None) == (self.hook is None):
            raise ValueError("needed: `service` (with a key), or `hook` and `url`")
        if self.hook and (self.url is None or any(by_key)):
            raise ValueError("needed with `hook`: `url`, and nothing that takes a key")
        if self.disk and (self.instances or 1) > 1:
            raise ValueError("a service with a disk has one instance")
        return self
