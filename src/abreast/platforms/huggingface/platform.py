"""The Hugging Face platform: a release waits on a branch of its Space, and becomes what is built in the turn."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence

from abreast.core.errors import PlatformError
from abreast.core.model import Address, Service, Version
from abreast.platforms.cloud.api import ConflictError
from abreast.platforms.cloud.polling import pauses
from abreast.platforms.huggingface.client import ASLEEP, FAILED, UNDER_WAY, Commit, Hardware, Hub, Runtime, Space
from abreast.platforms.huggingface.repository import publish, restore
from abreast.platforms.interface import Abilities, Move, Named, Order, Platform, Sighting, Tell

PAUSE = 2.0
"""Seconds between two looks at a Space, at last."""

FRESH = 10.0
"""Seconds for which a look at a Space serves others, too."""

LAG = 10
"""Looks for which a Space may still speak of what it ran before."""

TAIL = 20
OF_THE_TREE = frozenset({"ABREAST_RELEASE", "ABREAST_COMMIT"})
"""What is told by a file of the tree: as variables, what still runs would be told that it is the next."""

LOG_PATIENCE, BUILD_PATIENCE = 5.0, 900.0
"""Seconds of silence after which a log is taken to have ended: one of the past, one that is being written."""


class HuggingFacePlatform(Platform):
    """Gives Spaces a new tree; each commit bears its version's id as title, and the branch it waits on as name."""

    name = "huggingface"

    def __init__(self, hub: Hub, pause: float = PAUSE) -> None:
        self._hub = hub
        self._pause = pause
        self._looks: dict[str, tuple[float, Commit, str]] = {}

    def abilities(self, service: Service) -> Abilities:  # noqa: ARG002 (the same for every Space)
        """No candidates, no common moment, and always a version."""
        notes = ("goes live in the turn, once its Space has built it: a Space has no candidate without users",)
        return Abilities(candidates=False, together=False, empties=False, notes=notes)

    async def present(self, service: Service) -> Version | None:
        """Return the head of the main branch, whoever put it there, if it ever ran."""
        space = await self._space(service)
        runtime = await self._hub.runtime(space.id)
        if runtime.stage in {"NO_APP_FILE", "CONFIG_ERROR"}:
            return None
        handle = {"version": await self._title(space.id, space.sha), "revision": space.sha}
        return _version(f"{service.name}-huggingface-{space.sha}", service, space, handle)

    async def stage(self, order: Order, tell: Tell) -> Version:
        """Put the tree on a branch of its own, which the Space does not build."""
        space = await self._space(order.service)
        with contextlib.suppress(ConflictError):  # it was made before
            await self._hub.branch(space.id, order.version, space.sha)
        waiting = await self._hub.space(space.id, order.version)
        if await self._title(space.id, waiting.sha) != order.version:
            await tell(order.service.name, f"huggingface: sending what differs to {space.id}")
            told = {"release": order.env.get("ABREAST_RELEASE", ""), "commit": order.commit}
            await publish(self._hub, waiting, order.version, order.artifact, told)
        return _version(order.version, order.service, space, {"version": order.version})

    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """Give each Space the tree of its version, and follow it until it runs that."""
        await asyncio.gather(*(self._move(move, move.to, tell) for move in moves if move.to))

    async def retire(self, versions: Sequence[Named], drain: float) -> None:  # noqa: ARG002 (a Space drains by itself)
        """Take the branches away; what users have is on the main branch."""
        for version in versions:
            await self._hub.delete_branch(_id(version.service), version.id)

    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell of each version whether it is what its Space has on the main branch, and runs."""
        return {version.id: await self._seen(version) for version in versions}

    async def down(self) -> None:
        """Leave all as it is: nothing of it runs on this machine."""

    # ── the turn ───────────────────────────────────────────────────────────────────────────────

    async def _move(self, move: Move, version: Version, tell: Tell) -> None:
        space = await self._space(move.service)
        await self._set(space.id, move)
        revision = version.handle.get("revision") or (await self._hub.space(space.id, version.handle["version"])).sha
        head = await restore(self._hub, space, revision, version.handle["version"])
        if head != space.sha and move.service.settings.get("factory"):
            await self._hub.restart(space.id, factory=True)
        try:
            await self._follow(move.service, space.model_copy(update={"sha": head}), tell)
        finally:
            self._looks.pop(space.id, None)

    async def _set(self, id: str, move: Move) -> None:
        """Set hardware and variables where they differ; a secret's value cannot be read, so it is set each time."""
        wanted = move.service.settings.get("hardware")
        if wanted and wanted != ((await self._hub.runtime(id)).hardware or Hardware()).requested:
            await self._hub.hardware(id, str(wanted))
        have = await self._hub.variables(id)
        for name, value in move.env.items():
            if name in OF_THE_TREE:
                continue
            if name in move.secrets or have.get(name) != value:
                await self._hub.set_variable(id, name, value, secret=name in move.secrets)

    async def _follow(self, service: Service, space: Space, tell: Tell) -> None:
        """Wait until the Space runs its head; each stage is told, and the build's log as it comes."""
        build = _BuildLog(self._hub, space.id)
        try:
            await self._until_running(service, space, build, tell)
        finally:
            build.close()

    async def _until_running(self, service: Service, space: Space, build: "_BuildLog", tell: Tell) -> None:
        told, moved = "", False
        for number, pause in enumerate(pauses(self._pause, service.build.timeout)):
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

    # ── looks ──────────────────────────────────────────────────────────────────────────────────

    async def _space(self, service: Service) -> Space:
        space = await self._hub.space(_id(service))
        if space.sdk != "docker":
            raise PlatformError(f"the Space {space.id} is one for {space.sdk}", need="a Docker Space (sdk: docker)")
        if space.private:
            raise PlatformError(f"the Space {space.id} is private: nobody reaches it", need="a public Space")
        return space

    async def _title(self, id: str, revision: str) -> str:
        return (await self._hub.commits(id, revision))[0].title

    async def _seen(self, version: Named) -> Sighting:
        id_, now = _id(version.service), asyncio.get_running_loop().time()
        at, head, stage = self._looks.get(id_, (-FRESH, Commit(id="", title=""), ""))
        if now - at >= FRESH:
            commits, runtime = await asyncio.gather(self._hub.commits(id_), self._hub.runtime(id_))
            head, stage = commits[0], runtime.stage
            self._looks[id_] = now, head, stage
        if version.handle.get("version", version.id) != head.title:
            return Sighting(present=False, exit=f"the Space has {head.title!r} ({head.id[:7]}) instead")
        gone = stage in FAILED or stage in ASLEEP
        return Sighting(present=not gone, exit=f"huggingface: {stage}" if gone else "")


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


def _id(service: Service) -> str:
    return str(service.settings["space"])


def _version(id: str, service: Service, space: Space, handle: Mapping[str, str]) -> Version:
    return Version(id, service.name, probes=(), url=space.address, turned=(Address(space.address),), handle=handle)
