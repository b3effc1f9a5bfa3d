"""Text of others, such as services and authors, without what a terminal or the runner of a CI job would obey."""

import os
import re

_CONTROLS = re.compile(
    r"(?P<style>\x1b\[[0-9;:]*m)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # they reorder the line: https://trojansource.codes
)
_CONCEAL = re.compile(r"[\[;:]0*8[;:m]")
_RESET = "\x1b[0m"
_WORKFLOW_COMMAND = re.compile(r"^([^\S\n]*:)(?=:)|(##)(?=\[)", re.MULTILINE)
"""Where GitHub's runner sees a command: at the beginning of a line, and in its old form anywhere."""


def visible(text: str) -> str:
    """Return a text in which control characters, and in GitHub Actions commands to its runner, are seen, not obeyed."""
    shown = without_controls(text)
    return without_commands(shown) if os.environ.get("GITHUB_ACTIONS") == "true" else shown


def without_commands(text: str) -> str:
    """Return a text in which GitHub's runner finds no command: an invisible space breaks each."""
    return _WORKFLOW_COMMAND.sub("\\g<0>\u200b", text) if "::" in text or "##[" in text else text


def without_controls(text: str) -> str:
    """Return a text in which control characters are seen, not obeyed. Newlines, tabs and colors stay.

    Escape sequences could set the window's title, fill the clipboard, or overwrite what stands above. See
    https://invisible-island.net/xterm/ctlseqs/ctlseqs.html.
    """
    if text.isprintable():
        return text
    shown = _CONTROLS.sub(_shown, text.replace("\r\n", "\n"))
    return shown + _RESET if "\x1b[" in shown and not shown.endswith(_RESET) else shown


def _shown(found: re.Match[str]) -> str:
    style = found["style"]
    if style and not _CONCEAL.search(style):
        return style
    return "".join(_picture(letter) if ord(letter) < 0x20 or ord(letter) >= 0x7F else letter for letter in found[0])


def _picture(letter: str) -> str:
    """Return what stands for a control character: its picture in Unicode, or its number."""
    code = ord(letter)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
