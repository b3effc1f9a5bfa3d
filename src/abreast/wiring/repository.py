"""The repository of a project. Imports little, so that git is asked before the rest of abreast is loaded."""

from functools import cache
from pathlib import Path

from abreast.source.git import GitRepository


@cache
def project_repository(root: Path) -> GitRepository:
    """Return the repository of the project in ``root``: one for the whole process, with what it was asked ahead."""
    return GitRepository(root)
