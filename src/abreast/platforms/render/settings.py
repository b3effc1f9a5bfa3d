"""What abreast.yml says of a service on Render."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RenderSettings(BaseModel):
    """Which of Render's services a backend is; the key is read from `RENDER_API_KEY`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    service: Annotated[str, Field(pattern=r"^srv-[A-Za-z0-9]+$")] = Field(
        description="The service's id, as its dashboard's address shows it."
    )
