"""The structure of what only an environment has: previews, approvals, recovery objectives."""

from typing import Any, Literal

from pydantic import Field, model_validator

from abreast.config.field_types import Duration, EmailAddress, Moment, Name, StrictModel, Text, TimeZone, WebAddress
from abreast.core.freeze import FreezeWindow


class Objectives(StrictModel):
    """Recovery objectives."""

    rto: Duration | None = Field(None, description="Recovery time objective: how long a recovery may take.")
    rpo: Duration | None = Field(None, description="Recovery point objective: how old the newest good backup may be.")


def preview_switch(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    """Let ``true`` stand for the defaults, and ``false`` for no previews."""
    return ({} if value else None) if isinstance(value, bool) else value


class Preview(StrictModel):
    """An environment for each pull request, named like `staging-pr-17` and derived from this one.

    Services that a pull request does not change are shared with this environment.
    """

    ttl: Duration = Field(7 * 86400.0, description="How long after its last deployment a preview is removed.")
    database: Literal["empty", "backup"] = Field(
        "empty",
        description="What the databases of a preview start with: `empty` with all migrations, or the newest verified "
        "`backup` of this environment.",
    )


class Approval(StrictModel):
    """Who has to agree before a release goes to an environment. A deployment waits for that after its gates and builds.

    It holds for that one deployment. Waiting takes no runner: `abreast approve` records it, `abreast resume` goes on.
    """

    by: list[Text] = Field(
        min_length=1,
        description="Who may approve: logins at GitHub or another CI provider, users of the machine, and `groups`.",
    )
    required: int = Field(1, ge=1, description="How many of them have to.")
    not_author: bool = Field(
        True, description="Whether who started the deployment, and who wrote its commits, cannot approve it."
    )
    expires: Duration = Field(86400.0, description="How long a request waits. After that, the deployment ends.")
    url: WebAddress | None = Field(
        None,
        description="Where a server takes the links by which people approve, such as `https://deploy.example.com`. "
        "Without it a link is a text for `abreast approve`.",
    )


class Person(StrictModel):
    """Somebody who may approve. With an address, each request is sent there with a link of that person's own."""

    email: EmailAddress | None = Field(None, description="Where requests are sent, by a receiver `email` of `notify`.")


class Freeze(StrictModel):
    """A time at which no deployment begins: once, each week or each day. One that runs is finished.

    A rollback is always possible. `--skip-gate freeze` deploys in spite of it, if `may_skip` has `freeze`.
    """

    starts: Moment = Field(description="`2026-12-20 18:00` for once, `Fri 16:00` for each week, `22:30` for each day.")
    ends: Moment = Field(description="In the same form.")
    timezone: TimeZone = Field("UTC", description="Whose clocks, such as `Europe/Berlin`.")
    reason: Text = Field("", description="Why, for whoever wants to deploy.")

    @model_validator(mode="after")
    def _check_times(self) -> "Freeze":
        self.window()
        return self

    def window(self) -> FreezeWindow:
        """Return the window. Raises ValueError for an end that is no end of it."""
        return FreezeWindow(self.starts, self.ends, self.timezone, self.reason)


class Promotion(StrictModel):
    """Releases come from another environment, by `abreast promote`: the artifacts that were tried there, not new ones.

    `abreast deploy` is refused here.
    """

    source: Name = Field(description="The environment that tries them, such as `staging`.")
    soak: Duration = Field(0.0, description="How long a release has to be live there. Later releases change nothing.")
    max_age: Duration | None = Field(None, description="Refuse artifacts that are older.")
