"""Error texts for unusable state files; imports nothing, to keep commands that read the ledger fast."""

APPLICATION_ID = 0x61627265
SCHEMA_VERSION = 3


def newer_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger created by a newer abreast."""
    return (
        f"{file} was created by a newer abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}, which this version supports",
        "pip install -U abreast",
    )


def older_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Return the error (what, need, next) for a ledger of a preview version, which cannot be read."""
    return (
        f"{file} was created by an earlier abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}: this version cannot read ledgers of earlier previews",
        f"abreast down with that version, then: mv {file} {file}.aside",
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
