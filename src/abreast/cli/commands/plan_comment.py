"""``plan --comment``: the plan on the pull request of the workflow's run."""

import asyncio
import os

from abreast.cli.redaction import redact
from abreast.cli.views.plan_markdown import plan_markdown
from abreast.core.model import Plan
from abreast.deploy.refusals import Readiness
from abreast.github.api import VariableSettings, connect_github
from abreast.github.client import GitHubClient
from abreast.github.sticky_comment import pull_request_of, write_sticky_comment
from abreast.github.workflow_run import WorkflowRun
from abreast.provider_api.api_client import AccessDeniedError


def plan_marker(environment: str) -> str:
    """Return the first line of the comment about an environment, which GitHub does not show."""
    return f"<!-- abreast:plan:{environment} -->"


def comment_plan(plan: Plan, readiness: Readiness) -> str:
    """Write the plan as the comment about its environment, and return what was done.

    The token of a fork's pull request may only read, which is no error.
    """
    settings = VariableSettings(os.environ)
    run = WorkflowRun(settings.variable)
    github = GitHubClient(connect_github(settings), run.repository)
    body = redact(f"{plan_marker(plan.environment)}\n{plan_markdown(plan, readiness)}")
    try:
        return asyncio.run(_write(github, run, plan.commit, body))
    except AccessDeniedError:
        if run.pull_request and run.pull_request.is_from_fork:
            return "no comment: the token of a fork's pull request may only read"
        raise


async def _write(github: GitHubClient, run: WorkflowRun, commit: str, body: str) -> str:
    try:
        number = run.pull_request.number if run.pull_request else await pull_request_of(github, commit)
        if number is None:
            return f"no comment: {commit[:7]} has no pull request"
        await write_sticky_comment(github, number, body)
        return f"the plan is a comment on pull request {number}"
    finally:
        await github.close()
