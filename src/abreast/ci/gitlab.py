"""GitLab CI: https://docs.gitlab.com/ci/variables/predefined_variables."""

from collections.abc import Mapping

from abreast.ci.interface import CiRun, ReadText, git_ref, number


def detect(variables: Mapping[str, str], _: ReadText) -> CiRun | None:
    """Return the job of GitLab CI that the variables describe. A job that is retried is a new one."""
    if variables.get("GITLAB_CI") != "true":
        return None
    get = variables.get
    branch = get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or get("CI_COMMIT_BRANCH", "")
    merge_request = number(get("CI_MERGE_REQUEST_IID"))
    source, target = get("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"), get("CI_MERGE_REQUEST_PROJECT_PATH")
    return CiRun(
        provider="gitlab",
        url=get("CI_JOB_URL", ""),
        actor=get("GITLAB_USER_LOGIN", ""),
        actor_id=get("GITLAB_USER_ID", ""),
        event=get("CI_PIPELINE_SOURCE", ""),
        ref=get("CI_MERGE_REQUEST_REF_PATH") or git_ref(branch, get("CI_COMMIT_TAG", "")),
        branch=branch,
        # Only pipelines of a merged result have the former; there CI_COMMIT_SHA is the merge.
        commit=get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or get("CI_COMMIT_SHA", ""),
        pull_request=merge_request,
        is_fork=(source != target if source and target else None) if merge_request else False,
        repository=get("CI_PROJECT_PATH", ""),
        server_url=get("CI_SERVER_URL", ""),
        api_url=get("CI_API_V4_URL", ""),
    )
