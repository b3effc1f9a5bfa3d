"""The output of commands that goes with the ledger: bounded, whole lines, and it says what is missing."""

import json
import random
from pathlib import Path

from abreast.ledger.kept_output import MAX_LOG, MAX_OUTPUT, pack, unpack


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_short_logs_are_whole_and_of_long_ones_the_end_is_kept(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(20_000)]
    files = [write(tmp_path, "long.log", "\n".join(lines)), write(tmp_path, "short.log", "one\ntwo\n")]
    files.append(write(tmp_path, "empty.log", ""))
    kept = unpack([pack(files)])
    assert kept["short.log"] == "one\ntwo\n"
    first, *rest = kept["long.log"].splitlines()
    missing = files[0].stat().st_size - len("\n".join(rest))
    assert first == f"… {missing} bytes before this: only on the machine that ran it"
    assert rest == lines[-len(rest) :]
    assert len(rest) > 2000
    assert kept.keys() == {"short.log", "long.log"}


def test_however_much_is_printed_an_entry_stays_small(tmp_path: Path) -> None:
    noise = random.Random(1)
    files = []
    for number in range(40):
        (tmp_path / f"{number}.log").write_bytes(noise.randbytes(4 * MAX_LOG))
        files.append(tmp_path / f"{number}.log")
    assert len(json.dumps(pack(files))) < 1.5 * MAX_OUTPUT


def test_two_machines_follow_each_other(tmp_path: Path) -> None:
    entries = [pack([write(tmp_path, "build.log", text)]) for text in ("one\n", "other\n")]
    assert unpack(entries) == {"build.log": "one\nother\n"}
