"""The output that a platform keeps: each line is printed once, and a platform that does not answer is said once."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from abreast.cli.platform_log import PlatformLog
from abreast.core.errors import PlatformError
from abreast.core.model import LiveService, Service, Version

SERVICE = Service("api", "elsewhere")
LIVE = LiveService("api", "elsewhere", "v1", "", "", "", "", Version("api-1", "api", (), ""), SERVICE)


class KeptLog:
    """A platform whose log is as long as its window, and away where it is None."""

    def __init__(self, *answers: Sequence[str] | None) -> None:
        self._answers = iter(answers)

    async def recent_logs(self, service: Service, limit: int) -> Sequence[tuple[str, str]]:
        assert (service, limit) == (SERVICE, 3)
        answer = next(self._answers)
        if answer is None:
            raise PlatformError("status 503")
        return [("2026-01-01T00:00:00Z", text) for text in answer]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def read(runner: asyncio.Runner, *answers: Sequence[str] | None) -> list[list[str]]:
    log = PlatformLog(runner, KeptLog(*answers), LIVE, 3)
    lines = [log.new_lines(at_end=True) for _ in answers]
    return [[line.removeprefix("2026-01-01T00:00:00Z ") for line in each] for each in lines]


def test_equal_lines_are_printed_as_often_as_they_were_written(runner: asyncio.Runner) -> None:
    assert read(runner, ["a", "b"], ["a", "b", "b"], ["b", "b", "c"]) == [["a", "b"], ["b"], ["c"]]


def test_a_platform_that_is_away_is_said_once(runner: asyncio.Runner) -> None:
    told = ["cannot be read: status 503"]
    assert read(runner, None, None, ["a"], None) == [told, [], ["a"], told]


def test_secrets_and_terminal_codes_do_not_reach_the_terminal(runner: asyncio.Runner) -> None:
    ((line,),) = read(runner, ["key \x1b[2J ghp_" + "a1B2" * 9])
    assert "ghp_" not in line
    assert "\x1b" not in line
