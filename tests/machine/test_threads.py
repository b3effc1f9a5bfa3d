"""Work in threads: neither left behind nor left out."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from abreast.machine.threads import run_in_thread


def test_one_that_is_cancelled_ends_when_its_thread_has() -> None:
    done = threading.Event()

    def work() -> None:
        time.sleep(0.2)
        done.set()

    async def story() -> None:
        doing = asyncio.ensure_future(run_in_thread(work))
        await asyncio.sleep(0.05)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        assert done.is_set()

    asyncio.run(story())


def test_what_waits_in_a_pool_that_ends_is_given_to_the_next() -> None:
    async def story() -> None:
        loop, busy = asyncio.get_running_loop(), threading.Event()
        pool = ThreadPoolExecutor(1)
        loop.set_default_executor(pool)
        first = asyncio.ensure_future(run_in_thread(busy.wait, 10))
        second = asyncio.ensure_future(run_in_thread(lambda: "done"))
        await asyncio.sleep(0.05)
        loop.set_default_executor(ThreadPoolExecutor(1))
        pool.shutdown(wait=False, cancel_futures=True)
        assert await second == "done"
        busy.set()
        assert await first

    asyncio.run(story())


def test_what_is_raised_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_in_thread(lambda: 1 / 0))
