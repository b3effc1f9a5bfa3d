"""A command that asks, and the person who answers."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from fork_server import StartedCommand
from limits import scaled


def run_answering(folder: Path, *arguments: str, answer: str, variables: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed, and return what stands on the screen, with the answer where it was typed."""
    typed, terminal = os.openpty()
    output = folder.parent / "answered"
    output.unlink(missing_ok=True)
    with closing(os.fdopen(typed, "wb", buffering=0)) as keyboard, closing(os.fdopen(terminal)):
        command = StartedCommand(
            folder, *arguments, variables=variables, stdin=os.ttyname(terminal), stdout=str(output), stderr=str(output)
        )
        keyboard.write(f"{answer}\n".encode())
        code = command.wait(scaled(90))
    assert code == 0, command.output
    return command.output.replace("[y/N]: ", "[y/N] ").replace("[y/N] ", f"[y/N] {answer}\n")
