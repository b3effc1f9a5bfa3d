"""What a command that followed a deployment says and returns at its end."""

import json
from collections.abc import Callable, Collection, Mapping

from abreast.cli.views.deployments import next_lines
from abreast.core.model import LiveService
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment

AS_IT_WAS = frozenset({DeploymentState.CANCELLED, DeploymentState.TURNED_BACK})
"""The states after which every service is as it was before the deployment."""


def report_outcome(
    deployment: Deployment,
    wanted: Collection[DeploymentState],
    report: Callable[[str], None],
    *,
    live: Mapping[str, LiveService],
    as_json: bool,
) -> int:
    """Report how a deployment ended, and return the exit code: 0 for a wanted state.

    After a release went live, that is the URL of each of the ``live`` services; otherwise the next command.
    """
    is_wanted = deployment.state in wanted
    urls = {name: service.version.url for name, service in live.items() if service.version.url}
    is_live = deployment.state is DeploymentState.SUCCEEDED and deployment.kind.is_releasing
    if deployment.state is DeploymentState.SUCCEEDED and not is_wanted:
        report(f"deployment {deployment.id} had succeeded before it could be turned back")
        report(f"next: abreast rollback --env {deployment.environment} --reason …")
    elif not is_wanted or deployment.state is DeploymentState.APPROVING:
        for line in next_lines(deployment):
            report(line)
    elif is_live:
        width = max(map(len, urls), default=0)
        report(f"{deployment.release} is live in {deployment.environment}")
        for name, url in urls.items():
            report(f"  {name:<{width}}  {url}")
    if as_json:
        document = {"state": deployment.state.value, "deployment": deployment.id}
        print(json.dumps({**document, "release": deployment.release, "urls": urls} if is_live else document))
    return 0 if is_wanted else deployment.exit_code or 1
