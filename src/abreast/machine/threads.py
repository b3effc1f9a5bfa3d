"""Blocking work in a thread, safe under cancellation."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` in a thread and return its result. A cancelled caller waits until the thread has finished.

    A pool that shuts down drops queued work, which has not begun; it is submitted to the next pool.
    """
    while True:
        future = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            task = asyncio.current_task()
            if not future.cancelled() or (task and task.cancelling()):
                raise
