"""Durable workflows on an embedded database; the only module that knows the engine behind them.

One file and one executor for each environment: the engine re-queues a dead process's workflows for
whoever shares the file, so sharing it between environments would let one process run another's steps.
"""

import asyncio
import contextvars
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from dbos import DBOS, Serializer, SetWorkflowID
from sqlalchemy import event
from sqlalchemy.engine import Engine as SqlEngine

from abreast.core.errors import StateError

COMPATIBILITY_VERSION = "2"
"""Bumped when a workflow's steps change so that a deployment begun before could not go on."""

Json = Any
WorkflowBody = Callable[..., Coroutine[Any, Any, Json]]


class _JsonSerializer(Serializer):
    """Plain JSON instead of pickle: nothing that is read back can run, and secrets refuse to be written."""

    def serialize(self, data: Any) -> str:  # noqa: ANN401 (the engine's signature)
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:  # noqa: ANN401 (the engine's signature)
        return json.loads(serialized_data)

    def name(self) -> str:
        return "abreast_json"


class WorkflowEngine:
    """Runs workflows so that a killed process's work goes on from its last recorded step.

    Workflows and steps take and return JSON values. An error that leaves a workflow is never recorded as
    its end: the engine stops as if it had been killed, so that the workflow can be resumed.
    """

    def __init__(self, file: Path, executor_id: str) -> None:
        self._file = file
        self._executor_id = executor_id
        self._bodies: dict[str, WorkflowBody] = {}
        self._fatal: asyncio.Future[NoReturn]
        self._loop: asyncio.AbstractEventLoop

    def register(self, name: str, body: WorkflowBody) -> None:
        """Make a workflow known; before ``launch``."""
        self._bodies[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(self._guarded(body))

    async def launch(self) -> None:
        """Open the file and take up what an earlier process of this executor left.

        Raises StateError when the file cannot be used.
        """
        _prepare_file(self._file)
        _configure_connections()
        _silence_logger()
        self._loop = asyncio.get_running_loop()
        self._fatal = self._loop.create_future()
        try:
            DBOS(
                config={
                    "name": "abreast",
                    "system_database_url": f"sqlite:///{self._file}",
                    "application_version": COMPATIBILITY_VERSION,
                    "executor_id": self._executor_id,
                    "serializer": _JsonSerializer(),
                    "notification_listener_polling_interval_sec": 0.05,
                    "log_level": "CRITICAL",
                }
            )
            await asyncio.to_thread(DBOS.launch)
        except Exception as error:
            raise _unusable_error(self._file, error) from error

    async def run_workflow(self, name: str, id: str, *arguments: Json) -> Json:
        """Run the workflow ``id`` to its end, from where it stands, and return what it returned.

        Raises StateError when it cannot go on now; it stays resumable.
        """
        status = await DBOS.get_workflow_status_async(id)
        if status is not None and status.app_version not in {None, COMPATIBILITY_VERSION}:
            raise StateError(
                f"deployment {id} was begun by another version of abreast",
                need=f"a version whose engine is at {status.app_version}; this one is at {COMPATIBILITY_VERSION}",
                next="install the version of abreast that began it, and: abreast resume " + id,
            )
        handle = await (DBOS.retrieve_workflow_async(id) if status else self._start(name, id, *arguments))
        result = asyncio.ensure_future(handle.get_result(polling_interval_sec=0.05))
        await asyncio.wait({result, self._fatal}, return_when=asyncio.FIRST_COMPLETED)
        if self._fatal.done():
            self._fatal.result()
        return await result

    async def start_child(self, name: str, id: str, *arguments: Json) -> Callable[[], Awaitable[Json]]:
        """Start a child workflow and return how its end is waited for.

        A start and a wait are each a step, known by its position: do them one after the other, in a fixed order.
        """
        handle = await self._start(name, id, *arguments)
        return partial(handle.get_result, polling_interval_sec=0.05)

    async def completed_results(self, prefix: str) -> Mapping[str, Json]:
        """Return what workflows returned that are over and whose id begins so; no step: it is asked anew each time."""
        ask = DBOS.list_workflows_async(workflow_id_prefix=prefix, status="SUCCESS", load_input=False)
        found = await asyncio.get_running_loop().create_task(ask, context=contextvars.Context())
        return {one.workflow_id: one.output for one in found}

    async def run_step(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """Run ``work`` once and record what it returned; a recorded step is not run again."""
        return await DBOS.run_step_async({"name": name}, work)

    async def close(self) -> None:
        """Let go of the file; what still runs here is left for ``resume``."""
        # The engine has made its threads the loop's, and is about to end them.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)

    async def _start(self, name: str, id: str, *arguments: Json) -> Any:  # noqa: ANN401
        with SetWorkflowID(id):
            return await DBOS.start_workflow_async(self._bodies[name], *arguments)

    def _guarded(self, body: WorkflowBody) -> WorkflowBody:
        async def run(*arguments: Json) -> Json:
            # The engine takes up what was left on a loop of its own; what a deployment shares belongs to one loop.
            if asyncio.get_running_loop() is not self._loop:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(*arguments), self._loop))
            try:
                return await body(*arguments)
            except Exception as error:  # noqa: BLE001 (recorded as the workflow's end, it could never be resumed)
                if not self._fatal.done():
                    self._fatal.set_exception(_unusable_error(self._file, error))
                return await asyncio.Event().wait()

        run.__qualname__ = run.__name__ = getattr(body, "__name__", "run")
        return run


def _prepare_file(file: Path) -> None:
    """Create the file, readable by its owner only, in write-ahead mode; raise StateError if it is no database."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with closing(sqlite3.connect(file, timeout=30)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA schema_version").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise _unusable_error(file, error) from error


def _unusable_error(file: Path, error: Exception) -> StateError:
    if isinstance(error, StateError):
        return error
    return StateError(
        f"{file}: the record of running deployments cannot be used: {type(error).__name__}: {error}",
        need="a file that is whole and can be written, on a disk with room",
        next="mend it, then: abreast resume",
    )


def _configure_connections() -> None:
    """Set up each of the engine's connections, which it opens itself."""
    if not event.contains(SqlEngine, "connect", _on_connect):
        event.listen(SqlEngine, "connect", _on_connect)


def _on_connect(connection: Any, _: object) -> None:  # noqa: ANN401 (the driver's own connection)
    """Sync when the log is folded in; teach an SQLite before 3.42 ``unixepoch('subsec')``, which the engine uses.

    A machine that loses its power can so lose the last steps of this file, whole ones: they run again, which
    each bears. What happened is in the ledger, which is synced at every write.
    """
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, lambda _: time.time())


def _silence_logger() -> None:
    """Keep the engine's own log, which shows tracebacks, off every output."""
    logger = logging.getLogger("dbos")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
