"""Hooks that keep a test session clean and quick, and the fixtures that all tests share."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import leftovers
import shared_servers
from limits import scaled
from object_stores import az, file, gs, s3
from page_examples import Example, page_examples
from sample_project import SampleProject
from state_worlds import open_mirror, state_world

__all__ = ["az", "file", "gs", "open_mirror", "s3", "state_world"]

# Tests start hundreds of interpreters. Without this, each would compile every module.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("GITHUB_ACTIONS", None)  # there, the record of each tested project would be expected in its remote
gc.disable()  # until all is imported and collected, which stays: to look through it again and again takes half the time


FOLDER = pytest.StashKey[Path]()
WORKERS_PER_PROCESSOR, MAX_WORKERS = 4, 20
"""Tests wait about two thirds of their time. Each worker costs three seconds of a processor: it collects all tests."""

QUICK_FILES = {"test_story", "test_run", "test_orphans", "test_one_space"}
"""Files of ``tests/deploy`` of which all tests are quick."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # background jobs ignore SIGINT; children would inherit that
        signal.signal(signal.SIGINT, lambda *_: None)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    signal.signal(signal.SIGTERM, _interrupt)
    folder = config.stash[FOLDER] = leftovers.make_folder()
    config.option.basetemp = config.option.basetemp or str(folder / "t")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return min(WORKERS_PER_PROCESSOR * (os.cpu_count() or 1), MAX_WORKERS)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def pytest_itemcollected(item: pytest.Item) -> None:
    """Of the tests that deploy, leave to ``make test-all`` what is neither quick nor marked as ``smoke``."""
    deploys = item.path.parent == Path(__file__).parent / "deploy" and item.path.stem not in QUICK_FILES
    if deploys and not item.get_closest_marker("smoke"):
        item.add_marker(pytest.mark.exhaustive)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the slowest tests (those with their own timeout) first, so that none runs alone at the end.

    The scheduler gives each of n workers a contiguous n-th of the tests; the slow ones go to the front of each.
    """
    workers: int = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    slow = [item for item in items if any(mark.name == "timeout" for mark in item.own_markers)]
    others = [item for item in items if item not in slow]
    total = len(items)
    items.clear()
    for worker in range(workers):
        share = slow[worker::workers]
        count = (total - len(items)) // (workers - worker) - len(share)
        items += share + others[:count]
        del others[:count]


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    usual = item.get_closest_marker("timeout")
    item.add_marker(
        pytest.mark.timeout(scaled(usual.args[0] if usual else float(item.config.getini("timeout")))), False
    )
    return (yield)


@pytest.hookimpl(trylast=True, wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Kill the processes that tests left running, and fail the session if there are any."""
    yield
    leftovers.AT_END.close()
    folder = session.config.stash.get(FOLDER, None)
    if folder is None:
        return
    shared_servers.end_all(folder)
    if left := leftovers.end_all(folder):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter
        reporter.section("left running, now ended", red=True)
        for line in left:
            reporter.line(line)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
    leftovers.remove(folder, evidence=session.exitstatus != pytest.ExitCode.OK)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[SampleProject]:
    """A committed project with a frontend and a backend, not yet deployed. It is taken down after the test."""
    made = SampleProject(tmp_path / "project")
    yield made
    made.down()


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleProject]:
    """A project that the tests of one module share; each starts from the state that the previous one left."""
    made = SampleProject(tmp_path_factory.mktemp("shared") / "project")
    yield made
    made.down()


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> list[Example]:
    """The blocks that the test's mark ``executes`` names, in its order."""
    claims = [mark.args for mark in request.node.iter_markers("executes")]
    pages = {page: list(page_examples(Path(__file__).parents[1] / page)) for page, *_ in claims}
    return [pages[page][number - 1] for page, *numbers in claims for number in numbers]
