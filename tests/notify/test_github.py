"""GitHub is told of deployments: whatever happens to abreast or to GitHub, each thing is there once and says the truth."""

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abreast.core.codec import dump
from abreast.core.events import Event, EventKind
from abreast.core.gates import Finding, GateResult, GateVerdict, Severity
from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind, OnFailure, Plan
from abreast.core.states import DeploymentState
from abreast.github.resources import Annotation, AnnotationLevel, Conclusion
from abreast.github.sticky_comment import write_sticky_comment
from abreast.notify.github.check_run import CheckRunPart
from abreast.notify.github.notifier import GitHubNotifier
from abreast.notify.github.wording import check_report
from abreast.notify.interface import NotificationDelayedError, NotificationError, SentMessages, Snapshot
from abreast.testing.github import Repository
from abreast.testing.github.model import Review
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from fork_server import StartedCommand
from github_stage import TOKEN, GitHubStage, github_stage
from sample_project import NEVER_HEALTHY, SampleProject

RUN = "https://github.example/octo/shop/actions/runs/42/attempts/1"


@dataclass
class Told:
    """The sample project, whose repository is at GitHub."""

    project: SampleProject
    stage: GitHubStage
    token: str = TOKEN
    more: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> Repository:
        return self.stage.repository

    @property
    def variables(self) -> dict[str, str]:
        return {
            "GITHUB_API_URL": self.stage.url, "GITHUB_TOKEN": self.token, "GITHUB_REPOSITORY": "octo/shop",
            "GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "1",
            **self.more,
        }  # fmt: skip

    def deploy(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return self.project.deploy(*arguments, code=code, variables=self.variables)

    def statuses(self, environment: str) -> list[list[str]]:
        """Return the states of each deployment to an environment, oldest first."""
        made = [each for each in self.repository.deployments if each.environment == environment]
        return [[status.state for status in each.statuses] for each in made]

    def conclusions(self) -> list[str | None]:
        return [run.fields.get("conclusion") for run in self.repository.check_runs]

    def records(self) -> dict[str, tuple[object, ...]]:
        """Return what the organization knows of each service's artifact."""
        keys = ("status", "logical_environment", "digest", "version", "tags")
        made = self.stage.emulator.deployment_records.get("octo", {}).values()
        return {record.fields["name"]: tuple(record.fields[key] for key in keys) for record in made}

    def pull_request(self, number: int) -> None:
        commit = self.project.git("rev-parse", "HEAD").strip()
        self.stage.emulator.add_pull_request(self.repository, number, commit)


@pytest.fixture
def told(project: SampleProject, tmp_path: Path) -> Iterator[Told]:
    with github_stage(tmp_path / "github") as stage:
        stage.repository.path = project.folder
        project.config["notify"] = {"github": None}
        project.commit("Tell GitHub")
        made = Told(project, stage)
        made.pull_request(7)
        yield made


def test_a_deployment_is_reported(told: Told) -> None:
    told.project.config["environments"]["production"] = told.project.config["environments"].pop("local")
    told.project.commit()
    told.pull_request(8)
    told.deploy("--env", "production")
    made = {each.environment: each for each in told.repository.deployments}
    assert set(made) == {"production/backend", "production/frontend"}
    assert made["production/backend"].is_production
    assert not made["production/backend"].is_transient
    (states,) = told.statuses("production/backend")
    assert (states[0] in {"queued", "in_progress"}, states[-1]) == (True, "success")
    last = made["production/backend"].statuses[-1]
    assert last.environment_url == f"http://127.0.0.1:{told.project.backend_port}"
    assert (last.log_url, last.description) == (RUN, "v1 is live")
    (run,) = told.repository.check_runs
    assert (run.fields["name"], run.fields["conclusion"]) == ("abreast / production", "success")
    assert run.fields["details_url"] == RUN
    (comment,) = told.repository.comments
    assert comment.number == 8
    assert comment.body.startswith("<!-- abreast:deploy:production -->\n**v1 is live in production**")
    assert f"| backend | local | ✅ v1 is live http://127.0.0.1:{told.project.backend_port} |" in comment.body

    told.project.config["environments"]["production"]["settle"] = "3s"  # longer than between two looks
    told.project.commit("Again", app_py=told.project.app_source("    return 200, {'again': 1}\n"))
    told.repository.pull_requests[-1].commits.append(told.project.git("rev-parse", "HEAD").strip())
    told.deploy("--env", "production")
    assert [states[-2:] for states in told.statuses("production/backend")] == [
        ["success", "inactive"],
        ["in_progress", "success"],
    ]
    (comment,) = told.repository.comments
    assert "**v2 is live in production**" in comment.body
    assert told.conclusions() == ["success", "success"]
    assert told.repository.check_runs[0].fields["head_sha"] != told.repository.check_runs[1].fields["head_sha"]


@pytest.mark.exhaustive
def test_after_a_failure_the_previous_release_is_live(told: Told) -> None:
    told.deploy()
    told.repository.deployments[0].statuses[-1].state = "inactive"  # as if somebody had ended it by hand
    ended = told.repository.deployments[0].environment
    told.project.config["services"]["backend"]["health"]["start"] = "1s"
    told.project.commit("Sick", app_py=told.project.app_source(NEVER_HEALTHY))
    told.pull_request(9)
    told.deploy(code=1)
    failed = [each for each in told.repository.deployments if each.state == "failure"]
    assert {each.environment for each in failed} <= {"local/backend", "local/frontend"}
    assert "local/backend" in {each.environment for each in failed}
    assert failed[0].statuses[-1].description == "failed; v1 is live"
    live = {each.environment for each in told.repository.deployments if each.state == "success"}
    assert live == {"local/backend", "local/frontend"} - ({ended} - {each.environment for each in failed})
    assert told.conclusions() == ["success", "failure"]
    assert "v2 failed and was turned back in local" in told.repository.comments[-1].body
    assert "health" in told.repository.comments[-1].body


def test_a_missing_permission_is_said_once_and_the_rest_goes_on(told: Told) -> None:
    told.stage.emulator.add_token("ghs_comments", contents="read", pull_requests="write")
    told.token = "ghs_comments"
    done = told.deploy()
    said = done.stdout + done.stderr
    assert said.count("github was not told") == 1
    assert "permissions: {deployments: write, checks: write} in the workflow" in said
    assert "**v1 is live in local**" in told.repository.comments[0].body
    assert told.project.status()["release"] == "v1"


def test_an_organization_has_a_record_of_what_runs_where(told: Told) -> None:
    told.repository.owner_type = "Organization"
    told.deploy()
    status = told.project.status()["services"]
    assert told.records() == {
        f"shop/{name}": ("deployed", "local", status[name]["artifact"], "v1", {"platform": "local"})
        for name in ("backend", "frontend")
    }
    told.project.config["services"]["backend"]["health"]["start"] = "1s"
    told.project.commit("Sick", app_py=told.project.app_source(NEVER_HEALTHY))
    before = told.records()
    told.deploy(code=1)
    assert told.records() == before, "v1 is live still"
    del told.project.config["services"]["backend"], told.project.config["environments"]["local"]["backend"]
    told.project.commit("Without a backend")
    told.deploy()
    now = told.records()
    assert (now["shop/backend"][0], now["shop/backend"][2]) == ("decommissioned", status["backend"]["artifact"])
    assert now["shop/frontend"][0] == "deployed"
    assert now["shop/frontend"][2] == told.project.status()["services"]["frontend"]["artifact"]
    told.project.run("rollback", "--yes", "--reason", "x", "--to", "v1", variables=told.variables)
    assert {name: record[0] for name, record in told.records().items()} == dict.fromkeys(before, "deployed")


def test_a_person_has_no_records_and_that_is_no_remark(told: Told) -> None:
    done = told.deploy()
    assert told.stage.requests("POST", "/deployment-record") == []
    assert "github was not told" not in done.stdout + done.stderr


@pytest.mark.parametrize("status", [403, 404])
def test_an_organization_that_refuses_records_is_said_once(told: Told, status: int) -> None:
    told.repository.owner_type = "Organization"
    fault = InjectedFault(
        "POST", "/deployment-record", FaultKind.STATUS, times=99, status=status, body='{"message": "no"}'
    )
    told.stage.emulator.faults.planned.append(fault)
    done = told.deploy()
    assert (done.stdout + done.stderr).count("github was not told: records: ") == 1
    assert len(told.stage.requests("POST", "/deployment-record")) == 1, "the second service is not tried"
    assert told.conclusions() == ["success"]


@pytest.mark.exhaustive
def test_without_a_token_that_is_said(told: Told) -> None:
    told.token = ""
    assert "env: {GITHUB_TOKEN: '${{ github.token }}'} in the workflow" in told.deploy().stdout


@pytest.mark.exhaustive
def test_a_workflow_need_not_name_it(told: Told) -> None:
    del told.project.config["notify"]
    told.project.commit()
    told.more |= {"GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast"}
    told.deploy()
    assert told.conclusions() == ["success"]


@pytest.mark.exhaustive
def test_parts_can_be_turned_off(told: Told) -> None:
    told.project.config["notify"] = {"github": {"check": False, "comment": False}}
    told.project.commit()
    told.deploy()
    assert (told.conclusions(), told.repository.comments) == ([], [])
    assert told.statuses("local/backend")[0][-1] == "success"


@pytest.mark.exhaustive
def test_it_is_told_later_when_github_is_away(told: Told) -> None:
    planned = told.stage.emulator.faults.planned
    for path in ("/deployments$", "/statuses$", "/check-runs$", "/comments$"):
        planned.append(InjectedFault("POST", path, FaultKind.RESPONSE_LOST))
    planned.append(InjectedFault("GET", "/deployments$", FaultKind.STATUS, status=502, times=4))
    done = told.deploy()
    assert "github" not in done.stdout + done.stderr
    assert [len(each) for each in (told.statuses("local/backend"), told.conclusions(), told.repository.comments)] == [
        1
    ] * 3
    assert told.statuses("local/backend")[0][-1] == "success"
    assert told.conclusions() == ["success"]


class KillAtWrites:
    """Kills the command at each write that is new, after GitHub carried it out and before it has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.victim: StartedCommand | None = None
        self.seen: set[tuple[str, str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def recording_receive() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app(scope, recording_receive, hold)
        if scope["method"] != "GET" and self.victim:
            write = (scope["method"], scope["path"], str(json.loads(body or b"{}").get("state", "")))
            if write not in self.seen:
                self.seen.add(write)
                os.kill(self.victim.pid, signal.SIGKILL)
        for message in held:
            await send(message)


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_nothing_is_there_twice_however_often_it_is_killed(told: Told) -> None:
    told.repository.owner_type = "Organization"
    killer = KillAtWrites(told.stage.emulator.faults.app)
    told.stage.emulator.faults.app = killer
    kills = 0
    for _ in range(40):
        arguments = ("resume",) if kills else ("deploy", "--yes")
        killer.victim = None
        killer.victim = started = told.project.start(*arguments, variables=told.variables)
        code = started.wait()
        if code >= 0:
            break
        kills += 1
    assert kills == len(killer.seen) > 2, "how many writes there are depends on how many changes each tells"
    killer.victim = None
    told.project.commit("Next")
    told.deploy()
    of_each = Counter((each.environment, each.payload) for each in told.repository.deployments)
    assert set(of_each.values()) == {1}
    assert len({payload for _, payload in of_each}) == 2
    for states in (*told.statuses("local/backend"), *told.statuses("local/frontend")):
        assert [state for state, count in Counter(states).items() if count > 1] == []
    assert told.statuses("local/backend")[-1][-1] == "success"
    assert len(told.repository.comments) == 1
    assert told.conclusions() == ["success", "success"]
    live = told.project.status()["services"]
    assert {name: record[2] for name, record in told.records().items()} == {
        f"shop/{name}": service["artifact"] for name, service in live.items()
    }


class LookTogether:
    """Lets the first three looks at comments go on when all three have come."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.waiting = 0
        self.all_here = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, self._when_all_are_here(send) if scope["method"] == "GET" else send)

    def _when_all_are_here(self, send: Send) -> Send:
        async def held(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.waiting += 1
                if self.waiting == 3:
                    self.all_here.set()
                await self.all_here.wait()
            await send(message)

        return held


def test_of_several_that_comment_at_once_one_comment_stays(told: Told) -> None:
    told.stage.emulator.faults.app = LookTogether(told.stage.emulator.faults.app)

    async def story() -> list[int]:
        clients = [told.stage.client() for _ in range(3)]
        written = [write_sticky_comment(client, 7, f"<!-- abreast:x -->\n{n}") for n, client in enumerate(clients)]
        ids = await asyncio.gather(*written)
        for client in clients:
            await client.close()
        return ids

    ids = asyncio.run(story())
    (comment,) = told.repository.comments
    assert set(ids) == {comment.id}
    assert len(told.stage.requests("POST", "/comments")) == 3, "all of them were about to write the first one"


def test_a_comment_that_somebody_deleted_is_written_again(told: Told) -> None:
    async def write(body: str, known: int | None) -> int:
        client = told.stage.client()
        try:
            return await write_sticky_comment(client, 7, f"<!-- abreast:x -->\n{body}", known)
        finally:
            await client.close()

    first = asyncio.run(write("one", None))
    told.repository.comments.clear()
    second = asyncio.run(write("two", first))
    assert [comment.id for comment in told.repository.comments] == [second] != [first]


@pytest.mark.exhaustive
def test_output_mentions_nobody_and_ends_no_block(told: Told) -> None:
    told.project.config["services"]["backend"]["build"] = "echo '```@octo/team'; exit 3"
    told.project.commit("Break")
    told.pull_request(10)
    told.deploy(code=1)
    body = told.repository.comments[-1].body
    fence = next(line for line in body.splitlines() if line.startswith("````"))
    assert "@octo/team" in body.split(fence)[1]
    assert body.count("@octo/team") == 1
    assert told.conclusions()[-1] == "failure"


def snapshot(state: DeploymentState, *events: Event) -> Snapshot:
    plan = Plan("D1", DeploymentKind.DEPLOY, "shop", "production", "v1", "c" * 40, (), 1, 1, OnFailure.TOGETHER)
    return Snapshot(plan, state, Chapter.GATES, "2026-01-01T00:00:00Z", None, events, {})


def test_findings_with_a_line_are_annotations() -> None:
    findings = (
        Finding("S105", "a password", Severity.HIGH, "app.py", 3), Finding("W1", "old", Severity.LOW, "app.py", 4),
        Finding("CVE-1", "no line", Severity.CRITICAL, "requirements.txt"),
    )  # fmt: skip
    judged = Event("D1", "k", EventKind.JUDGED, data=dump(GateResult("scan", GateVerdict.FAILED, findings=findings)))
    report = check_report(snapshot(DeploymentState.TURNED_BACK, judged))
    assert report.annotations == (
        Annotation("app.py", 3, AnnotationLevel.FAILURE, "S105: a password"),
        Annotation("app.py", 4, AnnotationLevel.WARNING, "W1: old"),
    )
    assert check_report(snapshot(DeploymentState.RUNNING, judged)).annotations == ()


@pytest.mark.parametrize(
    ("state", "conclusion"),
    [
        (DeploymentState.WAITING, None), (DeploymentState.RUNNING, None), (DeploymentState.TURNING_BACK, None),
        (DeploymentState.APPROVING, Conclusion.ACTION_REQUIRED), (DeploymentState.STUCK, Conclusion.ACTION_REQUIRED),
        (DeploymentState.SUCCEEDED, Conclusion.SUCCESS), (DeploymentState.TURNED_BACK, Conclusion.FAILURE),
        (DeploymentState.CANCELLED, Conclusion.CANCELLED), (DeploymentState.SUPERSEDED, Conclusion.NEUTRAL),
    ],
)  # fmt: skip
def test_how_a_check_run_ends(state: DeploymentState, conclusion: Conclusion | None) -> None:
    assert check_report(snapshot(state)).conclusion is conclusion


def test_annotations_are_sent_once_also_if_that_was_not_recorded(told: Told) -> None:
    """All of another process, which the first one left with half of them."""
    commit = told.project.git("rev-parse", "HEAD").strip()
    findings = tuple(Finding("R", f"{n}", Severity.LOW, "app.py", n) for n in range(1, 81))
    judged = Event("D1", "k", EventKind.JUDGED, data=dump(GateResult("scan", GateVerdict.FAILED, findings=findings)))
    ended = snapshot(DeploymentState.TURNED_BACK, judged)
    ended = replace(ended, plan=replace(ended.plan, commit=commit))
    told.stage.emulator.faults.planned.append(InjectedFault("PATCH", "/check-runs/", FaultKind.STATUS, status=401))

    async def tell() -> None:
        notifier = GitHubNotifier(told.stage.client, [CheckRunPart()])
        with suppress(NotificationError):
            await notifier.notify(ended, Recorded())

    for _ in range(3):
        asyncio.run(tell())
    (run,) = told.repository.check_runs
    assert [each["message"] for each in run.annotations] == [f"R: {n}" for n in range(1, 81)]


def test_what_changes_data_only_is_not_told(told: Told) -> None:
    migrated = snapshot(DeploymentState.SUCCEEDED)
    migrated = replace(migrated, plan=replace(migrated.plan, kind=DeploymentKind.MIGRATE))
    asyncio.run(GitHubNotifier(told.stage.client, [CheckRunPart()]).notify(migrated, Recorded()))
    assert told.stage.emulator.faults.requests == []


class Recorded(SentMessages):
    """What was sent, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def find(self, key: str) -> str | None:
        return self.values.get(key)

    async def record(self, key: str, value: str = "") -> None:
        self.values.setdefault(key, value)


def test_what_follows_quickly_is_one_update(told: Told) -> None:
    """The clock is this one. A change of the state is told at once."""
    moment = [0.0]
    commit = told.project.git("rev-parse", "HEAD").strip()
    parts = [CheckRunPart()]
    notifier = GitHubNotifier(told.stage.client, parts, clock=lambda: moment[0])

    async def tell(state: DeploymentState, chapter: Chapter) -> float:
        news = snapshot(state)
        try:
            await notifier.notify(replace(news, plan=replace(news.plan, commit=commit), chapter=chapter), sent)
        except NotificationDelayedError as error:
            return error.retry_after
        return 0.0

    sent = Recorded()
    running, done = DeploymentState.RUNNING, DeploymentState.SUCCEEDED
    assert asyncio.run(tell(running, Chapter.GATES)) == 0.0
    moment[0] = 2.0
    assert asyncio.run(tell(running, Chapter.BUILD)) == 3.0
    moment[0] = 5.0
    assert asyncio.run(tell(running, Chapter.STAGE)) == 0.0
    assert asyncio.run(tell(done, Chapter.SETTLE)) == 0.0
    titles = [run.fields["output"]["title"] for run in told.repository.check_runs]
    assert titles == ["v1 is live in production"]
    assert len(told.stage.requests("PATCH")) == 2


@pytest.fixture
def preview(told: Told) -> Told:
    """A pull request of which the preview is deployed; it shares the backend."""
    project = told.project
    services, environment = project.config["services"], project.config["environments"]["local"]
    services["frontend"] |= {"folder": "site", "routes": {"/api": "backend"}}
    services["backend"]["watch"] = ["app.py"]
    environment["preview"] = True
    (project.folder / "site").mkdir()
    (project.folder / "site" / "text").write_text("first")
    project.commit("Previews")
    told.deploy()
    (project.folder / "site" / "text").write_text("of the pull request")
    project.commit("Mine")
    told.pull_request(17)
    told.deploy("--env", "local-pr-17")
    return told


def preview_comment(told: Told) -> str:
    (comment,) = [made for made in told.repository.comments if "deploy:local-pr-17" in made.body]
    assert comment.number == 17
    return comment.body


def test_a_preview_is_told_of_on_its_pull_request_until_it_is_removed(preview: Told) -> None:
    (made,) = [found for found in preview.repository.deployments if found.environment.startswith("local-pr-17/")]
    assert (made.environment, made.is_transient, made.state) == ("local-pr-17/frontend", True, "success")
    body = preview_comment(preview)
    assert made.statuses[-1].environment_url in body
    assert "shared with local: no change since v1" in body
    assert f"http://127.0.0.1:{preview.project.backend_port}" in body
    for _ in range(2):
        preview.project.run("down", "--env", "local-pr-17", "--yes", variables=preview.variables)
        assert [status.state for status in made.statuses].count("inactive") == 1
        assert "**The preview local-pr-17 is removed**" in preview_comment(preview)
    assert preview.statuses("local/frontend")[-1][-1] == "success"


def test_previews_of_closed_pull_requests_are_removed(preview: Told) -> None:
    down = ("down", "--expired", "--yes")
    assert "0 removed, 1 left" in preview.project.run(*down, variables=preview.variables).stdout
    preview.repository.pull_requests[-1].state = "closed"
    without = {**preview.variables, "GITHUB_TOKEN": "ghs_15368_unknown"}
    done = preview.project.run(*down, variables=without)
    assert "0 removed, 1 left" in done.stdout
    assert "pull requests were not looked at" in done.stderr
    told = preview.project.run(*down, variables=preview.variables).stdout
    assert "local-pr-17: pull request 17 is not open" in told
    assert "1 removed, 0 left" in told
    assert "is removed" in preview_comment(preview)
    assert "0 removed, 0 left" in preview.project.run(*down, variables=preview.variables).stdout


def test_reviewers_of_an_environment_count_as_one_approval(told: Told) -> None:
    rule = {"by": ["ada", "grace", "linus"], "required": 2}
    told.project.config["environments"]["local"]["approval"] = rule
    told.project.commit("Ask people")
    told.more = {"GITHUB_ACTOR": "eve"}
    told.repository.reviews[42] = [
        Review("mallory", "approved", ["local"]), Review("linus", "rejected", ["local"]),
        Review("ada", "approved", ["elsewhere"]), Review("grace", "approved", ["local"], "Ship it"),
        Review("linus", "approved", ["local"]),
    ]  # fmt: skip
    assert "approving" in told.deploy().stdout
    shown = told.project.run("show").stdout
    assert "grace approved the run" in shown
    assert "linus approved the run" not in shown
    approved = told.project.run("approve", variables={**told.variables, "GITHUB_ACTOR": "linus"}).stdout
    assert "approved by grace, linus" in approved
    told.project.run("resume", variables=told.variables)
    assert told.project.latest_deployment()["state"] == "succeeded"


def test_a_token_that_may_not_read_runs_leaves_the_approval_to_people(told: Told) -> None:
    told.project.config["environments"]["local"]["approval"] = {"by": ["ada"]}
    told.project.commit("Ask people")
    told.stage.token.permissions = {**told.stage.token.permissions, "actions": "none"}
    told.more = {"GITHUB_ACTOR": "eve"}
    assert "who approved this run is unknown" in told.deploy().stdout
    assert told.project.latest_deployment()["state"] == "approving"
