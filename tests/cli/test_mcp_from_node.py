"""``abreast mcp`` and a client that is not of the SDK that serves it: the TypeScript SDK."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from abreast.cli.mcp.tools import command_tools
from limits import scaled
from mcp_clients import server_command
from npm import install_packages
from sample_project import SampleProject

PROGRAM = Path(__file__).parents[1] / "mcp_client.mjs"
SDK = "1.32.2"


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the client's programs."""
    return install_packages("mcp-client", f"@modelcontextprotocol/sdk@{SDK}")


def run(command: list[str], folder: Path) -> Any:  # noqa: ANN401 (JSON)
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=scaled(60), stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_typescript_sdk(project: SampleProject, programs: Path) -> None:
    calls = [
        {"name": "plan", "arguments": {"env": "local"}},
        {"name": "propose_deploy", "arguments": {"reason": "from node"}},
        {"name": "plan", "arguments": {"env": "moon"}},
        {"name": "deploy", "arguments": {}},
    ]
    told = run(["node", str(PROGRAM), str(programs.parent), json.dumps(calls), *server_command()], project.folder)
    assert told["server"]["name"] == "abreast"
    assert {tool["name"] for tool in told["tools"]} == set(command_tools())
    plan, proposal, wrong, unknown = told["answers"]
    assert plan["structuredContent"]["environment"] == "local"
    assert proposal["structuredContent"]["proposal"]["by"].startswith("node-agent 3.4, an agent, for ")
    assert wrong["isError"]
    assert "there is no environment 'moon'" in wrong["content"][0]["text"]
    assert unknown["code"] == -32602
