"""The settings of a service on the local platform."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from abreast.core.model import Resources
from abreast.platforms.local.router.routing_table import RESPONSE_TIMEOUT
from abreast.platforms.local.supervisor.port_allocator import INSTANCE_PORTS


def _reject_instance_port(port: int) -> int:
    if port in INSTANCE_PORTS:
        raise ValueError(
            f"needed: a port outside {INSTANCE_PORTS[0]}-{INSTANCE_PORTS[-1]}, which are reserved for instances"
        )
    return port


class LocalSettings(BaseModel):
    """Where users reach a service on this machine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    port: Annotated[int, Field(ge=1024, le=65535), AfterValidator(_reject_instance_port)] | None = Field(
        None,
        description="The port for users. Default: counted up from 8080. 20000 to 29999 are reserved for instances.",
    )
    app_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None,
        description="The port that the service's code listens on, if it does not read `$PORT`. Then it has one "
        "process and `strategy: recreate`: in the turn the previous version stops, and the new one starts. Until it "
        "answers, users get an error.",
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")] | None = Field(
        None, description="The host name for users. Services with different host names can share a port."
    )
    response_timeout: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}s$")] | None = Field(
        None,
        description="How long a request may wait for its response to begin, such as `300s`. After that, it is sent "
        "to another instance if it is a GET, HEAD or OPTIONS; any other is answered with 504. An instance that does "
        "not answer its health path for that long, not even with an error, is started again. "
        f"Default: `{RESPONSE_TIMEOUT}`.",
    )

    def check_resources(self, resources: Resources) -> None:
        """Take any resources: the kernel limits processes to them, or the plan says that it does not."""

    def for_preview(self, preview: str) -> "LocalSettings":  # noqa: ARG002 (an environment has ports of its own)
        """Return the settings of a preview: it gets a port that is free. Raises ValueError with an ``app_port``."""
        if self.app_port:
            raise ValueError(f"its code listens on port {self.app_port}, which one version at a time can have")
        return LocalSettings(response_timeout=self.response_timeout)
