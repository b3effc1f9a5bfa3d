"""What abreast.yml says of a service in a Hugging Face Space."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

_SPACE = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


class HuggingFaceSettings(BaseModel):
    """Which Docker Space, or which two, a backend runs in; the token is read from `HF_TOKEN`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[str, Field(pattern=_SPACE)] = Field(description="The Space, as `owner/name`.")
    standby: Annotated[str, Field(pattern=_SPACE)] | None = Field(
        None, description="A second Space: each version comes up in the one that users are not led to."
    )
    hardware: str | None = Field(None, description="The hardware to ask for, such as `cpu-upgrade`.")
    factory: bool = Field(False, description="Build without the cache of earlier builds.")

    @field_validator("standby")
    @classmethod
    def _is_another(cls, standby: str | None, rest: ValidationInfo) -> str | None:
        if standby is not None and standby == rest.data.get("space"):
            raise ValueError("needed: another Space than `space`")
        return standby
