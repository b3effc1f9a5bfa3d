"""The settings of a service in a Hugging Face Space."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from abreast.core.model import Resources
from abreast.core.strategy import Strategy
from abreast.platforms.huggingface.hardware import HARDWARE
from abreast.platforms.instance_sizes import require_size
from abreast.platforms.preview_names import preview_label

MAX_HOST_LABEL, MIN_NAME_LENGTH = 63, 30
"""The longest first label of a Space's host, which is its owner and its name; the room that a name has in any case."""

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

    def known_strategies(self) -> tuple[Strategy, ...]:
        """Return the strategy of the service: two Spaces take turns, and one is built again."""
        return (Strategy.BLUE_GREEN if self.standby else Strategy.RECREATE,)

    def check_resources(self, resources: Resources) -> None:
        """Raise ValueError for resources that no hardware without a GPU has, or beside ``hardware``."""
        if self.hardware:
            raise ValueError(f"`hardware: {self.hardware}` says the same another way; needed: one of both")
        require_size("Hugging Face", HARDWARE, resources)

    def for_preview(self, preview: str) -> "HuggingFacePreviewSettings":
        """Return the settings of a preview: one Space beside ``space``, on free hardware."""
        owner, _, name = self.space.partition("/")
        longest = max(MIN_NAME_LENGTH, MAX_HOST_LABEL - len(f"{owner}-"))
        space = f"{owner}/{preview_label(f'{name}-{preview}', longest)}"
        return HuggingFacePreviewSettings(space=space, factory=self.factory, base=self.space, preview=preview)


class HuggingFacePreviewSettings(BaseModel):
    """The settings of a preview. ``base`` is the Space that it is made like."""

    space: str
    factory: bool
    base: str
    preview: str
