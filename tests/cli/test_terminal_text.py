"""What services, builds and authors write cannot steer the terminal."""

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.cli.terminal_text import visible
from sample_project import SampleProject, eventually

TITLE, CLIPBOARD, CLEAR = "\x1b]0;owned\x07", "\x1b]52;c;cm0gLXJm\x07", "\x1b[2J\x1b[H"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain äöü 漢字 🎉\tand more\n", "plain äöü 漢字 🎉\tand more\n"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;38;5;208mbold", "\x1b[1;38;5;208mbold\x1b[0m"),
        ("\x1b[8mhidden\x1b[0m", "␛[8mhidden\x1b[0m"),
        (TITLE, "␛]0;owned␇"),
        (CLEAR, "␛[2J␛[H"),
        ("100 %\rdone", "100 %␍done"),
        ("windows\r\n", "windows\n"),
        ("\x9b2J", "<U+009B>2J"),
        ("\u202egpj.exe", "<U+202E>gpj.exe"),
        ("a\x7fb\x08", "a␡b␈"),
    ],
)
def test_control_characters_are_seen(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text(st.sampled_from("\x1b[]0;8m\x07\x9b\r\nab2JH\x00")))
def test_nothing_but_colors_is_left(text: str) -> None:
    left = re.sub(r"\x1b\[[0-9;:]*m|[\n\t]", "", visible(text))
    assert left.isprintable()


@pytest.mark.exhaustive
def test_no_command_passes_it_on(project: SampleProject) -> None:
    harm = TITLE + CLIPBOARD + CLEAR
    (project.folder / "harm").write_text(harm)
    backend = project.config["services"]["backend"]
    backend["run"] = f"cat harm; exec {sys.executable} -S app.py"
    backend["build"] = "cat harm"
    project.git("config", "user.name", f"Eve{TITLE}")
    project.commit()
    texts = [project.deploy().stdout]
    eventually(lambda: "owned" in project.run("logs").stdout)
    backend["build"] = "cat harm; exit 1"
    project.commit()
    project.run("lock", "--reason", harm)
    texts += [project.run("status").stdout, project.run("doctor").stdout, project.deploy(code=3).stderr]
    project.run("unlock")
    failed = project.deploy(code=1)
    texts += [failed.stdout, failed.stderr]
    texts += [project.run(*command).stdout for command in (["logs"], ["history"], ["show"], ["status"], ["plan"])]
    texts.append(project.run("logs", project.latest_deployment()["id"]).stdout)
    assert "owned" in "".join(texts)
    assert not [text for text in texts if re.search(r"\x1b(?!\[[0-9;]*m)|\x07", text)]
    assert json.loads(project.run("history", "--json").stdout)
