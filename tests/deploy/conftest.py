"""These tests deploy, each at least once. ``make test`` runs those that are quick or marked as ``smoke``."""

from pathlib import Path

import pytest

QUICK_FILES = {"test_story", "test_run", "test_orphans", "test_one_space"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make test-all`` what is not marked."""
    for item in items:
        quick = item.path.stem in QUICK_FILES or item.get_closest_marker("smoke")
        if item.path.parent == Path(__file__).parent and not quick:
            item.add_marker(pytest.mark.exhaustive)
