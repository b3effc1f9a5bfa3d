"""The local platform: a supervisor that keeps processes, a router that moves users between them."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.machine.threads import run_in_thread
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    Reporter,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site, Target, Upstream
from abreast.platforms.local.router.static_site import install_site
from abreast.platforms.local.settings import LocalSettings
from abreast.platforms.local.supervisor.client import Instance, InstanceSpec, InstanceState, SupervisorClient

ROUTER = "router"
TERMINATION_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a process that has nothing in flight."""
OBSERVATION_TTL = 0.1
"""Seconds for which a look at all processes serves others, too."""

LOG_TAIL_LINES = 20


class LocalPlatform(Platform):
    """Runs one environment in ``home``; what services print goes to ``logs``.

    Every process sees ``inherited`` beside what its service asks for.
    """

    name = "local"

    def __init__(self, home: Path, logs: Path, inherited: Mapping[str, str]) -> None:
        self._home = home
        self._logs = logs
        self._inherited = inherited
        self._supervisor = SupervisorClient(home)
        self._router = Router(home / ROUTER)
        self._start_lock = asyncio.Lock()
        self._started = False
        self._snapshot_at = 0.0
        self._snapshot: asyncio.Future[dict[str, Instance]] | None = None

    def capabilities(self, service: Service) -> Capabilities:  # noqa: ARG002 (the same for every service)
        """Candidates without users, and all services in one step."""
        return Capabilities(has_candidates=True)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell whether the service's port can be had; while the environment runs, that its router has it."""
        port = _listener(service).port
        if self._supervisor.is_running():
            return [Diagnostic(DiagnosticSeverity.OK, "", f"its environment runs, with port {port} for it")]
        if owner := await self._router.port_owner(port):
            need = f"a free port, or another one in abreast.yml: {service.name}: {{local: {{port: …}}}}"
            return [Diagnostic(DiagnosticSeverity.FAULT, "", f"port {port} is taken by {owner}", need)]
        return [Diagnostic(DiagnosticSeverity.OK, "", f"port {port} is free")]

    async def stage(self, order: StageRequest, report: Reporter) -> Version:  # noqa: ARG002 (a matter of moments)
        """Start the instances, or lay out the folder, and make it known to the router without users."""
        await self._ensure_started()
        target = await (self._start_instances(order) if order.service.run else self._install_site(order))
        service = order.service
        listener = _listener(service)
        await self._router.change(lambda table: _table_with_candidate(table, service.name, listener, target))
        return self._version(order, listener, target)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:  # noqa: ARG002 (a matter of moments)
        """Move users of all services in one moment."""
        await self._ensure_started()
        aims = {move.service.name: move.target.id if move.target else None for move in moves}
        places = {move.service.name: _listener(move.service) for move in moves if move.target}
        await self._router.change(lambda table: _table_after_turn(table, aims, places))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Let requests in flight finish, take the versions from the router, end their processes."""
        ids = [version.id for version in versions]
        if self._supervisor.is_running():
            await self._ensure_started()
            await self._router.drain(ids, drain)
            await self._router.change(lambda table: table.without_targets(ids))
        await self._stop_instances(ids)
        for version in ids:
            await run_in_thread(shutil.rmtree, self._version_folder(version), ignore_errors=True)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each version whether all of it is up, and how often it crashed."""
        if not self._supervisor.is_running():
            return {version.id: Observation(present=False, exit_reason="nothing runs here") for version in versions}
        instances = await self._instances()
        return {version.id: self._observation(version.id, instances) for version in versions}

    async def stop_all(self) -> None:
        """Stop every process of the environment, the router and the supervisor; data and logs stay."""
        if not self._home.exists():
            return
        await run_in_thread(self._supervisor.start)
        await self._stop_instances(None)
        await run_in_thread(self._supervisor.shutdown)
        for folder in ("versions", ROUTER):
            await run_in_thread(shutil.rmtree, self._home / folder, ignore_errors=True)

    # ── parts of staging ────────────────────────────────────────────────────────────────────────

    async def _ensure_started(self) -> None:
        async with self._start_lock:
            if self._started:
                return
            await run_in_thread(self._supervisor.start)
            await run_in_thread(self._supervisor.ensure, self._router_spec())
            await self._router.wait_until_ready()
            self._started = True

    def _router_spec(self) -> InstanceSpec:
        return InstanceSpec(
            id=ROUTER,
            command=self._router.argv(),
            cwd=self._home / ROUTER,
            env={"PATH": os.defpath},
            secrets=frozenset(),
            log=self._logs / "router.log",
            wants_port=False,
        )

    async def _start_instances(self, order: StageRequest) -> Upstream:
        folder = self._version_folder(order.version_id)
        if not folder.exists():
            await run_in_thread(_copy_artifact, order.artifact_path, folder)
        specs = [self._instance_spec(order, folder, number) for number in range(order.service.instances)]
        started = await asyncio.gather(*(run_in_thread(self._supervisor.ensure, spec) for spec in specs))
        return Upstream(order.version_id, tuple(one.port for one in started if one.port))

    def _instance_spec(self, order: StageRequest, folder: Path, number: int) -> InstanceSpec:
        data = self._home / "data" / order.service.name
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        assert order.service.run
        return InstanceSpec(
            id=f"{order.version_id}-{number}",
            command=order.service.run,
            cwd=folder,
            env={**self._inherited, **order.env, "ABREAST_DATA": str(data)},
            secrets=order.secrets,
            log=self._log_file(order.version_id),
            wants_port=True,
        )

    async def _install_site(self, order: StageRequest) -> Site:
        folder = self._version_folder(order.version_id)
        previous = self._version_folder(order.previous.version.id) if order.previous else None
        await run_in_thread(install_site, order.artifact_path, previous, folder)
        return Site(order.version_id, folder, order.artifact_digest.removeprefix("sha256:")[:16])

    def _version(self, order: StageRequest, listener: Listener, target: Target) -> Version:
        url = f"http://{listener.host or '127.0.0.1'}:{listener.port}"
        if isinstance(target, Upstream):
            probes = tuple(Address(f"http://127.0.0.1:{port}") for port in target.endpoints)
        else:
            probes = (Address(f"http://{order.service.name}", str(self._router.candidate_socket)),)
        return Version(order.version_id, order.service.name, probes, url)

    # ── what is there ──────────────────────────────────────────────────────────────────────────

    async def _instances(self) -> dict[str, Instance]:
        """Look at all instances at once; callers share a look that is under way, or a moment old."""
        now = asyncio.get_running_loop().time()
        if self._snapshot is None or (self._snapshot.done() and now - self._snapshot_at > OBSERVATION_TTL):
            self._snapshot_at = now
            self._snapshot = asyncio.ensure_future(self._fetch_instances())
        return await asyncio.shield(self._snapshot)

    async def _fetch_instances(self) -> dict[str, Instance]:
        found = await run_in_thread(self._supervisor.instances)
        return {instance.id: instance for instance in found}

    def _observation(self, version: str, instances: Mapping[str, Instance]) -> Observation:
        own_instances = [instance for name, instance in instances.items() if name.startswith(f"{version}-")]
        if not own_instances:
            served = self._version_folder(version).is_dir() and ROUTER in instances
            return Observation(present=served, exit_reason="" if served else "it is not here")
        ended = next((one for one in own_instances if one.restarts or one.state is not InstanceState.RUNNING), None)
        return Observation(
            present=all(one.state is InstanceState.RUNNING for one in own_instances),
            restarts=sum(one.restarts for one in own_instances),
            waiting="" if all(one.listening for one in own_instances) else "it does not listen on $PORT of 127.0.0.1",
            exit_reason=ended.last_exit if ended else "",
            log_tail=_last_lines(self._log_file(version)) if ended else (),
        )

    async def _stop_instances(self, versions: Sequence[str] | None) -> None:
        """End the processes of the versions (None: all there are) and wait until they are gone."""
        while ids := await run_in_thread(self._instance_ids, versions):
            await run_in_thread(self._supervisor.stop, ids, TERMINATION_GRACE)
            await asyncio.sleep(0.05)

    def _instance_ids(self, versions: Sequence[str] | None) -> list[str]:
        if not self._supervisor.is_running():
            return []
        names = [one.id for one in self._supervisor.instances()]
        if versions is None:
            return names
        return [name for name in names if any(name.startswith(f"{version}-") for version in versions)]

    def _version_folder(self, version: str) -> Path:
        return self._home / "versions" / version

    def _log_file(self, version: str) -> Path:
        return self._logs / f"{version}.log"


def _table_with_candidate(table: RoutingTable, service: str, listener: Listener, target: Target) -> RoutingTable:
    """Add a candidate; where the service has users already, they are met where they are until the turn."""
    placed = table if service in table.live else table.with_listener(service, listener)
    return placed.with_candidate(service, target)


def _table_after_turn(
    table: RoutingTable, target_ids: Mapping[str, str | None], listeners: Mapping[str, Listener]
) -> RoutingTable:
    for service, listener in listeners.items():
        table = table.with_listener(service, listener)
    return table.with_live(target_ids)


def _listener(service: Service) -> Listener:
    port, host = service.settings.get("port"), service.settings.get("host")
    if not isinstance(port, int):
        raise PlatformError(f"{service.name} has no port", need="local: {port: …} in abreast.yml")
    return Listener(port, str(host) if host else None)


def _copy_artifact(artifact: Path, folder: Path) -> None:
    """Copy, since a process may write where it runs and an artifact never changes; whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(artifact, unfinished, symlinks=True)
    unfinished.rename(folder)


def _last_lines(log: Path) -> tuple[str, ...]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            return tuple(file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ()


def _create(context: PlatformContext) -> LocalPlatform:
    return LocalPlatform(context.state, context.logs, context.inherited)


PLUGIN = PlatformPlugin(LocalSettings, _create)
