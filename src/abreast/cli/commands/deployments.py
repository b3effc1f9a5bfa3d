"""Commands that change what is live. They plan, ask, show progress; ``deploy.operations`` does the work."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.cli.ci.selection import ci_output
from abreast.cli.confirmation import confirm
from abreast.cli.interrupts import InterruptHandler
from abreast.cli.outcome import AS_IT_WAS, report_outcome
from abreast.cli.progress import ProgressDisplay, output_stream
from abreast.cli.redaction import register_secrets
from abreast.cli.selection import choose_deployment, locate_workspace, read_record
from abreast.cli.target import Target, load_target, set_apart
from abreast.cli.terminal_text import visible
from abreast.cli.views import databases
from abreast.cli.views.plan import plan_json, plan_lines, readiness_lines
from abreast.core.environment import Environment
from abreast.core.errors import (
    AbreastError,
    DatabaseError,
    LeaseLostError,
    RefusedError,
    StateError,
    StuckError,
    UsageError,
)
from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.states import DeploymentState
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.refusals import Readiness, assess_readiness, listed_files, uncommitted_changes
from abreast.deploy.runtime.deploy_context import DeployContext
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import deployment_secrets
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:
    from abreast.cli import close_watch, incident_files
    from abreast.cli.ci import report as ci_report
    from abreast.deploy import operations
    from abreast.deploy.data import restore
    from abreast.wiring import audit_key
else:
    close_watch = lazy_module("abreast.cli.close_watch")
    ci_report = lazy_module("abreast.cli.ci.report")
    incident_files = lazy_module("abreast.cli.incident_files")
    operations = lazy_module("abreast.deploy.operations")
    restore = lazy_module("abreast.deploy.data.restore")
    audit_key = lazy_module("abreast.wiring.audit_key")


def plan(
    environment: str | None, services: tuple[str, ...], since: str | None, *, force: bool, comment: bool, as_json: bool
) -> int:
    """Print the plan; with ``comment``, also write it on the pull request of the workflow's run.

    A pull request need not have the values of variables, since it gets no secrets.
    """
    target = load_target(environment, needs_values=not comment)
    request = DeployRequest(services=services, since=since, force=force)
    with read_record(target.workspace) as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        proposed, changed = plan_request(target, command.ports(), request), command.ports().source.uncommitted_files()
        readiness = command.assess(proposed)
    if changed:
        readiness = replace(readiness, refusals=(uncommitted_changes(changed), *readiness.refusals))
    if ci_output(os.environ).has_sections:
        ci_report.report_plan(proposed, readiness)
    if as_json:
        print(json.dumps(plan_json(proposed, readiness), indent=2))
    else:
        print(visible("\n".join((*plan_lines(proposed), *readiness_lines(readiness)))))
    if comment:
        from abreast.cli.commands.plan_comment import comment_plan  # noqa: PLC0415 (slow, and only this needs it)

        print(comment_plan(proposed, readiness, target.workspace.ci_run), file=sys.stderr)
    return 0


def deploy(
    environment: str | None, services: tuple[str, ...], since: str | None, release: str | None,
    skip_gates: tuple[str, ...], reason: str,
    *, force: bool, yes: bool, allow_dirty: bool, allow_older: bool, verbose: bool, as_json: bool,
) -> int:  # fmt: skip
    """Plan, ask for confirmation, deploy. Returns 0 also when there is nothing to do, or the commit is superseded."""
    for option, given in ((f"--skip-gate {' '.join(skip_gates)}", skip_gates), ("--allow-older", allow_older)):
        if given and not reason.strip():
            raise UsageError(f"{option} has no reason", need="--reason, which the ledger records")
    request = DeployRequest(
        services=services, since=since, release=release, reason=reason, force=force, skip_gates=skip_gates,
        allow_older=allow_older,
    )  # fmt: skip
    target = load_target(environment)
    refuse_commits(target.environment)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json, verbose=verbose)
        if not release:
            command.require_clean_tree(allow_dirty=allow_dirty)
        proposed = command.plan(target, request)
        command.confirm_plan(proposed, yes=yes)
        if command.is_carried_out(target, proposed):
            return command.conclude(None)
        return command.deploy(target, request)


def roll_back(
    environment: str, services: tuple[str, ...], release: str | None, reason: str,
    *, emergency: bool, restore_data: bool, yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Deploy an earlier release."""
    request = DeployRequest(DeploymentKind.ROLLBACK, services, release=release, reason=reason, emergency=emergency)
    target = load_target(environment)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        proposed = command.plan(target, request)
        if restore_data:
            request = replace(request, release=proposed.release, backup=proposed.release)
            proposed = command.plan(target, request)
            code = _roll_back_with_data(command, target, request, proposed, yes=yes)
        else:
            command.confirm_plan(proposed, yes=yes)
            code = command.deploy(target, request)
        if emergency and code == 0:
            command.report(close_watch.begin_close_watch(target.workspace, ledger, target.environment.name))
        return code


def _roll_back_with_data(
    command: "DeployCommand", target: Target, request: DeployRequest, proposed: Plan, *, yes: bool
) -> int:
    """Roll the services back, then restore the backups of that release."""
    names = tuple(part.name for part in proposed.rollouts if part.service.database)
    restore_request = DeployRequest(DeploymentKind.RESTORE, names, reason=request.reason, backup=request.backup)
    restore_plan = command.plan(target, restore_request) if names else None
    command.confirm_plan(proposed, yes=yes)
    if restore_plan is None:
        raise UsageError(f"none of the services to roll back to {proposed.release} has a database")
    command.confirm_data_loss(restore_plan, yes=yes)
    rolled_back = command.execute(_deploy_operation(target, request))
    if rolled_back not in {None, DeploymentState.SUCCEEDED}:
        return command.conclude(rolled_back)
    return command.deploy(target, restore_request)


def resume(deployment: str | None, reason: str, *, accept_as_it_is: bool, verbose: bool, as_json: bool) -> int:
    """Resume an interrupted deployment, or retry a turn-back that got stuck.

    With ``accept_as_it_is``, end a stuck one: what cannot be turned back stays as it is. That succeeds if it ends.
    """
    if accept_as_it_is and not reason.strip():
        raise UsageError("--accept-as-it-is has no reason", need="--reason, which the ledger records")
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        chosen = choose_deployment(ledger, deployment, unfinished=True)
        assembly = Assembly(workspace)
        set_apart(assembly, chosen.environment)
        command = DeployCommand(assembly, chosen.environment, ledger, as_json=as_json, verbose=verbose)
        if not accept_as_it_is:
            return command.run(lambda context: operations.resume(context, chosen), _DONE)
        accepted = f"{workspace.operator} accepted it as it is: {reason}"
        return command.run(lambda context: operations.accept_as_it_is(context, chosen, accepted), AS_IT_WAS)


def finish(workspace: Workspace, ledger: SqliteLedger, deployment: Deployment, display: ProgressDisplay) -> None:
    """Execute the rest of a deployment that no process runs."""
    assembly = Assembly(workspace)
    set_apart(assembly, deployment.environment)
    command = DeployCommand(assembly, deployment.environment, ledger, display)
    command.execute(lambda context: operations.resume(context, deployment))


def refuse_commits(environment: Environment) -> None:
    """Raise RefusedError if an environment takes only releases that another one has tried."""
    if rule := environment.promotion:
        raise RefusedError(
            f"{environment.name} takes releases that {rule.source} has tried, not commits",
            next=f"abreast promote --to {environment.name}",
        )


def plan_request(target: Target, ports: Ports, request: DeployRequest) -> Plan:
    """Return the plan of a request; see ``plan_deployment``."""
    return asyncio.run(plan_deployment(ports, target.project.name, target.environment, request))


_DONE = frozenset({DeploymentState.SUCCEEDED, DeploymentState.SUPERSEDED, DeploymentState.APPROVING})
"""The states after which a request is carried out, has no need to be, or waits for people."""

Operation = Callable[[DeployContext], Awaitable[DeploymentState | None]]
"""An operation on deployments. Returns the final state, None if there was nothing to do."""


def _deploy_operation(target: Target, request: DeployRequest) -> Operation:
    return lambda context: operations.deploy(context, target.project.name, target.environment, request)


class DeployCommand:
    """One deploying command: its progress display, its questions, its exit code."""

    def __init__(
        self, assembly: Assembly, environment: str, ledger: SqliteLedger, display: ProgressDisplay | None = None,
        *, as_json: bool = False, verbose: bool = False,
    ) -> None:  # fmt: skip
        self._assembly = assembly
        self._environment = environment
        self._ledger = ledger
        self.as_json = as_json
        out, logs = output_stream(as_json=as_json), assembly.workspace.deployment_logs
        self._display = display or ProgressDisplay(ledger, out, logs, verbose=verbose)
        self._active_plan: Plan | None = None
        self.turned_back = False
        """Whether Ctrl-C turned the deployment back."""

    def report(self, line: str) -> None:
        """Print one line."""
        self._display.print_line(line)

    def ports(self) -> Ports:
        """Return the ports of the environment."""
        return self._assembly.ports(self._environment, self._ledger)

    def plan(self, target: Target, request: DeployRequest) -> Plan:
        """Return the plan of a request. What abreast runs for databases is started, so that the plan can read them."""
        ports = self.ports()
        ports.servers.start(target.environment.services)
        return plan_request(target, ports, request)

    def require_clean_tree(self, *, allow_dirty: bool) -> None:
        """Refuse uncommitted changes, or with ``allow_dirty`` report that they are not deployed."""
        changed = self.ports().source.uncommitted_files()
        if not changed:
            return
        if not allow_dirty:
            raise uncommitted_changes(changed)
        self.report(f"uncommitted changes are not deployed: {listed_files(changed)}")
        if any(Path(name).name == "abreast.yml" for name in changed):
            self.report("except for abreast.yml, which is read with its uncommitted changes")

    def assess(self, proposed: Plan) -> Readiness:
        """Return whether the plan can be deployed now; see ``assess_readiness``."""
        return asyncio.run(assess_readiness(self.ports(), self._lock(), proposed))

    def is_carried_out(self, target: Target, proposed: Plan) -> bool:
        """Return whether the plan needs no deployment, without taking the environment."""
        if not proposed.is_empty:
            return False
        return asyncio.run(operations.is_carried_out(self.ports(), self._lock(), target.environment, proposed))

    def _lock(self) -> EnvironmentLock:
        return self._assembly.workspace.environment_lock(self._environment, self._ledger)

    def confirm_plan(self, proposed: Plan, *, yes: bool) -> None:
        """Print the plan. If it changes anything, ask for confirmation unless ``yes``.

        Raises what would make the deployment fail, before anything is built.
        """
        readiness = Readiness() if proposed.superseded else self.assess(proposed)
        for line in (*plan_lines(proposed), *readiness_lines(replace(readiness, refusals=()))):
            self.report(line)
        readiness.check()
        if proposed.superseded:
            return
        if not proposed.is_empty:
            confirm("Deploy?", "this plan", yes=yes, on_stderr=self.as_json)

    def confirm_data_loss(self, proposed: Plan, *, yes: bool) -> None:
        """Print the minutes and rows that a restore would lose, and ask for confirmation unless ``yes``."""
        ports = self.ports()
        for part in proposed.database_changes:
            assert part.database_plan
            backup = ports.open_vault().find_backup(proposed.environment, part.name, part.database_plan.restore)
            if not backup.verified and not backup.recorded:
                raise DatabaseError(
                    f"the backup {backup.name} was never verified", need="a verified one", next="abreast db list"
                )
            for line in databases.data_loss_lines(
                part.name, backup, restore.row_differences(ports, part.service, backup)
            ):
                self.report(line)
            before = self._ledger.expected_durations(proposed.environment).get((part.name, Chapter.RESTORE))
            for line in databases.waiting_lines(backup, before):
                self.report(line)
        confirm("Replace the database?", "this data loss", yes=yes, on_stderr=self.as_json)

    def deploy(self, target: Target, request: DeployRequest) -> int:
        """Carry the request out and return the exit code."""
        return self.run(_deploy_operation(target, request), _DONE)

    def run(
        self,
        operation: Operation,
        wanted: Collection[DeploymentState] = (DeploymentState.SUCCEEDED,),
    ) -> int:
        """Run the operation, show its progress, and return the exit code: 0 for a wanted state."""
        return self.conclude(self.execute(operation), wanted)

    def conclude(
        self,
        state: DeploymentState | None,
        wanted: Collection[DeploymentState] = (DeploymentState.SUCCEEDED,),
    ) -> int:
        """Report how the operation ended, as the last word of the command, and return the exit code."""
        if state is not None and self._active_plan:
            if state is DeploymentState.SUPERSEDED:
                self.report(f"superseded, so nothing was deployed: {self._active_plan.superseded}")
            deployment = self._ledger.deployment(self._active_plan.deployment)
            live = self._ledger.live_services(self._environment)
            self._display.report_to_ci(self._assembly.workspace, deployment)
            code = report_outcome(deployment, wanted, self.report, live=live, as_json=self.as_json)
            self._report_lock(deployment)
            return code
        self.report("nothing to do: everything is up to date")
        if ci_output(os.environ).has_sections:
            ci_report.report_nothing_to_do()
        if self.as_json:
            print(json.dumps({"state": None, "deployment": None}))
        return 0

    def _report_lock(self, deployment: Deployment) -> None:
        """Say that the deployment locked its environment, if it did."""
        lock = self._ledger.operator_lock(deployment.environment)
        if lock and lock.get("deployment") == deployment.id:
            self.report(f"{deployment.environment} is locked until somebody has looked at it")
            self.report(f"then: abreast unlock --env {deployment.environment}")

    def execute(self, operation: Operation) -> DeploymentState | None:
        """Run the operation and show its progress. Returns the final state, None if there was nothing to do."""
        state = asyncio.run(self._execute(operation))
        if state is not None:
            self._sign_record()
            self._write_incidents()
        return state

    def _write_incidents(self) -> None:
        """Write the reports of incidents. A deployment does not fail if they cannot be written."""
        if self._ledger.incident_candidates(self._environment, 1):
            reports = incident_files.IncidentReports(self._assembly.workspace, self._ledger)
            if fault := reports.write(self._environment, incident_files.MAX_LOOKED_AT):
                self.report(f"the reports of incidents are not written: {fault}")

    def _sign_record(self) -> None:
        """Sign the record as it is now, if there is a key. A deployment does not fail if it cannot be signed."""
        try:
            if signer := audit_key.checkpoint_signer(self._assembly.workspace):
                self._ledger.record_checkpoint(signer)
        except (UsageError, StateError, OSError) as error:
            self.report(f"the record is not signed: {error}")

    async def _execute(self, operation: Operation) -> DeploymentState | None:
        context = self._assembly.deploy_context(self._environment, self._ledger, self.report, self._on_deployment_start)
        with InterruptHandler(self._display, self._ledger, lambda: self._active_plan) as interrupts:
            try:
                state = await operation(context)
            except StateError as error:
                raise self._as_stuck_error(error) from error
            await self._display.finish()
        self.turned_back = interrupts.turned_back
        return state

    def _as_stuck_error(self, error: StateError) -> AbreastError:
        """Return an error that says how to resume a deployment whose record could not be written."""
        if self._active_plan is None or isinstance(error, LeaseLostError):
            return error
        return StuckError(
            error.what, need=error.need, next=f"fix that, then: abreast resume {self._active_plan.deployment}"
        )

    def _on_deployment_start(self, plan: Plan) -> None:
        self._active_plan = plan
        if (ci := ci_output(os.environ)).has_sections:
            self._display.print_commands(ci.masks(register_secrets(deployment_secrets(plan, self.ports()))))
        self._display.start(plan.deployment)
