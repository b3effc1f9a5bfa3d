"""The structure of an environment, and of what only one has: previews, approvals, recovery objectives."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from abreast.config.field_types import (
    Branch,
    Duration,
    EmailAddress,
    FlagName,
    FlagValue,
    Moment,
    Name,
    StrictModel,
    Text,
    TimeZone,
    WebAddress,
)
from abreast.core.freeze import FreezeWindow

OnFailure = Literal["together", "alone"]
StrategyName = Literal["blue-green", "recreate"]


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
    """A time at which no deployment begins: once, each week or each day.

    A rollback is always possible. `--skip-gate freeze` deploys in spite of it, if `may_skip` has `freeze`.
    """

    starts: Moment = Field(description="`2026-12-20 18:00` for once, `Fri 16:00` for each week, `22:30` for each day.")
    ends: Moment = Field(description="In the same form.")
    timezone: TimeZone = Field("UTC", description="Whose clocks, such as `Europe/Berlin`.")
    reason: Text = Field("", description="Why, for whoever wants to deploy.")
    running: Literal["finish", "turn-back"] = Field(
        "finish",
        description="What happens to a deployment that began before: it is finished, or turned back if its traffic has "
        "not switched yet.",
    )

    @model_validator(mode="after")
    def _check_times(self) -> "Freeze":
        self.window()
        return self

    def window(self) -> FreezeWindow:
        """Return the window. Raises ValueError for an end that is no end of it."""
        turns_back = self.running == "turn-back"
        return FreezeWindow(self.starts, self.ends, self.timezone, self.reason, turns_back)


class Promotion(StrictModel):
    """Releases come from another environment, by `abreast promote`: the artifacts that were tried there, not new ones.

    `abreast deploy` is refused here.
    """

    source: Name = Field(description="The environment that tries them, such as `staging`.")
    soak: Duration = Field(0.0, description="How long a release has to be live there. Later releases change nothing.")
    max_age: Duration | None = Field(None, description="Refuse artifacts that are older.")


class Maintenance(StrictModel):
    """What users get while `abreast maintenance` is on, or a migration that `breaking: maintenance` allows."""

    page: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A page of your own, in HTML, 64 KiB at most: a path in the project, such as `maintenance.html`. "
        "It has to stand alone, since the service does not answer for its images. Default: a plain one.",
    )
    url: Annotated[str, Field(pattern=r"^https://")] | None = Field(
        None, description="Where a platform gets it that takes an address instead: Render."
    )


class Environment(BaseModel):
    """Where releases are deployed. Besides these keys, each service that differs here has a key."""

    model_config = ConfigDict(extra="allow", strict=True)

    extends: Name | None = Field(
        None,
        description="Another environment that this one begins as. What is set here is merged on top: mappings key by "
        "key, everything else in place of it, also a service's platform and its `database`. `branch` and `preview` are "
        "not taken over.",
    )
    branch: Branch | None = Field(
        None,
        description="The branch whose pushes deploy here, in the workflows that `abreast init --github` and `--gitlab` "
        "write. Default: if no environment names one, the first one that is not this machine (`local`, `development`) "
        "gets the default branch.",
    )
    settle: Duration = Field(10.0, description="How long to watch the new version before the previous one is retired.")
    drain: Duration = Field(30.0, description="How long in-flight requests may take on the previous version.")
    on_failure: OnFailure | None = Field(
        None, description="What turns back if a service fails after traffic switched: all services, or it `alone`."
    )
    strategy: StrategyName | None = Field(
        None, description="The `strategy` of services with `run` that say none of their own."
    )
    gates: Literal["quick", "full"] | None = Field(
        None,
        description="Which scans run: `quick` runs `secrets` (in commits) and `dependencies`, `full` runs all. "
        "Default: `full` for an environment named production, `quick` for others.",
    )
    breaking: Literal["block", "warn", "allow", "maintenance"] | None = Field(
        None,
        description="What happens to a migration that would break the running version. `block` also requires a down "
        "step of each migration. `maintenance` gives users a page meanwhile. "
        "Default: `block` for an environment named production, `warn` for others.",
    )
    objectives: Objectives = Field(Objectives(), description="The objectives that `abreast db drill` measures against.")
    tag: bool = Field(False, description="Whether to tag each release deployed here in git, such as `v7`.")
    attested: bool = Field(
        False,
        description="Whether only what a workflow of this repository at GitHub built and signed is deployed.",
    )
    lock_after_failure: bool | None = Field(
        None,
        description="Whether a release that fails under users and is turned back locks the environment, until somebody "
        "runs `abreast unlock`. Rollbacks go on. Default: only in an environment named production.",
    )
    may_skip: list[str] = Field(default_factory=list, description="Gates that `--skip-gate` may skip, with a reason.")
    approval: Approval | None = Field(None, description="Who has to agree to a deployment.")
    identity: Literal["id-token"] | None = Field(
        None,
        description="What has to prove who deploys, promotes, rolls back or approves: `id-token` of a job at GitHub or "
        "GitLab. An emergency rollback goes on without.",
    )
    freeze: list[Freeze] = Field(default_factory=list, description="When no deployment begins.")
    promotion: Promotion | None = Field(None, description="Where releases come from, if not from commits.")
    maintenance: Maintenance = Field(Maintenance(), description="What users get during maintenance.")
    preview: Annotated[Preview | None, BeforeValidator(preview_switch)] = Field(
        None, description="Whether pull requests get previews of this environment. `true` is short for the defaults."
    )
    flags: dict[FlagName, FlagValue] = Field(
        default_factory=dict, description="Values of flags here, in place of those of the project."
    )
