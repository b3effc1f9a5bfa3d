"""What abreast.yml says of a service in a Hugging Face Space."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_SPACE = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


class HuggingFaceSettings(BaseModel):
    """Which Docker Space a backend runs in; the token is read from `HF_TOKEN`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[str, Field(pattern=_SPACE)] = Field(description="The Space, as `owner/name`.")
    hardware: str | None = Field(None, description="The hardware to ask for, such as `cpu-upgrade`.")
    factory: bool = Field(False, description="Build without the cache of earlier builds.")
