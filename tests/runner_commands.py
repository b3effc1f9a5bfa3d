"""The grammar of workflow commands, as GitHub publishes it with its runner (actions/runner, ``ActionCommand.cs``)."""

from collections.abc import Iterator

COMMANDS = {
    "set-env", "set-output", "save-state", "add-mask", "add-path", "warning", "error", "notice", "debug", "group",
    "endgroup", "echo", "add-matcher", "remove-matcher",
}  # fmt: skip


def obeyed_commands(output: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield each command that the runner obeys: its name, properties and data."""
    stop = ""
    for line in output.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        known = COMMANDS | {"stop-commands"} | ({stop} if stop else set())
        found = _current_form(line, known) or _old_form(line, known)
        if found is None:
            continue
        if stop:
            stop = "" if found[0].lower() == stop else stop
        elif found[0].lower() == "stop-commands":
            stop = found[2].lower()
        else:
            yield found


def _current_form(line: str, known: set[str]) -> tuple[str, dict[str, str], str] | None:
    line = line.lstrip()
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, properties = line[2:end].partition(" ")
    if name.lower() not in known:
        return None
    pairs = [pair.split("=", 1) for pair in properties.strip().split(",") if "=" in pair]
    return name, {key: _unescape(value, ":,") for key, value in pairs}, _unescape(line[end + 2 :], "")


def _old_form(line: str, known: set[str]) -> tuple[str, dict[str, str], str] | None:
    at, end = line.find("##["), line.find("]", line.find("##["))
    if at < 0 or end < 0:
        return None
    name = line[at + 3 : end].partition(" ")[0]
    return (name, {}, line[end + 1 :]) if name.lower() in known else None


def _unescape(text: str, more: str) -> str:
    for letter in ("\r", "\n", *more, "%"):
        text = text.replace(f"%{ord(letter):02X}", letter)
    return text
