"""Commands that read the ledger: history, show."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from abreast.cli.selection import choose_deployment, locate_workspace, read_record, require_known_environment
from abreast.cli.terminal_text import visible
from abreast.cli.views import deployments as view
from abreast.core.events import Event
from abreast.core.states import DeploymentState
from abreast.ledger.deployment_queries import initiator
from abreast.ledger.interface import Deployment
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.lazy_modules import lazy_module

if TYPE_CHECKING:  # what only `show --watch` and a deployment that waits for an approval need
    import asyncio

    from abreast.cli import progress
    from abreast.cli.views import approval_request as approval_view
    from abreast.core.approvals import request as approval_request
    from abreast.deploy.chapters import approval
else:
    asyncio, progress = lazy_module("asyncio"), lazy_module("abreast.cli.progress")
    approval_view = lazy_module("abreast.cli.views.approval_request")
    approval = lazy_module("abreast.deploy.chapters.approval")


def history(environment: str | None, limit: int, *, as_json: bool) -> int:
    """List deployments, newest first."""
    workspace = locate_workspace()
    with read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        deployments = ledger.deployments(environment, limit)
    if as_json:
        print(json.dumps([view.deployment_json(deployment) for deployment in deployments], indent=2))
    else:
        nothing = ["nothing has been deployed yet. next: abreast deploy"]
        _print_lines(view.history_lines(deployments) if deployments else nothing)
    return 0


def show(deployment: str | None, *, watch: bool, as_json: bool) -> int:
    """Show one deployment in full, or follow it until it ends."""
    workspace, code = locate_workspace(), 0
    with read_record(workspace) as ledger:
        chosen = choose_deployment(ledger, deployment)
        if watch and not chosen.state.is_final:
            display = progress.ProgressDisplay(
                ledger, progress.output_stream(as_json=as_json), workspace.deployment_logs
            )
            asyncio.run(display.follow(chosen.id))
            chosen = ledger.deployment(chosen.id)
            code = chosen.exit_code
            if not as_json:
                return code
        events = ledger.events(chosen.id)
        request = _approval_request(ledger, chosen, events)
        who = initiator(ledger.file, chosen.id)
    if as_json:
        more = {"approval": approval_view.request_json(request)} if request else {}
        document = {**view.deployment_json(chosen, events), "identity": view.identity_json(who), **more}
        print(json.dumps(document, indent=2))
    else:
        asked = approval_view.request_lines(request) if request else ()
        _print_lines(view.deployment_lines(chosen, events, who, tuple(asked)))
    return code


def _approval_request(
    ledger: SqliteLedger, deployment: Deployment, events: Sequence[Event]
) -> "approval_request.ApprovalRequest | None":
    """Return the request that a deployment waits with, None if it does not wait for an approval."""
    if deployment.state is not DeploymentState.APPROVING:
        return None
    return approval.approval_request(ledger.stored_plan(deployment.id), events)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line), flush=True)
