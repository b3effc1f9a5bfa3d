"""The command ``abreast``."""

import os
import sys

STUCK = 4


def main() -> int:
    """Run the command line and return its exit code.

    ``status`` is asked for often and by scripts: it goes past the imports that the rest needs.
    """
    if sys.argv[1:2] == ["status"] and not {"--help", "--watch"}.intersection(sys.argv):
        from abreast.cli.commands.status import main as status  # noqa: PLC0415 (each way imports only what it needs)

        return status(sys.argv[2:])
    from abreast.cli.main import run  # noqa: PLC0415

    code = run(sys.argv[1:])
    if code == STUCK:  # the engine stopped as if it had been killed: its threads must not meet the interpreter's end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
