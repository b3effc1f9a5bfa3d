"""What runs in a Space: set up, followed until it does, looked at."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import NotThereError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.huggingface.client import (
    ASLEEP,
    FAILED,
    HUGGING_FACE,
    UNDER_WAY,
    WRITE,
    Commit,
    Hardware,
    Hub,
    Runtime,
    Space,
    Token,
)
from abreast.platforms.interface import Observation, Tell

FRESH = 10.0
"""Seconds for which a look at a Space serves others, too."""

LAG = 10
"""Looks for which a Space may still speak of what it ran before."""

TAIL = 20
OF_THE_TREE = frozenset({"ABREAST_RELEASE", "ABREAST_COMMIT"})
"""What is told by a file of the tree: as variables, what still runs would be told that it is the next."""

LOG_PATIENCE, BUILD_PATIENCE = 5.0, 900.0
"""Seconds of silence after which a log is taken to have ended: one of the past, one that is being written."""


class Running:
    """The Spaces that a token reaches, as what runs in them."""

    def __init__(self, hub: Hub, pace: Pace) -> None:
        self._hub = hub
        self._pace = pace
        self._token: Token | None = None
        self._looks: dict[str, tuple[float, Commit, str]] = {}

    async def space(self, id: str) -> Space:
        """Return a Space that users can reach; raises PlatformError for one that they cannot, or of another kind."""
        space = await self._hub.space(id)
        if space.sdk != "docker":
            raise PlatformError(f"the Space {space.id} is one for {space.sdk}", need="a Docker Space (sdk: docker)")
        if space.private:
            raise PlatformError(f"the Space {space.id} is private: nobody reaches it", need="a public Space")
        return space

    async def refuse_reader(self, id: str) -> None:
        """Raise PlatformError for a token that may not change the Space."""
        self._token = self._token or await self._hub.token()
        if not self._token.may_write(id):
            raise PlatformError(
                f"the token may read the Space {id}, but not change it (its role is {self._token.role})",
                need=f"{HUGGING_FACE.variable} with the role `write`, or with the scope `{WRITE}` for {id}",
                next=f"make one at https://huggingface.co/settings/tokens, then: export {HUGGING_FACE.variable}=…",
            )

    async def diagnose(self, id: str) -> list[Remark]:
        """Tell how a Space gets on, for a person."""
        runtime = await self._hub.runtime(id)
        level = Level.WARNING if runtime.stage in FAILED else Level.OK
        more = f": {runtime.error}" if runtime.error else ""
        return [Remark(level, "", f"the Space {id} is {runtime.stage}{more}")]

    async def title(self, id: str, revision: str) -> str:
        """Return the title of a commit: the id of the version that abreast made it for."""
        return (await self._hub.commits(id, revision))[0].title

    async def set(self, id: str, service: Service, env: Mapping[str, str], secrets: frozenset[str]) -> None:
        """Set hardware and variables where they differ; a secret's value cannot be read, so it is set each time."""
        wanted = service.settings.get("hardware")
        if wanted and wanted != ((await self._hub.runtime(id)).hardware or Hardware()).requested:
            await self._hub.hardware(id, str(wanted))
        have = await self._hub.variables(id)
        for name, value in env.items():
            if name in OF_THE_TREE:
                continue
            if name in secrets or have.get(name) != value:
                await self._hub.set_variable(id, name, value, secret=name in secrets)

    async def follow(self, service: Service, space: Space, tell: Tell) -> None:
        """Wait until the Space runs its head; each stage is told, and the build's log as it comes."""
        build = _BuildLog(self._hub, space.id)
        try:
            await self._until_running(service, space, build, tell)
        finally:
            build.close()
            self._looks.pop(space.id, None)

    async def seen(self, id: str, title: str) -> Observation:
        """Tell whether the Space has the version of this title on its main branch, and runs."""
        now = asyncio.get_running_loop().time()
        at, head, stage = self._looks.get(id, (-FRESH, Commit(id="", title=""), ""))
        if now - at >= FRESH:
            try:
                commits, runtime = await asyncio.gather(self._hub.commits(id), self._hub.runtime(id))
            except NotThereError:
                return Observation(present=False, exit_reason=f"there is no Space {id}")
            head, stage = commits[0], runtime.stage
            self._looks[id] = now, head, stage
        if title != head.title:
            return Observation(present=False, exit_reason=f"the Space has {head.title!r} ({head.id[:7]}) instead")
        gone = stage in FAILED or stage in ASLEEP
        return Observation(present=not gone, exit_reason=f"huggingface: {stage}" if gone else "")

    async def _until_running(self, service: Service, space: Space, build: "_BuildLog", tell: Tell) -> None:
        told, moved = "", False
        with self._pace.waiting(service.build.timeout) as pauses:
            for number, pause in enumerate(pauses):
                runtime = await self._hub.runtime(space.id)
                if lines := build.take():
                    await tell(service.name, "\n".join(lines))
                if runtime.stage != told:
                    told = runtime.stage
                    await tell(service.name, f"huggingface: {told}")
                if runtime.stage in UNDER_WAY:
                    moved = True
                    build.begin()
                if runtime.sha == space.sha or (runtime.sha is None and (moved or number >= LAG)):
                    if runtime.stage == "RUNNING":
                        return
                    if runtime.stage in FAILED:
                        raise await self._failure(space, runtime)
                if runtime.stage in ASLEEP and not moved:
                    moved = True
                    await self._hub.restart(space.id)
                await asyncio.sleep(pause)
        raise PlatformError(
            f"the Space {space.id} stays {told} and does not run {space.sha[:7]} after {service.build.timeout:g} s",
            need="a tree that it can build and start, or a longer build.timeout",
        )

    async def _failure(self, space: Space, runtime: Runtime) -> PlatformError:
        kind = "run" if runtime.stage == "RUNTIME_ERROR" else "build"
        lines = deque[str](maxlen=TAIL)
        with contextlib.suppress(PlatformError):
            async for line in self._hub.log(space.id, kind, LOG_PATIENCE):
                lines.append(line)
        log = "".join(f"\n    {line}" for line in lines)
        return PlatformError(
            f"the Space {space.id} ended {space.sha[:7]} as {runtime.stage}: {runtime.error or 'no reason given'}{log}",
            need="a tree that it can build and start",
            next=f"see {space.address}",
        )


class _BuildLog:
    """A Space's build log, read beside while it is built."""

    def __init__(self, hub: Hub, id: str) -> None:
        self._hub, self._id = hub, id
        self._lines: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Read from now on; a second call changes nothing."""
        self._reading = self._reading or asyncio.create_task(self._read())

    def take(self) -> list[str]:
        """Return the lines that came since the last call."""
        taken, self._lines = self._lines, []
        return taken

    def close(self) -> None:
        """Stop reading."""
        if self._reading:
            self._reading.cancel()

    async def _read(self) -> None:
        with contextlib.suppress(PlatformError):
            async for line in self._hub.log(self._id, "build", BUILD_PATIENCE):
                self._lines.append(line)
