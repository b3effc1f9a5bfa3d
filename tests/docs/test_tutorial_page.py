"""The tutorial is followed from its first command to its last, in a real shell."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from page_examples import page_examples
from sample_project import free_ports, get_text

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
FILES = {"python": "app.py", "yaml": "abreast.yml"}


class Reader:
    """Somebody who follows the tutorial, on ports of their own, and with less patience."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "shop"
        self.front, self.back = free_ports(2)
        self._environment = {
            **os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{f"GIT_{who}_{what}": "reader" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }  # fmt: skip

    def type(self, commands: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run commands as they stand on the page, with the answer to what they ask."""
        commands = re.sub(r"abreast (deploy|rollback|down)\b", r"abreast \1 --yes", commands)
        commands = commands.replace(":8080", f":{self.front}").replace(":8081", f":{self.back}")
        return subprocess.run(
            ["bash", "-e", "-c", commands], cwd=folder or self.folder, env=self._environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def follow(self, section: str) -> str:
        """Type the commands of a section. Each succeeds."""
        done = self.type(section_commands(section))
        assert done.returncode == 0, done.stdout
        return done.stdout

    def save_files(self) -> None:
        """Save the files of the page."""
        for example in page_examples(PAGE):
            (self.folder / FILES[example.language]).write_text(example.text)
        config = yaml.safe_load((self.folder / "abreast.yml").read_text())
        for name, port in (("frontend", self.front), ("backend", self.back)):
            config["environments"]["local"][name] = {"local": {"port": port}}
        config["services"]["backend"]["health"] = {"start": "3s"}
        (self.folder / "abreast.yml").write_text(yaml.safe_dump(config))

    def change(self, old: str, new: str) -> None:
        """Change ``app.py``, and commit."""
        text = (self.folder / "app.py").read_text()
        assert old in text
        (self.folder / "app.py").write_text(text.replace(old, new))
        assert self.type('git commit -am "A change"').returncode == 0

    def greeting(self) -> str:
        return str(get_text(f"http://127.0.0.1:{self.back}/"))


def section_commands(section: str) -> str:
    """Return the commands of a section: its indented lines, without what commands print."""
    lines = re.findall(r"^    (.*)$", re.sub(r"```.*?```", "", section, flags=re.DOTALL), re.MULTILINE)
    return "\n".join(line for line in lines if re.match(r"(?:mkdir|git|abreast|curl) ", line))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.type("abreast down")


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_it_leads_from_an_empty_folder_to_a_rollback(reader: Reader, tmp_path: Path) -> None:
    create, first, change, broken, back, stop = SECTIONS
    assert reader.type(section_commands(create), tmp_path).returncode == 0
    reader.save_files()
    assert "<h1>Shop v1</h1>" in reader.follow(first)

    assert re.search(r'Change `"world"` in `app.py`, commit, and run `abreast deploy`', change)
    reader.change('"world"', '"again"')
    assert reader.type("abreast deploy").returncode == 0
    assert "again" in reader.greeting()

    assert "`self.send_response(500)`" in broken
    reader.change("self.send_response(200)", "self.send_response(500)")
    failed = reader.type("abreast deploy")
    assert failed.returncode == 1
    assert re.search(
        r"turned-back: backend: not healthy within 3 s: GET http://127.0.0.1:\d+/: status 500", failed.stdout
    )
    assert "again" in reader.greeting()

    reader.follow(back)
    assert "world" in reader.greeting()
    reader.follow(stop)
    with pytest.raises(OSError, match="refused"):
        reader.greeting()
