"""Types of single values in abreast.yml: durations, sizes, globs, commands.

A validator raises ValueError("expected …"). `load` adds the key path and what the file has instead.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from abreast.core.changes.watch_patterns import validate_pattern
from abreast.core.freeze import check_moment
from abreast.machine.cron_schedule import read_timezone

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,39}$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
IMAGE_PATTERN = r"^[a-z0-9.:-]+(/[a-z0-9._-]+)*$"
EMAIL_PATTERN = r"^[^@\s<>,;:\\\"]+@[^@\s<>,;:\\\"]+$"
WEB_PATTERN = r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/?$"
STORE_PATTERN = r"^(s3|gs|az|file)://.+"
ROUTE_PATTERN = r"^(/[A-Za-z0-9._~-]+)+$"
BRANCH_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}$"
TABLE_PATTERN = r"^[a-z_][a-z0-9_]{0,49}$"
DATABASE_PART_PATTERN = (
    r"^(host|port|user|password|database|connectionString|postgres(ql)?(\+[A-Za-z][A-Za-z0-9_.-]*)?)$"
)
COMMIT_PATTERN = r"^[0-9a-f]{7,64}$"
FLAG_PATTERN = r"^[a-z][a-z0-9_]{0,49}$"

PYTHON_PATTERN = r"^(auto|\d+(\.\d+){0,2}|((~=|[<>]=?|[!=]=) ?\d+(\.\d+)*(\.\*)?( ?, ?|$))+)$"
NODE_PATTERN = r"^[1-9]\d*(\.\d+){0,2}$"

PATTERN_MEANINGS: Mapping[str, str] = {
    NODE_PATTERN: 'a version of Node such as "22" or "20.11"',
    PYTHON_PATTERN: 'a version of Python such as "3.12", a range such as ">=3.11,<3.14", or auto',
    NAME_PATTERN: "a name such as api or web-2: lower-case letters, digits and hyphens, at most 40",
    VARIABLE_PATTERN: "a variable name such as LOG_LEVEL",
    IMAGE_PATTERN: "an image name without a tag, such as ghcr.io/acme/api",
    ROUTE_PATTERN: "a path such as /api, which stands for all paths below, too",
    BRANCH_PATTERN: "the name of a branch such as main or release/2026",
    COMMIT_PATTERN: 'the id of a commit in quotes such as "4f2a9c1"',
    TABLE_PATTERN: "the name of a table such as abreast_migrations: lower-case letters, digits and underscores",
    EMAIL_PATTERN: "an address such as ada@example.com",
    WEB_PATTERN: "an address such as https://deploy.example.com, without ? and #",
    DATABASE_PART_PATTERN: "host, port, user, password, database, connectionString, or the scheme of a URL such as "
    "postgresql+asyncpg",
    FLAG_PATTERN: "the name of a flag such as new_checkout: lower-case letters, digits and underscores",
    STORE_PATTERN: "a store such as s3://bucket/path, gs://…, az://… or file:///…",
}
"""What each pattern asks for, in words."""

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
MAX_SECONDS = 1e9
"""How long a duration can be: a day so far from now has a date."""
_BYTES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

MIN_CPU, MAX_CPU, MIN_MEMORY = 0.01, 256.0, 16e6
"""What an instance can be limited to: CPUs, and bytes of memory."""


class StrictModel(BaseModel):
    """A part of abreast.yml that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


def shorthand(field: str) -> BeforeValidator:
    """Let a text stand for a mapping with the one key ``field``."""
    return BeforeValidator(lambda value: {field: value} if isinstance(value, str) else value)


def _text_for(meaning: str) -> BeforeValidator:
    """Reject other values than texts, with ``meaning`` in the message."""

    def check(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
        if not isinstance(value, str):
            raise ValueError(f"expected {meaning} (text)")  # noqa: TRY004 (pydantic collects ValueErrors)
        return value

    return BeforeValidator(check)


def parse_duration(value: Any) -> float:  # noqa: ANN401 (any YAML value)
    """Return the seconds of a duration: ``500ms``, ``2s``, ``5m``, ``1h30m``, ``90d``, or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS:
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not match or len(str(value)) > 20:
        raise ValueError("expected a duration such as 500ms, 2s or 5m")
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if total >= MAX_SECONDS:
        raise ValueError("expected a duration of less than 30 years")
    return total


def _parse_percent(value: Any) -> float:  # noqa: ANN401 (any YAML value)
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    number = float(match[1]) if match else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 100:
        raise ValueError("expected a percentage such as 70%")
    return float(number)


def _parse_size(value: Any) -> float:  # noqa: ANN401 (any YAML value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMG]?)B", value) if isinstance(value, str) else None
    if not match:
        raise ValueError("expected a size such as 500MB or 2GB")
    return float(match[1]) * _BYTES[match[2]]


def _check_flag(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if not isinstance(value, bool | int | float | str):
        raise ValueError("expected true, false, a number or a text")  # noqa: TRY004 (pydantic collects ValueErrors)
    return value


def _check_cpu(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not MIN_CPU <= value <= MAX_CPU:
        raise ValueError(f"expected a number of CPUs such as 0.5, from {MIN_CPU:g} to {MAX_CPU:g}")
    return float(value)


def _parse_memory(value: Any) -> float:  # noqa: ANN401 (any YAML value)
    size = _parse_size(value)
    if size < MIN_MEMORY:
        raise ValueError("expected 16MB or more")
    return size


def _scalar_to_text(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _check_relative_folder(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or not value.strip():
        raise ValueError("expected a folder inside the project, such as frontend/dist")
    return value.rstrip("/")


def _check_url_path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError("expected a path such as /api/health")
    return value


def _check_regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


def _check_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("expected a date such as 2026-12-31") from None


def _check_cron(value: str) -> str:
    try:
        CronSim(value, datetime.now())  # noqa: DTZ005 (only the syntax counts)
    except CronSimError as error:
        raise ValueError(f"expected a cron schedule such as 0 3 * * * ({str(error).lower()})") from None
    return value


def _check_timezone(value: str) -> str:
    read_timezone(value)
    return value


def _json_type(*examples: str | int) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "number"], "examples": list(examples)})


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
DatabasePart = Annotated[str, Field(pattern=DATABASE_PART_PATTERN)]
Branch = Annotated[str, Field(pattern=BRANCH_PATTERN)]
CommitId = Annotated[str, Field(pattern=COMMIT_PATTERN), _text_for('the id of a commit in quotes such as "4f2a9c1"')]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
Text = Annotated[str, BeforeValidator(_scalar_to_text)]
Command = Annotated[str, Field(min_length=1), _text_for("a command")]
Folder = Annotated[str, AfterValidator(_check_relative_folder), _text_for("a folder")]
NodeVersion = Annotated[str, Field(pattern=NODE_PATTERN), _text_for('a version in quotes such as "22"')]
PythonVersion = Annotated[str, Field(pattern=PYTHON_PATTERN), _text_for('a version in quotes such as "3.12"')]
UrlPath = Annotated[str, AfterValidator(_check_url_path), _text_for("a path")]
EmailAddress = Annotated[str, Field(pattern=EMAIL_PATTERN)]
WebAddress = Annotated[str, Field(pattern=WEB_PATTERN)]
RoutePath = Annotated[str, Field(pattern=ROUTE_PATTERN)]
Pattern = Annotated[str, AfterValidator(_check_regex), _text_for("a regular expression")]
Glob = Annotated[str, Field(min_length=1), AfterValidator(validate_pattern), _text_for("a glob")]
Globs = Annotated[
    list[Glob], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(default_factory=list)
]
IsoDate = Annotated[str, AfterValidator(_check_date), _text_for("a date")]
CronExpression = Annotated[str, AfterValidator(_check_cron), _text_for("a cron schedule")]
Moment = Annotated[str, AfterValidator(check_moment), _text_for('a time in quotes such as "Fri 16:00"')]
TimeZone = Annotated[str, AfterValidator(_check_timezone), _text_for("a time zone")]
Duration = Annotated[float, BeforeValidator(parse_duration), _json_type("500ms", "2s", "5m", "1h30m")]
Size = Annotated[float, BeforeValidator(_parse_size), _json_type("500MB", "2GB")]
Memory = Annotated[float, BeforeValidator(_parse_memory), _json_type("512MB", "2GB")]
Cpu = Annotated[float, BeforeValidator(_check_cpu), WithJsonSchema({"type": "number", "examples": [0.5, 2]})]
FlagName = Annotated[str, Field(pattern=FLAG_PATTERN)]
FlagValue = Annotated[Any, BeforeValidator(_check_flag), WithJsonSchema({"type": ["boolean", "number", "string"]})]
Percent = Annotated[float, BeforeValidator(_parse_percent), _json_type("70%", 70)]
Severity = Literal["low", "medium", "high", "critical"]
Format = Literal["url", "email", "integer", "number", "boolean", "port", "json", "base64", "uuid", "host"]
