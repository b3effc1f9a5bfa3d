"""The entry point of the ``abreast`` command."""

import os
import sys

STUCK = 4


def main() -> int:
    """Run the command line and return its exit code. It ends without a word if its reader has gone, such as `head`."""
    code = 0
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run() -> int:
    """Run it. ``status`` runs often, and click's imports would take longer than its work, so it goes around click."""
    if sys.argv[1:2] == ["status"] and not {"-h", "--help", "--watch"}.intersection(sys.argv):
        from abreast.cli.commands.status import main as status  # noqa: PLC0415 (the fast path imports nothing else)

        return status(sys.argv[2:])
    from abreast.cli.run import run  # noqa: PLC0415 (see above)

    code = run(sys.argv[1:])
    if code == STUCK:  # the engine's threads may still run: exit without waiting for them
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
