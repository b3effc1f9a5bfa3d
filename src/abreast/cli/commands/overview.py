"""``abreast`` without a command: where this project stands, and what to type next."""

from collections.abc import Iterator
from pathlib import Path

from abreast.cli.commands import status
from abreast.cli.working_directory import working_directory
from abreast.config.files import CONFIG_FILE, OTHER_SPELLING


def overview() -> int:
    """Print what this project needs next; once it was deployed, its status."""
    folder = working_directory()
    for line in _first_steps(folder):
        print(line)
    code = status.main([]) if _is_in(folder, CONFIG_FILE) else 0
    print("abreast help lists every command")
    return code


def _first_steps(folder: Path) -> Iterator[str]:
    """Yield what is missing before the first deployment, with the command that makes it."""
    if not _is_in(folder, ".git"):
        yield f"{folder} is not in a git repository, and abreast deploys commits. next: git init"
    if _is_in(folder, CONFIG_FILE):
        return
    if _is_in(folder, OTHER_SPELLING):
        yield f"found {OTHER_SPELLING}; abreast reads {CONFIG_FILE}. next: git mv {OTHER_SPELLING} {CONFIG_FILE}"
    else:
        yield f"no {CONFIG_FILE} here or in any folder above. next: abreast init"


def _is_in(folder: Path, name: str) -> bool:
    """Whether ``folder`` or a folder above it has an entry of this name."""
    return any((above / name).exists() for above in (folder, *folder.parents))
