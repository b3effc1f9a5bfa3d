"""Work that is done together: what comes while some is under way waits, and is then done in one go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """Hands things to ``work``, those that wait at the same time in one call, in their order.

    ``work`` returns what went wrong with each, None where nothing did; what it raises went wrong with all.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[Exception | None]]]) -> None:
        self._work = work
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> None:
        """Return when the thing is done; raises what went wrong with it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        # A task of its own: a caller that is cancelled must not take others' work with it.
        task = asyncio.ensure_future(self._run_batch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await done

    async def _run_batch(self) -> None:
        async with self._lock:
            batch, self._waiting = self._waiting, []
            if not batch:
                return
            try:
                outcomes = await self._work([thing for thing, _ in batch])
            except Exception as error:  # noqa: BLE001 (raised to everyone who waits)
                outcomes = [error] * len(batch)
            for (_, done), error_of_item in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if error_of_item:
                    done.set_exception(error_of_item)
                else:
                    done.set_result(None)
