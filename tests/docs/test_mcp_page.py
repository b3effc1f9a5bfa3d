"""docs/mcp.md is followed: the server is started as a client would, and a person approves what was proposed."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import Implementation

from abreast.cli.mcp.tools import command_tools
from answered_command import run_answering
from page_examples import Example
from sample_project import SampleProject

ROOT = Path(__file__).parents[2]


def masked(line: str) -> str:
    """Return a line without what is another one each time: hashes, commits, people, times."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    return re.sub(r", for \S+,", ", for PERSON,", re.sub(r"\b([0-9a-f]{12}|[0-9a-f]{7})\b", "HASH", line))


@pytest.mark.executes("docs/mcp.md", 1, 2, 3)
def test_a_client_starts_it_and_a_person_approves(project: SampleProject, examples: list[Example]) -> None:
    commands, settings, approves = examples
    install, serve = commands.commands
    assert install == "pip install 'abreast[mcp]'"
    (server,) = json.loads(settings.text)["mcpServers"].values()
    assert [server["command"], *server["args"]] == serve.split()
    program = shutil.which("abreast", path=str(Path(sys.executable).parent))
    assert program
    arguments = [argument.replace("/srv/shop", str(project.folder)) for argument in server["args"]]
    project.config["environments"] = {"staging": project.config["environments"]["local"]}
    project.commit()

    async def propose() -> str:
        started = StdioServerParameters(command=program, args=arguments, env={**os.environ})
        async with Client(started, client_info=Implementation(name="some-agent", version="1.2")) as client:
            made = await client.call_tool("propose_deploy", {"reason": "fixes the cart"})
            return str(made.structured_content["proposal"]["hash"])

    proposed = asyncio.run(propose())
    ((command, shown),) = approves.steps
    assert re.fullmatch("abreast approve [0-9a-f]{12}", command)
    printed = run_answering(project.folder, "approve", proposed, answer="y").splitlines()
    told = [masked(line) for line in printed]
    for line in shown:
        assert line == "..." or masked(line) in told, line
    project.run("down", "--env", "staging", "--yes")


def test_it_lists_each_tool() -> None:
    page = (ROOT / "docs" / "mcp.md").read_text()
    section = page.split("## The tools")[1].split("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    assert listed == set(command_tools())
    assert "pages of 40,000 characters" in section
