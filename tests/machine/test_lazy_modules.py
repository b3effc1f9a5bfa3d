"""Modules that are imported when they are used."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from abreast.machine.lazy_modules import lazy_module


def test_a_lazy_module_is_imported_when_it_is_used_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_module.py").write_text("import time\nearly = 1\ntime.sleep(0.2)\nlate = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    late = lazy_module("late_module")
    assert "late_module" not in sys.modules
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: getattr(late, name), ["early", "late"] * 4)) == [1, 2] * 4
    assert lazy_module("late_module") is sys.modules.pop("late_module")


def test_a_missing_module_is_missed_when_it_is_used() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        _ = lazy_module("no_such_module").anything
