"""Error texts for unusable state files; imports next to nothing, to keep commands that read the ledger fast."""

import errno
import os

APPLICATION_ID = 0x61627265
SCHEMA_VERSION = 5


def is_ledger_lost(folder: str) -> bool:
    """Return whether a state folder has no ledger, or an empty one, although other files show deployments."""
    try:
        if _size(f"{folder}/ledger.db"):
            return False
        return bool(_size(f"{folder}/ledger.anchor")) or any(
            name.endswith(".queue.json")
            for name in os.listdir(f"{folder}/locks")  # noqa: PTH208
        )
    except OSError:
        return False


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size  # noqa: PTH116 (pathlib is slow to import)
    except FileNotFoundError:
        return 0


def why_unwritable(file: str) -> str:
    """Return why a ledger, which may be missing, and its folder cannot be written; "" if they can, or nobody knows."""
    folder = os.path.dirname(file)  # noqa: PTH120
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return os.strerror(errno.EROFS)
    if not all(os.access(path, os.W_OK) for path in (folder, file) if os.path.exists(path)):  # noqa: PTH110
        return os.strerror(errno.EACCES)
    free = disk.f_bavail if os.geteuid() else disk.f_bfree
    return "" if free else os.strerror(errno.ENOSPC)


def unwritable_note(folder: str, why: str) -> str:
    """Return what a command that only reads says of a state folder that cannot be written."""
    return f"{folder} cannot be written ({why}): what it has is shown, and nothing can be recorded"


def unwritable_error(folder: str, why: str) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a state folder in which nothing can be recorded."""
    return (
        f"{folder} cannot be written: {why}",
        "write permission, and free disk space; what is recorded can be read meanwhile",
        f"ls -ld {folder}; df -h {folder}",
    )


def lost_ledger_error(file: str) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger that is gone while what it records is still there."""
    folder = os.path.dirname(file)  # noqa: PTH120
    return (
        f"{file} is missing or empty, but deployments ran with it: what is live and the audit trail are lost",
        "the file as it was, from a copy",
        f"put it back; or start a new history, and end what still runs yourself: mv {folder} {folder}.lost",
    )


def cut_off_error(file: str, lost: str) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger that has lost events."""
    anchor = file.removesuffix(".db") + ".anchor"
    return (
        f"{file} has lost what it recorded: {lost}",
        "the file as it was, from a newer copy",
        f"put it back; or go on with what is left, and check what is live yourself: mv {anchor} {anchor}.lost",
    )


def newer_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger created by a newer abreast."""
    return (
        f"{file} was created by a newer abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}, which this version supports",
        "pip install -U abreast",
    )


def older_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger of a preview version, which cannot be read."""
    folder = os.path.dirname(file)  # noqa: PTH120
    return (
        f"{file} was created by an earlier abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}: this version cannot read ledgers of earlier previews",
        f"abreast down with that version, then: mv {folder} {folder}.aside",
    )


def foreign_file_error(file: str) -> tuple[str, str, str]:
    """Return the error (what, need, next) for another program's database."""
    return f"{file} is not an abreast ledger", "an abreast ledger, or no file", f"mv {file} {file}.aside"


def damaged_file_error(file: str, detail: str) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a file that cannot be read or written."""
    return (
        f"{file} cannot be used: {detail}",
        "an intact, writable file, and free disk space",
        f"sqlite3 {file} 'PRAGMA integrity_check'",
    )
