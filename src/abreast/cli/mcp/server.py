"""The server on standard input and output. Standard output gets nothing but the protocol."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from abreast import __version__
from abreast.cli.mcp.answers import Answer, error_answer, make_answer
from abreast.cli.mcp.command_process import run_command
from abreast.cli.mcp.tools import ASK_OUTSIDE, CommandTool, command_tools
from abreast.core.errors import AbreastError
from abreast.core.frozen_dataclass import dataclass
from abreast.wiring.identity import AGENT_VARIABLE

MAX_AT_ONCE = 4
"""How many commands run at once. Others wait."""

MAX_AGENT_NAME = 100

INSTRUCTIONS = """\
abreast deploys the services of this project together, as one release. You read, plan and propose; a person decides.

To have something deployed, promoted or rolled back, call propose_deploy, propose_promote or propose_rollback, and tell
the person the hash: they type `abreast approve HASH` in a terminal. A proposal ends when the plan changes, and after a
day. You cannot approve, skip gates, override a freeze or read secrets. After a failure, show and logs say why."""


@dataclass(frozen=True, slots=True)
class CommandServer:
    """Serves the commands of the project in ``folder``, each with ``time_limit`` seconds to end."""

    folder: Path
    time_limit: float
    tools: Mapping[str, CommandTool]
    limiter: anyio.CapacityLimiter

    async def list_tools(
        self, _context: ServerRequestContext[Any, Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Return all tools."""
        return ListToolsResult(tools=list(map(_described, self.tools.values())))

    async def call_tool(self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        """Run a command. Raises MCPError for a tool that is not there."""
        if not (tool := self.tools.get(params.name)):
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:MAX_AGENT_NAME]}")
        answer = await self._answer(tool, params.arguments or {}, _agent(context))
        return CallToolResult(
            content=[TextContent(type="text", text=text) for text in answer.texts],
            structured_content=answer.document,
            is_error=answer.is_error,
        )

    async def _answer(self, tool: CommandTool, arguments: Mapping[str, Any], agent: str) -> Answer:
        try:
            command_line = tool.command_line(arguments)
            async with self.limiter:
                variables = {**os.environ, AGENT_VARIABLE: agent}
                output = await run_command(command_line, self.folder, variables, self.time_limit)
        except AbreastError as error:
            return error_answer(error.what, error.need, error.next, error.exit_code)
        except OSError as error:
            return error_answer(f"abreast {tool.command} cannot be started: {error.strerror}", exit_code=1)
        return make_answer(tool, output, arguments.get("page"), self.time_limit)


def serve(folder: Path, time_limit: float) -> None:
    """Serve until the client closes standard input. Commands that still run end with this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # or else it would wait for the thread that reads standard input
    logging.getLogger("mcp").addHandler(logging.NullHandler())  # or else its tracebacks go to standard error
    logging.getLogger("mcp").propagate = False
    asyncio.run(_serve(folder, time_limit))


async def _serve(folder: Path, time_limit: float) -> None:
    commands = CommandServer(folder, time_limit, command_tools(), anyio.CapacityLimiter(MAX_AT_ONCE))
    server: Server[dict[str, Any]] = Server(
        "abreast", version=__version__, title="abreast", instructions=INSTRUCTIONS,
        on_list_tools=commands.list_tools, on_call_tool=commands.call_tool,
    )  # fmt: skip
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def _described(tool: CommandTool) -> Tool:
    return Tool(
        name=tool.name,
        title=f"abreast {tool.command}",
        description=tool.help,
        input_schema=tool.schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.is_read_only,
            destructive_hint=None if tool.runs_commands else False,
            idempotent_hint=None if tool.runs_commands else True,
            open_world_hint=tool.command in ASK_OUTSIDE,
        ),
    )


def _agent(context: ServerRequestContext[Any, Any]) -> str:
    """Return the name and version of the client, as it says: nobody checks them. Never empty."""
    client = context.session.client_params
    said = f"{client.client_info.name} {client.client_info.version}" if client else ""
    shown = "".join(letter for letter in said if letter.isprintable())
    return " ".join(shown.split())[:MAX_AGENT_NAME] or os.environ.get(AGENT_VARIABLE) or "an unnamed client"
