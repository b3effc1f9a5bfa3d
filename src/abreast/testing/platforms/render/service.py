"""What the emulator knows of a service: its settings, deploys, jobs, runs, events and log."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.render.process import BackgroundProcess
from abreast.testing.platforms.service_process import ServiceProcess

OWNER_ID = "tea-emulated"

IN_PROGRESS = frozenset({"created", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"})


class ServiceKind(StrEnum):
    """Render's ``type`` of a service."""

    WEB = "web_service"
    PRIVATE = "private_service"
    WORKER = "background_worker"
    STATIC = "static_site"
    CRON = "cron_job"


@dataclass
class Deploy:
    """A deploy. It cannot be live before ``done_at`` (monotonic)."""

    id: str
    commit: str
    trigger: str
    image: str = ""
    status: str = "created"
    created_at: str = field(default_factory=utc_timestamp)
    finished_at: str = ""
    done_at: float = 0.0


@dataclass
class Job:
    """A one-off job."""

    id: str
    command: str
    status: str = "pending"
    created_at: str = field(default_factory=utc_timestamp)


@dataclass
class CronRun:
    """A run of a cron job."""

    id: str
    status: str = "pending"
    started_at: str = field(default_factory=utc_timestamp)


@dataclass
class Event:
    """Something that happened to a service."""

    type: str
    details: Mapping[str, object]
    id: str = field(default_factory=lambda: new_id("evt"))
    timestamp: str = field(default_factory=utc_timestamp)


@dataclass
class LogLine:
    """A line of a service's log; ``type`` is ``app`` or ``build``."""

    type: str
    text: str
    timestamp: str


@dataclass
class Service:
    """A service: ``command`` runs in a checkout of ``repo``, and users reach ``live_process``.

    A static site's ``command`` builds it, and users get the files of ``publish_path``. A cron job's runs when
    ``schedule`` says so, which here means when it is asked to. A language's ``runtime`` has a ``build_command``, which
    runs before it, both in ``root_dir``. ``images`` maps the
    references of images at ``image_path`` (host, repository and name) to commits; "" is for a service that is built
    from commits. ``jobs`` and ``deploys`` are in order of creation.
    """

    id: str
    name: str
    repo: Path
    command: str
    health_path: str
    kind: ServiceKind = ServiceKind.WEB
    schedule: str = "0 3 * * *"
    publish_path: str = "."
    auto_deploy: str = "yes"
    branch: str = "main"
    has_disk: bool = False
    suspenders: list[str] = field(default_factory=list)
    instances: int = 1
    autoscaling: dict[str, Any] | None = None
    pre_deploy: str = ""
    image_path: str = ""
    images: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    deploys: list[Deploy] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    secret_files: dict[str, str] = field(default_factory=dict)
    runtime: str = "docker"
    build_command: str = ""
    root_dir: str = ""
    plan: str = "starter"
    region: str = "frankfurt"
    shutdown_delay: int | None = None
    ip_allow_list: list[dict[str, str]] | None = None
    live_process: ServiceProcess | BackgroundProcess | None = None
    live_folder: Path | None = None
    in_maintenance: bool = False
    maintenance_uri: str = ""
    log: list[LogLine] = field(default_factory=list)
    lines_read: dict[Path, int] = field(default_factory=dict)
    created_at: str = field(default_factory=utc_timestamp)

    @property
    def repo_url(self) -> str:
        """The address of ``repo``, as Render knows it."""
        return f"https://example.org/{self.repo.name}"

    @property
    def is_suspended(self) -> bool:
        """Whether anyone suspended it."""
        return bool(self.suspenders)

    @property
    def is_public(self) -> bool:
        """Whether users reach it at an address."""
        return self.kind in {ServiceKind.WEB, ServiceKind.STATIC}

    @property
    def live_deploy(self) -> Deploy | None:
        """The deploy that is live."""
        return next((deploy for deploy in self.deploys if deploy.status == "live"), None)

    @property
    def log_texts(self) -> list[str]:
        """The lines of its log, oldest first."""
        return [line.text for line in self.log]

    def record(self, type: str, **details: object) -> None:
        """Record an event."""
        self.events.append(Event(type, details))

    def write_log(self, type: str, *lines: str) -> None:
        """Add lines to the log. No two lines of a service have the same time."""
        for text in lines:
            at = utc_timestamp().removesuffix("Z")
            self.log.append(LogLine(type, text, f"{at}{len(self.log) % 1_000_000:06}Z"))


@dataclass
class EnvGroup:
    """Variables and secret files that several services share. ``service_ids`` are in order of linking."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    secret_files: dict[str, str] = field(default_factory=dict)
    service_ids: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: new_id("evg"))
    created_at: str = field(default_factory=utc_timestamp)


def new_id(prefix: str) -> str:
    """Return an id as Render makes them: a prefix and 20 letters or digits."""
    return f"{prefix}-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))


def image_name(reference: str) -> str:
    """Return an image reference without its tag and digest."""
    path, _, last = reference.partition("@")[0].rpartition("/")
    return f"{path}/{last.partition(':')[0]}"
