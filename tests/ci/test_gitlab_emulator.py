"""python-gitlab, a client that others made, holds the emulator of GitLab true."""

from collections.abc import Iterator

import pytest
from gitlab import Gitlab
from gitlab.exceptions import GitlabAuthenticationError, GitlabGetError

from abreast.testing.gitlab import JOB_TOKEN, TOKEN, GitLabEmulator, GitLabJob
from abreast.testing.platforms.threaded_server import ThreadedServer


@pytest.fixture
def url() -> Iterator[str]:
    jobs = [GitLabJob(77, ("bob", 7), "c" * 40, "2026-11-21T02:00:00.000Z", "2026-11-21T02:03:00.000Z")]
    with ThreadedServer(GitLabEmulator(jobs=jobs).app) as server:
        yield server.url


@pytest.mark.parametrize("is_bearer", [False, True], ids=["its header", "bearer"])
def test_it_reads_a_job_of_a_project(url: str, is_bearer: bool) -> None:
    client = Gitlab(url, oauth_token=TOKEN) if is_bearer else Gitlab(url, private_token=TOKEN)
    project = client.projects.get("acme/web/shop")
    job = project.jobs.get(77)
    assert (job.user["username"], job.user["id"], job.commit["id"]) == ("bob", 7, "c" * 40)
    assert (job.status, job.started_at, job.finished_at) == (
        "success", "2026-11-21T02:00:00.000Z", "2026-11-21T02:03:00.000Z",
    )  # fmt: skip
    assert job.web_url == "https://gitlab.example/acme/web/shop/-/jobs/77"
    assert job.pipeline["sha"] == job.commit["id"]


def test_it_is_told_what_is_not_there(url: str) -> None:
    client = Gitlab(url, private_token=TOKEN)
    with pytest.raises(GitlabGetError, match="404 Not Found") as gone:
        client.projects.get("acme/web/shop").jobs.get(78)
    assert gone.value.response_code == 404
    with pytest.raises(GitlabGetError, match="404 Project Not Found"):
        client.projects.get("acme/web")
    with pytest.raises(GitlabAuthenticationError):
        Gitlab(url, private_token=JOB_TOKEN).projects.get("acme/web/shop")
