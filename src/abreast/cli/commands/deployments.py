"""Commands that change what is live: they parse, ask, show, and hand over to the story."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import click

from abreast.cli.github_actions import mask_commands
from abreast.cli.interrupts import InterruptHandler
from abreast.cli.progress import ProgressDisplay, output_stream
from abreast.cli.redaction import register_secrets
from abreast.cli.target_selection import choose_deployment, choose_environment
from abreast.cli.views import databases
from abreast.cli.views.deployments import next_command
from abreast.cli.views.plan import plan_json, plan_lines
from abreast.core.errors import AbreastError, DatabaseError, StateError, StuckError, UsageError
from abreast.core.model import DeploymentKind, Plan
from abreast.core.states import DeploymentState
from abreast.deploy import operations
from abreast.deploy.data.restore import row_differences
from abreast.deploy.operations import DeployContext
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import deployment_secrets
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Workspace


def request_from_options(
    *, services: tuple[str, ...] = (), since: str | None = None, release: str | None = None,
    reason: str = "", is_rollback: bool = False, force: bool = False, skipped_gates: tuple[str, ...] = (),
) -> DeployRequest:  # fmt: skip
    """Return what the options ask for; raises UsageError where a gate is skipped without a reason."""
    if skipped_gates and not reason.strip():
        raise UsageError(f"--skip-gate {skipped_gates[0]} without a reason", need="--reason: it stands in the ledger")
    return DeployRequest(
        DeploymentKind.ROLLBACK if is_rollback else DeploymentKind.DEPLOY,
        services,
        since,
        release,
        reason,
        force,
        skipped_gates,
    )


def plan(cwd: Path, environment_name: str | None, request: DeployRequest, *, as_json: bool) -> int:
    """Print the plan."""
    workspace = Workspace.locate(cwd, os.environ)
    project = workspace.load_project()
    environment = project.environment(choose_environment(project.environments, environment_name))
    register_secrets(workspace.secret_values(environment))
    with workspace.open_ledger() as ledger:
        ports = workspace.ports(environment.name, ledger)
        proposed = asyncio.run(plan_deployment(ports, project.name, environment, request))
    _print_plan(proposed, as_json=as_json)
    return 0


def deploy(
    cwd: Path, environment_name: str | None, request: DeployRequest, *, yes: bool, allow_dirty: bool, as_json: bool
) -> int:
    """Plan, ask, deploy; exits 0 also when there is nothing to do."""
    workspace = Workspace.locate(cwd, os.environ)
    project = workspace.load_project()
    environment = project.environment(choose_environment(project.environments, environment_name))
    register_secrets(workspace.secret_values(environment))
    with workspace.open_ledger() as ledger:
        command = DeployCommand(workspace, environment.name, ledger, as_json=as_json)
        if not request.release:
            command.require_clean_tree(allow_dirty=allow_dirty)
        proposed = asyncio.run(plan_deployment(command.ports(), project.name, environment, request))
        command.confirm_plan(proposed, yes=yes)
        return command.run(lambda on: operations.deploy(on, project.name, environment, request))


def rollback(
    cwd: Path, environment_name: str | None, request: DeployRequest, *, restore_data: bool, yes: bool, as_json: bool
) -> int:
    """Go back: turn back what is under way, or deploy an older release."""
    workspace = Workspace.locate(cwd, os.environ)
    project = workspace.load_project()
    environment = project.environment(choose_environment(project.environments, environment_name))
    register_secrets(workspace.secret_values(environment))
    with workspace.open_ledger() as ledger:
        command = DeployCommand(workspace, environment.name, ledger, as_json=as_json)
        running = [one for one in ledger.deployments(environment.name, 1) if one.state is DeploymentState.RUNNING]
        if running and not request.release:
            command.report(f"deployment {running[0].id} is under way: turning it back")
            return command.run(
                lambda on: operations.cancel(on, running[0], request.reason), expected_state=DeploymentState.CANCELLED
            )
        proposed = asyncio.run(plan_deployment(command.ports(), project.name, environment, request))
        if not restore_data:
            command.confirm_plan(proposed, yes=yes)
            return command.run(lambda on: operations.deploy(on, project.name, environment, request))
        names = tuple(part.name for part in proposed.rollouts if part.service.database)
        restore_request = DeployRequest(DeploymentKind.RESTORE, names, reason=request.reason, backup=proposed.release)
        restore_plan = (
            asyncio.run(plan_deployment(command.ports(), project.name, environment, restore_request)) if names else None
        )
        command.confirm_plan(proposed, yes=yes)
        if restore_plan is None:
            raise UsageError(f"no service that goes back to {proposed.release} has a database")
        command.confirm_data_loss(restore_plan, yes=yes)
        rollback_request = replace(request, backup=proposed.release)
        code = command.run(lambda on: operations.deploy(on, project.name, environment, rollback_request))
        return code or command.run(lambda on: operations.deploy(on, project.name, environment, restore_request))


def resume(cwd: Path, deployment_id: str | None, *, as_json: bool) -> int:
    """Go on with a deployment."""
    workspace = Workspace.locate(cwd, os.environ)
    with workspace.open_ledger() as ledger:
        deployment = choose_deployment(ledger, deployment_id, unfinished=True)
        command = DeployCommand(workspace, deployment.environment, ledger, as_json=as_json)
        return command.run(lambda on: operations.resume(on, deployment))


def cancel(cwd: Path, deployment_id: str | None, reason: str, *, as_json: bool) -> int:
    """Turn a deployment back."""
    workspace = Workspace.locate(cwd, os.environ)
    with workspace.open_ledger() as ledger:
        deployment = choose_deployment(ledger, deployment_id, unfinished=True)
        command = DeployCommand(workspace, deployment.environment, ledger, as_json=as_json)
        return command.run(
            lambda on: operations.cancel(on, deployment, reason), expected_state=DeploymentState.CANCELLED
        )


class DeployCommand:
    """One deploying command: its screen, its questions and its end."""

    def __init__(self, workspace: Workspace, environment: str, ledger: SqliteLedger, *, as_json: bool) -> None:
        self._workspace = workspace
        self._environment = environment
        self._ledger = ledger
        self.as_json = as_json
        self._display = ProgressDisplay(ledger, output_stream(as_json=as_json))
        self._active_plan: Plan | None = None
        self.turned_back = False
        """Whether an interrupt turned it back."""

    def report(self, line: str) -> None:
        """Tell one line."""
        self._display.print_line(line)

    def ports(self) -> Ports:
        """Return the seams of the environment."""
        return self._workspace.ports(self._environment, self._ledger)

    def require_clean_tree(self, *, allow_dirty: bool) -> None:
        """Refuse a tree with uncommitted changes, or say what they mean."""
        changed = self.ports().source.uncommitted_files()
        if not changed:
            return
        listed = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        if not allow_dirty:
            raise UsageError(
                f"not committed: {listed}",
                need="a clean tree: what is deployed is what was committed",
                next="git commit, or abreast deploy --allow-dirty to leave these changes out",
            )
        self.report(f"not committed, so not deployed: {listed}")
        if any(Path(name).name == "abreast.yml" for name in changed):
            self.report("abreast.yml is used as it stands on disk, with its uncommitted changes")

    def confirm_plan(self, proposed: Plan, *, yes: bool) -> None:
        """Show the plan and, where it does something, ask whether to go on."""
        for line in plan_lines(proposed):
            self.report(line)
        if yes or not (proposed.traffic_changes or proposed.database_changes):
            return
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes to this plan", next="the same with --yes")
        click.confirm("Go on?", abort=True, err=self.as_json)

    def confirm_data_loss(self, proposed: Plan, *, yes: bool) -> None:
        """Say which rows and minutes a restore would lose, and ask whether to go on."""
        ports = self.ports()
        for part in proposed.database_changes:
            assert part.database_plan
            backup = ports.vault.find_backup(proposed.environment, part.name, part.database_plan.restore)
            if not backup.verified:
                raise DatabaseError(f"the backup {backup.name} was never verified", next="abreast db list")
            for line in databases.data_loss_lines(part.name, backup, row_differences(ports, part.service, backup)):
                self.report(line)
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes to this loss", next="the same with --yes")
        click.confirm("Put it in place of what is there?", abort=True, err=self.as_json)

    def run(
        self,
        operation: Callable[[DeployContext], Awaitable[DeploymentState | None]],
        expected_state: DeploymentState = DeploymentState.SUCCEEDED,
    ) -> int:
        """Carry out, show, and return the exit code; ``good`` is the state that was wanted."""
        state = asyncio.run(self._execute(operation))
        if (
            self._active_plan
            and state is not expected_state
            and (hint := next_command(self._ledger.deployment(self._active_plan.deployment)))
        ):
            self.report(f"next: {hint}")
        if self.as_json:
            print(
                json.dumps(
                    {
                        "state": state.value if state else None,
                        "deployment": self._active_plan and self._active_plan.deployment,
                    }
                )
            )
        if state is None:
            return 0
        if state is expected_state or self._active_plan is None:
            return 0
        return self._ledger.deployment(self._active_plan.deployment).exit_code

    async def _execute(
        self, operation: Callable[[DeployContext], Awaitable[DeploymentState | None]]
    ) -> DeploymentState | None:
        context = self._workspace.deploy_context(
            self._environment, self._ledger, self.report, self._on_deployment_start
        )
        with InterruptHandler(self._display, self._ledger, lambda: self._active_plan) as interrupts:
            try:
                state = await operation(context)
            except StateError as error:
                raise self._as_stuck_error(error) from error
            await self._display.finish()
        self.turned_back = interrupts.turned_back
        if state is None and self._active_plan is None:
            self.report("nothing to do: what is live is what was asked for")
        return state

    def _as_stuck_error(self, error: StateError) -> AbreastError:
        """Say of a deployment that could not be recorded any more that it stands where it stood."""
        if self._active_plan is None:
            return error
        return StuckError(
            error.what, need=error.need, next=f"mend that, then: abreast resume {self._active_plan.deployment}"
        )

    def _on_deployment_start(self, plan: Plan) -> None:
        self._active_plan = plan
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in mask_commands(deployment_secrets(plan, self.ports())):
                print(line, file=sys.stderr, flush=True)
        self._display.start(plan)


def _print_plan(proposed: Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan_json(proposed), indent=2))
        return
    for line in plan_lines(proposed):
        print(line)
