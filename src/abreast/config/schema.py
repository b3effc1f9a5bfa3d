"""The structure of abreast.yml. `docs reference` prints the texts of this module."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from abreast.config.environment_schema import Environment, OnFailure, Person, StrategyName
from abreast.config.field_types import (
    IMAGE_PATTERN,
    STORE_PATTERN,
    TABLE_PATTERN,
    Command,
    CronExpression,
    DatabasePart,
    Duration,
    FlagName,
    FlagValue,
    Folder,
    Format,
    Glob,
    Name,
    NodeVersion,
    Pattern,
    PythonVersion,
    RoutePath,
    StrictModel,
    Text,
    TimeZone,
    VariableName,
    shorthand,
)
from abreast.config.gate_schema import AllowedFinding, Gates, Test
from abreast.config.instance_schema import Health, Resources


class Build(StrictModel):
    """How a service is built, in a clean checkout of the commit."""

    install: Command | None = Field(
        None,
        description="Installs dependencies before `run` and before tests, such as `npm ci`. What it leaves is kept and "
        "used again as long as lock files, manifests and tools are the same.",
    )
    run: Command | None = Field(None, description="The build command. It runs in a shell.")
    output: Folder | None = Field(
        None,
        description="The folder to deploy, relative to the service's `folder`. `run` then runs in it. Default: the "
        "whole checkout, with `run` in `folder`.",
    )
    image: Annotated[str, Field(pattern=IMAGE_PATTERN)] | None = Field(
        None,
        description="Build and push this image instead, such as `ghcr.io/acme/api`, without a tag. abreast tags it "
        "with release and commit, and deploys it by digest.",
    )
    dockerfile: Folder = Field(
        "Dockerfile", description="The Dockerfile of `image`. Its context is `output`, or else the service's `folder`."
    )
    timeout: Duration = Field(
        900.0, description="How long the command may run. Also limits builds that run on the platform."
    )


class ReleaseCommand(StrictModel):
    """A command that runs once for each release, in a copy of the build output, before the new version starts.

    It runs after migrations, with the variables of the service. It must be repeatable: if abreast is killed while it
    runs, it runs again.
    """

    run: Command = Field(description="The command. It runs in a shell. If it fails, the deployment turns back.")
    timeout: Duration = Field(900.0, description="How long the command may run.")


class Variable(StrictModel):
    """A variable with all its settings. A plain value is short for `value`."""

    value: Text | None = Field(
        None,
        description="Its value. `${NAME}` and `${NAME:-default}` are looked up where abreast runs. Default: the "
        "variable of the same name there.",
    )
    secret: bool | None = Field(None, description="Whether to mask its value. Default: guessed from its name.")
    generate: bool = Field(
        False,
        description="Whether to make up a random secret where it is not set: once for each environment of services on "
        "`local`, the same for all of them and for each later release. Elsewhere it must be set.",
    )
    required: bool = Field(
        True, description="Whether it must be set. An optional variable that is not set is left out."
    )
    format: Format | None = Field(None, description="The format of its value.")
    pattern: Pattern | None = Field(None, description="A regular expression that the whole value must match.")
    rotate_after: Duration | None = Field(
        None, description="The age, such as 90d, from which `doctor` asks to rotate the secret."
    )


Variables = Annotated[dict[VariableName, Text | Variable], Field(default_factory=dict)]


class Rehearsal(StrictModel):
    """How the new version and a migration `command` run on a copy of the database."""

    env: dict[VariableName, Text] = Field(
        default_factory=dict,
        description="Variables to add or replace, such as keys of test accounts. `ABREAST_REHEARSAL` is set to `1`.",
    )


class Database(StrictModel):
    """A service's database, SQLite or PostgreSQL, and how it is migrated before a new version starts."""

    url: Text = Field(
        description="Its URL: `${DATABASE_URL}`; `sqlite:///shop.db` for a file in the service's data folder "
        "(`$ABREAST_DATA`), where an absolute path starts with one more slash; `postgresql:///shop` for a database of "
        "the server that abreast runs on `local`."
    )
    variable: VariableName = Field(
        "DATABASE_URL", description="The variable that passes the URL to the service, unless `env` sets it."
    )
    variables: dict[VariableName, DatabasePart] = Field(
        default_factory=dict,
        description="Variables that pass parts of PostgreSQL's URL, for code that reads no URL, such as "
        "`DATABASE_HOST: host`. `connectionString` is all of it; a scheme such as `postgresql+asyncpg`, all of it with "
        "that scheme.",
    )
    migrations: Folder | None = Field(
        None,
        description="A folder of SQL files, relative to the service's `folder`: `001_name.sql`, with "
        "`001_name.down.sql` or sections to reverse each.",
    )
    command: Command | None = Field(
        None,
        description="Instead of `migrations`: a command that migrates, such as `npx prisma migrate deploy`. It runs in "
        "the build output.",
    )
    status: Command | None = Field(None, description="A command that succeeds if `command` has nothing to do.")
    down: Command | None = Field(
        None,
        description="A command that reverses what `command` did for the live release. Setting it declares that safe.",
    )
    scratch: Text | None = Field(
        None, description="A PostgreSQL server for copies. Default: the server of the database itself."
    )
    admin: Text | None = Field(
        None,
        description="Its URL with a role that may dump it, create databases and restore them, if the role of `url` may "
        "not. For backups, copies and restores only.",
    )
    rehearsal: Rehearsal = Field(
        default_factory=Rehearsal, description="How the new version runs on a copy of the database."
    )
    migrations_table: Annotated[str, Field(pattern=TABLE_PATTERN)] = Field(
        "migrations", description="The table that records which files of `migrations` ran."
    )
    statement_timeout: Duration = Field(900.0, description="How long one statement of a migration may run.")
    lock_timeout: Duration = Field(2.0, description="How long a migration waits for a lock before it retries.")


class Backups(StrictModel):
    """Backups of every database: before each migration, and on a schedule. Verified, compressed, encrypted."""

    store: Annotated[str, Field(pattern=STORE_PATTERN)] | None = Field(
        None, description="Where they are stored. Default: `.abreast/backups`."
    )
    recipients: list[Text] = Field(
        default_factory=list,
        description="Who can decrypt them: `age1…` or public SSH keys (https://age-encryption.org).",
    )
    key: str | None = Field(
        None,
        description="An age key file that can decrypt them. Without `key`, `recipients` and `passphrase`, abreast "
        "creates `.abreast/backup.key`.",
    )
    passphrase: Text | None = Field(
        None, description="A passphrase that can decrypt them, such as `${BACKUP_PASSPHRASE}`."
    )
    keep: int = Field(5, ge=1, description="How many of the latest backups to keep.")
    hourly: int = Field(24, ge=0, description="For how many hours the newest backup of each hour is kept.")
    daily: int = Field(30, ge=0, description="For how many days the newest backup of each day is kept.")
    weekly: int = Field(8, ge=0, description="For how many weeks the newest backup of each week is kept.")
    schedule: CronExpression | None = Field(
        None, description="When `abreast db backup --scheduled` makes one, such as `0 3 * * *`."
    )
    timezone: TimeZone = Field("UTC", description="The time zone of `schedule` and `drill`, such as `Europe/Berlin`.")
    continuous: Duration | None = Field(
        None,
        description="Record every change, and keep so much of it that any moment of this time can be restored, such as "
        "`7d`. `abreast db backup --scheduled` does it. Needs `litestream` for SQLite, and the right REPLICATION for "
        "PostgreSQL.",
    )
    drill: CronExpression | None = Field(
        None, description="When `abreast db drill --scheduled` rehearses a recovery on a copy."
    )
    alert: Command | None = Field(
        None, description="A command to run when a scheduled backup or drill fails. `$ABREAST_ALERT` says why."
    )


class Service(StrictModel):
    """One deployable part: a backend with `run`, or else a frontend, which is a folder.

    A worker is a `run` without a port. A scheduled command is a `run` with a `schedule`.
    """

    type: Literal["web", "worker"] = Field(
        "web", description="`web` listens on `$PORT` or is a folder. A `worker` has no port, such as a queue consumer."
    )
    folder: Folder | None = Field(
        None,
        description="Its folder in the repository, such as `web`. Its commands run there, and `output`, `dockerfile`, "
        "`migrations` and test reports are relative to it. Default: the folder of abreast.yml.",
    )
    python: PythonVersion | None = Field(
        None,
        description='The Python that its commands get, in an environment of its own: a version such as `"3.12"`, a '
        'range such as `">=3.11,<3.14"`, or `auto` for what `.python-version` or `requires-python` says. uv makes it. '
        "Default: the `python` that is on the PATH.",
    )
    node: NodeVersion | None = Field(
        None,
        description='The oldest Node that builds and runs it, such as `"22"` or `"20.11"`. A deployment checks the '
        "`node` on the PATH before it builds anything.",
    )
    watch: list[Glob] = Field(
        default_factory=list,
        description="Globs, relative to abreast.yml. A change of a matching file deploys the service. Default: "
        "`folder/**`, or all files without `folder`.",
    )
    uses: list[Glob] = Field(
        default_factory=list,
        description="Globs of other files it is built from, such as shared code. Packages of its workspace and lock "
        "files are detected.",
    )
    needs: list[str] = Field(default_factory=list, description="Services whose candidates must be healthy first.")
    routes: dict[RoutePath, str] = Field(
        default_factory=dict,
        description="Paths of a frontend that other services answer, such as `/api: backend`, with all paths below. "
        "Users reach both at one address. The service gets the same path, and is staged first.",
    )
    build: Annotated[Build, shorthand("run")] = Field(Build(), description="How to build it. A text is its `run`.")
    run: Command | None = Field(
        None,
        description="The command that runs it, in a shell. A web service listens on `$PORT`.",
    )
    schedule: CronExpression | None = Field(
        None, description="When `run` starts and runs to its end, such as `0 3 * * *`. Default: it always runs."
    )
    timezone: TimeZone = Field("UTC", description="The time zone of `schedule`, such as `Europe/Berlin`.")
    release: Annotated[ReleaseCommand, shorthand("run")] | None = Field(
        None,
        description="A command that runs once for each release, before the new version starts. A text is its `run`.",
    )
    instances: int = Field(2, ge=1, le=64, description="How many processes run in parallel.")
    test: Annotated[Test, shorthand("run")] | None = Field(None, description="Its tests. A text is their `run`.")
    health: Annotated[Health, shorthand("path")] = Field(
        Health(), description="Its health check. A text is its `path`."
    )
    env: Variables = Field(description="Variables of its build and its processes.")
    database: Annotated[Database, shorthand("url")] | None = Field(
        None, description="Its database. A text is its `url`."
    )
    resources: Resources = Field(
        Resources(), description="What each of its `instances` may use. Default: no limit, or what its platform has."
    )
    strategy: StrategyName | None = Field(
        None,
        description="How users get to its next version. `blue-green` checks it beside the previous one, then traffic "
        "switches. `recreate` stops the previous one first: for what cannot run twice. Default: that of the "
        "environment, or else `blue-green` where its platform has that.",
    )


class ServiceOverride(StrictModel):
    """The settings of one service that differ in one environment."""

    instances: int | None = Field(None, ge=1, le=64, description="How many processes run in parallel.")
    env: Variables = Field(description="Variables to add or replace.")
    database: Annotated[Database, shorthand("url")] | None = Field(
        None, description="Another database. It replaces all keys of the common one."
    )
    health: Annotated[Health, shorthand("path")] | None = Field(
        None, description="Settings of its health check to add or replace."
    )
    resources: Resources | None = Field(
        None, description="What each instance may use here, key by key in place of the common values."
    )
    strategy: StrategyName | None = Field(None, description="How users get to its next version here.")


class Artifacts(StrictModel):
    """Where artifacts are stored, and for how long. Artifacts that are live or needed are always kept."""

    store: Annotated[str, Field(pattern=STORE_PATTERN)] | None = Field(
        None,
        description="A store shared by several machines, beside the local folder: `s3://bucket/path`, `gs://…`, "
        "`az://…` or `file:///…`. It uses the provider's usual credential variables.",
    )
    keep: int = Field(20, ge=1, description="How many releases to keep artifacts of.")
    within: Duration = Field(30 * 86400.0, description="Artifacts of younger releases are kept too.")


class Project(StrictModel):
    """The whole abreast.yml."""

    project: Name = Field(description="The project's name.")
    services: dict[Name, Service] = Field(min_length=1, description="The services, by name.")
    environments: dict[Name, Annotated[Environment, BeforeValidator(lambda value: {} if value is None else value)]] = (
        Field(min_length=1, description="The environments, by name.")
    )
    on_failure: OnFailure = Field(
        "together",
        description="What turns back if a service fails after traffic switched: all services, or it `alone`.",
    )
    gates: Gates = Field(default_factory=Gates, description="What must pass before anything is deployed.")
    artifacts: Artifacts = Field(Artifacts(), description="Where artifacts are stored, and for how long.")
    backups: Backups = Field(
        default_factory=Backups, description="Where database backups are stored, and for how long."
    )
    groups: dict[Name, list[Text]] = Field(
        default_factory=dict, description="People by the name of a group, for `approval`."
    )
    people: dict[
        Text, Annotated[Person, shorthand("email"), BeforeValidator(lambda value: {} if value is None else value)]
    ] = Field(
        default_factory=dict,
        description="People who approve, by the name that they have in `by` and `groups`. A text is their `email`. If "
        "there are any, all who are named there have to be here.",
    )
    notify: dict[Name, Any] = Field(
        default_factory=dict,
        description="Who is told about deployments: a notifier, such as `slack`, and its settings.",
    )
    allow: list[AllowedFinding] = Field(default_factory=list, description="Findings that do not block for a while.")
    flags: dict[FlagName, FlagValue] = Field(
        default_factory=dict,
        description="Feature flags with their defaults: `true` or `false`, numbers or texts. Code gets `new_checkout` "
        "as `FLAG_NEW_CHECKOUT`, and all of them in `ABREAST_FLAGS` as JSON: a service with `run` when it runs, "
        "another one when it is built.",
    )
