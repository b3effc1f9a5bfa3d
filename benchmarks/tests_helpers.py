"""Helpers of the tests, for benchmarks: real servers, and programs that write to a database."""

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

TESTS_FOLDER = Path(__file__).parents[1] / "tests"


@contextmanager
def tests_module(name: str) -> Iterator[ModuleType]:
    """Import a module of the tests for the block. The servers that it starts end with the block."""
    sys.path.insert(0, str(TESTS_FOLDER))
    module, servers = importlib.import_module(name), importlib.import_module("shared_servers")
    temporary = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="abreast-bench-") as folder:
        Path(folder).chmod(0o755)  # a server may run as another user
        tempfile.tempdir = folder
        try:
            yield module
        finally:
            tempfile.tempdir = temporary
            servers.end_all(Path(folder))
            sys.path.remove(str(TESTS_FOLDER))
