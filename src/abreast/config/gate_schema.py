"""The gates of abreast.yml: tests, coverage, commands, scans, and findings that are allowed for a while."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from abreast.config.field_types import (
    Command,
    CommitId,
    Duration,
    Glob,
    Globs,
    IsoDate,
    Name,
    Percent,
    Severity,
    Size,
    StrictModel,
    Text,
    shorthand,
)


class Test(StrictModel):
    """A service's tests: a command that runs in a clean checkout, in parallel with the build.

    It gets `PATH` and similar variables of the machine, `CI=true` unless `env` sets it, and what `env` lists. It gets
    none of the service's variables, so tests never reach production data.
    """

    run: Command = Field(description="The command. Any exit code but 0 fails the gate.")
    reports: Globs = Field(description="Its JUnit XML reports. Default: files with the usual names.")
    coverage: Globs = Field(
        description="Its coverage report: Cobertura, Clover, JaCoCo, lcov, Go's profile, coverage.py JSON or Istanbul "
        "summary. Default: files with the usual names."
    )
    timeout: Duration = Field(900.0, description="How long it may run.")
    env: dict[str, Text] = Field(default_factory=dict, description="Its variables.")


class Coverage(StrictModel):
    """The share of lines that tests must reach, in percent. A missing, stale or empty report fails."""

    total: Percent = Field(70.0, description="Of all lines in the report.")
    changed: Percent | None = Field(None, description="Of the lines that changed since the live release.")


class GateCommand(StrictModel):
    """A command that must succeed, such as a linter or a type checker. It runs in a clean checkout."""

    run: Command = Field(description="The command. Any exit code but 0 fails the gate.")
    timeout: Duration = Field(900.0, description="How long it may run.")
    env: dict[str, Text] = Field(default_factory=dict, description="Its variables.")


class Scan(StrictModel):
    """A security scan, and the severity from which a finding blocks the deployment.

    If the tool is missing or cannot reach its database, the verdict is *unknown*, which blocks too.
    """

    block: Severity | None = Field(None, description="The lowest severity that blocks.")
    unknown: Literal["block", "allow"] = Field("block", description="What an *unknown* verdict does.")
    timeout: Duration = Field(600.0, description="How long it may run.")
    env: dict[str, Text] = Field(default_factory=dict, description="Variables for its tools.")


class SecretScan(Scan):
    """The scan for secrets. Any finding blocks by default."""

    since: CommitId | None = Field(
        None,
        description="A commit. What it and those before it brought is reported, and does not block. Default: the first "
        "deployment looks through the whole history.",
    )


class ImageScan(Scan):
    """A scan of built images: their vulnerabilities and their size."""

    size: Size = Field(2e9, description="The largest image allowed, such as 2GB.")


class AllowedFinding(StrictModel):
    """A finding that does not block until it expires."""

    gate: str = Field(description="The gate that reports it, such as `dependencies`.")
    rule: str = Field(min_length=1, description="The rule or advisory, such as `GHSA-…`, `B602` or `DL3008`.")
    path: Glob = Field("**", description="Where it is allowed, as a glob.")
    owner: str = Field(min_length=1, description="Who is responsible for it.")
    reason: str = Field(min_length=1, description="Why it is allowed.")
    expires: IsoDate = Field(description="The last day on which it is allowed, such as 2026-12-31.")


def _expand_coverage(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if value is True:
        return {}
    return {"total": value} if isinstance(value, str | int | float) else value


def _expand_scan(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if value in ("block", True):
        return {}
    if value in ("off", False):
        return None
    return {"block": value} if isinstance(value, str) else value


ScanGate = Annotated[Scan | None, BeforeValidator(_expand_scan)]


class Gates(BaseModel):
    """What must pass before anything is deployed. Any other key is a command, such as `lint: {run: ruff check}`.

    Tests belong to their service: see `test`.
    """

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[Name, Annotated[GateCommand, shorthand("run")]]

    coverage: Annotated[Coverage, BeforeValidator(_expand_coverage)] | None = Field(
        None, description="The coverage required of tests. A percentage is its `total`; `true` means 70%."
    )
    secrets: Annotated[SecretScan | None, BeforeValidator(_expand_scan)] = Field(
        None, description="Secrets in new commits and in build output. Any finding blocks."
    )
    dependencies: ScanGate = Field(
        None, description="Known vulnerabilities in packages (Python, npm). Blocks from `high`."
    )
    code: ScanGate = Field(None, description="Security issues in code (Python). Blocks from `high`.")
    workflows: ScanGate = Field(None, description="Security issues in GitHub workflows. Blocks from `high`.")
    dockerfiles: ScanGate = Field(None, description="Problems in Dockerfiles. Blocks from `high`.")
    images: Annotated[ImageScan | None, BeforeValidator(_expand_scan)] = Field(
        None, description="Known vulnerabilities in built images, and their size. Blocks from `high`."
    )
