"""The settings of a service on Netlify."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from abreast.platforms.preview_names import preview_label

MAX_PREVIEW_BRANCH = 24
"""As long as the id of a deploy: where permalinks fit into a label of DNS, so does the branch of a preview."""


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

    def for_preview(self, preview: str) -> "NetlifyPreviewSettings":
        """Return the settings of a preview: a branch deploy of the same site, named for it."""
        branch = preview_label(preview, MAX_PREVIEW_BRANCH)
        own = self.model_dump(exclude_none=True, exclude={"branch"})
        return NetlifyPreviewSettings(**own, branch=branch, preview=preview)


class NetlifyPreviewSettings(NetlifySettings):
    """The settings of a preview, which abreast.yml does not offer."""

    preview: str
