"""``abreast mcp``, spoken to by the client of the SDK, and by one that says what no SDK would."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
from mcp import Client, MCPError

from abreast.cli.main import abreast as commands
from abreast.cli.mcp.answers import PAGE_SIZE, make_answer
from abreast.cli.mcp.command_process import CommandOutput
from abreast.cli.mcp.tools import OF_TERMINALS, CommandTool, command_tools
from abreast.cli.refusals import OPEN_TO_AGENTS
from abreast.core.errors import UsageError
from limits import scaled
from mcp_clients import NAME, VERSION, PlainClient, text_of, with_client
from sample_project import SampleProject, eventually

ERAS = ["legacy", "auto"]
"""How the client begins: by a handshake, or as it is done since 2026-07-28, where each request says who asks."""

HANGING = "echo $$ > {marker}; exec sleep 600"


def acts(project: SampleProject) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]


@pytest.fixture
def hanging(project: SampleProject) -> Iterator[Path]:
    """The file with the process id of a gate that hangs, once it runs."""
    marker = project.folder.parent / "hangs"
    project.config["services"]["backend"]["test"] = HANGING.format(marker=marker)
    project.commit()
    yield marker
    if marker.exists() and is_alive(marker):
        os.kill(int(marker.read_text()), signal.SIGKILL)


def is_alive(marker: Path) -> bool:
    try:
        os.kill(int(marker.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def test_the_tools_are_what_an_agent_may_give(project: SampleProject) -> None:
    async def look(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {name.replace("_", " ") for name in tools} == OPEN_TO_AGENTS - OF_TERMINALS
        for name, tool in tools.items():
            assert re.fullmatch("[a-z_]{1,64}", name)
            assert jsonschema_rs.meta.is_valid(tool.input_schema)
            assert tool.description
        changing = {name for name, tool in tools.items() if tool.annotations and not tool.annotations.read_only_hint}
        assert changing == {"gates", "propose_deploy", "propose_promote", "propose_rollback"}
        assert tools["propose_deploy"].input_schema["required"] == ["reason"]
        assert not {"skip_gate", "allow_older", "yes", "json"} & set(tools["propose_deploy"].input_schema["properties"])
        assert not {"fix", "watch", "follow", "comment"} & {
            option for tool in tools.values() for option in tool.input_schema["properties"]
        }

    with_client(project.folder, look)


@pytest.mark.parametrize("tool", command_tools().values(), ids=lambda tool: tool.name)
def test_each_argument_is_an_option_of_the_command(tool: CommandTool) -> None:
    """What the command line says of each argument is what click takes it for."""
    values = {"string": "-x", "integer": 3, "boolean": True, "array": ["-x", "--fix"]}
    properties = {name: schema for name, schema in tool.schema["properties"].items() if name != "page"}
    given = {name: schema.get("enum", [values[schema["type"]]])[0] for name, schema in properties.items()}
    command: click.Command = commands
    words = tool.command_line(given)
    for word in tool.path:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    parsed = command.make_context("x", words[len(tool.path) :], resilient_parsing=False)
    for name, parameter in tool.parameters.items():
        wanted = tuple(given[name]) if isinstance(given[name], list) else given[name]
        found = parsed.params[parameter.name or ""]
        assert wanted in (found, tuple(map(str, found)) if isinstance(found, tuple) else str(found)), name


@pytest.mark.parametrize("era", ERAS)
def test_an_agent_proposes_and_a_person_approves(project: SampleProject, era: str) -> None:
    commit = project.commit()

    async def propose(client: Client) -> None:
        plan = await client.call_tool("plan", {"env": "local"})
        assert plan.structured_content["services"]["backend"]["action"] == "deploy"
        made = await client.call_tool("propose_deploy", {"reason": "orders fail", "env": "local"})
        assert not made.is_error, text_of(made)
        proposal = made.structured_content["proposal"]
        listed = (await client.call_tool("proposals", {})).structured_content["items"]
        assert [each["hash"] for each in listed] == [proposal["hash"]]
        done = await asyncio.to_thread(project.run, "approve", proposal["hash"], "--yes")
        assert f"{NAME} {VERSION}, an agent, for " in done.stdout
        status = (await client.call_tool("status", {})).structured_content
        assert status["environments"]["local"]["services"]["backend"]["commit"] == commit

    with_client(project.folder, propose, mode=era)
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    who = {act["what"]: act["agent"] for act in acts(project)}
    assert (who["propose"], who["approve-proposal"], who["deploy"]) == (f"{NAME} {VERSION}", "", "")
    assert (project.folder.parent / "server-errors").read_text() == ""


def test_errors_are_those_of_the_command_line(project: SampleProject) -> None:
    async def fail(client: Client) -> None:
        cases: list[tuple[str, dict[str, Any], list[str]]] = [
            ("plan", {"env": "moon"}, ["plan", "--env", "moon"]),
            ("show", {"deployment": "--fix"}, ["show", "--", "--fix"]),
            ("db_status", {}, ["db", "status"]),
            ("propose_promote", {"to": "local", "reason": "x"}, ["propose", "promote", "--to", "local", "--reason", "x"]),
            ("logs", {"service": ["moon"]}, ["logs", "--service", "moon"]),
            ("docs", {"section": "moon"}, ["docs", "moon"]),
        ]  # fmt: skip
        for tool, arguments, typed in cases:
            told = await client.call_tool(tool, arguments)
            by_hand = await asyncio.to_thread(project.run, *typed, code=None)
            assert told.is_error, tool
            assert f"abreast: {text_of(told)}\n" == by_hand.stderr
            error = told.structured_content["error"]
            assert error["exit_code"] == by_hand.returncode
            assert error["what"] in by_hand.stderr
        with pytest.raises(MCPError, match="Unknown tool: deploy"):
            await client.call_tool("deploy", {"yes": True})

    with_client(project.folder, fail)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("plan", {"env": 7}, "env: a text of at most 10000 characters"),
        ("plan", {"env": "x" * 2_000_000}, "env: a text of at most"),
        ("plan", {"env": "a\0b"}, "env: a text"),
        ("plan", {"env": "\ud800"}, "env: a text"),
        ("plan", {"service": "backend"}, "service: a list of at most 100: a text"),
        ("plan", {"service": ["a"] * 101}, "service: a list of at most 100"),
        ("plan", {"force": "yes"}, "force: true or false"),
        ("history", {"limit": True}, "limit: a whole number from 1 on"),
        ("history", {"limit": -1}, "limit: a whole number from 1 on"),
        ("propose_deploy", {}, "propose_deploy needs the argument reason"),
        ("propose_deploy", {"reason": "x", "skip_gate": ["tests"]}, "has no argument 'skip_gate'"),
        ("doctor", {"github": True, "fix": True}, "has no argument 'fix'"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_wrong_arguments_start_nothing(tool: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        command_tools()[tool].command_line(arguments)


def test_what_no_client_should_say(project: SampleProject) -> None:
    with PlainClient(project.folder) as client:
        client.send_line("{not json")
        client.send_line('["no", "message"]')
        client.send_line('{"jsonrpc": "2.0", "id": 7}')
        wrong = client.call("plan", env=7, **{"x" * 5_000: 1})
        assert wrong["isError"]
        assert "has no argument" in wrong["content"][0]["text"]
        assert len(json.dumps(wrong)) < 2_000
        assert client.request("tools/call", {"name": "approve", "arguments": {}})["error"]["code"] == -32602
        assert client.request("tools/call", {"name": 7})["error"]["code"] == -32602
        assert client.request("no/such", {})["error"]["code"] == -32601
        assert client.call("history")["structuredContent"] == {"items": []}
        assert "Traceback" not in client.errors.read_text()


def test_calls_at_once_do_not_wait_for_each_other(project: SampleProject, hanging: Path) -> None:
    with PlainClient(project.folder) as client:
        slow = client.begin("tools/call", {"name": "gates", "arguments": {}})
        eventually(lambda: hanging.read_text().strip())
        quick = [client.begin("tools/call", {"name": "history", "arguments": {}}) for _ in range(2)]
        assert {client.answer()["id"] for _ in quick} == set(quick)
        client.send_line(
            json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": slow}})
        )
        eventually(lambda: not is_alive(hanging))
        assert client.call("history")["structuredContent"] == {"items": []}, "a cancelled call is not answered"


def test_a_command_that_hangs_is_ended(project: SampleProject, hanging: Path) -> None:
    limit = f"{scaled(15):.0f}s"
    with PlainClient(project.folder, "--time-limit", limit) as client:
        client.begin("tools/call", {"name": "gates", "arguments": {}})
        eventually(lambda: hanging.read_text().strip())
        ended = client.answer()["result"]
        assert ended["isError"]
        assert f"did not end within {limit.removesuffix('s')} s" in ended["content"][0]["text"]
        eventually(lambda: not is_alive(hanging))
        assert not client.call("status")["isError"]


@pytest.mark.parametrize("how", ["closes", "is interrupted", "is killed"])
def test_nothing_goes_on_without_the_server(project: SampleProject, hanging: Path, how: str) -> None:
    with PlainClient(project.folder) as client:
        client.begin("tools/call", {"name": "gates", "arguments": {}})
        eventually(lambda: hanging.read_text().strip())
        assert client.process.stdin
        if how == "closes":
            client.process.stdin.close()
        else:
            client.process.send_signal({"is interrupted": signal.SIGINT, "is killed": signal.SIGKILL}[how])
        client.process.wait(scaled(20))
        eventually(lambda: not is_alive(hanging))


def test_a_killed_command_is_an_error_and_no_more(project: SampleProject, hanging: Path) -> None:
    with PlainClient(project.folder) as client:
        client.begin("tools/call", {"name": "gates", "arguments": {}})
        eventually(lambda: hanging.read_text().strip())
        children = subprocess.run(["pgrep", "-P", str(client.process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(children.stdout), signal.SIGKILL)
        told = client.answer()["result"]
        assert told["isError"]
        assert "abreast gates was killed by signal 9" in told["content"][0]["text"]
        assert not client.call("status")["isError"]
        os.kill(int(hanging.read_text()), signal.SIGKILL)


SECRET, DECLARED = "gl0wing-Sentinel-8431-kiwi", "pl4in-Sentinel-7207-plum"
"""Values of a variable whose name says that it is a secret, and of one of which abreast.yml does."""


def test_no_secret_reaches_an_agent(project: SampleProject) -> None:
    """The project prints a secret wherever it can: in builds, tests, services, failures and the repository's settings."""
    variables = {"SHOP_TOKEN": SECRET, "SHOP_CODE": DECLARED}
    backend = project.config["services"]["backend"]
    words = "$SHOP_TOKEN $SHOP_CODE $SESSION_SECRET"
    scripts = {name: f'echo "{name} with {words}"' for name in ("building", "testing", "serving")}
    scripts["serving"] += f"; exec {sys.executable} -S app.py"
    backend |= {
        "env": {
            "SHOP_TOKEN": "${SHOP_TOKEN}",
            "SHOP_CODE": {"value": "${SHOP_CODE}", "secret": True},
            "SESSION_SECRET": {"generate": True},
        },
        "build": "sh building", "test": "sh testing", "run": "sh serving",
    }  # fmt: skip
    project.commit(**scripts)
    project.deploy(variables=variables)
    project.commit(building=f'echo "error: no building with {words}"; exit 1')
    project.deploy(variables=variables, code=1)
    project.commit(building=scripts["building"], testing=f'echo "error: no testing with {words}"; exit 1')
    project.deploy(variables=variables, code=3)
    deployment = project.latest_deployment()["id"]
    with PlainClient(project.folder, variables=variables) as client:
        for name, tool in command_tools().items():
            needed = {name: "local" if name == "to" else SECRET for name in tool.schema["required"]}
            client.call(name, **needed)
        client.call("logs", deployment=deployment)
        client.call("show", deployment=SECRET)
        client.call("plan", env=SECRET)
        client.call("docs", section=SECRET)
        wire, errors = "".join(client.received), client.errors.read_text()
    assert "serving with" in wire, "the output of the service is there"
    assert "no testing with" in wire, "and that of the gate that failed"
    assert deployment in wire, "what is no secret stays"
    generated = [path.read_bytes().hex() for path in (project.folder / ".abreast" / "generated" / "local").iterdir()]
    assert generated
    for secret in (SECRET, DECLARED, *generated):
        assert secret not in wire
        assert secret not in errors
    recorded = [path for path in (project.folder / ".abreast").rglob("*") if path.is_file()]
    assert [path for path in recorded if SECRET.encode() in path.read_bytes()] == []


def output(text: str, code: int | None = 0, *errors: str) -> CommandOutput:
    return CommandOutput(code, text, errors)


def test_a_long_answer_comes_in_pages() -> None:
    logs, plan, history = (command_tools()[name] for name in ("logs", "plan", "history"))
    text = "\n".join(f"line {number}" for number in range(20_000))
    newest = make_answer(logs, output(text), None, 60).texts[0]
    assert "line 19999\n" in newest
    assert re.search(r"page (\d+) of \1 of 20000 lines", newest)
    first = make_answer(plan, output(text), None, 60).texts[0]
    assert first.startswith("line 0\nline 1\n")
    assert "page 1 of " in first
    pages = [make_answer(plan, output(text), page, 60).texts[0] for page in range(1, 7)]
    assert all(len(page) < PAGE_SIZE + 200 for page in pages)
    kept = [line for page in pages for line in page.splitlines() if line.startswith("line ")]
    assert kept == text.splitlines()
    one_line = make_answer(plan, output("x" * 100_000), 3, 60).texts[0]
    assert one_line.startswith("x" * 20_000 + "\n")
    document = json.dumps([{"id": number} for number in range(10_000)], indent=2)
    whole = make_answer(history, output(document), None, 60)
    assert whole.document is None, "an agent is not given half of a document for a whole one"
    assert "page 1 of " in whole.texts[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            output("", 1, "Traceback (most recent call last):", "ImportError: no"),
            "ended with exit code 1 and no answer",
        ),
        (output("", -11), "was killed by signal 11"),
        (output("", None), "did not end within 60 s"),
        (output("{", 1), "exit code 1"),
    ],
    ids=["traceback", "killed", "hanging", "no document"],
)
def test_how_a_command_fails_is_told_in_words(given: CommandOutput, told: str) -> None:
    answer = make_answer(command_tools()["plan"], given, None, 60)
    assert told in "\n".join(answer.texts)
    assert "Traceback" not in "\n".join(answer.texts)


def test_a_plain_abreast_does_not_import_it(project: SampleProject) -> None:
    look = (
        "import sys; import abreast.cli.run; from abreast.__main__ import main; sys.argv = ['abreast', 'help', 'mcp']"
    )
    look += "; main(); sys.exit(any(name.split('.')[0] in {'mcp', 'mcp_types', 'anyio'} for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], cwd=project.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "abreast[mcp]" in done.stdout
    without = "import sys, importlib.util as u; u.find_spec = lambda name: None; sys.argv = ['abreast', 'mcp']"
    without += "; from abreast.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", without], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'abreast[mcp]'" in done.stderr


def test_it_serves_another_folder(project: SampleProject, tmp_path: Path) -> None:
    with PlainClient(tmp_path, "--folder", str(project.folder)) as client:
        began = time.monotonic()
        assert "local" in client.call("plan")["structuredContent"]["environment"]
        assert time.monotonic() - began < scaled(60)
    done = subprocess.run(
        [sys.executable, "-m", "abreast", "mcp", "--folder", "/no/such"], capture_output=True, text=True, check=False
    )
    assert "there is no folder /no/such" in done.stderr
