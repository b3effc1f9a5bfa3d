"""The page about workers is followed: its files, its commands, and what they print."""

import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from abreast.wiring.plugins import PLATFORMS
from page_examples import Example, page_examples
from sample_project import APP_SOURCE, SampleProject, eventually, free_ports

PAGE = Path(__file__).parents[2] / "docs" / "workers.md"
EXAMPLES = list(page_examples(PAGE))
FILES = {"web.py": APP_SOURCE, "check.py": "", "report.py": "print('sold 7')\n"}


@pytest.fixture
def reader(project: SampleProject) -> SampleProject:
    """Write what the page shows into a repository, with a port of this machine."""
    shown = {example.file: example.text for example in EXAMPLES if example.file}
    project.config = yaml.safe_load(shown.pop("abreast.yml"))
    project.config["environments"]["local"]["web"] = {"local": {"port": free_ports(1)[0]}}
    project.config["services"] = _with_this_python(project.config["services"])
    for name, text in {**FILES, **shown}.items():
        (project.folder / name).write_text(text)
    project.commit()
    return project


def _with_this_python(value: Any) -> Any:  # noqa: ANN401 (YAML has no better type)
    if isinstance(value, dict):
        return {key: _with_this_python(inner) for key, inner in value.items()}
    return value.replace("python", sys.executable) if isinstance(value, str) else value


def console() -> Example:
    (found,) = [example for example in EXAMPLES if example.language == "console"]
    return found


@pytest.mark.executes("docs/workers.md", 1, 2, 3, 4)
@pytest.mark.exhaustive
def test_its_commands_print_what_it_says(reader: SampleProject) -> None:
    printed = ""
    for command in console().commands:
        printed += reader.run(*command.split()[1:]).stdout.replace(sys.executable, "python")
    for line in console().output:
        assert re.sub(r"\s+", " ", line.strip()) in re.sub(r"\s+", " ", printed)
    logs = reader.folder / ".abreast" / "logs"
    (release_log,) = logs.rglob("web.release.log")
    assert "preparing v1" in release_log.read_text()
    eventually(lambda: "| looking for jobs" in reader.run("logs").stdout)


@pytest.mark.executes("docs/workers.md", 5, 6)
@pytest.mark.exhaustive
def test_a_time_limit_and_a_time_zone(reader: SampleProject, examples: list[Example]) -> None:
    for example in examples:
        for name, settings in yaml.safe_load(example.text)["services"].items():
            reader.config["services"][name] |= _with_this_python(settings)
    assert reader.config["services"]["web"]["release"]["timeout"] == "5m"
    reader.commit()
    reader.deploy()
    (release_log,) = (reader.folder / ".abreast" / "logs").rglob("web.release.log")
    assert "preparing v1" in release_log.read_text()
    schedule = reader.status()["services"]["report"]["schedule"]
    assert schedule["timezone"] == "Europe/Berlin"
    following = datetime.fromisoformat(schedule["next"])
    assert following.astimezone(ZoneInfo("Europe/Berlin")).hour == 3


def test_it_names_every_platform() -> None:
    for name in PLATFORMS:
        assert f"`{name}`" in PAGE.read_text(), name


@pytest.mark.exhaustive
def test_the_process_of_a_schedule_is_as_small_as_it_says(reader: SampleProject) -> None:
    claimed = int(re.search(r"about (\d+) MB", PAGE.read_text())[1])  # type: ignore[index]
    reader.deploy()
    sizes = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode()
            if "scheduled_command" in line and str(reader.folder) in line:
                sizes.append(int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        except OSError:
            continue
    assert len(sizes) == 1
    assert sizes[0] < 1.5 * claimed
