"""What abreast.yml says of a service on Netlify."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class NetlifySettings(BaseModel):
    """Which site a frontend is published to; the token is read from `NETLIFY_AUTH_TOKEN`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    site: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] = Field(
        description="The site's name, domain or id."
    )
    branch: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,36}$")] | None = Field(
        None, description="A branch deploy of the site instead of the site itself, such as `staging`."
    )
    routes: dict[Annotated[str, Field(pattern=r"^/[^\s*:?#]*\*?$")], str] = Field(
        default_factory=dict,
        description="Paths that are passed on to another service, such as `/api/*: backend`; "
        "they stand before the site's own `_redirects`.",
    )
