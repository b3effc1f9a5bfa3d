"""The workflow of a deployment: every service gets its new version, or every service keeps its previous one.

Each chapter is one recorded step, so a killed process resumes after the last recorded chapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from abreast.core.codec import dump, load
from abreast.core.errors import AbreastError
from abreast.core.events import Event, EventKind
from abreast.core.gates import Gate
from abreast.core.model import Chapter, Failure, FailureCause, Version
from abreast.core.plan import Action, DeploymentKind, Plan, ServicePlan
from abreast.core.states import DeploymentState
from abreast.core.turn_back import decide_turn_back
from abreast.deploy.approval_request import release_changes
from abreast.deploy.chapters.approval import await_approval
from abreast.deploy.chapters.build import build
from abreast.deploy.chapters.gates import evaluate_gate
from abreast.deploy.chapters.settle import prune_artifacts, retire_versions, tag_release
from abreast.deploy.chapters.traffic_switch import (
    switch_back_what_can_be,
    switch_traffic,
    switch_traffic_back,
)
from abreast.deploy.chapters.watch import watch_services
from abreast.deploy.data.backup import clean_up_databases
from abreast.deploy.data.drill import run_drill
from abreast.deploy.data.maintenance import end_maintenance, keep_maintenance, return_to_maintenance
from abreast.deploy.data.migrate import back_up_and_migrate, reverse_migration
from abreast.deploy.data.rehearse import back_up_and_rehearse
from abreast.deploy.data.restore import restore_backup
from abreast.deploy.data.undo import undo_failed_migration
from abreast.deploy.rollout import roll_out
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.freezes import turned_back_by_freeze
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run, only_failures
from abreast.ledger.interface import Json, Ledger, ReleasePart
from abreast.machine.large_folders import remove_soon

DEPLOYMENT_WORKFLOW = "deployment"
ROLLOUT_WORKFLOW = "rollout"
GATE_WORKFLOW = "gate"
TURN_BACK_WORKFLOW = "way-back"

PATIENCE_BEFORE_TURN = 150.0
"""Seconds to wait for the home of the ledger before traffic switches."""

PATIENCE_FOR_REMOVAL = 2.0
"""Seconds that a deployment may take to remove its own folder. A process of its own goes on with a large one."""

PATIENCE_AFTER_TURN = 10.0
"""Seconds to wait for it afterwards, while users are on versions that nobody watches yet."""


class DeploymentWorkflow:
    """Runs the deployments of one environment, one after the other."""

    def __init__(self, ports: Ports, engine: WorkflowEngine) -> None:
        self.ports = ports
        self.engine = engine
        self._runs: dict[str, Run] = {}
        engine.register(DEPLOYMENT_WORKFLOW, self.run_deployment)
        engine.register(ROLLOUT_WORKFLOW, self.run_rollout)
        engine.register(GATE_WORKFLOW, self.run_gate)
        engine.register(TURN_BACK_WORKFLOW, self.retry_turn_back)

    def get_run(self, plan: Plan, attempt: str = "") -> Run:
        """Return the run of a plan in this process. The first call creates it."""
        return self._runs.setdefault(plan.deployment + attempt, Run(plan, self.ports, self.engine, attempt))

    async def _load_run(self, deployment: str, attempt: str = "") -> Run:
        """Return the run of a deployment, whose plan the ledger has."""
        existing = self._runs.get(deployment + attempt)
        run = existing or self.get_run(await asyncio.to_thread(self.ports.ledger.stored_plan, deployment), attempt)
        run.restoring = run.restoring or asyncio.ensure_future(self._restore_progress(run))
        await run.restoring
        return run

    async def _restore_progress(self, run: Run) -> None:
        """Publish the outcomes of gates and rollouts that ended in an earlier process. They do not run again."""
        events = await asyncio.to_thread(self.ports.ledger.events, run.plan.deployment)
        if not any(event.state is DeploymentState.RUNNING for event in events):
            return
        ended = await self.engine.completed_results(run.plan.deployment)
        for gate in run.plan.gates:
            if (id_ := _gate_workflow_id(run, gate)) in ended:
                _publish_outcome(run, load(Failure | None, ended[id_]), gate)
        for part in run.plan.rollouts:
            if (id_ := _rollout_workflow_id(run, part)) in ended:
                outcome = load(Version | Failure, ended[id_])
                if isinstance(outcome, Version) and isinstance(built := await build(run, part), ReleasePart):
                    run.built[part.name].set_result(built)
                _publish_outcome(run, outcome)

    async def run_deployment(self, id: str) -> str:
        """Prepare all candidates, switch traffic, watch, settle; or turn back. Returns the final state."""
        run = await self._load_run(id)
        await run.enter_state(DeploymentState.RUNNING)
        await self._carry_over_unchanged(run)
        if not run.plan.traffic_changes:
            return await self._run_data_only(run)
        candidates = await self._run_gates_and_rollouts(run)
        if failures := only_failures(candidates):
            return await self._abort(run, failures)
        versions = {found.service: found for found in candidates if isinstance(found, Version)}
        turned = await run.run_chapter(Chapter.TURN, lambda: _publish_and_switch(run, versions))
        if isinstance(turned, Failure):
            return await self._abort(run, [turned], turned=True)
        await end_maintenance(run, Chapter.TURN)
        return await self._watch_and_settle(run, versions)

    async def _run_data_only(self, run: Run) -> str:
        """Migrate, restore, rehearse or drill databases. No service changes."""
        for part in run.plan.database_changes:
            if failure := await _DATA_ONLY_OPERATIONS[run.plan.kind](run, part):
                return await self._abort(run, [failure])
        return await self._finish(run, [])

    async def _reverse_migrations(self, run: Run) -> None:
        """Revert migrations that no version needs any more. A failure is only recorded: no version depends on it."""
        for part in run.plan.database_changes:
            if (
                part.database_plan
                and part.database_plan.is_backward
                and (failure := await reverse_migration(run, part, None))
            ):
                text = f"the schema was not reverted: {failure.message}"
                await run.record(f"{part.name}/stays", EventKind.NOTE, text, service=part.name, chapter=Chapter.SETTLE)

    async def _tag_and_prune(self, run: Run) -> None:
        """Tag the release and prune artifacts. An error is only recorded."""
        for work in (tag_release, prune_artifacts):
            try:
                await asyncio.to_thread(work, run)
            except AbreastError as error:
                await run.record(f"{work.__name__}/failed", EventKind.NOTE, str(error), chapter=Chapter.SETTLE)

    async def run_rollout(self, id: str, name: str) -> Json:
        """Run one rollout. Returns the candidate or the failure as JSON."""
        run = await self._load_run(id)
        part = next(part for part in run.plan.rollouts if part.name == name)
        return dump(await roll_out(run, part), Version | Failure)

    async def run_gate(self, id: str, key: str) -> Json:
        """Run one gate. Returns the failure as JSON, or null. Builds run beside gates; staging waits for gates."""
        run = await self._load_run(id)
        gate = next(gate for gate in run.plan.gates if gate.key == key)
        failure = await run.run_chapter(
            Chapter.GATES, lambda: evaluate_gate(run, gate), None, gate.service, variant=gate.name
        )
        _publish_outcome(run, failure, gate)
        return dump(failure, Failure | None)

    async def _run_gates_and_rollouts(self, run: Run) -> list[Version | Failure]:
        """Run all gates and rollouts in parallel. Returns refusals first, then candidates or failures."""
        id_ = run.plan.deployment
        gates = [
            await self.engine.start_child(GATE_WORKFLOW, _gate_workflow_id(run, gate), id_, gate.key)
            for gate in run.plan.gates
        ]
        rollouts = [
            await self.engine.start_child(ROLLOUT_WORKFLOW, _rollout_workflow_id(run, part), id_, part.name)
            for part in run.plan.rollouts
        ]
        gate_failures = [load(Failure | None, await ended()) for ended in gates]
        refusal = await self._await_approval(run)
        candidates = [load(Version | Failure, await ended()) for ended in rollouts]
        return [*(failure for failure in (*gate_failures, refusal) if failure), *candidates]

    async def _await_approval(self, run: Run) -> Failure | None:
        """Wait until everything is built, then for the approval, unless the run halts before. Returns the refusal."""
        if not run.plan.awaits_approval:
            return None
        built: asyncio.Future[object] = asyncio.ensure_future(asyncio.gather(*map(asyncio.shield, run.built.values())))
        halted: asyncio.Future[object] = asyncio.ensure_future(run.halt.wait())
        await asyncio.wait([built, halted], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (built, halted):
            waiting.cancel()
        refusal = await run.run_chapter(
            Chapter.APPROVAL, lambda: await_approval(run, partial(release_changes, run.ports, run.plan))
        )
        if refusal is None:
            run.approved.set()
        return refusal

    async def _carry_over_unchanged(self, run: Run) -> None:
        """Add the live artifact of each unchanged service to the release."""
        for part in run.plan.services:
            if part.action is Action.KEEP and part.previous:
                kept = ReleasePart(part.name, part.commit, part.previous.artifact, part.previous.definition)
                await asyncio.to_thread(
                    _add_with_image, self.ports.ledger, run.plan.release, kept, part.previous.release
                )

    async def _watch_and_settle(self, run: Run, versions: Mapping[str, Version]) -> str:
        """Watch the new versions, turn failing services back, and settle the others."""
        staying, failed = tuple(part.name for part in run.plan.traffic_changes), list[Failure]()
        routes = {part.name: part.routes_to for part in run.plan.traffic_changes}
        while staying:
            observe = partial(_watch_and_publish, run, staying, versions)
            found = await run.run_chapter(Chapter.WATCH, observe, list[Failure], variant="+".join(staying))
            failures = [found] if isinstance(found, Failure) else found
            if not failures:
                break
            failed += failures
            decision = decide_turn_back(staying, failures, run.plan.on_failure, routes)
            if stuck := await self._turn_back(run, failures, decision.turn_back):
                return await self._enter_stuck(run, stuck)
            staying = decision.stay_live
        await self._retire_previous(run, staying)
        if not failed:
            await self._reverse_migrations(run)
        return await self._finish(run, failed)

    async def _retire_previous(self, run: Run, names: Sequence[str]) -> None:
        """Retire the previous versions. An error is only recorded, since users are on the new versions."""
        if names:
            await run.run_chapter(Chapter.SETTLE, lambda: retire_versions(run, names, run.plan.drain, new=False))

    async def _abort(self, run: Run, failures: Sequence[Failure], *, turned: bool = False) -> str:
        """Turn everything back. ``turned``: traffic may have switched already."""
        if failures[0].cause is FailureCause.REFUSED:  # nothing was staged: that waits for all gates
            await run.enter_state(DeploymentState.TURNING_BACK, _failure_summary(failures))
            return await self._finish(run, failures)
        names = [part.name for part in run.plan.traffic_changes]
        if stuck := await self._turn_back(run, failures, names, turned=turned):
            return await self._enter_stuck(run, stuck)
        return await self._finish(run, failures)

    async def _turn_back(
        self, run: Run, failures: Sequence[Failure], names: Sequence[str], *, turned: bool = True
    ) -> Failure | None:
        await run.enter_state(DeploymentState.TURNING_BACK, _failure_summary(failures), back=list(names))
        again = "+".join(names)
        if turned:
            await return_to_maintenance(run)
            failure = await run.run_chapter(Chapter.TURN_BACK, lambda: switch_traffic_back(run, names), variant=again)
            if isinstance(failure, Failure):
                return failure
        discard = partial(retire_versions, run, names, run.plan.drain, new=True)
        gone = await run.run_chapter(Chapter.SETTLE, discard, variant=f"discard/{again}")
        return gone if isinstance(gone, Failure) else None

    async def retry_turn_back(self, id: str, attempt: str) -> str:
        """Retry a turn-back that got stuck, and settle the services that stay on the new version.

        If a person accepted the deployment as it is, what cannot be turned back stays, and the deployment ends.
        """
        run = await self._load_run(id, attempt)
        events = await asyncio.to_thread(self.ports.ledger.events, id)
        names = _services_to_turn_back(events)
        if accepted := next((event for event in events if event.kind is EventKind.ACCEPTED), None):
            return await self._end_as_it_is(run, names, Failure(Chapter.TURN_BACK, accepted.message))
        why = Failure(Chapter.TURN_BACK, "retrying the turn-back")
        if stuck := await self._turn_back(run, [why], names):
            return await self._enter_stuck(run, stuck)
        await self._retire_previous(run, [part.name for part in run.plan.traffic_changes if part.name not in names])
        return await self._finish(run, [why])

    async def _end_as_it_is(self, run: Run, names: Sequence[str], accepted: Failure) -> str:
        """Turn back what can be turned back, and leave the rest. Errors are only recorded."""
        await run.enter_state(DeploymentState.TURNING_BACK, accepted.message, back=list(names))
        staying = await run.run_chapter(Chapter.TURN_BACK, lambda: switch_back_what_can_be(run, names), list[str])
        if isinstance(staying, Failure):
            return await self._enter_stuck(run, staying)
        back = [name for name in names if name not in staying]
        discard = partial(retire_versions, run, back, run.plan.drain, new=True)
        await run.run_chapter(Chapter.SETTLE, discard, variant=f"discard/{'+'.join(back)}")
        return await self._finish(run, [accepted])

    async def _enter_stuck(self, run: Run, failure: Failure) -> str:
        await run.enter_state(DeploymentState.STUCK, failure.message)
        return DeploymentState.STUCK.value

    async def _finish(self, run: Run, failures: Sequence[Failure]) -> str:
        cancelled = any(failure.cause is FailureCause.CANCELLED for failure in failures)
        back = DeploymentState.CANCELLED if cancelled else DeploymentState.TURNED_BACK
        state = back if failures else DeploymentState.SUCCEEDED
        await _undo_migrations(run, failed=bool(failures))
        work = self.ports.folders.work / run.plan.deployment
        await asyncio.to_thread(remove_soon, work, PATIENCE_FOR_REMOVAL)
        await clean_up_databases(run)
        if not failures:
            await self._tag_and_prune(run)
        refused = failures[0].chapter if failures and failures[0].cause is FailureCause.REFUSED else None
        await run.enter_state(state, _failure_summary(failures), refused, **_lock_after(run, state, failures))
        return state.value


_DATA_ONLY_OPERATIONS: Mapping[DeploymentKind, Callable[[Run, ServicePlan], Awaitable[Failure | None]]] = {
    DeploymentKind.MIGRATE: partial(back_up_and_migrate, built=None),
    DeploymentKind.REHEARSE: back_up_and_rehearse,
    DeploymentKind.RESTORE: restore_backup,
    DeploymentKind.DRILL: run_drill,
}
"""What deployments that change no service do with each database."""


async def _undo_migrations(run: Run, *, failed: bool) -> None:
    """Revert what a failed deployment migrated, and end its maintenance, unless a schema stays that breaks services."""
    kept = [await undo_failed_migration(run, part) for part in run.plan.database_changes if failed]
    if why := next(filter(None, kept), ""):
        await keep_maintenance(run, why)
    else:
        await end_maintenance(run, Chapter.SETTLE)


async def _publish_and_switch(run: Run, versions: Mapping[str, Version]) -> Failure | None:
    """Switch traffic, once others can read that it is about to happen: whoever takes over must know of it."""
    if away := await run.publish(PATIENCE_BEFORE_TURN):
        return Failure(Chapter.TURN, f"nothing was switched, since others cannot read the record: {away}")
    if frozen := turned_back_by_freeze(run.plan, run.ports.now()):
        return Failure(Chapter.TURN, frozen, cause=FailureCause.CANCELLED)
    return await switch_traffic(run, versions)


async def _watch_and_publish(
    run: Run, staying: Sequence[str], versions: Mapping[str, Version]
) -> list[Failure] | Failure:
    """Watch the new versions, and meanwhile let others read that traffic has switched."""
    publishing = asyncio.create_task(_publish_switch(run))
    try:
        found = await watch_services(run, staying, versions)
        if not found:
            await publishing
        return found
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def _publish_switch(run: Run) -> None:
    if away := await run.publish(PATIENCE_AFTER_TURN):
        note = f"recorded on this machine only, until its home answers: {away}"
        await run.record("turn/unpublished", EventKind.NOTE, note, chapter=Chapter.TURN)


def _add_with_image(ledger: Ledger, release: str, part: ReleasePart, built_for: str) -> None:
    """Add the part of an earlier release to a release, with the image that it has there."""
    earlier = ledger.release(built_for).parts.get(part.service)
    ledger.add_release_part(release, replace(part, image=earlier.image) if earlier else part)


def _services_to_turn_back(events: Sequence[Event]) -> list[str]:
    recorded = [event.data["back"] for event in events if event.kind is EventKind.STATE and "back" in event.data]
    return load(list[str], recorded[-1])


def _gate_workflow_id(run: Run, gate: Gate) -> str:
    return f"{run.plan.deployment}/gates/{gate.key}"


def _rollout_workflow_id(run: Run, part: ServicePlan) -> str:
    return f"{run.plan.deployment}/{part.name}"


def _publish_outcome(run: Run, outcome: Version | Failure | None, gate: Gate | None = None) -> None:
    """Publish the outcome of a gate or a rollout to those that wait for it."""
    if isinstance(outcome, Failure):
        run.halt.set(outcome)
    elif isinstance(outcome, Version):
        run.mark_candidate_ready(outcome)
    elif gate:
        run.mark_gates_passed(gate.key)


def _lock_after(run: Run, state: DeploymentState, failures: Sequence[Failure]) -> dict[str, object]:
    """Return what the end of a deployment records to lock its environment: if it failed by itself, under users."""
    is_under_users = any(failure.chapter in {Chapter.TURN, Chapter.WATCH, Chapter.TURN_BACK} for failure in failures)
    if not run.plan.lock_after_failure or state is not DeploymentState.TURNED_BACK or not is_under_users:
        return {}
    reason = f"{run.plan.release} failed and was turned back: {_failure_summary(failures)}"
    lock = {"reason": reason, "by": "abreast", "since": run.ports.now(), "deployment": run.plan.deployment}
    return {"lock": lock}


def _failure_summary(failures: Sequence[Failure]) -> str:
    """Return the first failure in one line."""
    if not failures:
        return ""
    first = failures[0]
    where = f"{first.service}: " if first.service else ""
    return where + first.message.splitlines()[0]
