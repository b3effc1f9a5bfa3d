"""``plan --comment``: the plan on the pull request of the workflow's run."""

import asyncio
import os

from abreast.ci.interface import CiRun
from abreast.cli.redaction import redact
from abreast.cli.views.plan_markdown import plan_markdown
from abreast.core.plan import Plan
from abreast.deploy.refusals import Readiness
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.github.sticky_comment import pull_request_of, write_sticky_comment
from abreast.provider_api.api_client import AccessDeniedError


def plan_marker(environment: str) -> str:
    """Return the first line of the comment about an environment, which GitHub does not show."""
    return f"<!-- abreast:plan:{environment} -->"


def comment_plan(plan: Plan, readiness: Readiness, run: CiRun | None) -> str:
    """Write the plan as the comment about its environment on the run's pull request, and return what was done.

    The token of a fork's pull request may only read, which is no error.
    """
    settings = VariableSettings(os.environ)
    github = GitHubClient(connect_github(settings), repository_name(settings.variable))
    body = redact(f"{plan_marker(plan.environment)}\n{plan_markdown(plan, readiness)}")
    try:
        return asyncio.run(_write(github, run.pull_request if run else None, plan.commit, body))
    except AccessDeniedError:
        if run and run.pull_request and run.is_fork:
            return "no comment: the token of a fork's pull request may only read"
        raise


async def _write(github: GitHubClient, number: int | None, commit: str, body: str) -> str:
    try:
        number = number or await pull_request_of(github, commit)
        if number is None:
            return f"no comment: {commit[:7]} has no pull request"
        await write_sticky_comment(github, number, body)
        return f"the plan is a comment on pull request {number}"
    finally:
        await github.close()
