"""Bitbucket Pipelines: https://support.atlassian.com/bitbucket-cloud/docs/variables-and-secrets/."""

from collections.abc import Mapping

from abreast.ci.interface import CiRun, ReadText, git_ref, number

SERVER = "https://bitbucket.org"


def detect(variables: Mapping[str, str], _: ReadText) -> CiRun | None:
    """Return the step of Bitbucket Pipelines that the variables describe. It tells who started it by id only."""
    build = variables.get("BITBUCKET_BUILD_NUMBER")
    if not build:
        return None
    get = variables.get
    repository, pull_request = get("BITBUCKET_REPO_FULL_NAME", ""), number(get("BITBUCKET_PR_ID"))
    return CiRun(
        provider="bitbucket",
        url=f"{SERVER}/{repository}/pipelines/results/{build}",
        actor=get("BITBUCKET_STEP_TRIGGERER_UUID", ""),
        actor_id=get("BITBUCKET_STEP_TRIGGERER_UUID", ""),
        ref=git_ref(get("BITBUCKET_BRANCH", ""), get("BITBUCKET_TAG", "")),
        branch=get("BITBUCKET_BRANCH", ""),
        commit=get("BITBUCKET_COMMIT", ""),
        pull_request=pull_request,
        is_fork=None if pull_request else False,
        repository=repository,
        server_url=SERVER,
        attempt=number(get("BITBUCKET_STEP_RUN_NUMBER")) or 1,
    )
