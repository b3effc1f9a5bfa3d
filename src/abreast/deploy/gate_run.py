"""Evaluate the gates of a commit as a deployment would, and deploy nothing."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from abreast.core.environment import Environment
from abreast.core.gates import Gate, ScanKind, select_gates
from abreast.core.model import Chapter, Failure, FailureCause, LiveService
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.planner import ServiceFacts, plan_services
from abreast.core.states import DeploymentState
from abreast.deploy.chapters.gates import evaluate_gate
from abreast.deploy.runtime.deploy_context import DeployContext
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run, only_failures
from abreast.ledger.interface import Json
from abreast.source.changed_files import changed_files_by_service

GATES_WORKFLOW = "gates"

REQUEST_POLL_INTERVAL = 0.05
"""Seconds between two polls for a request to cancel."""


def plan_gates(
    ports: Ports, project: str, environment: Environment, live: Mapping[str, LiveService],
    services: Collection[str], since: str | None,
) -> Plan:  # fmt: skip
    """Return a plan with the gates of the services whose files changed, which needs no variable and asks no platform.

    Gates that need an artifact are left to the deployment, which builds one.
    """
    commit = ports.source.resolve_commit()
    bases = {name: since or part.commit for name, part in live.items()}
    changed = changed_files_by_service(ports.source, environment.services, bases, commit)
    as_live = tuple(
        live[service.name].definition if service.name in live else service for service in environment.services
    )
    facts = {name: ServiceFacts(live.get(name), files, is_running=True) for name, files in changed.items()}
    parts = plan_services(as_live, facts, commit, services)
    plan = Plan(
        "", DeploymentKind.DEPLOY, project, environment.name, "", commit, parts, environment.settle, environment.drain,
        environment.on_failure, author=ports.source.author(),
    )  # fmt: skip
    names = [part.name for part in plan.rollouts]
    gates = select_gates(environment.gates, names, (), "") if names else ()
    return replace(
        plan, gates=tuple(replace(gate, include_artifacts=False) for gate in gates if not _scans_images(gate))
    )


def _scans_images(gate: Gate) -> bool:
    return gate.scan is ScanKind.IMAGES


async def run_gates(context: DeployContext, plan: Plan) -> DeploymentState:
    """Evaluate the gates of a plan. Returns SUCCEEDED, TURNED_BACK if one refuses, or CANCELLED if that was requested.

    Everything is recorded in the context's ledger, which should be of no other use.
    """
    ledger = context.ports.ledger
    release = await asyncio.to_thread(ledger.reserve_version, plan.project, plan.commit)
    plan = replace(plan, deployment=context.new_id(), release=release)
    await asyncio.to_thread(ledger.record_plan, plan)
    context.on_start(plan)
    engine = WorkflowEngine(ledger)
    engine.register(GATES_WORKFLOW, partial(_evaluate_all, plan, context.ports, engine))
    return DeploymentState(await engine.run_workflow(GATES_WORKFLOW, plan.deployment))


async def _evaluate_all(plan: Plan, ports: Ports, engine: WorkflowEngine) -> Json:
    """Evaluate each gate in a run of its own: one that refuses stops no other, so that all are told at once."""
    run, runs = Run(plan, ports, engine), [Run(plan, ports, engine) for _ in plan.gates]
    await run.enter_state(DeploymentState.RUNNING)
    polling = asyncio.ensure_future(_halt_on_cancel(runs))
    outcomes = await asyncio.gather(*(_evaluate(each, gate) for each, gate in zip(runs, plan.gates, strict=True)))
    polling.cancel()
    failures = only_failures(outcomes)
    if failures:
        await run.enter_state(DeploymentState.TURNING_BACK)
    is_cancelled = any(failure.cause is FailureCause.CANCELLED for failure in failures)
    refused = DeploymentState.CANCELLED if is_cancelled else DeploymentState.TURNED_BACK
    state = refused if failures else DeploymentState.SUCCEEDED
    await run.enter_state(state, failures[0].message.splitlines()[0] if failures else "", Chapter.GATES)
    return state.value


async def _halt_on_cancel(runs: Sequence[Run]) -> None:
    """Halt the runs, of one plan, when there is a request to cancel."""
    ledger, plan = runs[0].ports.ledger, runs[0].plan
    while not await asyncio.to_thread(ledger.pending_request, plan.deployment):  # noqa: ASYNC110 (by another thread)
        await asyncio.sleep(REQUEST_POLL_INTERVAL)
    for run in runs:
        run.halt.set(Failure(Chapter.GATES, "cancelled", cause=FailureCause.CANCELLED))


async def _evaluate(run: Run, gate: Gate) -> object:
    work = partial(evaluate_gate, run, gate)
    return await run.run_chapter(Chapter.GATES, work, None, gate.service, variant=gate.name)
