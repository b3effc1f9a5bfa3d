"""Results of programs of others that are always the same: kept beside the virtual environment."""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def kept(key: object, make: Callable[[], T]) -> T:
    """Return what ``make`` returned once for this key, whose ``repr`` says all that it depends on."""
    file = Path(sys.prefix) / "kept" / hashlib.sha256(repr(key).encode()).hexdigest()
    if file.exists():
        found: T = pickle.loads(file.read_bytes())
        return found
    made = make()
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_bytes(pickle.dumps(made))
    partial.replace(file)
    return made
