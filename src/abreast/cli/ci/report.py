"""Shows in the run of a CI system how a deployment ended, and gives the results to later steps and jobs."""

import os
from collections.abc import Iterator

from abreast.cli.ci.problems import deployment_problems, project_folder
from abreast.cli.ci.selection import ci_output
from abreast.cli.redaction import redact_only
from abreast.cli.views.deployment_markdown import deployment_markdown
from abreast.cli.views.plan_markdown import plan_markdown
from abreast.cli.views.service_outcomes import output_values, service_outcomes
from abreast.core.approvals.request import request_sections
from abreast.core.plan import Plan
from abreast.core.states import DeploymentState
from abreast.deploy.chapters.approval import approval_request
from abreast.deploy.refusals import Readiness
from abreast.ledger.interface import Deployment, Ledger
from abreast.wiring.workspace import Workspace


def report_deployment(workspace: Workspace, ledger: Ledger, deployment: Deployment) -> Iterator[str]:
    """Write outputs and the summary, and yield the lines that annotate what failed."""
    ci, run = ci_output(os.environ), workspace.ci_run
    plan, events = ledger.stored_plan(deployment.id), ledger.events(deployment.id)
    outcomes = service_outcomes(plan, events, ledger.live_services(deployment.environment))
    repository = f"{run.server_url}/{run.repository}" if run and run.server_url else ""
    back = _release_before(ledger, deployment)
    is_waiting = deployment.state is DeploymentState.APPROVING
    asked = request_sections(approval_request(plan, events)) if is_waiting else ()
    summary = deployment_markdown(deployment, events, outcomes, repository=repository, back=back, asked=asked)
    values = output_values(plan, deployment.state.value, outcomes)
    ci.publish({name: redact_only(value) for name, value in values}, redact_only(summary))
    yield from ci.annotations(list(deployment_problems(plan, events, project_folder(workspace.root))))


def report_plan(plan: Plan, readiness: Readiness) -> None:
    """Show a plan with the run."""
    ci_output(os.environ).publish({}, redact_only(plan_markdown(plan, readiness)))


def report_nothing_to_do() -> None:
    """Give later steps the outcome of a command that had nothing to do."""
    outputs = {"release": "", "deployment": "", "outcome": "unchanged", "urls": "{}"}
    ci_output(os.environ).publish(outputs, "Nothing to do: everything is up to date.")


def _release_before(ledger: Ledger, deployment: Deployment) -> str:
    """Return the release that went live before this one, "" if there is none."""
    earlier = (
        other.release
        for other in ledger.deployments(deployment.environment, limit=1000)
        if other.state is DeploymentState.SUCCEEDED and other.kind.is_releasing and other.id < deployment.id
    )
    return next((release for release in earlier if release != deployment.release), "")
