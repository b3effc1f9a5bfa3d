"""Work in a thread that is never left behind, and never left out."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in a thread and return what it returns; one that is cancelled meanwhile ends when the thread has.

    A pool of threads that ends drops what still waits in it; that has not begun, and is given to the next pool.
    """
    while True:
        doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            task = asyncio.current_task()
            if not doing.cancelled() or (task and task.cancelling()):
                raise
