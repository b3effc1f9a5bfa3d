"""The settings of a service on Netlify."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class NetlifySettings(BaseModel):
    """The site that a frontend is published to. `NETLIFY_AUTH_TOKEN` holds the token."""

    model_config = ConfigDict(extra="forbid", strict=True)

    site: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] = Field(
        description="The site's name, domain or id."
    )
    branch: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,36}$")] | None = Field(
        None, description="Publish to this branch deploy of the site, such as `staging`, instead of the site itself."
    )
    functions: Literal["bundled", "none"] | None = Field(
        None,
        description="`bundled`: the build bundles the functions, as `netlify build` does. `none`: functions in the "
        "repository are not this site's. Without it, a repository with functions is refused.",
    )
