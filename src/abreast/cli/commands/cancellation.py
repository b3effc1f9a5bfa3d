"""Commands that turn a deployment back: cancel, rollback.

They leave a request to the process that runs the deployment, and follow it to its end. That needs neither the engine
nor a valid abreast.yml, so it begins at once.
"""

import asyncio

from abreast.cli.confirmation import rollback_reason
from abreast.cli.lazy import load
from abreast.cli.outcome import AS_IT_WAS, report_outcome
from abreast.cli.progress import ProgressDisplay, output_stream
from abreast.cli.selection import choose_deployment, choose_environment, locate_workspace
from abreast.core.errors import StuckError
from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.deploy.cancellation import request_cancel, running_deployment, wait_while_running
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Workspace

_ON_A_GOOD_RELEASE = AS_IT_WAS | {DeploymentState.SUCCEEDED}
"""The states after which a rollback has what it wants, if there is no reason to go on."""


def cancel(deployment: str | None, reason: str, *, as_json: bool) -> int:
    """Turn a deployment back, and wait until that is done. Returns 0 if everything is as it was."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        chosen = choose_deployment(ledger, deployment, unfinished=True)
        display = ProgressDisplay(ledger, output_stream(as_json=as_json), workspace.deployment_logs)
        ended = _turn_back(workspace, ledger, chosen, reason, display)
        display.report_to_ci(workspace, ended)
        return report_outcome(ended, AS_IT_WAS, display.print_line, live={}, as_json=as_json)


def rollback(
    environment: str | None, services: tuple[str, ...], release: str | None, reason: str,
    *, emergency: bool, restore_data: bool, yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Turn back the running deployment; a rollback goes on. If users are not back then, deploy an earlier release."""
    workspace = locate_workspace()
    name = choose_environment(workspace.environment_names(), environment)
    reason = rollback_reason(reason, yes=yes, on_stderr=as_json)
    with workspace.open_ledger() as ledger:
        running = None if release else running_deployment(ledger, workspace.environment_lock(name, ledger), name)
        if running:
            display = ProgressDisplay(ledger, output_stream(as_json=as_json), workspace.deployment_logs)
            ended, goes_on = _end(workspace, ledger, running, reason, display)
            if not goes_on:
                display.report_to_ci(workspace, ended)
                if emergency and ended.state in _ON_A_GOOD_RELEASE:
                    begin_close_watch = load("abreast.cli.close_watch:begin_close_watch")
                    display.print_line(begin_close_watch(workspace, ledger, name))
                live = ledger.live_services(name)
                return report_outcome(ended, _ON_A_GOOD_RELEASE, display.print_line, live=live, as_json=as_json)
            how = "had succeeded already" if ended.state is DeploymentState.SUCCEEDED else f"is {ended.state}"
            display.print_line(f"deployment {ended.id} {how}; rolling back what is live")
    roll_back = load("abreast.cli.commands.deployments:roll_back")
    options = {"emergency": emergency, "restore_data": restore_data, "yes": yes, "as_json": as_json}
    return int(roll_back(name, services, release, reason, **options))


def _end(
    workspace: Workspace, ledger: SqliteLedger, deployment: Deployment, reason: str, display: ProgressDisplay
) -> tuple[Deployment, bool]:
    """End a deployment that is under way, and return it as it ended, and whether the release before is still wanted.

    A rollback goes on, and anything else is turned back: who asks for a rollback twice, or again after the first
    command was killed, must not get the bad release back.
    """
    if deployment.kind is DeploymentKind.ROLLBACK:
        ended = _see_through(workspace, ledger, deployment, "rolling back", display)
        return ended, ended.state not in {DeploymentState.SUCCEEDED, DeploymentState.STUCK}
    ended = _turn_back(workspace, ledger, deployment, reason, display)
    return ended, ended.state is DeploymentState.SUCCEEDED


def _turn_back(
    workspace: Workspace, ledger: SqliteLedger, deployment: Deployment, reason: str, display: ProgressDisplay
) -> Deployment:
    """Have a deployment turned back, by the process that runs it or else by this one. Return it as it ended."""
    request_cancel(ledger, deployment, reason)
    return _see_through(workspace, ledger, deployment, "turning it back", display)


def _see_through(
    workspace: Workspace, ledger: SqliteLedger, deployment: Deployment, doing: str, display: ProgressDisplay
) -> Deployment:
    """Follow a deployment that another process runs to its end, or else execute the rest here."""
    lock = workspace.environment_lock(deployment.environment, ledger)
    if not lock.is_free():
        deployment = _follow(ledger, lock, deployment, doing, display)
        if deployment.state.is_final or deployment.state is DeploymentState.STUCK:
            return deployment
    display.print_line(f"no process runs deployment {deployment.id}: {doing} here")
    load("abreast.cli.commands.deployments:finish")(workspace, ledger, deployment, display)
    return ledger.deployment(deployment.id)


def _follow(
    ledger: SqliteLedger, lock: EnvironmentLock, deployment: Deployment, doing: str, display: ProgressDisplay
) -> Deployment:
    try:
        display.print_line(f"deployment {deployment.id} runs in process {lock.holder_pid()}, which is {doing} now")
        return asyncio.run(_show_and_wait(ledger, lock, deployment.id, display))
    except KeyboardInterrupt as error:
        raise StuckError(
            f"stopped following: process {lock.holder_pid()} goes on with deployment {deployment.id}",
            next=f"abreast show {deployment.id} --watch",
        ) from error


async def _show_and_wait(ledger: SqliteLedger, lock: EnvironmentLock, id: str, display: ProgressDisplay) -> Deployment:
    display.start(id)
    deployment = await wait_while_running(ledger, lock, id)
    await display.finish()
    return deployment
