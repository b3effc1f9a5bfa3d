"""Fixtures: a small project in a git repository of its own, deployed by the real command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from object_stores import az, blobs, file, gs, s3
from sample_project import SampleProject

__all__ = ["az", "blobs", "file", "gs", "s3"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[SampleProject]:
    """A project with a frontend and a backend, committed and not yet deployed; taken down at the end."""
    made = SampleProject(tmp_path / "project")
    yield made
    made.down()


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleProject]:
    """The same, for the tests of one module that only read or go on from what was before."""
    made = SampleProject(tmp_path_factory.mktemp("shared") / "project")
    yield made
    made.down()
