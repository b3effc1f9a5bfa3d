"""The client of GitHub: what it sends, what it makes of refusals, and the limits that it keeps."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from abreast.core.errors import PlatformError
from abreast.github.api import VariableSettings, connect_github, throttled_for
from abreast.github.client import GitHubClient
from abreast.github.content_limit import Allowance, ContentLimit
from abreast.github.resources import (
    Annotation,
    AnnotationLevel,
    CheckReport,
    Conclusion,
    DeploymentRecord,
    DeploymentState,
    NewDeployment,
    NewStatus,
    RecordStatus,
)  # fmt: skip
from abreast.provider_api.api_client import AccessDeniedError, UnknownOutcomeError
from abreast.testing.github import RateLimits
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from github_stage import ADMIN, TOKEN, GitHubStage, github_stage, push_branch


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path) as made:
        yield made


def test_a_deployment_and_its_statuses(stage: GitHubStage) -> None:
    async def work(github: GitHubClient) -> None:
        new = NewDeployment(stage.commit, "preview/api", "v7", transient=True, payload="D1")
        made = await github.create_deployment(new)
        await github.add_status(made.id, NewStatus(DeploymentState.IN_PROGRESS, "x" * 200, "", "https://run"))
        await github.add_status(made.id, NewStatus(DeploymentState.SUCCESS, "", "https://shop.example"))
        assert [each.id for each in await github.list_deployments(stage.commit, "preview/api")] == [made.id]
        assert await github.list_deployments(stage.commit, "production") == []
        states = [status.state for status in await github.list_statuses(made.id)]
        assert states == [DeploymentState.SUCCESS, DeploymentState.IN_PROGRESS]

    stage.run(work)
    (made,) = stage.repository.deployments
    assert (made.payload, made.is_transient, made.is_production) == ("D1", True, False)
    assert len(made.statuses[0].description) == 140


def test_records_of_artifacts(stage: GitHubStage) -> None:
    stage.repository.owner_type = "Organization"

    async def work(github: GitHubClient) -> None:
        assert (await github.get_repository()).owner.type == "Organization"
        for status in RecordStatus:
            await github.put_deployment_record(
                DeploymentRecord("n" * 300, f"sha256:{'a' * 64}", "v7", status, "staging", "shop/api", {"a": "b"})
            )

    stage.run(work)
    ((place, record),) = stage.emulator.deployment_records["octo"].items()
    assert place == ("staging", "", "", "shop/api")
    assert (record.fields["status"], record.fields["tags"]) == ("decommissioned", {"a": "b"})


def test_a_branch_that_is_behind_is_not_merged_into(stage: GitHubStage) -> None:
    """Nothing is merged and no check is waited for, although GitHub does both unless it is told not to."""
    push_branch(stage.repository, stage.folder / "work", "topic")
    stage.repository.git("update-ref", "refs/heads/behind", stage.commit)
    stage.repository.git("update-ref", "refs/heads/main", stage.repository.commit_of("topic"))

    async def work(github: GitHubClient) -> None:
        await github.create_check_run(stage.commit, "tests", "", CheckReport("t", "s", Conclusion.FAILURE))
        await github.create_deployment(NewDeployment("behind", "production", ""))

    stage.run(work)
    assert stage.repository.deployments[0].sha == stage.commit


def test_an_answer_that_nothing_was_created_is_an_error(stage: GitHubStage) -> None:
    body = '{"message": "Auto-merged main into topic on deployment."}'
    stage.emulator.faults.planned.append(
        InjectedFault("POST", "/deployments$", FaultKind.STATUS, status=202, body=body)
    )
    with pytest.raises(PlatformError, match="created no deployment of topic: Auto-merged main"):
        stage.run(lambda github: github.create_deployment(NewDeployment("topic", "production", "")))


def test_a_check_run_with_more_annotations_than_a_request_may_carry(stage: GitHubStage) -> None:
    notes = tuple(Annotation("app.py", line, AnnotationLevel.WARNING, "slow") for line in range(1, 121))

    async def work(github: GitHubClient) -> None:
        made = await github.create_check_run(
            stage.commit, "abreast", "id", CheckReport("Running", "…", None, "", notes)
        )
        assert [run.id for run in await github.list_check_runs(stage.commit, "abreast")] == [made.id]
        assert await github.list_check_runs(stage.commit, "other") == []
        await github.update_check_run(made.id, CheckReport("Live", "all", Conclusion.SUCCESS, "https://run"))

    stage.run(work)
    (run,) = stage.repository.check_runs
    assert len(run.annotations) == 120
    assert run.fields["conclusion"] == "success"
    assert len(stage.requests("PATCH", "/check-runs/")) == 3


def test_comments_over_many_pages(stage: GitHubStage) -> None:
    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)

    async def work(github: GitHubClient) -> None:
        (pull,) = await github.list_pull_requests(stage.commit)
        made = [await github.create_comment(pull.number, f"number {n}") for n in range(3)]
        for comment in stage.repository.comments[:1] * 120:
            stage.repository.comments.append(comment)
        assert len(await github.list_comments(7)) == 123
        await github.update_comment(made[0].id, "y" * 70_000)
        await github.delete_comment(made[2].id)
        await github.delete_comment(made[2].id)

    stage.run(work)
    assert len(stage.repository.comments[0].body) == 65_536


@pytest.mark.parametrize(
    ("permission", "call"),
    [
        ("deployments: write", lambda g: g.create_deployment(NewDeployment("main", "x", ""))),
        ("checks: write", lambda g: g.create_check_run("0" * 40, "x", "", CheckReport("", ""))),
        ("issues: write", lambda g: g.create_comment(7, "x")),
        ("pull-requests: read", lambda g: g.list_pull_requests("main")),
        ("administration: read", lambda g: g.get_branch_protection("main")),
    ],
)
def test_a_missing_permission_is_named(stage: GitHubStage, permission: str, call: object) -> None:
    stage.emulator.add_token("ghs_reader", contents="read")
    with pytest.raises(AccessDeniedError) as refused:
        stage.run(call, token="ghs_reader")  # type: ignore[arg-type]
    assert refused.value.permission == permission
    assert permission in refused.value.need


def test_a_person_may_not_make_check_runs(stage: GitHubStage) -> None:
    with pytest.raises(AccessDeniedError, match="may not do this"):
        stage.run(lambda g: g.create_check_run(stage.commit, "x", "", CheckReport("", "")), token=ADMIN)


@pytest.mark.parametrize(("token", "what"), [("ghs_wrong", "is refused"), (None, "is missing")])
def test_a_token_that_is_wrong_or_missing(stage: GitHubStage, token: str | None, what: str) -> None:
    with pytest.raises(AccessDeniedError, match=f"the token {what}") as refused:
        stage.run(lambda github: github.get_repository(), token=token)
    assert "ghs_wrong" not in str(refused.value)


def test_the_scope_of_a_classic_token_is_named(stage: GitHubStage) -> None:
    scopes = {"X-Accepted-OAuth-Scopes": "repo_deployment, repo", "X-OAuth-Scopes": ""}
    stage.emulator.faults.planned.append(
        InjectedFault("POST", "/deployments$", FaultKind.STATUS, status=403, headers=scopes, body="{}")
    )
    with pytest.raises(AccessDeniedError) as refused:
        stage.run(lambda github: github.create_deployment(NewDeployment("main", "x", "")))
    assert refused.value.permission == "the scope repo_deployment"


def test_rate_limits_are_waited_for(stage: GitHubStage) -> None:
    for headers in ({"Retry-After": "0"}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}):
        stage.emulator.faults.planned.append(
            InjectedFault("POST", "/deployments$", FaultKind.STATUS, status=403, headers=headers, body="{}")
        )
    stage.run(lambda github: github.create_deployment(NewDeployment("main", "production", "")))
    assert len(stage.requests("POST")) == 3
    assert len(stage.repository.deployments) == 1


def test_a_limit_that_lasts_is_an_error_with_its_end(stage: GitHubStage) -> None:
    stage.emulator.rate_limits.requests_per_hour = 1
    with pytest.raises(PlatformError, match=r"rate limit exceeded until 20\d\d-\d\d-\d\d \d\d:\d\d UTC"):
        stage.run(_twice)


async def _twice(github: GitHubClient) -> None:
    await github.get_repository()
    await github.get_repository()


def test_a_secondary_limit_without_a_time_is_a_minute() -> None:
    primary = {"x-ratelimit-remaining": "900", "x-ratelimit-reset": "99999999999"}
    answer = httpx2.Response(403, headers=primary, json={"message": "You have exceeded a secondary rate limit."})
    assert throttled_for(answer, 0.0) == 60.0
    assert throttled_for(httpx2.Response(403, json={"message": "Resource not accessible"}), 0.0) is None


def test_no_more_content_is_made_than_github_allows(stage: GitHubStage) -> None:
    """The clocks of both are this one: it goes on only while somebody waits."""
    moment, waits = [1000.0], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        moment[0] += seconds

    limits = stage.emulator.rate_limits
    limits.clock = lambda: moment[0]
    limits.content_per_minute = 5
    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)
    limit = ContentLimit((Allowance(5, 60.0), Allowance(500, 3600.0)), lambda: moment[0], sleep)

    async def story() -> None:
        github = stage.client(limit=limit)
        for number in range(12):
            await github.create_comment(7, f"{number}")
        await github.close()

    asyncio.run(story())
    assert len(stage.requests("POST")) == 12, "none was refused"
    assert waits == [60.0, 60.0]


def test_what_may_have_been_carried_out_is_not_sent_again(stage: GitHubStage) -> None:
    stage.emulator.faults.planned.append(InjectedFault("POST", "/deployments$", FaultKind.RESPONSE_LOST))
    with pytest.raises(UnknownOutcomeError):
        stage.run(lambda github: github.create_deployment(NewDeployment("main", "production", "")))
    assert len(stage.requests("POST")) == 1
    assert len(stage.repository.deployments) == 1


def test_reading_is_repeated_where_github_is_away_for_a_moment(stage: GitHubStage) -> None:
    stage.emulator.faults.planned.append(InjectedFault("GET", ".", FaultKind.STATUS, status=502, times=2))
    assert stage.run(lambda github: github.get_repository()).default_branch == "main"


@pytest.mark.parametrize("variables", [{"GITHUB_TOKEN": TOKEN}, {"GH_TOKEN": TOKEN, "GITHUB_TOKEN": "ghs_other"}])
def test_address_and_token_are_those_of_the_environment(stage: GitHubStage, variables: dict[str, str]) -> None:
    """The address is an Enterprise server's."""

    async def story() -> str:
        api = connect_github(VariableSettings({**variables, "GITHUB_API_URL": f"{stage.url}/api/v3"}))
        try:
            return (await GitHubClient(api, "octo/shop").get_repository()).full_name
        finally:
            await api.close()

    assert asyncio.run(story()) == "octo/shop"


def test_settings_of_the_repository(stage: GitHubStage) -> None:
    async def work(github: GitHubClient) -> None:
        assert await github.get_branch_protection("main") is None
        assert await github.get_environment("production") is None
        await github.change("PUT", "/environments/production", {"reviewers": [{"type": "User", "id": 1}]})
        environment = await github.get_environment("production")
        assert environment is not None
        assert environment.reviewers == ("octocat",)
        stage.repository.environments["production"].secrets["NETLIFY_AUTH_TOKEN"] = "…"
        stage.repository.organization_secrets.add("RENDER_API_KEY")
        assert await github.list_secret_names("production") == {"NETLIFY_AUTH_TOKEN"}
        assert await github.list_secret_names() == frozenset()
        assert await github.list_shared_secret_names() == {"RENDER_API_KEY"}
        assert (await github.get_actions_permissions()).enabled
        assert (await github.get_workflow_permissions()).default_workflow_permissions == "read"
        assert await github.get_concurrency_group("deploy/production") is None
        stage.repository.groups["deploy/production"] = [(1, "in_progress"), (2, "pending")]
        group = await github.get_concurrency_group("deploy/production")
        assert group is not None
        assert [member.status for member in group.group_members] == ["in_progress", "pending"]

    stage.run(work, token=ADMIN)


def test_a_limit_is_counted_for_each_token() -> None:
    limits = RateLimits(requests_per_hour=1, clock=lambda: 5000.0)
    assert limits.refuse("a", "GET") is None
    refused = limits.refuse("a", "GET")
    assert refused is not None
    assert refused.headers["x-ratelimit-reset"] == str(5000 + 3600)
    assert limits.refuse("b", "GET") is None
