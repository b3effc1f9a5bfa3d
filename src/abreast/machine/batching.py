"""Batching: items that arrive while a batch runs form the next batch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """Passes waiting items to ``work`` in one call, in order.

    ``work`` returns an error or None for each item. An exception that it raises fails the whole batch.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[Exception | None]]]) -> None:
        self._work = work
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> None:
        """Wait until the item is done. Raises its error."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        # A task of its own: a cancelled caller must not cancel the batch.
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
                outcomes = await self._work([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 (raised to every caller)
                outcomes = [error] * len(batch)
            for (_, done), error_of_item in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if error_of_item:
                    done.set_exception(error_of_item)
                else:
                    done.set_result(None)
