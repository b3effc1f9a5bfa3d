"""Runs one command line, and turns every error into text, and into JSON if the command answers with JSON."""

import os
import sys
from pathlib import Path

import click

from abreast.cli.error_document import error_document
from abreast.cli.lazy import load
from abreast.cli.main import abreast
from abreast.core.errors import AbreastError, UsageError


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Errors go to standard error as text, never as a traceback.

    With ``--json``, standard output gets one document, that of the error too.
    """
    as_json = "--json" in arguments
    try:
        _refuse_other_encodings(arguments)
        answer = abreast.main(arguments, prog_name="abreast", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        context = error.ctx if isinstance(error, click.UsageError) else None
        usage = f"{context.command_path if context else 'abreast'} --help"
        return _print_document(error.format_message(), "", usage, 2, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        return _print_document("stopped", "", "", 1, as_json=as_json)
    except AbreastError as error:
        return _report_error(error, as_json=as_json)
    except SystemExit as ended:
        if ended.code == 1:  # click's answer to a reader that has gone
            raise BrokenPipeError from ended
        raise
    except Exception as error:  # noqa: BLE001 (people get a sentence, not a traceback)
        return _report_error(_internal_error(error), as_json=as_json)
    return answer if isinstance(answer, int) else 0


def _refuse_other_encodings(arguments: list[str]) -> None:
    """Raise UsageError for an argument that is not UTF-8: the record and abreast.yml are."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            shown = argument.encode(errors="surrogateescape").decode(errors="replace")
            raise UsageError(f"{shown!r} is not UTF-8", need="a terminal that uses UTF-8") from error


class _InternalError(AbreastError):
    """A bug of abreast. Nobody knows what it left, so a person must look."""

    exit_code = 4


def _internal_error(error: Exception) -> AbreastError:
    """Return a bug of abreast as an error that names the line it came from."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return _InternalError(
        f"internal error at {where}: {type(error).__name__}: {error}",
        need="a bug report with this line; everything recorded so far is safe",
        next="abreast status",
    )


def _report_error(error: AbreastError, *, as_json: bool) -> int:
    print(f"abreast: {_redact(str(error))}", file=sys.stderr)
    for line in load("abreast.cli.ci.selection:error_annotation")(os.environ, _redact(str(error))):
        print(line, file=sys.stderr)
    return _print_document(error.what, error.need, error.next, error.exit_code, as_json=as_json)


def _print_document(what: str, need: str, next_command: str, exit_code: int, *, as_json: bool) -> int:
    """Print the document of an error, if the command answers with JSON. Returns the exit code."""
    if as_json:
        print(error_document(_redact(what), _redact(need), _redact(next_command), exit_code))
    return exit_code


def _redact(text: str) -> str:
    return str(load("abreast.cli.redaction:redact")(text))
