"""The page on Hugging Face Spaces: a reader who follows it gets what it says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from page_examples import Example, page_examples
from sample_project import free_ports, get_text
from typed_command import type_command

PAGE = Path(__file__).parents[2] / "docs" / "huggingface.md"
EXAMPLES = list(page_examples(PAGE))
EMULATOR = "python -m abreast.testing.platforms"
BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    identity = {f"GIT_{role}_{what}": "t@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/"), **identity, **more}


@contextmanager
def emulator(example: Example) -> Iterator[Mapping[str, str]]:
    """Start the emulator as the page says, on other ports; return what it says to export."""
    command = next(command for command in example.commands if command.startswith(EMULATOR))
    ports = dict(zip(re.findall(r"\b90\d\d\b", command), map(str, free_ports(2)), strict=True))

    def moved(text: str) -> str:
        return re.sub(r"\b90\d\d\b", lambda port: ports[port[0]], text)

    argv = [str(BIN / "python"), *moved(command).split()[1:]]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={**environment(), "PYTHONUNBUFFERED": "1"}
    ) as run:
        assert run.stdout
        try:
            printed = [run.stdout.readline().rstrip() for _ in example.output]
            assert printed == [moved(line) for line in example.output]
            words = " ".join(line.removeprefix("export ") for line in printed if line.startswith("export ")).split()
            yield dict(word.split("=", 1) for word in words)
        finally:
            run.terminate()


def greeting(url: str) -> str:
    return str(json.loads(get_text(url))["greeting"])


@pytest.mark.executes("docs/huggingface.md", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
@pytest.mark.exhaustive
@pytest.mark.timeout(400)
def test_a_reader_who_follows_the_page_gets_what_it_says(tmp_path: Path) -> None:
    starting = next(example for example in EXAMPLES if any(EMULATOR in command for command in example.commands))
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=tmp_path, check=True)
    with emulator(starting) as exported:
        hub, netlify = exported["HF_ENDPOINT"], exported["NETLIFY_API_URL"]
        served = {
            "staging": lambda: greeting(f"{hub}/h/owner/api/health"),
            "production": lambda: greeting(f"{netlify}/s/shop/api/hello"),
            "preview": lambda: get_text(f"{hub}/h/owner/site/").splitlines()[-1],
        }
        seen = []
        for example in (example for example in EXAMPLES if example is not starting):
            if example.file:
                (tmp_path / example.file).parent.mkdir(exist_ok=True)
                (tmp_path / example.file).write_text(example.text)
            for command in example.commands:
                if not (tmp_path / ".abreast").exists():
                    _run(tmp_path, "git add -A && git diff --cached --quiet || git commit -qm Start", exported)
                if command.startswith("export "):  # the emulator has said what
                    continue
                told = _run(tmp_path, command, exported)
                if moved := re.match(r"abreast (?:deploy|rollback) --env (\w+)", command):
                    seen.append((moved[1], served[moved[1]]()))
                elif command.startswith("abreast plan"):
                    assert "its whole checkout (3 files) becomes public in the Space owner/api" in told
                elif command.startswith("abreast doctor"):
                    assert "no problems found" in told
    assert seen == [
        *(("staging", word) for word in ("Hello", "Welcome", "Hello")),
        *(("production", word) for word in ("Welcome", "Bonjour", "Welcome")),
        ("preview", "<h1>Shop</h1>"),
    ]


def _run(folder: Path, command: str, exported: Mapping[str, str]) -> str:
    code, told = type_command(folder, command, environment(**exported))
    assert code == 0, f"{command}\n{told}"
    return told
