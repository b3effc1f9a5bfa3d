"""Work done together: in one go, in order, each with its own outcome, and nobody's cancelling is another's loss."""

import asyncio
from collections.abc import Sequence

import pytest

from abreast.machine.batching import Batcher


class Worker:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def work(self, things: Sequence[int]) -> list[Exception | None]:
        self.batches.append(list(things))
        await self.go.wait()
        if 99 in things:
            raise OSError("all of it")
        return [ValueError(str(thing)) if thing < 0 else None for thing in things]


def test_what_waits_is_done_in_one_go_and_each_hears_of_its_own() -> None:
    async def story() -> None:
        worker = Worker()
        together = Batcher(worker.work)
        tasks = [asyncio.ensure_future(together.submit(number)) for number in (1, 2, -3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(together.submit(number)) for number in (4, -5, 6)]
        await asyncio.sleep(0)
        worker.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["None", "None", "-3", "None", "-5", "None"]
        assert [number for batch in worker.batches for number in batch] == [1, 2, -3, 4, -5, 6]
        assert len(worker.batches) == 2

    asyncio.run(story())


def test_what_goes_wrong_as_a_whole_everyone_hears_and_the_next_goes_on() -> None:
    async def story() -> None:
        worker = Worker()
        worker.go.set()
        together = Batcher(worker.work)
        outcomes = await asyncio.gather(together.submit(99), together.submit(1), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["all of it", "all of it"]
        await together.submit(2)

    asyncio.run(story())


def test_a_cancelled_caller_does_not_take_the_work_with_it() -> None:
    async def story() -> None:
        worker = Worker()
        together = Batcher(worker.work)
        first, second = (asyncio.ensure_future(together.submit(number)) for number in (1, 2))
        await asyncio.sleep(0.01)
        first.cancel()
        worker.go.set()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert worker.batches == [[1, 2]]

    asyncio.run(story())
