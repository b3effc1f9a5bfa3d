"""Gates: what must hold before anything is brought up; each looks in a clean checkout of its own."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from abreast.commands.interface import Command
from abreast.core.codec import dump
from abreast.core.events import What
from abreast.core.gates import Gate, Judgement, Verdict, unasked
from abreast.core.model import Cause, Chapter, Failure
from abreast.deploy.run import Run
from abreast.gates.interface import Outcome, Scene


async def judge(run: Run, gate: Gate) -> Failure | None:
    """Ask one gate, record what it says, and return why the deployment stops here, if it does."""
    if gate.skipped is not None:
        judged = unasked(gate)
    else:
        room = run.ports.folders.work / run.plan.deployment / "gates" / gate.key
        await asyncio.to_thread(_fresh_checkout, run, room)
        judged = await run.ports.gates[gate.scan or "run"](gate, _scene(run, gate, room))
        await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)
    if stopping := run.halt.stopping(Chapter.GATES, gate.service):
        return stopping
    for one in judged:
        await _tell(run, gate, one)
    bad = next((one for one in judged if one.blocks and not (one.verdict is Verdict.UNKNOWN and gate.unknown)), None)
    if bad is None:
        return None
    what = f"{bad.gate}: {'unknown: ' if bad.verdict is Verdict.UNKNOWN else ''}{bad.why}"
    return Failure(Chapter.GATES, what, gate.service, bad.lines, Cause.REFUSED)


def _fresh_checkout(run: Run, room: Path) -> None:
    if room.exists():
        shutil.rmtree(room)
    run.ports.source.checkout(run.plan.commit, room)


async def _tell(run: Run, gate: Gate, one: Judgement) -> None:
    text = f"{one.gate} {one.verdict}{': ' if one.why else ''}{one.why}"
    key = f"{gate.key}/{one.gate}/judged"
    await run.tell(key, What.JUDGED, text, service=gate.service, chapter=Chapter.GATES, data=dump(one))


def _scene(run: Run, gate: Gate, room: Path) -> Scene:
    told = {
        "CI": "true",
        "ABREAST_ENVIRONMENT": run.plan.environment,
        "ABREAST_RELEASE": run.plan.release,
        "ABREAST_COMMIT": run.plan.commit,
        **({"ABREAST_SERVICE": gate.service} if gate.service else {}),
    }

    async def command(text: str, env: Mapping[str, str], timeout: float) -> Outcome:
        name = f"{gate.service}.{gate.name}" if gate.service else gate.name
        asked = Command(
            text=text,
            cwd=room,
            log=run.ports.folders.logs / run.plan.deployment / f"{name}.log",
            timeout=timeout,
            env={**run.ports.inherited, **env, **told},
        )
        ended = await run.ports.command(asked, run.halt.wait())
        return Outcome(ended.why, ended.tail)

    async def changed() -> Mapping[str, frozenset[int]] | None:
        base = next((one.previous.commit for one in run.plan.services if one.name == gate.service and one.previous), "")
        return await asyncio.to_thread(run.ports.source.changed_lines, base, run.plan.commit) if base else None

    return Scene(room, command, changed)
