"""Compiled automata are read again, and whatever is not one is compiled anew."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hyperscan
import pytest

from abreast.core.redaction import automaton
from abreast.machine.automaton_folder import MAX_KEPT, AutomatonFolder

EXPRESSIONS = {3: "tok[0-9]{4}", 8: "key=[a-z]"}
TEXT = b"a tok1234 and key=x"
FOUND = [(3, 2, 9), (8, 14, 19)]


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "_stores", [])


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each compilation from now on."""
    seen: list[object] = []

    class Counting(hyperscan.Database):
        def compile(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 (as hyperscan's)
            seen.append(named["expressions"])
            super().compile(*given, **named)

    monkeypatch.setattr(hyperscan, "Database", Counting)
    return seen


def find(folder: Path) -> list[automaton.Sighting]:
    automaton.keep_automata(AutomatonFolder(folder))
    return sorted(automaton.expression_search(EXPRESSIONS)(TEXT, 10) or [])


def test_an_automaton_is_compiled_once(tmp_path: Path, compilations: list[object]) -> None:
    assert find(tmp_path / "automata") == FOUND
    assert find(tmp_path / "automata") == FOUND
    assert len(compilations) == 1
    (file,) = (tmp_path / "automata").iterdir()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_expressions_are_another_automaton(tmp_path: Path, compilations: list[object]) -> None:
    assert find(tmp_path) == FOUND
    assert automaton.expression_search({3: "tok[0-9]{3}"})(TEXT, 10) == [(3, 2, 8)]
    assert len(compilations) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign", "garbage", "link", "writable"])
def test_a_file_that_is_no_automaton_of_ours_is_compiled_anew(
    tmp_path: Path, compilations: list[object], damage: str
) -> None:
    assert find(tmp_path) == FOUND
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(content[:-9])
        case "flipped":
            file.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
        case "foreign":  # of another processor: its digest is right, and hyperscan refuses it
            dump = content[64:80] + bytes(8) + content[88:]
            file.write_bytes(automaton._digest(dump).encode() + dump)
        case "garbage":
            file.write_bytes(automaton._digest(b"garbage").encode() + b"garbage")
        case "link":
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
        case "writable":
            file.chmod(0o666)
    assert find(tmp_path) == FOUND
    assert len(compilations) == 2
    assert find(tmp_path) == FOUND
    assert len(compilations) == 2, "the new one is kept"


def test_without_a_place_for_it_an_automaton_is_compiled_each_time(tmp_path: Path, compilations: list[object]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert find(tmp_path / "file" / "automata") == FOUND
    assert find(tmp_path / "file" / "automata") == FOUND
    assert len(compilations) == 2


def test_known_secrets_are_never_stored(tmp_path: Path) -> None:
    automaton.keep_automata(AutomatonFolder(tmp_path))
    assert automaton.LiteralSearch([(b"hunter2-correct-horse", 4)]).first_ends(b"a HUNTER2-correct-horse") == {4: 23}
    assert not list(tmp_path.iterdir())


def test_old_automata_are_removed(tmp_path: Path) -> None:
    store = AutomatonFolder(tmp_path)
    for number in range(MAX_KEPT + 5):
        store.save(f"{number:032}", b"x")
        for file in tmp_path.glob(f"{number:032}*"):
            os.utime(file, (number, number))
    assert len(list(tmp_path.iterdir())) == MAX_KEPT
    assert store.load(f"{MAX_KEPT + 4:032}") == b"x"


def test_a_second_process_reads_what_the_first_one_compiled(tmp_path: Path) -> None:
    program = (
        "import hyperscan\n"
        "from abreast.core.redaction.automaton import keep_automata\n"
        "from abreast.core.redaction.redactor import Redactor\n"
        "from abreast.machine.automaton_folder import AutomatonFolder\n"
        "keep_automata(AutomatonFolder())\n"
        "compiled = []\n"
        "class Counting(hyperscan.Database):\n"
        "    def compile(self, *given, **named):\n"
        "        compiled.append(1)\n"
        "        super().compile(*given, **named)\n"
        "hyperscan.Database = Counting\n"
        "shown = Redactor().feed(b'nothing of interest\\n' * 5000 + b'got ghp_" + "a1" * 18 + " back\\n')\n"
        "print(len(compiled), shown.count(b'ghp_'))\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True, text=True
        ).stdout

    assert run() == "2 0\n"
    assert run() == "0 0\n"
