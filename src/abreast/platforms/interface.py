"""The port of platforms, and the optional protocols.

Every platform has four verbs: ``stage``, ``switch_traffic``, ``observe``, ``retire``. What only some can do is a small
protocol: a platform implements it by having the method. The deployment checks with ``isinstance``.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from abreast.core.diagnostics import Diagnostic
from abreast.core.frozen_dataclass import dataclass
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import Address, LiveService, Service, ServiceType, Version
from abreast.core.secrets import Secret
from abreast.core.strategy import Strategy

Reporter = Callable[[str, str], Awaitable[None]]
"""Records a line of progress about a service: ``await report(service.name, "queued")``."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can do with one service; ``notes`` are printed in the plan.

    ``has_candidates``: a new version can run without users. ``can_unpublish``: the service can be left without a live
    version. ``address_per_version``: each version has its own address, and other services route users to it.
    ``routes_to``: the services to which this one routes users. ``config_files``:
    files and folders beside a build's output that the platform reads, such as ``netlify.toml``.
    ``service_types``: the types of services that it runs. ``runs_release_command``: it runs the command itself; abreast
    runs it otherwise. ``data``: the folder on this machine that the service gets as ``$ABREAST_DATA``. ``strategies``:
    what it has for the service, its default first; none if it deploys in a way of its own.
    """

    has_candidates: bool
    can_unpublish: bool = True
    address_per_version: bool = False
    routes_to: tuple[str, ...] = ()
    config_files: tuple[str, ...] = ()
    service_types: frozenset[ServiceType] = frozenset({ServiceType.WEB})
    runs_release_command: bool = False
    data: Path | None = None
    notes: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()


@dataclass(frozen=True, slots=True)
class StageRequest:
    """A version to stage. ``env`` holds its variables; ``secrets`` names those that must never be shown.

    ``addresses``: URLs of other services once this version is live. ``reserved_url``: what ``reserve_url``
    returned for it.
    """

    version_id: str
    service: Service
    commit: str
    artifact_path: Path
    artifact_digest: str
    previous: LiveService | None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    addresses: Mapping[str, str] = field(default_factory=dict)
    reserved_url: str = ""


@dataclass(frozen=True, slots=True)
class TrafficMove:
    """Switch traffic of ``service`` to ``target``. None unpublishes the service, which had no version before.

    ``env`` and ``secrets`` are as in a StageRequest, for a platform that starts the version in the switch.
    ``before``: the live version when the deployment was planned; set when ``target`` is new. ``drain``: seconds that a
    version without users may take to end, where it stops before the target starts.
    """

    service: Service
    target: Version | None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    before: Version | None = None
    drain: float = 0.0


@dataclass(frozen=True, slots=True)
class VersionRef:
    """A version by its id. It may be half staged, or gone. ``handle`` is its Version's, if it has one."""

    service: Service
    id: str
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """Where a process of a version runs on this machine, and its variables."""

    folder: Path
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of a version as its platform reports it. ``log_tail`` holds its last lines of output.

    ``restarts`` counts crashes since it came up; ``exit_reason`` says how it last ended. ``waiting`` says why it
    cannot answer yet. ``probes`` are the addresses of its instances, where they change when an instance restarts.
    ``context``: where the health command of the service runs, if it has one and runs on this machine.
    """

    present: bool
    waiting: str = ""
    restarts: int = 0
    exit_reason: str = ""
    log_tail: tuple[str, ...] = ()
    probes: tuple[Address, ...] = ()
    context: ProcessContext | None = None


class Platform(ABC):
    """Where services run. Every verb is idempotent: it looks before it creates, and a second call changes nothing.

    Raises PlatformError, or TransientError when the same call may succeed a moment later.
    """

    name: str

    @abstractmethod
    def capabilities(self, service: Service) -> Capabilities:
        """Return what can be done with ``service``. No I/O; the answer may be fuller after ``live_version``."""

    @abstractmethod
    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Start the version as a candidate. It need not be healthy yet."""

    @abstractmethod
    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Switch traffic of all services, in one step if the platform can. Switching back is the same call."""

    @abstractmethod
    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return the state of each version, by its id."""

    @abstractmethod
    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Let requests in flight finish (``drain`` seconds at most), then remove the versions.

        Removes half-staged versions too. Unknown ids are fine.
        """


@runtime_checkable
class ReportsLiveVersion(Protocol):
    """A platform where others can publish, too. A failed deployment restores what they published."""

    async def live_version(self, service: Service) -> Version | None:
        """Return the live version, whoever published it; None if users reach none.

        The handle of a version that ``stage`` returned is a subset of the handle returned here. Raises
        UnknownVersionError if the platform does not say which version is live.
        """
        ...


@runtime_checkable
class ReservesUrl(Protocol):
    """A platform where each version has its own address, reserved with the plan."""

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:
        """Return the URL of the service's next version, "" if all versions share one address."""
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """A platform that ``abreast doctor`` can diagnose."""

    async def diagnose(self, service: Service) -> Sequence[Diagnostic]:
        """Return a fault for everything that would fail a deployment. Makes the same requests, changes nothing.

        The caller fills in ``about``.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of the commit that is to be deployed; ``read`` returns the content of one, None if it has none."""

    paths: Collection[str]
    read: Callable[[str], bytes | None] = field(repr=False)


@runtime_checkable
class InspectsRelease(Protocol):
    """A platform that can tell, before anything is built, that a deployment would fail or leave something out."""

    async def inspect_release(self, service: Service, files: SourceFiles | None) -> Sequence[Diagnostic]:
        """Return a fault for what would fail in any case, and what the plan should say. Changes nothing.

        ``files`` are those of the commit to deploy, None if the artifact is built already. Called after a look at what
        the platform serves. The caller fills in ``about``.
        """
        ...


@runtime_checkable
class ListsIdleVersions(Protocol):
    """A platform that knows which versions have no users, so that leftovers of killed deployments can be removed."""

    async def list_idle_versions(self) -> Collection[str]:
        """Return the ids of all versions that are there and that it leads no users to."""
        ...


@runtime_checkable
class ReportsLogs(Protocol):
    """A platform that keeps the output of services."""

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:
        """Return the last ``limit`` lines of the live version, oldest first, each with its ISO 8601 time in UTC.

        Raises PlatformError if they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class MaintenanceMove:
    """Put ``service`` into maintenance, or with None end it. ``drain``: seconds that requests in flight may take."""

    service: Service
    mode: MaintenanceMode | None
    drain: float = 0.0


@runtime_checkable
class SupportsMaintenance(Protocol):
    """A platform that can answer users with a maintenance page, while the service itself runs on.

    A traffic switch meanwhile changes what users get when it ends.
    """

    async def switch_maintenance(self, moves: Sequence[MaintenanceMove], report: Reporter) -> None:
        """Begin or end maintenance of the services; a second call changes nothing. Returns when users get the outcome.

        What the mode asks for and the platform does not have is left out. Raises PlatformError.
        """
        ...


@runtime_checkable
class InspectsMaintenance(Protocol):
    """A platform that cannot do all of it with every service."""

    async def inspect_maintenance(self, move: MaintenanceMove) -> Sequence[Diagnostic]:
        """Return a fault for what makes it impossible, and a warning for what differs. Changes nothing.

        The caller fills in ``about``.
        """
        ...


@runtime_checkable
class RunsHere(Protocol):
    """A platform whose versions run on this machine, so that ``abreast down`` can stop them."""

    async def stop_all(self) -> None:
        """Stop everything of the environment. Data and logs stay."""
        ...


@runtime_checkable
class HostsPreviews(Protocol):
    """A platform that can host previews of pull requests.

    Its settings have ``for_preview(name)``, which returns those of the preview ``name``, without I/O; it raises
    ValueError with a sentence if the settings lead to what can have none.
    """

    async def remove_preview(self, service: Service, report: Reporter) -> None:
        """Remove what was made for this service of a preview. Nothing there is fine.

        The settings of ``service`` are those of ``for_preview``. Raises PlatformError, and removes nothing, if what is
        there was not made by abreast for this preview.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlatformContext:
    """What a platform gets from the project, for one environment.

    ``state`` is a folder of the platform's own, which may not exist yet; ``logs`` is the folder for services' output.
    ``inherited`` holds the variables that every process starts with. ``variable`` looks up a machine setting such as
    ``NETLIFY_API_URL``; ``secret`` looks up a credential, None if it is not set.
    """

    state: Path
    logs: Path
    inherited: Mapping[str, str] = field(repr=False)
    variable: Callable[[str], str | None] = field(repr=False)
    secret: Callable[[str], Secret | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlatformPlugin:
    """What a package registers under the entry point group ``abreast.platforms``.

    The entry point's name is the platform's name. ``settings`` is the model of what abreast.yml may say under it.
    ``token_variable`` names the variable that holds its credential, "" if it needs none.
    """

    settings: type[BaseModel]
    create: Callable[[PlatformContext], Platform]
    token_variable: str = ""
