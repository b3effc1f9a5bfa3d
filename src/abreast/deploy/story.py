"""The story of a deployment, from the plan to the end: all services new, or all as they were.

Each chapter is one recorded step, so that a process killed anywhere goes on from the last of them.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from abreast.core.codec import dump, load
from abreast.core.errors import AbreastError
from abreast.core.events import What
from abreast.core.gates import Gate
from abreast.core.model import Action, Cause, Chapter, Failure, Kind, Plan, ServicePlan, Version
from abreast.core.states import State
from abreast.core.wayback import way_back
from abreast.deploy.backup import clean
from abreast.deploy.build import build
from abreast.deploy.drill import drill
from abreast.deploy.engine import Engine, Json
from abreast.deploy.judge import judge
from abreast.deploy.keeping import tag, tidy
from abreast.deploy.left import left_behind
from abreast.deploy.migrate import rehearsed, reverse, up_to_date
from abreast.deploy.ports import Ports
from abreast.deploy.restore import restore
from abreast.deploy.rollout import rollout
from abreast.deploy.run import Run, only_failures
from abreast.deploy.turn import retire, turn, turn_back
from abreast.deploy.watch import watch
from abreast.ledger.interface import Part

DEPLOYMENT = "deployment"
ROLLOUT = "rollout"
GATE = "gate"
WAY_BACK = "way-back"


class Story:
    """The deployments of one environment, told by one process, one after the other."""

    def __init__(self, ports: Ports, engine: Engine) -> None:
        self.ports = ports
        self.engine = engine
        self._runs: dict[str, Run] = {}
        engine.register(DEPLOYMENT, self.deployment)
        engine.register(ROLLOUT, self.rollout)
        engine.register(GATE, self.gate)
        engine.register(WAY_BACK, self.way_back_again)

    def run(self, plan: Plan, attempt: str = "") -> Run:
        """Return the plan's run in this process, made at the first call."""
        return self._runs.setdefault(plan.deployment + attempt, Run(plan, self.ports, self.engine, attempt))

    async def _run(self, deployment: str, attempt: str = "") -> Run:
        """Return a deployment's run; the engine knows its id only, the ledger its plan."""
        known = self._runs.get(deployment + attempt)
        run = known or self.run(await asyncio.to_thread(self.ports.ledger.stored_plan, deployment), attempt)
        run.recalling = run.recalling or asyncio.ensure_future(self._recall(run))
        await run.recalling
        return run

    async def _recall(self, run: Run) -> None:
        """Learn what gates and rollouts came to that ended in an earlier process: they are not run again here."""
        events = await asyncio.to_thread(self.ports.ledger.events, run.plan.deployment)
        if not any(event.state is State.RUNNING for event in events):
            return
        ended = await self.engine.ended(f"{run.plan.deployment}/")
        for gate in run.plan.gates:
            if (id_ := _gate_id(run, gate)) in ended:
                _note(run, load(Failure | None, ended[id_]), gate)
        for part in run.plan.rollouts:
            if (id_ := _rollout_id(run, part)) in ended:
                outcome = load(Version | Failure, ended[id_])
                if isinstance(outcome, Version) and isinstance(made := await build(run, part), Part):
                    run.built[part.name].set_result(made)
                _note(run, outcome)

    async def deployment(self, id: str) -> str:
        """Bring all candidates up, turn all services, watch, settle; or turn back. Returns the final state."""
        run = await self._run(id)
        await run.enter(State.RUNNING)
        await self._keep_unchanged(run)
        if not run.plan.changes:
            return await self._only_data(run)
        candidates = await self._candidates_behind_gates(run)
        if failures := only_failures(candidates):
            return await self._give_up(run, failures)
        versions = {found.service: found for found in candidates if isinstance(found, Version)}
        turned = await run.chapter(Chapter.TURN, lambda: turn(run, versions))
        if isinstance(turned, Failure):
            return await self._give_up(run, [turned], turned=True)
        return await self._watch(run, versions)

    async def _only_data(self, run: Run) -> str:
        """Bring databases up to date, restore them, or try that on copies, under the services as they are."""
        for part in run.plan.data:
            if failure := await _ON_DATA[run.plan.kind](run, part):
                return await self._give_up(run, [failure])
        return await self._end(run, [])

    async def _data_back(self, run: Run) -> None:
        """Take back what no version needs any more of the schema; a failure is only told, since none depends on it."""
        for part in run.plan.data:
            if part.data and part.data.backward and (failure := await reverse(run, part, None)):
                stays = f"the schema stays: {failure.what}"
                await run.tell(f"{part.name}/stays", What.NOTE, stays, service=part.name, chapter=Chapter.SETTLE)

    async def _tidy(self, run: Run) -> None:
        """Let go of artifacts that nobody needs any more, and tag the release; what goes wrong here is only told."""
        for work in (tag, tidy):
            try:
                await asyncio.to_thread(work, run)
            except AbreastError as error:
                await run.tell(f"{work.__name__}/failed", What.NOTE, str(error), chapter=Chapter.SETTLE)

    async def rollout(self, id: str, name: str) -> Json:
        """One service's part, until its candidate is ready for users."""
        run = await self._run(id)
        part = next(part for part in run.plan.rollouts if part.name == name)
        return dump(await rollout(run, part), Version | Failure)

    async def gate(self, id: str, key: str) -> Json:
        """One gate; candidates are built beside it, and brought up when all have let the deployment through."""
        run = await self._run(id)
        gate = next(gate for gate in run.plan.gates if gate.key == key)
        failure = await run.chapter(Chapter.GATES, lambda: judge(run, gate), None, gate.service, turn=gate.name)
        _note(run, failure, gate)
        return dump(failure, Failure | None)

    async def _candidates_behind_gates(self, run: Run) -> list[Version | Failure]:
        """Ask all gates and bring all candidates up; what a gate refused comes first."""
        id_ = run.plan.deployment
        gates = [await self.engine.child(GATE, _gate_id(run, gate), id_, gate.key) for gate in run.plan.gates]
        rollouts = [
            await self.engine.child(ROLLOUT, _rollout_id(run, part), id_, part.name) for part in run.plan.rollouts
        ]
        judged = [load(Failure | None, await ended()) for ended in gates]
        candidates = [load(Version | Failure, await ended()) for ended in rollouts]
        return [*(failure for failure in judged if failure), *candidates]

    async def _keep_unchanged(self, run: Run) -> None:
        """Make what is live of a service that does not change a part of the release."""
        for part in run.plan.services:
            if part.action is Action.KEEP and part.previous:
                kept = Part(part.name, part.commit, part.previous.artifact, part.previous.definition)
                await asyncio.to_thread(self.ports.ledger.built, run.plan.release, kept)

    async def _watch(self, run: Run, versions: Mapping[str, Version]) -> str:
        """Watch until all that stay on the new version have settled."""
        staying, failed = tuple(part.name for part in run.plan.changes), list[Failure]()
        leads = {part.name: part.leads_to for part in run.plan.changes}
        while staying:
            look = partial(watch, run, staying, versions)
            found = await run.chapter(Chapter.WATCH, look, list[Failure], turn="+".join(staying))
            failures = [found] if isinstance(found, Failure) else found
            if not failures:
                break
            failed += failures
            way = way_back(staying, failures, run.plan.on_failure, leads)
            if stuck := await self._turn_back(run, failures, way.back):
                return await self._stuck(run, stuck)
            staying = way.stay
        await self._settle(run, staying)
        if not failed:
            await self._data_back(run)
        return await self._end(run, failed)

    async def _settle(self, run: Run, names: Sequence[str]) -> None:
        """Let the old versions go; users are on the new ones, so what goes wrong here is only told."""
        if names:
            await run.chapter(Chapter.SETTLE, lambda: retire(run, names, run.plan.drain, new=False))

    async def _give_up(self, run: Run, failures: Sequence[Failure], *, turned: bool = False) -> str:
        """Put everything back as it was; ``turned`` where users may have been moved."""
        if failures[0].cause is Cause.REFUSED:  # nothing is brought up before all gates have passed
            await run.enter(State.TURNING_BACK, _because(failures))
            return await self._end(run, failures)
        names = [part.name for part in run.plan.changes]
        if stuck := await self._turn_back(run, failures, names, turned=turned):
            return await self._stuck(run, stuck)
        return await self._end(run, failures)

    async def _turn_back(
        self, run: Run, failures: Sequence[Failure], names: Sequence[str], *, turned: bool = True
    ) -> Failure | None:
        await run.enter(State.TURNING_BACK, _because(failures), back=list(names))
        again = "+".join(names)
        if turned:
            failure = await run.chapter(Chapter.TURN_BACK, lambda: turn_back(run, names), turn=again)
            if isinstance(failure, Failure):
                return failure
        drain = run.plan.drain if turned else 0.0
        discard = partial(retire, run, names, drain, new=True)
        gone = await run.chapter(Chapter.SETTLE, discard, turn=f"discard/{again}")
        return gone if isinstance(gone, Failure) else None

    async def way_back_again(self, id: str, attempt: str) -> str:
        """Finish a turn-back that got stuck; services that stayed on the new version settle."""
        run = await self._run(id, attempt)
        names = await self._to_turn_back(run)
        why = Failure(Chapter.TURN_BACK, "the turn-back is tried again")
        if stuck := await self._turn_back(run, [why], names):
            return await self._stuck(run, stuck)
        await self._settle(run, [part.name for part in run.plan.changes if part.name not in names])
        return await self._end(run, [why])

    async def _to_turn_back(self, run: Run) -> list[str]:
        events = await asyncio.to_thread(self.ports.ledger.events, run.plan.deployment)
        told = [event.data["back"] for event in events if event.what is What.STATE and "back" in event.data]
        return load(list[str], told[-1])

    async def _stuck(self, run: Run, failure: Failure) -> str:
        await run.enter(State.STUCK, failure.what)
        return State.STUCK.value

    async def _end(self, run: Run, failures: Sequence[Failure]) -> str:
        cancelled = any(failure.cause is Cause.CANCELLED for failure in failures)
        back = State.CANCELLED if cancelled else State.TURNED_BACK
        state = back if failures else State.SUCCEEDED
        for part in run.plan.data if failures else ():
            await left_behind(run, part)
        work = self.ports.folders.work / run.plan.deployment
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        await clean(run)
        if not failures:
            await self._tidy(run)
        refused = Chapter.GATES if failures and failures[0].cause is Cause.REFUSED else None
        await run.enter(state, _because(failures), refused)
        return state.value


_ON_DATA: Mapping[Kind, Callable[[Run, ServicePlan], Awaitable[Failure | None]]] = {
    Kind.MIGRATE: partial(up_to_date, made=None),
    Kind.REHEARSE: rehearsed,
    Kind.RESTORE: restore,
    Kind.DRILL: drill,
}
"""What is done with a service's database where no service moves."""


def _gate_id(run: Run, gate: Gate) -> str:
    return f"{run.plan.deployment}/gates/{gate.key}"


def _rollout_id(run: Run, part: ServicePlan) -> str:
    return f"{run.plan.deployment}/{part.name}"


def _note(run: Run, outcome: Version | Failure | None, gate: Gate | None = None) -> None:
    """Tell those that wait what a gate or a rollout came to."""
    if isinstance(outcome, Failure):
        run.halt.set(outcome)
    elif isinstance(outcome, Version):
        run.arrived(outcome)
    elif gate:
        run.passed(gate.key)


def _because(failures: Sequence[Failure]) -> str:
    """Say in one line why a deployment goes back, with the failure that began it."""
    if not failures:
        return ""
    first = failures[0]
    where = f"{first.service}: " if first.service else ""
    return where + first.what.splitlines()[0]
