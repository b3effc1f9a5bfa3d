"""Configures a Space, waits until it runs a commit, observes it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.machine.tasks import run_all
from abreast.platforms.huggingface.client import (
    ASLEEP,
    FAILED,
    HUGGING_FACE,
    IN_PROGRESS,
    NO_APPLICATION,
    SDKS,
    WRITE_SCOPE,
    Commit,
    Hardware,
    HubClient,
    Runtime,
    Space,
    Token,
)
from abreast.platforms.huggingface.hardware import wanted_hardware
from abreast.platforms.huggingface.space_variables import SpaceVariables, restored_variables
from abreast.platforms.interface import Observation, Reporter
from abreast.provider_api.api_client import NotFoundError
from abreast.provider_api.polling import PollBudget

OBSERVATION_TTL = 10.0
"""Seconds for which an observation is reused."""

MAX_STALE_POLLS = 10
"""Polls during which a Space may still report its previous version."""

LOG_TAIL_LINES = 20
LOG_IDLE_TIMEOUT, RECENT_LOG_IDLE_TIMEOUT, BUILD_LOG_IDLE_TIMEOUT = 5.0, 1.0, 900.0
"""Seconds without a line after which a log has ended: a finished one, what there is of one, that of a running build."""


class SpaceController:
    """Controls what runs in Spaces."""

    def __init__(self, hub: HubClient, variables: SpaceVariables, poll_budget: PollBudget) -> None:
        self._hub = hub
        self._variables = variables
        self._poll_budget = poll_budget
        self._token: Token | None = None
        self._observations: dict[str, tuple[float, Commit, str]] = {}

    async def reachable_space(self, id: str) -> Space:
        """Return a Space. Raises PlatformError if abreast does not know its SDK."""
        space = await self._hub.get_space(id)
        if space.sdk not in SDKS:
            raise PlatformError(
                f"the Space {space.id} has the SDK {space.sdk}",
                need=f"`sdk:` in the header of its README.md to be one of {', '.join(SDKS)}",
                next=f"see https://huggingface.co/spaces/{space.id}/blob/main/README.md",
            )
        return space

    async def require_write_access(self, id: str) -> None:
        """Raise PlatformError if the token cannot change the Space."""
        self._token = self._token or await self._hub.get_token()
        if not self._token.can_write(id):
            raise PlatformError(
                f"the token cannot change the Space {id} (its role is {self._token.role})",
                need=f"{HUGGING_FACE.token_variable} with the role `write`, or with the scope `{WRITE_SCOPE}` for {id}",
                next="create one at https://huggingface.co/settings/tokens, then: "
                f"export {HUGGING_FACE.token_variable}=…",
            )

    async def diagnose(self, id: str) -> list[Diagnostic]:
        """Diagnose the runtime state of a Space."""
        runtime = await self._hub.get_runtime(id)
        failed = runtime.stage in FAILED - {NO_APPLICATION}
        severity = DiagnosticSeverity.WARNING if failed else DiagnosticSeverity.OK
        more = f": {runtime.error}" if runtime.error else ""
        return [Diagnostic(severity, "", f"the Space {id} is {runtime.stage}{more}")]

    async def commit_title(self, id: str, revision: str) -> str:
        """Return the title of a commit: its version id, if abreast made it."""
        return (await self._hub.list_commits(id, revision))[0].title

    async def configure(
        self, id: str, service: Service, env: Mapping[str, str], secrets: frozenset[str], report: Reporter,
        recorded: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Set what differs of the hardware, the variables and the secrets; each write restarts a running Space.

        An empty ``env`` is unknown: then only ``recorded`` variables are set, those of the version to go back to.
        """
        wanted = wanted_hardware(service)
        if wanted and wanted != ((await self._hub.get_runtime(id)).hardware or Hardware()).requested:
            await report(service.name, f"huggingface: requesting the hardware {wanted}")
            await self._hub.request_hardware(id, wanted)
        if not env and recorded is None:
            return
        have = await self._variables.read(id)
        variables = {name: value for name, value in env.items() if name not in secrets}
        if recorded is not None:
            variables = restored_variables(have, variables, recorded)
        values = {name: env[name] for name in secrets} if env else None
        for change in self._variables.changes(id, have, variables, values):
            await report(service.name, f"huggingface: {change}")
            await self._variables.apply(id, change)

    async def wait_until_running(self, service: Service, space: Space, report: Reporter) -> None:
        """Wait until the Space runs ``space.sha``, reporting its stages and its build log."""
        build = _BuildLog(self._hub, space.id)
        try:
            await self._poll_until_running(service, space, build, report)
        finally:
            build.close()
            self._observations.pop(space.id, None)

    async def observe(self, id: str, title: str) -> Observation:
        """Return whether the head of the main branch has this title, and runs."""
        now = asyncio.get_running_loop().time()
        at, head, stage = self._observations.get(id, (-OBSERVATION_TTL, Commit(id="", title=""), ""))
        if now - at >= OBSERVATION_TTL:
            try:
                commits, runtime = await asyncio.gather(self._hub.list_commits(id), self._hub.get_runtime(id))
            except NotFoundError:
                return Observation(present=False, exit_reason=f"there is no Space {id}")
            head, stage = commits[0], runtime.stage
            self._observations[id] = now, head, stage
        if title != head.title:
            return Observation(present=False, exit_reason=f"the Space is at {head.title!r} ({head.id[:7]}) instead")
        gone = stage in FAILED or stage in ASLEEP
        return Observation(present=not gone, exit_reason=f"huggingface: {stage}" if gone else "")

    async def _poll_until_running(self, service: Service, space: Space, build: "_BuildLog", report: Reporter) -> None:
        reported_stage, has_started = "", False
        with self._poll_budget.schedule(service.build.timeout) as pauses:
            for number, pause in enumerate(pauses):
                runtime = await self._hub.get_runtime(space.id)
                if lines := build.take_new_lines():
                    await report(service.name, "\n".join(lines))
                if runtime.stage != reported_stage:
                    reported_stage = runtime.stage
                    await report(service.name, f"huggingface: {reported_stage}")
                if runtime.stage in IN_PROGRESS:
                    has_started = True
                    build.start()
                if runtime.sha == space.sha or (runtime.sha is None and (has_started or number >= MAX_STALE_POLLS)):
                    if runtime.stage == "RUNNING":
                        return
                    if runtime.stage in FAILED:
                        raise await self._failure(space, runtime)
                if runtime.stage in ASLEEP and not has_started:
                    has_started = True
                    await self._hub.restart(space.id)
                await asyncio.sleep(pause)
        raise PlatformError(
            f"the Space {space.id} is still {reported_stage} after {service.build.timeout:g} s and does not run "
            f"{space.sha[:7]}",
            need="a version that it can build and start, or a longer build.timeout",
        )

    async def recent_logs(self, ids: Sequence[str], limit: int) -> list[tuple[str, str]]:
        """Return the last ``limit`` lines of the Spaces' applications, oldest first, each with its time."""
        lines = [line for found in await run_all(*(self._run_log(id_, limit) for id_ in ids)) for line in found]
        return sorted(lines, key=lambda line: line[0])[-limit:]

    async def _run_log(self, id: str, limit: int) -> deque[tuple[str, str]]:
        lines = deque[tuple[str, str]](maxlen=limit)
        async for line in self._hub.stream_log(id, "run", RECENT_LOG_IDLE_TIMEOUT):
            lines.append((line.timestamp, line.data))
        return lines

    async def _failure(self, space: Space, runtime: Runtime) -> PlatformError:
        kind = "run" if runtime.stage == "RUNTIME_ERROR" else "build"
        lines = deque[str](maxlen=LOG_TAIL_LINES)
        with contextlib.suppress(PlatformError):
            async for line in self._hub.stream_log(space.id, kind, LOG_IDLE_TIMEOUT):
                lines.append(line.data)
        log = "".join(f"\n    {line}" for line in lines)
        return PlatformError(
            f"the Space {space.id} failed to run {space.sha[:7]}: "
            f"{runtime.stage}: {runtime.error or 'no reason given'}{log}",
            need="a version that it can build and start",
            next=f"see {space.address}",
        )


class _BuildLog:
    """A Space's build log, read in the background during the build."""

    def __init__(self, hub: HubClient, id: str) -> None:
        self._hub, self._id = hub, id
        self._lines: list[str] = []
        self._read_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start reading. A second call changes nothing."""
        self._read_task = self._read_task or asyncio.create_task(self._read())

    def take_new_lines(self) -> list[str]:
        """Return the lines that came since the last call."""
        taken, self._lines = self._lines, []
        return taken

    def close(self) -> None:
        """Stop reading."""
        if self._read_task:
            self._read_task.cancel()

    async def _read(self) -> None:
        with contextlib.suppress(PlatformError):
            async for line in self._hub.stream_log(self._id, "build", BUILD_LOG_IDLE_TIMEOUT):
                self._lines.append(line.data)
