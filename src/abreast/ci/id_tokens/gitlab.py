"""ID tokens of GitLab CI: https://docs.gitlab.com/ci/secrets/id_token_authentication."""

from collections.abc import Iterator

from abreast.ci.id_tokens.interface import (
    Claims,
    IdTokenProvider,
    RunStatement,
    TokenSource,
    Variables,
    contradictions,
    text,
)
from abreast.core.identity import IdToken
from abreast.core.secrets import Secret

SYSTEM = "GitLab"
TOKEN = "ABREAST_ID_TOKEN"  # noqa: S105 (the name of a variable)
"""What the job asks for in its ``id_tokens:``."""

_EXPECTED = {
    "pipeline_id": "CI_PIPELINE_ID", "job_id": "CI_JOB_ID", "user_id": "GITLAB_USER_ID",
    "user_login": "GITLAB_USER_LOGIN",
}  # fmt: skip
_OF_THE_JOB = {"job_project_id": "CI_PROJECT_ID", "job_project_path": "CI_PROJECT_PATH"}
_OF_THE_SOURCE = {"project_id": "CI_PROJECT_ID", "project_path": "CI_PROJECT_PATH"}
_OF_A_FORK = {
    "project_id": "CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "project_path": "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH",
}  # fmt: skip


def find(variables: Variables) -> TokenSource | None:
    """Return the token of a job that asked for one. It is valid as long as the job may run."""
    token = variables.get(TOKEN)
    return TokenSource(SYSTEM, variables.get("CI_SERVER_URL", ""), Secret(TOKEN, token)) if token else None


def read(claims: Claims, variables: Variables) -> RunStatement:
    """Return what the token says of the job. Whoever retries a job starts another one, so it names the person."""
    token = IdToken(
        issuer=text(claims, "iss"),
        subject=text(claims, "sub"),
        id=text(claims, "jti"),
        repository_id=text(claims, "job_project_id") or text(claims, "project_id"),
        owner_id=text(claims, "job_namespace_id") or text(claims, "namespace_id"),
        actor=text(claims, "user_login"),
        actor_id=text(claims, "user_id"),
        run_id=text(claims, "pipeline_id"),
        job_id=text(claims, "job_id"),
        workflow=text(claims, "ci_config_ref_uri"),
        environment=text(claims, "environment"),
        ref=text(claims, "ref_path") or text(claims, "ref"),
        commit=text(claims, "sha"),
    )
    expected = {**_EXPECTED, **_project_claims(claims, variables)}
    wrong = (*contradictions(SYSTEM, claims, variables, expected), *_other_job(token, variables))
    return RunStatement(token, wrong, names_person=True)


def _project_claims(claims: Claims, variables: Variables) -> dict[str, str]:
    """Return the claims of the project. Since 18.2.2 that is the fork of a merge request; since 18.3 the job's, too.

    https://gitlab.com/gitlab-org/gitlab/-/issues/563038
    """
    if "job_project_id" in claims:
        return _OF_THE_JOB
    own = variables.get("CI_PROJECT_ID")
    return _OF_A_FORK if variables.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", own) != own else _OF_THE_SOURCE


def _other_job(token: IdToken, variables: Variables) -> Iterator[str]:
    """Yield that the address of the job, which is recorded, is that of another one."""
    job = f"{variables.get('CI_SERVER_URL', '')}/{variables.get('CI_PROJECT_PATH', '')}/-/jobs/{token.job_id}"
    if variables.get("CI_JOB_URL", "").casefold() != job.casefold():
        yield f"CI_JOB_URL is {variables.get('CI_JOB_URL') or 'not set'}, and the job is {job}"


PROVIDER = IdTokenProvider(find, read)
