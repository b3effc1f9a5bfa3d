"""Evaluate the gates of the commit here, without deploying: what a pull request has to pass."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from abreast.cli.commands.deployments import DeployCommand
from abreast.cli.target import load_target
from abreast.core.errors import RefusedError
from abreast.core.events import EventKind
from abreast.core.states import DeploymentState
from abreast.deploy.gate_run import plan_gates, run_gates
from abreast.ledger.interface import Ledger
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly


def gates(
    environment: str | None, services: tuple[str, ...], since: str | None, *, verbose: bool, as_json: bool
) -> int:
    """Evaluate the gates of what changed. Records nothing, and needs no variable of the services.

    Returns 3 if one refuses, 1 if it was interrupted.
    """
    target = load_target(environment, needs_values=False)
    name, project = target.environment.name, target.project.name
    with target.workspace.open_ledger() as ledger:
        live = ledger.live_services(name)
        ports = target.assembly.ports(name, ledger)
        plan = plan_gates(ports, project, target.environment, live, services, since)
    with tempfile.TemporaryDirectory() as folder, SqliteLedger.open(Path(folder)) as scratch:
        variables = {**target.workspace.variables, "ABREAST_STATE": folder}
        assembly = Assembly(replace(target.workspace, variables=variables))
        command = DeployCommand(assembly, name, scratch, as_json=as_json, verbose=verbose)
        state = command.execute(lambda context: run_gates(context, plan)) if plan.gates else DeploymentState.SUCCEEDED
        results = list(_results(scratch))
    passed = state is DeploymentState.SUCCEEDED
    if as_json:
        print(json.dumps({"commit": plan.commit, "passed": passed, "gates": results}))
    if state is DeploymentState.CANCELLED:
        command.report("stopped")
        return state.exit_code
    if results or not passed:
        command.report(f"{plan.commit[:7]} {'passes its gates' if passed else 'is refused by a gate'}")
    else:
        command.report("nothing changed that has a gate")
    return 0 if passed else RefusedError.exit_code


def _results(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield what each gate found."""
    for deployment in ledger.deployments():
        for event in ledger.events(deployment.id):
            if event.kind is EventKind.JUDGED:
                yield {"service": event.service, **{key: event.data[key] for key in ("gate", "verdict", "why")}}
