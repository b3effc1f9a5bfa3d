"""The settings of a service in a Hugging Face Space."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

_SPACE = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


class HuggingFaceSettings(BaseModel):
    """The Space, or two of them, that a service runs in. `HF_TOKEN` holds the token."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[str, Field(pattern=_SPACE)] = Field(description="The Space, as `owner/name`.")
    standby: Annotated[str, Field(pattern=_SPACE)] | None = Field(
        None, description="A second Space. Each new version is staged in the one that is not live."
    )
    hardware: str | None = Field(None, description="The hardware to request, such as `cpu-upgrade`.")
    factory: bool = Field(False, description="Build without cache.")

    @field_validator("standby")
    @classmethod
    def _is_another(cls, standby: str | None, rest: ValidationInfo) -> str | None:
        if standby is not None and standby == rest.data.get("space"):
            raise ValueError("needed: another Space than `space`")
        return standby
