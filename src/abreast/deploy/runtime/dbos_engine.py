"""The engine on DBOS and a SQLite file. Loads when a deployment begins, since importing DBOS takes half a second.

Each environment has its own file and executor: the engine re-queues a dead process's workflows for any process
that shares the file, so with one file for all, one environment's process would run another's steps.
"""

import asyncio
import contextvars
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from dbos import DBOS, Serializer, SetWorkflowID
from sqlalchemy import event
from sqlalchemy.engine import Engine as SqlEngine

from abreast.core.errors import StateError
from abreast.deploy.runtime.engine import Json, WorkflowBody, WorkflowEngine

COMPATIBILITY_VERSION = "2"
"""Increased when steps change in a way that older deployments cannot resume."""

POLL_INTERVAL = 0.05
"""Seconds between two looks of the engine at its file."""


class _JsonSerializer(Serializer):
    """JSON instead of pickle: reading cannot run code, and writing a secret fails.

    Errors are raised in place of being written: a workflow that is recorded as failed could never be resumed.
    """

    def serialize(self, data: Any) -> str:  # noqa: ANN401 (the engine's signature)
        if isinstance(data, BaseException):
            raise data
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:  # noqa: ANN401 (the engine's signature)
        return json.loads(serialized_data)

    def name(self) -> str:
        return "abreast_json"


class DbosEngine(WorkflowEngine):
    """The engine of one environment, with its file."""

    def __init__(self, file: Path, executor_id: str) -> None:
        self._file = file
        self._executor_id = executor_id
        self._bodies: dict[str, WorkflowBody] = {}
        self._fatal: asyncio.Future[NoReturn]
        self._loop: asyncio.AbstractEventLoop

    def register(self, name: str, body: WorkflowBody) -> None:
        """Register a workflow. Call it before ``launch``."""
        self._bodies[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(self._guarded(body))

    async def launch(self) -> None:
        """Open the file and recover the workflows of an earlier process of this executor."""
        _prepare_file(self._file)
        _configure_connections()
        _silence_logger()
        self._loop = asyncio.get_running_loop()
        self._fatal = self._loop.create_future()
        try:
            engine = DBOS(
                config={
                    "name": "abreast",
                    "system_database_url": f"sqlite:///{self._file}",
                    "application_version": COMPATIBILITY_VERSION,
                    "executor_id": self._executor_id,
                    "serializer": _JsonSerializer(),
                    "notification_listener_polling_interval_sec": POLL_INTERVAL,
                    "log_level": "CRITICAL",
                }
            )
            with suppress(AttributeError):  # private to dbos; without it, a resume waits up to a second longer
                engine._registry.get_internal_queue()._polling_interval_sec = POLL_INTERVAL
            await asyncio.to_thread(DBOS.launch)
        except Exception as error:
            raise _unusable_error(self._file, error) from error

    async def run_workflow(self, name: str, id: str, *arguments: Json) -> Json:
        """Start or resume the workflow ``id``, and return its result."""
        status = await DBOS.get_workflow_status_async(id)
        if status is not None and status.app_version not in {None, COMPATIBILITY_VERSION}:
            raise StateError(
                f"deployment {id} was started by another version of abreast",
                need=f"workflow version {status.app_version}; this abreast has {COMPATIBILITY_VERSION}",
                next=f"install the version of abreast that started it, then: abreast resume {id}",
            )
        handle = await (DBOS.retrieve_workflow_async(id) if status else self._start(name, id, *arguments))
        result = asyncio.ensure_future(handle.get_result(polling_interval_sec=POLL_INTERVAL))
        await asyncio.wait({result, self._fatal}, return_when=asyncio.FIRST_COMPLETED)
        if self._fatal.done():
            self._fatal.result()
        return await result

    async def has_workflow(self, id: str) -> bool:
        """Return whether the workflow ``id`` has started, as far as the record goes back."""
        return await DBOS.get_workflow_status_async(id) is not None

    async def start_child(self, name: str, id: str, *arguments: Json) -> Callable[[], Awaitable[Json]]:
        """Start a child workflow and return a function that waits for its result."""
        handle = await self._start(name, id, *arguments)
        return partial(handle.get_result, polling_interval_sec=POLL_INTERVAL)

    async def completed_results(self, prefix: str) -> Mapping[str, Json]:
        """Return the results of completed workflows by id, for ids with this prefix."""
        query = DBOS.list_workflows_async(workflow_id_prefix=prefix, status="SUCCESS", load_input=False)
        statuses = await asyncio.get_running_loop().create_task(query, context=contextvars.Context())
        return {status.workflow_id: status.output for status in statuses}

    async def run_step(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """Run ``work`` and record its result. An error ends this process's run, and the step runs again on resume."""

        async def step() -> Json:
            try:
                return await work()
            except Exception as error:  # noqa: BLE001 (if it were recorded, the workflow could never be resumed)
                return await self._end(error)

        return await DBOS.run_step_async({"name": name}, step)

    async def close(self) -> None:
        """Close the file. Unfinished workflows can be resumed."""
        # The engine made its thread pool the loop's default, and shuts it down now.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)

    async def _start(self, name: str, id: str, *arguments: Json) -> Any:  # noqa: ANN401
        with SetWorkflowID(id):
            return await DBOS.start_workflow_async(self._bodies[name], *arguments)

    def _guarded(self, body: WorkflowBody) -> WorkflowBody:
        async def run(*arguments: Json) -> Json:
            # The engine recovers workflows on its own loop, but the objects of a run belong to ours.
            if asyncio.get_running_loop() is not self._loop:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(*arguments), self._loop))
            try:
                return await body(*arguments)
            except Exception as error:  # noqa: BLE001 (if it were recorded, the workflow could never be resumed)
                return await self._end(error)

        run.__qualname__ = run.__name__ = getattr(body, "__name__", "run")
        return run

    async def _end(self, error: Exception) -> NoReturn:
        """Let ``run_workflow`` raise the error, and wait until it ends this task."""
        if not self._fatal.done():
            self._fatal.set_exception(_unusable_error(self._file, error))
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")


def _prepare_file(file: Path) -> None:
    """Create the file in WAL mode, readable by its owner only. Raises StateError if it is not a database."""
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
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's own text adds a link to its documentation
    damaged = getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
    return StateError(
        f"{file}: the record of running deployments cannot be used: {type(cause).__name__}: {cause}",
        need="an intact, writable file on a disk with free space",
        next=f"rm {file}*, then: abreast resume, which turns back" if damaged else "fix it, then: abreast resume",
    )


def _configure_connections() -> None:
    """Configure every connection that the engine opens."""
    if not event.contains(SqlEngine, "connect", _on_connect):
        event.listen(SqlEngine, "connect", _on_connect)


def _on_connect(connection: Any, _: object) -> None:  # noqa: ANN401 (the driver's own connection)
    """Sync at checkpoints only; give SQLite before 3.42 the ``unixepoch('subsec')`` that the engine uses.

    A power failure can lose the last recorded steps. They run again, which is safe: steps are idempotent, and
    the ledger is synced at every write.
    """
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, lambda _: time.time())


def _silence_logger() -> None:
    """Silence the engine's log, which prints tracebacks."""
    logger = logging.getLogger("dbos")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
