"""Errors as JSON: the document of a command with ``--json`` that failed. Imports next to nothing, for ``status``."""


def error_document(what: str, need: str, next_command: str, exit_code: int) -> str:
    """Return the JSON document of an error."""
    import json  # noqa: PLC0415 (slow to import)

    error = {"what": what, "need": need, "next": next_command, "exit_code": exit_code}
    return json.dumps({"error": error}, indent=2)
