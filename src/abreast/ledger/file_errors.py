"""What is said of a state file that cannot be used; imports nothing, for the commands that must be quick."""

APPLICATION_ID = 0x61627265
SCHEMA_VERSION = 3


def newer_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Say that a file was made by a newer abreast."""
    return (
        f"{file} was made by a newer abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}, which this one knows",
        "pip install -U abreast",
    )


def older_schema_error(file: str, schema: int) -> tuple[str, str, str]:
    """Say that a file was made by an abreast before the first release, whose records this one cannot read."""
    return (
        f"{file} was made by an earlier abreast (schema {schema})",
        f"schema {SCHEMA_VERSION}; the records of earlier previews cannot be read",
        f"abreast down with that version, then: mv {file} {file}.aside",
    )


def foreign_file_error(file: str) -> tuple[str, str, str]:
    """Say that a file is another program's."""
    return f"{file} is not a ledger of abreast", "a ledger, or no file there", f"mv {file} {file}.aside"


def damaged_file_error(file: str, detail: str) -> tuple[str, str, str]:
    """Say that a file cannot be read or written."""
    return (
        f"{file} cannot be used: {detail}",
        "a file that is whole and can be written, on a disk with room",
        f"sqlite3 {file} 'PRAGMA integrity_check'",
    )
