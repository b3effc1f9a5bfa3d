"""Where the program of a scanner is. It imports little, so that a command can ask quickly."""

import shutil
import sys
from pathlib import Path


def find_program(program: str) -> str | None:
    """Return the path of a program, on the PATH or installed beside abreast; None if it is missing."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
