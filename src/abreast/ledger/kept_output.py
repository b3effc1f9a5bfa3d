"""What the commands of a deployment printed, as an entry keeps it: the end of each log, compressed."""

import base64
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abreast.core.wording import counted

MAX_LOG, MAX_OUTPUT = 32 << 10, 256 << 10
"""Bytes that are kept of the end of one log, and of all logs of a deployment."""


def pack(files: Iterable[Path]) -> dict[str, str]:
    """Return the end of each log file as text that an entry can hold, by its name. Short logs come first."""
    packed, left = {}, MAX_OUTPUT
    for size, file in sorted((file.stat().st_size, file) for file in files):
        length = min(size, MAX_LOG, left)
        left -= length
        if length:
            packed[file.name] = base64.b64encode(zlib.compress(_end_of(file, size, length), 9)).decode()
    return packed


def unpack(kept: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the logs that entries hold, by name. What was printed on several machines follows in order."""
    logs: dict[str, str] = {}
    for entry in kept:
        for name, text in entry.items():
            logs[name] = logs.get(name, "") + zlib.decompress(base64.b64decode(text)).decode(errors="replace")
    return logs


def _end_of(file: Path, size: int, length: int) -> bytes:
    """Return the last ``length`` bytes of a log, from their first whole line on, and say how much was before."""
    with file.open("rb") as log:
        log.seek(size - length)
        text = log.read(length)
    if length == size:
        return text
    whole = text[text.find(b"\n") + 1 :] or text
    return f"… {counted(size - len(whole), 'byte')} before this: only on the machine that ran it\n".encode() + whole
