"""Every CI system that is recognized, in the order in which they are asked."""

from collections.abc import Mapping
from pathlib import Path

from abreast.ci import bitbucket, circleci, github_actions, gitlab, jenkins
from abreast.ci.interface import CiRun, Provider, ReadText

PROVIDERS: tuple[Provider, ...] = (
    github_actions.detect, gitlab.detect, bitbucket.detect, circleci.detect, jenkins.detect,
)  # fmt: skip


def read_text(path: str) -> str:
    """Return the content of a file."""
    return Path(path).read_text(encoding="utf-8")


def detect_run(variables: Mapping[str, str], read: ReadText = read_text) -> CiRun | None:
    """Return the run of a CI system that the variables describe, None if they describe none."""
    return next((run for provider in PROVIDERS if (run := provider(variables, read))), None)
