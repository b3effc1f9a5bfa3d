"""What runs in a Space: set up, followed until it does, looked at."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.platforms.cloud.api_client import NotFoundError
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.huggingface.client import (
    ASLEEP,
    FAILED,
    HUGGING_FACE,
    IN_PROGRESS,
    WRITE_SCOPE,
    Commit,
    Hardware,
    HubClient,
    Runtime,
    Space,
    Token,
)
from abreast.platforms.interface import Observation, Reporter

OBSERVATION_TTL = 10.0
"""Seconds for which a look at a Space serves others, too."""

MAX_STALE_POLLS = 10
"""Looks for which a Space may still speak of what it ran before."""

LOG_TAIL_LINES = 20
VARIABLES_IN_TREE = frozenset({"ABREAST_RELEASE", "ABREAST_COMMIT"})
"""What is told by a file of the tree: as variables, what still runs would be told that it is the next."""

LOG_IDLE_TIMEOUT, BUILD_LOG_IDLE_TIMEOUT = 5.0, 900.0
"""Seconds of silence after which a log is taken to have ended: one of the past, one that is being written."""


class SpaceController:
    """The Spaces that a token reaches, as what runs in them."""

    def __init__(self, hub: HubClient, poll_budget: PollBudget) -> None:
        self._hub = hub
        self._poll_budget = poll_budget
        self._token: Token | None = None
        self._observations: dict[str, tuple[float, Commit, str]] = {}

    async def reachable_space(self, id: str) -> Space:
        """Return a Space that users can reach; raises PlatformError for one that they cannot, or of another kind."""
        space = await self._hub.get_space(id)
        if space.sdk != "docker":
            raise PlatformError(f"the Space {space.id} is one for {space.sdk}", need="a Docker Space (sdk: docker)")
        if space.private:
            raise PlatformError(f"the Space {space.id} is private: nobody reaches it", need="a public Space")
        return space

    async def require_write_access(self, id: str) -> None:
        """Raise PlatformError for a token that may not change the Space."""
        self._token = self._token or await self._hub.get_token()
        if not self._token.can_write(id):
            raise PlatformError(
                f"the token may read the Space {id}, but not change it (its role is {self._token.role})",
                need=f"{HUGGING_FACE.token_variable} with the role `write`, or with the scope `{WRITE_SCOPE}` for {id}",
                next=f"create one at https://huggingface.co/settings/tokens; export {HUGGING_FACE.token_variable}=…",
            )

    async def diagnose(self, id: str) -> list[Diagnostic]:
        """Tell how a Space gets on, for a person."""
        runtime = await self._hub.get_runtime(id)
        level = DiagnosticSeverity.WARNING if runtime.stage in FAILED else DiagnosticSeverity.OK
        more = f": {runtime.error}" if runtime.error else ""
        return [Diagnostic(level, "", f"the Space {id} is {runtime.stage}{more}")]

    async def commit_title(self, id: str, revision: str) -> str:
        """Return the title of a commit: the id of the version that abreast made it for."""
        return (await self._hub.list_commits(id, revision))[0].title

    async def configure(self, id: str, service: Service, env: Mapping[str, str], secrets: frozenset[str]) -> None:
        """Set hardware and variables where they differ; a secret's value cannot be read, so it is set each time."""
        wanted = service.settings.get("hardware")
        if wanted and wanted != ((await self._hub.get_runtime(id)).hardware or Hardware()).requested:
            await self._hub.request_hardware(id, str(wanted))
        have = await self._hub.get_variables(id)
        for name, value in env.items():
            if name in VARIABLES_IN_TREE:
                continue
            if name in secrets or have.get(name) != value:
                await self._hub.set_variable(id, name, value, secret=name in secrets)

    async def wait_until_running(self, service: Service, space: Space, report: Reporter) -> None:
        """Wait until the Space runs its head; each stage is told, and the build's log as it comes."""
        build = _BuildLog(self._hub, space.id)
        try:
            await self._poll_until_running(service, space, build, report)
        finally:
            build.close()
            self._observations.pop(space.id, None)

    async def observe(self, id: str, title: str) -> Observation:
        """Tell whether the Space has the version of this title on its main branch, and runs."""
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
            return Observation(present=False, exit_reason=f"the Space has {head.title!r} ({head.id[:7]}) instead")
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
            need="a tree that it can build and start, or a longer build.timeout",
        )

    async def _failure(self, space: Space, runtime: Runtime) -> PlatformError:
        kind = "run" if runtime.stage == "RUNTIME_ERROR" else "build"
        lines = deque[str](maxlen=LOG_TAIL_LINES)
        with contextlib.suppress(PlatformError):
            async for line in self._hub.stream_log(space.id, kind, LOG_IDLE_TIMEOUT):
                lines.append(line)
        log = "".join(f"\n    {line}" for line in lines)
        return PlatformError(
            f"the Space {space.id} ended {space.sha[:7]} as {runtime.stage}: {runtime.error or 'no reason given'}{log}",
            need="a tree that it can build and start",
            next=f"see {space.address}",
        )


class _BuildLog:
    """A Space's build log, read beside while it is built."""

    def __init__(self, hub: HubClient, id: str) -> None:
        self._hub, self._id = hub, id
        self._lines: list[str] = []
        self._read_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read from now on; a second call changes nothing."""
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
                self._lines.append(line)
