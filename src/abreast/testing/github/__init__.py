"""GitHub, emulated: deployments, checks, comments, settings, webhooks, rate limits, and git over HTTP."""

from abreast.testing.github.emulator import GitHubEmulator
from abreast.testing.github.id_tokens import WorkflowJob
from abreast.testing.github.model import Hook, PullRequest, Repository, Token, WorkflowRun
from abreast.testing.github.rate_limits import RateLimits

__all__ = ["GitHubEmulator", "Hook", "PullRequest", "RateLimits", "Repository", "Token", "WorkflowJob", "WorkflowRun"]
