"""The local platform: a supervisor runs processes, a router switches traffic between them."""

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, ServiceType, Version
from abreast.machine.cron_schedule import CronSchedule
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.listeners import port_owner
from abreast.machine.process import process_environment
from abreast.machine.tasks import run_all
from abreast.machine.threads import run_in_thread
from abreast.platforms.interface import (
    Capabilities,
    MaintenanceMove,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    ProcessContext,
    Reporter,
    SourceFiles,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.local.instance_specs import (
    VersionSpec,
    health_interval,
    instance_ids,
    response_timeout,
    unenforced_note,
)
from abreast.platforms.local.instance_texts import exit_reason, last_lines, waiting_reason
from abreast.platforms.local.listeners import Listeners, listener_url
from abreast.platforms.local.maintenance import needs_router, switch_maintenance
from abreast.platforms.local.processes import TERMINATION_GRACE, VersionProcesses
from abreast.platforms.local.recreation import (
    is_recreated,
    recreate_version,
    recreation_note,
    start_settings,
    strategies,
    versions_to_start,
)
from abreast.platforms.local.router.router import Router, envoy_path
from abreast.platforms.local.router.routing_table import Background, Listener, RoutingTable, Site, Target, Upstream
from abreast.platforms.local.settings import LocalSettings
from abreast.platforms.local.supervisor.client import (
    HOME_MARK,
    INSTANCE_MARK,
    ROUTER,
    Instance,
    InstanceSpec,
    InstanceState,
    SupervisorClient,
)

if TYPE_CHECKING:  # what only a site needs
    from abreast.core.site_rules import rules as site_rules
    from abreast.platforms import service_routes
    from abreast.platforms.local import site_diagnostics
    from abreast.platforms.local.router import site_tables, static_site
else:
    site_rules = lazy_module("abreast.core.site_rules.rules")
    service_routes = lazy_module("abreast.platforms.service_routes")
    site_diagnostics = lazy_module("abreast.platforms.local.site_diagnostics")
    site_tables = lazy_module("abreast.platforms.local.router.site_tables")
    static_site = lazy_module("abreast.platforms.local.router.static_site")

OBSERVATION_TTL = 0.1
"""Seconds for which a snapshot of all processes is reused, unless one is started."""

_WORKER_NOTE = "starts before traffic switches, and runs beside the previous version until the watch has passed"


class LocalPlatform(Platform):
    """Runs one environment in ``home`` and writes the output of its services to ``logs``.

    Every process gets the variables in ``inherited``, then those of its service.
    """

    name = "local"

    def __init__(self, home: Path, logs: Path, inherited: Mapping[str, str]) -> None:
        self._home = home
        self._logs = logs
        self._supervisor = SupervisorClient(home)
        self._processes = VersionProcesses(home, logs, inherited, self._supervisor)
        self._router = Router(home / ROUTER)
        self._listeners = Listeners(self._router)
        self._start_lock = asyncio.Lock()
        self._started = False
        self._snapshot_at = 0.0
        self._snapshot: asyncio.Future[dict[str, Instance]] | None = None

    def capabilities(self, service: Service) -> Capabilities:
        """Has candidates, and switches traffic of all services in one step, but for those that are recreated.

        Raises PlatformError without Envoy.
        """
        envoy_path()
        recreated = is_recreated(service)
        notes = [recreation_note(service)] if recreated else []
        if service.type is ServiceType.WORKER and not recreated:
            notes.append(_WORKER_NOTE)
        if service.schedule:
            notes.append(f"runs at {CronSchedule.parse(service.schedule).label} while its release is live")
        return Capabilities(
            has_candidates=not recreated,
            service_types=frozenset(ServiceType),
            data=self._home / "data" / service.name,
            notes=(*notes, *filter(None, [unenforced_note(service)])),
            routes_to=tuple(dict.fromkeys(service.routes.values())),
            config_files=() if service.run else (site_rules.CONFIG_FILE,),
            strategies=strategies(service),
        )

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Check the router's table, and that the service's port is free unless the router holds it.

        Raises PlatformError if Envoy is not installed, or the table and its copy are damaged.
        """
        envoy_path()
        self._router.table()
        if fault := self._router.table_fault():
            need = "nothing: the next release writes it anew, from its copy"
            return [Diagnostic(DiagnosticSeverity.WARNING, "", fault, need)]
        if note := unenforced_note(service):
            need = "a user who may make control groups: root, or one to whom systemd delegates them"
            return [Diagnostic(DiagnosticSeverity.WARNING, "", note, need), *await self._diagnose_port(service)]
        return await self._diagnose_port(service)

    async def _diagnose_port(self, service: Service) -> list[Diagnostic]:
        if not service.has_address:
            return [Diagnostic(DiagnosticSeverity.OK, "", f"a {service.type.label} needs no port")]
        if "port" not in service.settings:
            return [Diagnostic(DiagnosticSeverity.OK, "", "it gets a port that is free")]
        listener, table = self._listeners.listener(service), self._router.table()
        port, others = (
            listener.port,
            [name for name in table.services_by_listener.get(listener, ()) if name in table.live],
        )
        if holder := next((name for name in others if name != service.name), None):
            what = f"port {port} is that of {holder}, which is live: it goes to {service.name} when traffic switches"
            need = f"a deployment in which {holder} goes, without --service"
            return [Diagnostic(DiagnosticSeverity.WARNING, "", what, need)]
        if port in await self._router.own_ports():
            return [Diagnostic(DiagnosticSeverity.OK, "", f"the environment is running; its router serves port {port}")]
        if owner := await run_in_thread(port_owner, port):
            need = f"a free port, or a different one in abreast.yml: {service.name}: {{local: {{port: …}}}}"
            return [Diagnostic(DiagnosticSeverity.FAULT, "", f"port {port} is taken by {owner}", need)]
        return [Diagnostic(DiagnosticSeverity.OK, "", f"port {port} is free")]

    async def inspect_release(self, service: Service, files: SourceFiles | None) -> list[Diagnostic]:
        """Say what Netlify does with a site's rules and the router does not."""
        return [] if service.run or files is None else list(site_diagnostics.site_diagnostics(service, files))

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Start the processes or install the site, and add it to the routing table as a candidate.

        Processes of a service that is recreated start in the traffic switch.
        """
        await self._ensure_started()
        service = request.service
        listener = self._listeners.listener(service) if service.has_address else None
        start = self._stage_processes(request) if service.run else self._install_site(request, report)
        target, probes = await start
        self._snapshot = None
        await self._router.change(lambda table: _table_with_candidate(table, service.name, listener, target))
        handle = start_settings(request) if is_recreated(service) else {}
        url = listener_url(listener) if listener else ""
        return Version(request.version_id, service.name, probes, url, handle=handle)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Switch traffic of all services at once. Then those that are recreated start, when others have stopped."""
        await self._ensure_started()
        starts = versions_to_start(moves)
        target_ids = {move.service.name: move.target.id if move.target else None for move in moves}
        listeners = {
            move.service.name: self._listeners.listener(move.service)
            for move in moves
            if move.target and move.service.has_address
        }
        await run_in_thread(self._supervisor.instances)  # users are sent to the instances that listen at this moment
        await self._router.change(lambda table: _table_after_turn(table, target_ids, listeners))
        await run_all(
            *(
                recreate_version(starts[move.service.name], move.drain, self._router, self._processes, report)
                for move in moves
                if move.service.name in starts
            )
        )
        self._snapshot = None

    async def switch_maintenance(self, moves: Sequence[MaintenanceMove], report: Reporter) -> None:  # noqa: ARG002 (takes milliseconds)
        """Change what the router answers, for all services at once, then wait for requests in flight."""
        if needs_router(self._router, moves):
            await self._ensure_started()
            await switch_maintenance(self._router, moves)

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Drain requests in flight, remove the versions from the router, stop their processes.

        A process without an address drains by itself: it has ``drain`` seconds from SIGTERM on.
        """
        ids = [version.id for version in versions]
        routed = [version.id for version in versions if version.service.has_address]
        others = [id_ for id_ in ids if id_ not in routed]
        await run_all(
            self._unroute(ids, drain, then_stop=routed), self._processes.stop(others, max(drain, TERMINATION_GRACE))
        )
        for version in ids:
            await run_in_thread(shutil.rmtree, self._processes.version_folder(version), ignore_errors=True)

    async def _unroute(self, ids: Sequence[str], drain: float, then_stop: Sequence[str]) -> None:
        if self._supervisor.has_instances():  # of a killed supervisor too: they still run
            await self._ensure_started()
            await self._router.drain(ids, drain)
            await self._router.change(lambda table: table.without_targets(ids))
        await self._processes.stop(then_stop)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return each version's state: whether all its instances run, and how often they crashed."""
        if not self._started and not self._supervisor.is_running():
            return {
                version.id: Observation(present=False, exit_reason="the environment is not running")
                for version in versions
            }
        instances = await self._instances()
        return {version.id: self._observation(version, instances) for version in versions}

    async def list_idle_versions(self) -> frozenset[str]:
        """Return the ids of versions without users that are here: running, installed, or only in the routing table."""
        folders = self._home / "versions"
        installed = (
            {folder.name for folder in folders.iterdir() if folder.name[0] != "."} if folders.is_dir() else set()
        )
        table = self._router.table()
        return frozenset(installed | self._processes.recorded_versions() | table.targets.keys()) - frozenset(
            table.live.values()
        )

    async def stop_all(self) -> None:
        """Stop all services, the router and the supervisor. Data and logs stay."""
        if not self._home.exists():
            return
        await run_in_thread(self._supervisor.start)
        await self._processes.stop(None)
        await run_in_thread(self._supervisor.shutdown)
        for folder in ("versions", ROUTER):
            await run_in_thread(shutil.rmtree, self._home / folder, ignore_errors=True)

    async def remove_preview(self, service: Service, report: Reporter) -> None:  # noqa: ARG002 (takes milliseconds)
        """Stop the whole environment, and delete its data. All of it was made for the preview."""
        await self.stop_all()
        await run_in_thread(shutil.rmtree, self._home, ignore_errors=True)

    # ── staging ─────────────────────────────────────────────────────────────────────────────────

    async def _ensure_started(self) -> None:
        async with self._start_lock:
            if self._started and self._supervisor.is_running():
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

    async def _stage_processes(self, request: StageRequest) -> tuple[Target, tuple[Address, ...]]:
        """Start what the service runs, or have it ready. Returns its target, and where each instance is checked."""
        service, version = request.service, request.version_id
        await self._processes.install(version, request.artifact_path)
        ids = instance_ids(version, service)
        health = service.health
        upstream = Upstream(
            version, ids, health.path, response_timeout(service), health.failing_status, health_interval(service)
        )
        target = upstream if service.has_address else Background(version, ids)
        if is_recreated(service):
            return target, ()
        instances = await self._processes.start(VersionSpec(version, service, request.env, request.secrets))
        return target, _probes(instances)

    async def _install_site(self, request: StageRequest, report: Reporter) -> tuple[Target, tuple[Address, ...]]:
        """Install a frontend. Returns its target, and where it is checked."""
        version = request.version_id
        folder = self._processes.version_folder(version)
        previous = self._processes.version_folder(request.previous.version.id) if request.previous else None
        routed_here = _routes_here(request, self._router.table())
        rules = await run_in_thread(static_site.read_rules, request.artifact_path)
        for fault in rules.faults:
            await report(request.service.name, f"skipped: {fault}")
        elsewhere = {path: name for path, name in request.service.routes.items() if path not in routed_here}
        rules = replace(rules, redirects=(*service_routes.route_rules(elsewhere, request.addresses), *rules.redirects))
        etag = request.artifact_digest.removeprefix("sha256:")[:16]
        await run_in_thread(static_site.install_site, request.artifact_path, rules, etag, previous, folder)
        site = Site(version, folder, routed_here, tuple(sorted(site_tables.proxy_origins(rules.redirects))))
        return site, (Address(f"http://{version}", str(self._router.candidate_socket)),)

    # ── observation ────────────────────────────────────────────────────────────────────────────

    async def _instances(self) -> dict[str, Instance]:
        """Return all instances by id. Callers share one request, and its result for OBSERVATION_TTL seconds."""
        now = asyncio.get_running_loop().time()
        if self._snapshot is None or (self._snapshot.done() and now - self._snapshot_at > OBSERVATION_TTL):
            self._snapshot_at = now
            self._snapshot = asyncio.ensure_future(self._fetch_instances())
        return await asyncio.shield(self._snapshot)

    async def _fetch_instances(self) -> dict[str, Instance]:
        try:
            instances = await run_in_thread(self._supervisor.instances)
        except PlatformError:
            if not self._started:
                raise
            await self._ensure_started()  # somebody killed it; the services run on, and the new one adopts them
            instances = await run_in_thread(self._supervisor.instances)
        return {instance.id: instance for instance in instances}

    def _observation(self, reference: VersionRef, instances: Mapping[str, Instance]) -> Observation:
        version = reference.id
        own_instances = [instance for name, instance in instances.items() if name.startswith(f"{version}-")]
        if not own_instances:
            is_site = reference.service.run is None
            served = is_site and self._processes.version_folder(version).is_dir() and ROUTER in instances
            return Observation(present=served, exit_reason="" if served else "it does not run here")
        crashed = next((i for i in own_instances if i.restarts or i.state is not InstanceState.RUNNING), None)
        return Observation(
            present=all(instance.state is InstanceState.RUNNING for instance in own_instances),
            restarts=sum(instance.restarts for instance in own_instances),
            waiting=waiting_reason(own_instances),
            exit_reason=exit_reason(crashed, own_instances) if crashed else "",
            log_tail=last_lines(self._processes.log_file(version)),
            probes=_probes(own_instances),
            context=self._context(reference, own_instances[0]) if reference.service.health.command else None,
        )

    def _context(self, reference: VersionRef, instance: Instance) -> ProcessContext:
        """Return where a process runs, with the variables that it was started with."""
        env = process_environment(instance.pid)
        for mark in (INSTANCE_MARK, HOME_MARK):
            env.pop(mark, None)
        folder = self._processes.version_folder(reference.id) / reference.service.artifact_folder
        return ProcessContext(folder, env)


def _table_with_candidate(table: RoutingTable, service: str, listener: Listener | None, target: Target) -> RoutingTable:
    """Add a candidate. A service that is live keeps its listener until traffic switches."""
    placed = table if service in table.live or listener is None else table.with_listener(service, listener)
    return placed.with_candidate(service, target)


def _table_after_turn(
    table: RoutingTable, target_ids: Mapping[str, str | None], listeners: Mapping[str, Listener]
) -> RoutingTable:
    for service, listener in listeners.items():
        table = table.with_listener(service, listener)
    return table.with_live(target_ids)


def _probes(instances: Iterable[Instance]) -> tuple[Address, ...]:
    return tuple(Address(f"http://127.0.0.1:{instance.port}") for instance in instances if instance.port)


def _routes_here(request: StageRequest, table: RoutingTable) -> dict[str, str]:
    """Return the routes to services that run here: they have a candidate, or their address is of this router."""
    here = {
        service
        for service, listener in table.listeners.items()
        if service in table.prepared or request.addresses.get(service) in {None, listener_url(listener)}
    }
    return {path: service for path, service in request.service.routes.items() if service in here}


def _create(context: PlatformContext) -> LocalPlatform:
    return LocalPlatform(context.state, context.logs, context.inherited)


PLUGIN = PlatformPlugin(LocalSettings, _create)
