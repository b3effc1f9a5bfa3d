"""What the variables of a workflow's run say of it; https://docs.github.com/actions/reference/workflows-and-actions/variables."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from abreast.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class EventPullRequest:
    """The pull request that started a run. The token of one from a fork may only read."""

    number: int
    is_from_fork: bool


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The run that this process belongs to, if to any. ``variable`` returns a variable, None if it is not set."""

    variable: Callable[[str], str | None]

    @property
    def repository(self) -> str:
        """``OWNER/NAME``. Raises UsageError if it is unknown."""
        if found := self.variable("GITHUB_REPOSITORY"):
            return found
        raise UsageError(
            "the repository at GitHub is unknown", need="GITHUB_REPOSITORY", next="export GITHUB_REPOSITORY=OWNER/NAME"
        )

    @property
    def url(self) -> str:
        """The address of the run, "" outside of one."""
        server, run = self.variable("GITHUB_SERVER_URL"), self.variable("GITHUB_RUN_ID")
        if not server or not run:
            return ""
        attempt = self.variable("GITHUB_RUN_ATTEMPT")
        return f"{server}/{self.repository}/actions/runs/{run}{f'/attempts/{attempt}' if attempt else ''}"

    @property
    def pull_request(self) -> EventPullRequest | None:
        """The pull request that started the run, None if something else did."""
        path = self.variable("GITHUB_EVENT_PATH")
        if not path or not Path(path).is_file():
            return None
        pull = json.loads(Path(path).read_text()).get("pull_request")
        if not pull:
            return None
        origin = (pull["head"].get("repo") or {}).get("full_name")
        return EventPullRequest(int(pull["number"]), origin != self.repository)
