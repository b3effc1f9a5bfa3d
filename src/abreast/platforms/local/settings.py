"""What abreast.yml says of a service on the local platform."""

from pydantic import BaseModel, ConfigDict, Field


class LocalSettings(BaseModel):
    """Where users reach a service on this machine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    port: int | None = Field(
        None,
        ge=1024,
        le=65535,
        description="The port that users reach; 8080 and up, in order, where none is given.",
    )
    host: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        description="The host name that users ask for; services with different names can share a port.",
    )
