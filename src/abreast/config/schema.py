"""What abreast.yml may say: its shape, its words, and what each means."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from abreast.core.changes.watch_patterns import validate_pattern as as_glob

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,39}$"
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


def parse_duration(value: Any) -> float:  # noqa: ANN401 (whatever the file holds)
    """Return a duration (``500ms``, ``2s``, ``5m``, ``1h30m``, ``90d``, or a number of seconds) in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not found or len(str(value)) > 20:
        raise ValueError("needed: a duration such as 500ms, 2s, 5m or 1h30m")
    days, hours, minutes, whole, thousandths = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + whole + thousandths / 1000


def _check_relative_folder(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or not value.strip():
        raise ValueError("needed: a folder inside the project, such as frontend/dist")
    return value.rstrip("/")


def _check_url_path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError("needed: a path such as /api/health")
    return value


def _shorthand(field: str) -> BeforeValidator:
    """Let a plain text stand for a mapping with one key."""
    return BeforeValidator(lambda value: {field: value} if isinstance(value, str) else value)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["500ms", "2s", "5m", "1h30m"]}),
]
Folder = Annotated[str, AfterValidator(_check_relative_folder)]
UrlPath = Annotated[str, AfterValidator(_check_url_path)]
Command = Annotated[str, Field(min_length=1)]


class StrictModel(BaseModel):
    """A part of abreast.yml; a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Build(StrictModel):
    """How a service's artifact is made, in a clean checkout of the commit."""

    run: Command | None = Field(None, description="The command that builds; the shell's.")
    output: Folder | None = Field(
        None, description="The folder that is deployed; the whole checkout where none is given."
    )
    image: Annotated[str, Field(pattern=r"^[a-z0-9.:-]+(/[a-z0-9._-]+)*$")] | None = Field(
        None,
        description="The image to build and push instead, without a tag, such as `ghcr.io/acme/api`; it is tagged with "
        "release and commit, and pinned by the digest that the registry gives it.",
    )
    dockerfile: Folder = Field("Dockerfile", description="What the image is built by; its context is the checkout.")
    timeout: Duration = Field(
        900.0, description="How long the command may take; also the limit for what a platform builds or works through."
    )


class Health(StrictModel):
    """What must hold of every instance before users come, and while it is watched.

    An answer that names a commit (`commit` in JSON, or the header `X-Commit`) must name the one deployed.
    """

    path: UrlPath = Field("/", description="What is asked for; 2xx and 3xx are healthy.")
    within: Duration = Field(2.0, description="How long one answer may take.")
    start: Duration = Field(60.0, description="How long until the first healthy answer.")
    hold: Duration = Field(1.0, description="How long answers stay healthy before users come.")


def _scalar_to_text(value: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _check_regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


Text = Annotated[str, BeforeValidator(_scalar_to_text)]
Format = Literal["url", "email", "integer", "number", "boolean", "port", "json", "base64", "uuid", "host"]
Pattern = Annotated[str, AfterValidator(_check_regex)]


class Variable(StrictModel):
    """A variable, said in full."""

    value: Text | None = Field(
        None,
        description="Its value; `${NAME}` and `${NAME:-default}` are looked up where abreast runs. Without it, the "
        "variable of the same name there.",
    )
    secret: bool | None = Field(
        None, description="Whether its value is never shown; guessed from its name where not said."
    )
    required: bool = Field(True, description="Whether it must be set; where it need not, it is left out.")
    format: Format | None = Field(None, description="What its value must be.")
    pattern: Pattern | None = Field(None, description="A regular expression that its whole value must match.")
    rotate_after: Duration | None = Field(
        None, description="How old a secret may get before `doctor` tells it, such as 90d."
    )


def _parse_percent(value: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    number = float(found[1]) if found else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 100:
        raise ValueError("needed: a percentage such as 70%")
    return float(number)


def _expand_coverage(value: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    if value is True:
        return {}
    return {"total": value} if isinstance(value, str | int | float) else value


def _expand_scan(value: Any) -> Any:  # noqa: ANN401 (whatever the file holds)
    if value in ("block", True):
        return {}
    if value in ("off", False):
        return None
    return {"block": value} if isinstance(value, str) else value


def _parse_size(value: Any) -> float:  # noqa: ANN401 (whatever the file holds)
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMG]?)B", value) if isinstance(value, str) else None
    if not found:
        raise ValueError("needed: a size such as 500MB or 2GB")
    return float(found[1]) * {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def _check_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("needed: a day such as 2026-12-31") from None


Size = Annotated[
    float, BeforeValidator(_parse_size), WithJsonSchema({"type": ["string", "number"], "examples": ["500MB", "2GB"]})
]


def _check_cron(value: str) -> str:
    try:
        CronSim(value, datetime.now())  # noqa: DTZ005 (only whether it is one)
    except CronSimError as error:
        raise ValueError(f"not a schedule such as 0 3 * * *: {error}") from None
    return value


CronExpression = Annotated[str, AfterValidator(_check_cron)]
IsoDate = Annotated[str, AfterValidator(_check_date)]
Severity = Literal["low", "medium", "high", "critical"]
Percent = Annotated[
    float, BeforeValidator(_parse_percent), WithJsonSchema({"type": ["string", "number"], "examples": ["70%", 70]})
]
Glob = Annotated[str, Field(min_length=1), AfterValidator(as_glob)]
Globs = Annotated[
    list[Glob], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(default_factory=list)
]
Variables = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Text | Variable],
    Field(default_factory=dict),
]


class Test(StrictModel):
    """A service's tests: a command that runs in a clean checkout, beside the build.

    It has what abreast's own environment has of `PATH` and the like, `CI=true`, and what `env` names: none of the
    service's variables, so that a test never meets the data of production.
    """

    run: Command = Field(description="The command; it fails where it ends with another code than 0.")
    reports: Globs = Field(description="Its JUnit XML; files with the usual names where none is given.")
    coverage: Globs = Field(
        description="Its coverage report: Cobertura, lcov, coverage.py's JSON, Istanbul's summary; files with the "
        "usual names where none is given."
    )
    timeout: Duration = Field(900.0, description="How long it may take.")
    env: dict[str, Text] = Field(default_factory=dict, description="Its variables.")


class Coverage(StrictModel):
    """How much of the lines tests must reach, in percent; a report that is missing, stale or empty fails."""

    total: Percent = Field(70.0, description="Of all lines that the report knows.")
    changed: Percent | None = Field(None, description="Of the lines that changed since what is live.")


class GateCommand(StrictModel):
    """A command that must succeed, such as a linter or a type checker; it runs in a clean checkout."""

    run: Command = Field(description="The command; it fails where it ends with another code than 0.")
    timeout: Duration = Field(900.0, description="How long it may take.")
    env: dict[str, Text] = Field(default_factory=dict, description="Its variables.")


class Scan(StrictModel):
    """What is looked for, and from which severity on a finding stops a deployment.

    A tool that is missing, or that could not ask its database, says *unknown*, which stops it too.
    """

    block: Severity | None = Field(None, description="The least severity that counts.")
    unknown: Literal["block", "allow"] = Field("block", description="What happens where nobody could look.")
    timeout: Duration = Field(600.0, description="How long it may take.")
    env: dict[str, Text] = Field(default_factory=dict, description="Variables for its tools.")


class ImageScan(Scan):
    """What is looked for in an image, how large it may be, and from which severity on a finding stops a deployment."""

    size: Size = Field(2e9, description="How large an image may be, such as 2GB.")


class AllowedFinding(StrictModel):
    """A finding that does not count for a while."""

    gate: str = Field(description="Whose it is, such as `dependencies`.")
    rule: str = Field(min_length=1, description="What the finding is called, such as `GHSA-…`, `B602` or `DL3008`.")
    path: Glob = Field("**", description="Where it is allowed, a glob.")
    owner: str = Field(min_length=1, description="Who answers for it.")
    reason: str = Field(min_length=1, description="Why.")
    expires: IsoDate = Field(description="The last day on which it is allowed, as 2026-12-31.")


ScanGate = Annotated[Scan | None, BeforeValidator(_expand_scan)]


class Gates(BaseModel):
    """What must hold before anything is brought up; each other key is a command, such as `lint: {run: ruff check}`.

    Tests are each service's `test`.
    """

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Annotated[GateCommand, _shorthand("run")]]

    coverage: Annotated[Coverage, BeforeValidator(_expand_coverage)] | None = Field(
        None, description="What the tests' coverage must be; a percentage is its `total`, `true` asks for 70%."
    )
    secrets: ScanGate = Field(
        None, description="Secrets in the commits that would go out, and in what was built; any counts."
    )
    dependencies: ScanGate = Field(None, description="Known holes of packages (Python, npm); from high on.")
    code: ScanGate = Field(None, description="Weak places in the code (Python); from high on.")
    workflows: ScanGate = Field(None, description="Weak places in GitHub workflows; from high on.")
    dockerfiles: ScanGate = Field(None, description="Weak places in Dockerfiles; from high on.")
    images: Annotated[ImageScan | None, BeforeValidator(_expand_scan)] = Field(
        None, description="Known holes in the images that were built, and their size; from high on."
    )


class Database(StrictModel):
    """A service's database, SQLite or PostgreSQL, and how it is brought up to date before a new version starts."""

    url: Text = Field(
        description="Where it is: `${DATABASE_URL}`, or `sqlite:///shop.db`, which lies in the service's data folder "
        "(`$ABREAST_DATA`) unless its path begins with another slash."
    )
    variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        "DATABASE_URL", description="The variable by which the service gets the URL, unless its `env` has one."
    )
    migrations: Folder | None = Field(
        None, description="A folder of SQL files: `001_name.sql`, and `001_name.down.sql` or sections for the way back."
    )
    command: Command | None = Field(
        None, description="Or a command that migrates, such as `npx prisma migrate deploy`; it runs in what was built."
    )
    status: Command | None = Field(None, description="A command that succeeds where `command` has nothing to do.")
    down: Command | None = Field(
        None, description="A command that takes back what `command` of the live release did; declared safe by this."
    )
    scratch: Text | None = Field(None, description="A server of PostgreSQL for copies, in place of the database's own.")
    statement_timeout: Duration = Field(900.0, description="How long one statement of a migration may take.")
    lock_timeout: Duration = Field(
        2.0, description="How long a migration waits for a lock before it lets the application on and tries again."
    )


class Backups(StrictModel):
    """Backups of every database: before each migration, and on a schedule; verified, compressed, encrypted."""

    store: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://.+")] | None = Field(
        None, description="Where they are kept; `.abreast/backups` where none is given."
    )
    recipients: list[Text] = Field(
        default_factory=list, description="Who can open them: `age1…` or public SSH keys (https://age-encryption.org)."
    )
    key: str | None = Field(
        None,
        description="A key file of age that can open them; `.abreast/backup.key`, which is made, where neither this, "
        "`recipients` nor `passphrase` is given.",
    )
    passphrase: Text | None = Field(
        None, description="A passphrase that can open them, such as `${BACKUP_PASSPHRASE}`."
    )
    keep: int = Field(5, ge=1, description="The last so many stay.")
    within: Duration = Field(30 * 86400.0, description="Those younger than this stay too.")
    schedule: CronExpression | None = Field(
        None, description="When `abreast db backup --scheduled` makes one, such as `0 3 * * *`."
    )
    drill: CronExpression | None = Field(
        None, description="When `abreast db drill --scheduled` does the disaster on a copy."
    )
    alert: Command | None = Field(
        None, description="What is run when a scheduled one fails; `$ABREAST_ALERT` says why."
    )


class Objectives(StrictModel):
    """What a recovery may take and cost."""

    rto: Duration | None = Field(None, description="Recovery time: how long it may take from the disaster on.")
    rpo: Duration | None = Field(None, description="Recovery point: how old the newest good backup may be.")


class Service(StrictModel):
    """One deployable part: with `run` a backend, without it a frontend, which is a folder."""

    watch: list[Glob] = Field(
        default_factory=list,
        description="Globs of the files whose change deploys it; all files where none is given.",
    )
    uses: list[Glob] = Field(
        default_factory=list,
        description="Globs of what else it is made from, such as shared code; packages of its workspace and lock files "
        "are found by themselves.",
    )
    needs: list[str] = Field(default_factory=list, description="Services whose candidates must be healthy first.")
    build: Annotated[Build, _shorthand("run")] = Field(Build(), description="How it is built; a text is its `run`.")
    run: Command | None = Field(None, description="The command that listens on `$PORT`; the shell's.")
    instances: int = Field(2, ge=1, le=64, description="How many processes of it run side by side.")
    test: Annotated[Test, _shorthand("run")] | None = Field(None, description="Its tests; a text is their `run`.")
    health: Annotated[Health, _shorthand("path")] = Field(Health(), description="Its health; a text is its `path`.")
    env: Variables = Field(description="Variables for its build and its processes.")
    database: Annotated[Database, _shorthand("url")] | None = Field(
        None, description="Its database; a text is its `url`."
    )


class ServiceOverride(StrictModel):
    """What differs for one service in one environment."""

    instances: int | None = Field(None, ge=1, le=64, description="How many processes of it run side by side.")
    env: Variables = Field(description="Variables in addition, or instead.")
    database: Annotated[Database, _shorthand("url")] | None = Field(
        None, description="Another database, in place of the common one; all of its keys."
    )


class Artifacts(StrictModel):
    """Where what was built is kept, and how long. What is live anywhere, or needed by a deployment, always stays."""

    store: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://.+")] | None = Field(
        None,
        description="A store that several machines share, beside the local folder: `s3://bucket/path`, `gs://…`, "
        "`az://…`, `file:///…`; its credentials are the usual variables where abreast runs.",
    )
    keep: int = Field(20, ge=1, description="Artifacts of this many releases stay.")
    within: Duration = Field(30 * 86400.0, description="Artifacts of releases younger than this stay too.")


OnFailure = Literal["together", "alone"]


class Environment(BaseModel):
    """Where releases go; beside these keys it has one for each service that differs there."""

    model_config = ConfigDict(extra="allow", strict=True)

    settle: Duration = Field(10.0, description="How long the new version is watched before the old one goes.")
    drain: Duration = Field(30.0, description="How long requests in flight may take to finish on the old version.")
    on_failure: OnFailure | None = Field(None, description="Who turns back when a service fails after the turn.")
    gates: Literal["quick", "full"] | None = Field(
        None,
        description="Which of the gates that look for something are asked: `quick` is secrets in commits and "
        "dependencies, `full` all; full for an environment called production, quick for others.",
    )
    breaking: Literal["block", "warn", "allow"] | None = Field(
        None,
        description="What happens to a migration that the running version could not live with; where it blocks, each "
        "migration needs its way back too. `block` for an environment called production, `warn` for others.",
    )
    objectives: Objectives = Field(Objectives(), description="What `abreast db drill` measures against.")
    tag: bool = Field(False, description="Whether git gets a tag, such as `v7`, of each release that gets there.")
    may_skip: list[str] = Field(
        default_factory=list, description="Gates that `--skip-gate` may leave out here, with a reason."
    )


class Project(StrictModel):
    """The whole of abreast.yml."""

    project: Annotated[str, Field(pattern=NAME_PATTERN)] = Field(description="The project's name.")
    services: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Service] = Field(
        min_length=1, description="The services, by name."
    )
    environments: dict[
        Annotated[str, Field(pattern=NAME_PATTERN)],
        Annotated[Environment, BeforeValidator(lambda value: {} if value is None else value)],
    ] = Field(min_length=1, description="The environments, by name.")
    on_failure: OnFailure = Field("together", description="Who turns back when a service fails after the turn.")
    gates: Gates = Field(default_factory=Gates, description="What must hold before anything is brought up.")
    artifacts: Artifacts = Field(Artifacts(), description="Where what was built is kept, and how long.")
    backups: Backups = Field(default_factory=Backups, description="Where backups of databases are kept, and how long.")
    allow: list[AllowedFinding] = Field(default_factory=list, description="Findings that do not count for a while.")
