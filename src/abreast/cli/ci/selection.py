"""Which CI system shows the output of this command."""

from collections.abc import Iterator, Mapping

from abreast.cli.ci.interface import CiOutput, Problem


def ci_output(variables: Mapping[str, str]) -> CiOutput:
    """Return what the CI system whose variables these are can show."""
    if variables.get("GITHUB_ACTIONS") == "true":
        from abreast.cli.ci.github_actions import GitHubActions  # noqa: PLC0415 (most commands run on a person's machine)

        return GitHubActions(variables)
    if variables.get("GITLAB_CI") == "true":
        from abreast.cli.ci.gitlab import GitLabCi  # noqa: PLC0415 (as above)

        return GitLabCi(variables)
    return CiOutput()


def error_annotation(variables: Mapping[str, str], text: str) -> Iterator[str]:
    """Yield the lines that show the error of a command that began no deployment with the run."""
    return ci_output(variables).annotations([Problem("abreast", text)])
