"""What a command that followed a deployment says and returns at its end."""

import json
from collections.abc import Callable, Collection

from abreast.cli.views.deployments import next_lines
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment

AS_IT_WAS = frozenset({DeploymentState.CANCELLED, DeploymentState.TURNED_BACK})
"""The states after which every service is as it was before the deployment."""


def report_outcome(
    deployment: Deployment, wanted: Collection[DeploymentState], report: Callable[[str], None], *, as_json: bool
) -> int:
    """Report how a deployment ended, with the next command, and return the exit code: 0 for a wanted state."""
    is_wanted = deployment.state in wanted
    if deployment.state is DeploymentState.SUCCEEDED and not is_wanted:
        report(f"deployment {deployment.id} had succeeded before it could be turned back")
        report(f"next: abreast rollback --env {deployment.environment} --reason …")
    elif not is_wanted:
        for line in next_lines(deployment):
            report(line)
    if as_json:
        print(json.dumps({"state": deployment.state.value, "deployment": deployment.id}))
    return 0 if is_wanted else deployment.exit_code or 1
