"""Durable workflows: a step that the ledger has is not run again, so a killed deployment resumes where it was.

The ledger is the only record. Whoever can read it can resume: another process, or another machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

from abreast.core.errors import StateError
from abreast.core.events import Event
from abreast.ledger.interface import Json, Ledger

WorkflowBody = Callable[..., Coroutine[Any, Any, Json]]
Work = Callable[[], Awaitable[tuple[Json, Sequence[Event]]]]
"""The work of a step. Returns its result, and the events that are recorded together with it."""

T = TypeVar("T")

COMPATIBILITY_VERSION = "3"
"""Increased when steps change in a way that older deployments cannot resume."""

RESULT, VERSION = "", "version"
"""The steps in which a workflow's result, and the version that started it, are recorded."""


_CURRENT: ContextVar[str] = ContextVar("workflow")


class WorkflowEngine:
    """Runs workflows that resume after their last recorded step.

    Workflows and steps take and return JSON values. A step is recorded under its name, which is unique in its
    workflow. An error that escapes a step is never recorded: all workflows stop as if they had been killed, so that
    they can be resumed.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._bodies: dict[str, WorkflowBody] = {}
        self._recorded: dict[tuple[str, str], Json] = {}
        self._running = set[asyncio.Task[Json]]()
        self._fatal: asyncio.Future[NoReturn]

    def register(self, name: str, body: WorkflowBody) -> None:
        """Register a workflow."""
        self._bodies[name] = body

    async def run_workflow(self, name: str, id: str, *arguments: Json) -> Json:
        """Start or resume the workflow ``id``, and return its result.

        Raises StateError if it cannot continue now. It stays resumable.
        """
        self._recorded |= await asyncio.to_thread(self._ledger.steps, id)
        self._fatal = asyncio.get_running_loop().create_future()
        await self._check_version(id)
        result = self._start(name, id, *arguments)
        try:
            await asyncio.wait({result, self._fatal}, return_when=asyncio.FIRST_COMPLETED)
            return self._fatal.result() if self._fatal.done() else result.result()
        finally:
            await self._stop()

    async def start_child(self, name: str, id: str, *arguments: Json) -> Callable[[], Awaitable[Json]]:
        """Start a child workflow, whose id begins with its parent's; return a function that waits for its result."""
        child = self._start(name, id, *arguments)

        async def result() -> Json:
            return await child

        return result

    async def completed_results(self, workflow: str) -> Mapping[str, Json]:
        """Return the results of a workflow and its children, by id, as far as they have ended."""
        recorded = await asyncio.to_thread(self._ledger.steps, workflow)
        return {id_: result for (id_, step), result in recorded.items() if step == RESULT}

    async def run_step(self, name: str, work: Work) -> Json:
        """Run ``work`` and record its result. A recorded step returns its result without running again."""
        step = (_CURRENT.get(), name)
        if step not in self._recorded:
            result, events = await self._or_stop(work())
            await self._or_stop(asyncio.to_thread(self._ledger.record_step, *step, result, events))
            self._recorded[step] = result
        return self._recorded[step]

    def _start(self, name: str, id: str, *arguments: Json) -> asyncio.Task[Json]:
        task = asyncio.get_running_loop().create_task(self._run(name, id, *arguments))
        self._running.add(task)
        return task

    async def _run(self, name: str, id: str, *arguments: Json) -> Json:
        _CURRENT.set(id)

        async def body() -> tuple[Json, Sequence[Event]]:
            return await self._bodies[name](*arguments), ()

        return await self.run_step(RESULT, body)

    async def _or_stop(self, work: Awaitable[T]) -> T:
        """Return what ``work`` returns. If it raises, end all workflows with its error."""
        try:
            return await work
        except Exception as error:
            if not self._fatal.done():
                self._fatal.set_exception(_stopped(error))
            await asyncio.Event().wait()  # until _stop
            raise AssertionError("nobody sets the event") from error

    async def _check_version(self, id: str) -> None:
        started_by = self._recorded.get((id, VERSION))
        if started_by is None:
            await asyncio.to_thread(self._ledger.record_step, id, VERSION, COMPATIBILITY_VERSION)
        elif started_by != COMPATIBILITY_VERSION:
            raise StateError(
                f"deployment {id} was started by another version of abreast",
                need=f"workflow version {started_by}; this abreast has {COMPATIBILITY_VERSION}",
                next=f"install the version of abreast that started it, then: abreast resume {id}",
            )

    async def _stop(self) -> None:
        """End what still runs. It can be resumed."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()


def _stopped(error: Exception) -> StateError:
    if isinstance(error, StateError):
        return error
    return StateError(
        f"a deployment was interrupted by a fault in abreast itself: {type(error).__name__}: {error}",
        need="a version of abreast without it",
        next="abreast resume",
    )
