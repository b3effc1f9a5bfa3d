"""GitHub Actions: workflow commands for its runner."""

from collections.abc import Iterable, Iterator


def mask_commands(secrets: Iterable[str]) -> Iterator[str]:
    """Yield the workflow commands that mask secrets in the output of this job, one per line of each secret.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    lines = {line.strip() for secret in secrets for line in secret.splitlines()}
    for line in sorted(line for line in lines if len(line) > 3):
        yield f"::add-mask::{line.replace('%', '%25')}"
