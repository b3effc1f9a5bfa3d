"""GitHub Actions: what its runner is told beside the output."""

from collections.abc import Iterable, Iterator


def mask_commands(secrets: Iterable[str]) -> Iterator[str]:
    """Yield the commands that have the runner mask secrets in all that this job prints, line by line.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    lines = {line.strip() for secret in secrets for line in secret.splitlines()}
    for line in sorted(line for line in lines if len(line) > 3):
        yield f"::add-mask::{line.replace('%', '%25')}"
