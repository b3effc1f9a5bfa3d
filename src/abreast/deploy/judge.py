"""Gates: what must hold before anything is brought up; each looks in a clean checkout of its own."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from abreast.commands.interface import Command
from abreast.core import sarif
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
        place = run.ports.folders.work / run.plan.deployment / "gates" / gate.key
        await asyncio.to_thread(_fresh_checkout, run, place)
        judged = await run.ports.gates[gate.runner](gate, _scene(run, gate, place))
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    if stopping := run.halt.stopping(Chapter.GATES, gate.service):
        return stopping
    for one in judged:
        await _tell(run, gate, one)
    bad = next((one for one in judged if one.blocks and not (one.verdict is Verdict.UNKNOWN and gate.unknown)), None)
    if bad is None:
        return None
    what = f"{bad.gate}: {'unknown: ' if bad.verdict is Verdict.UNKNOWN else ''}{bad.why}"
    return Failure(Chapter.GATES, what, gate.service, bad.lines, Cause.REFUSED)


def _fresh_checkout(run: Run, place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    run.ports.source.checkout(run.plan.commit, place / "room")


async def _tell(run: Run, gate: Gate, one: Judgement) -> None:
    text = f"{one.gate} {one.verdict}{': ' if one.why else ''}{one.why}"
    key = f"{gate.key}/{one.gate}/judged"
    if gate.run is None:
        document = run.redactor.value(sarif.document(one.gate, one.findings))
        await asyncio.to_thread(_write_sarif, run, one.gate, document)
    await run.tell(key, What.JUDGED, text, service=gate.service, chapter=Chapter.GATES, data=dump(one))


def _write_sarif(run: Run, gate: str, document: object) -> None:
    folder = run.ports.folders.logs / run.plan.deployment
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / f"{gate}.sarif").write_text(json.dumps(document, indent=1))


def _scene(run: Run, gate: Gate, place: Path) -> Scene:
    live = {part.name: part.previous.commit for part in run.plan.services if part.previous}
    source, commit = run.ports.source, run.plan.commit

    async def changed() -> Mapping[str, frozenset[int]] | None:
        return await asyncio.to_thread(source.changed_lines, live.get(gate.service or ""), commit)

    async def outgoing(into: Path) -> None:
        await asyncio.to_thread(source.outgoing, frozenset(live.values()), commit, into)

    async def artifacts() -> Mapping[str, Path]:
        # Shielded, since a gate that is cut off must not take what is built with it.
        built = {name: await asyncio.shield(future) for name, future in run.built.items()}
        take = run.ports.artifacts.take
        return {name: await asyncio.to_thread(take, part.artifact) for name, part in built.items()}

    return Scene(
        place / "room",
        place,
        run.ports.now()[:10],
        partial(_command, run, gate, place / "room"),
        changed,
        outgoing,
        artifacts,
    )


async def _command(
    run: Run, gate: Gate, room: Path, name: str, text: str, env: Mapping[str, str], timeout: float
) -> Outcome:
    told = {
        "CI": "true",
        "ABREAST_ENVIRONMENT": run.plan.environment,
        "ABREAST_RELEASE": run.plan.release,
        "ABREAST_COMMIT": run.plan.commit,
        **({"ABREAST_SERVICE": gate.service} if gate.service else {}),
    }
    log = ".".join(filter(None, (gate.service, gate.name, name, "log")))
    asked = Command(
        text=text,
        cwd=room,
        log=run.ports.folders.logs / run.plan.deployment / log,
        timeout=timeout,
        env={**run.ports.inherited, **env, **told},
    )
    ended = await run.ports.command(asked, run.halt.wait())
    return Outcome(ended.why, ended.tail, ended.code)
