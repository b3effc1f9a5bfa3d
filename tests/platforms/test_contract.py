"""abreast's own platforms, held to the public contract."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.core.errors import PlatformError
from abreast.core.strategy import Strategy
from abreast.testing.platform_contract import (
    LiveVersionContract,
    MaintenanceContract,
    PlatformContract,
    WorkerContract,
)
from platform_harness import HARNESSES, WORKER_HARNESSES, EmulatedHarness, OwnHarness

CLOUDS = [name for name, kind in HARNESSES.items() if issubclass(kind, EmulatedHarness) and kind.provider]
REPORTING = [name for name in CLOUDS if name != "huggingface, two Spaces"]
"""Those that know what others published; users of two Spaces are routed by another service."""


@pytest.fixture
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnHarness]:
    with ExitStack() as cleanup:
        yield HARNESSES[request.param](tmp_path, cleanup)


@pytest.fixture
def worker_harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnHarness]:
    with ExitStack() as cleanup:
        yield WORKER_HARNESSES[request.param](tmp_path, cleanup)


@pytest.mark.parametrize("harness", HARNESSES, indirect=True)
class TestEveryPlatform(PlatformContract):
    """Every platform keeps the contract."""


@pytest.mark.parametrize(
    ("harness", "strategies"),
    [
        ("local", ["blue-green"]),  # a folder
        ("netlify", ["blue-green"]),
        ("render", []),
        ("render, by a hook", []),
        ("huggingface", ["recreate"]),
        ("huggingface, two Spaces", ["blue-green"]),
    ],
    indirect=["harness"],
)
def test_a_platform_says_which_strategies_it_has(harness: OwnHarness, strategies: list[str]) -> None:
    assert harness.create_platform().capabilities(harness.service).strategies == tuple(map(Strategy, strategies))


@pytest.mark.parametrize("harness", REPORTING, indirect=True)
class TestWhereOthersCanPublish(LiveVersionContract):
    """A platform that reports the live version keeps its contract too."""


@pytest.mark.parametrize("harness", ["local", "netlify", "render"], indirect=True)
class TestWhereUsersCanGetAPage(MaintenanceContract):
    """A platform with maintenance keeps its contract."""


@pytest.mark.parametrize("worker_harness", WORKER_HARNESSES, indirect=True)
class TestWhereWorkersRun(WorkerContract):
    """A platform that runs workers keeps their contract."""

    @pytest.fixture
    def harness(self, worker_harness: OwnHarness) -> OwnHarness:
        return worker_harness


@pytest.mark.parametrize("token", ["wrong", ""])
@pytest.mark.parametrize("harness", CLOUDS, indirect=True)
def test_a_wrong_or_missing_token_is_reported_without_it(harness: EmulatedHarness, token: str) -> None:
    assert harness.provider
    harness.token = token
    with pytest.raises(PlatformError, match="refused" if token else "missing") as raised:
        harness.live_version()
    assert harness.provider.token_variable in str(raised.value)
    assert harness.provider.scope in str(raised.value)
    assert "wrong" not in str(raised.value).replace("is wrong", "")
