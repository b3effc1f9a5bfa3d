"""Slack is told when a deployment starts and ends; whatever happens to Slack, the deployment goes on."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from slack_sdk.webhook import WebhookClient

import fork_server
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers.slack import BURST, MAX_CHARACTERS, PATH, SlackChannel
from sample_project import NEVER_HEALTHY, SampleProject


@dataclass
class Told:
    """The sample project, whose deployments a channel of Slack is told of."""

    project: SampleProject
    channel: SlackChannel
    webhook: str

    @property
    def variables(self) -> dict[str, str]:
        return {"SLACK_WEBHOOK_URL": self.webhook}

    def deploy(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.project.deploy(*arguments, code=code, variables=self.variables)

    def texts(self) -> list[str]:
        return [message["text"] for message in self.channel.messages]

    def fields(self, number: int = -1) -> dict[str, str]:
        (attachment,) = self.channel.messages[number]["attachments"]
        return {field["title"]: field["value"] for field in attachment["fields"]}

    def fail(self, kind: FaultKind = FaultKind.STATUS, **fields: Any) -> None:  # noqa: ANN401 (fields of a fault)
        self.channel.faults.planned.append(InjectedFault("POST", ".*", kind, **fields))


@pytest.fixture
def channel() -> Iterator[tuple[SlackChannel, str]]:
    channel = SlackChannel()
    with ThreadedServer(channel.app) as server:
        yield channel, server.url + PATH


@pytest.fixture
def told(project: SampleProject, channel: tuple[SlackChannel, str]) -> Told:
    project.config["notify"] = {"slack": {"webhook": "${SLACK_WEBHOOK_URL}"}}
    project.commit("Say <!channel> & *hello*")
    return Told(project, *channel)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up <HTTPError:ResourceWarning")  # slack_sdk closes none
def test_the_receiver_takes_and_refuses_what_others_clients_send(channel: tuple[SlackChannel, str]) -> None:
    slack, webhook = channel[0], WebhookClient(channel[1])
    assert webhook.send(text="hello", attachments=[{"color": "good", "fields": []}]).body == "ok"
    assert [message["text"] for message in slack.messages] == ["hello"]
    refused = webhook.send(text="")
    assert (refused.status_code, refused.body) == (400, "no_text")
    assert webhook.send(text="x" * MAX_CHARACTERS).body == "msg_blocks_too_long"
    last = [webhook.send(text="hello") for _ in range(BURST)][-1]
    assert (last.status_code, last.headers["retry-after"]) == (429, "1")
    slack.archived = True
    assert webhook.send(text="late").status_code == 410


def test_start_and_success(told: Told) -> None:
    told.deploy()
    assert told.texts()[0] == "shop: Deploying v1 to local"
    assert told.texts()[1].startswith("shop: v1 is live in local after ")
    assert len(told.texts()) == 2
    assert told.fields(0)["Frontend"] == "to local"
    assert told.fields()["Backend"] == f"✅ Deployed to Local http://127.0.0.1:{told.project.backend_port}"
    commit = told.project.git("rev-parse", "--short=7", "HEAD").strip()
    assert told.fields()["Commit"] == f"{commit} Say &lt;!channel&gt; &amp; *hello*"
    colors = [message["attachments"][0]["color"] for message in told.channel.messages]
    assert colors == ["#439FE0", "good"]


@pytest.mark.exhaustive
def test_a_failure_says_what_is_live_and_shows_the_last_lines(told: Told) -> None:
    told.deploy()
    told.project.config["services"]["backend"]["build"] = "echo '```<!here>'; echo no such module >&2; exit 3"
    told.project.commit("Break")
    told.deploy(code=1)
    assert "failed and was turned back in local" in told.texts()[-1]
    assert told.fields()["Frontend"] == "↩ v1 stays on Local"
    assert "no such module" in told.fields()["Failed"]
    assert "<!here>" not in json.dumps(told.channel.messages)
    assert told.fields()["Failed"].count("```") == 2
    assert told.channel.messages[-1]["attachments"][0]["color"] == "danger"


def test_it_is_told_later_when_it_is_away(told: Told) -> None:
    told.fail(status=503)
    told.fail(status=429, headers={"retry-after": "1"})
    done = told.deploy()
    assert told.texts()[-1].startswith("shop: v1 is live in local")
    assert not any(fault.times for fault in told.channel.faults.planned)
    assert "slack" not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_message_that_may_have_arrived_says_so_when_it_is_sent_again(told: Told, kind: FaultKind) -> None:
    told.fail(kind, skip=1, times=1)
    told.deploy()
    ends = [text for text in told.texts() if " is live in " in text]
    assert len(ends) == (2 if kind is FaultKind.RESPONSE_LOST else 1)
    assert [text.endswith("(may have been sent before)") for text in ends] == [False, True][-len(ends) :]


def test_a_page_in_place_of_an_answer_is_no_delivery(told: Told) -> None:
    told.fail(times=3, status=200, skip=1, headers={"content-type": "text/html"}, body="<html>Please log in</html>")
    done = told.deploy()
    assert "slack was not told: Slack answers 200 with a web page; the next deployment there tells it" in done.stdout


def test_no_redirect_is_followed(told: Told) -> None:
    told.fail(times=9, status=307, headers={"location": "https://elsewhere.example/hook?x=1"})
    done = told.deploy()
    assert (
        "slack was not told: Slack answers 307: a redirect to elsewhere.example, which is not followed" in done.stdout
    )
    assert done.stdout.count("redirect") == 1


def test_a_channel_that_is_gone_is_said_and_fails_nothing(told: Told) -> None:
    told.channel.archived = True
    done = told.deploy()
    assert "slack was not told: Slack answers 410 channel_is_archived" in done.stdout
    assert told.project.status()["release"] == "v1"


def test_a_variable_that_is_not_set_is_said_and_fails_nothing(told: Told) -> None:
    assert "slack was not told: not set: SLACK_WEBHOOK_URL" in told.project.deploy().stdout


@pytest.mark.exhaustive
def test_the_next_deployment_tells_the_end_of_one_that_could_not(told: Told) -> None:
    told.fail(times=1000, status=503)
    done = told.deploy()
    assert "slack was not told: Slack answers 503; the next deployment there tells it" in done.stdout
    assert len(told.channel.faults.requests) <= 6, "three attempts for each of two messages"
    assert told.texts() == []
    told.channel.faults.planned.clear()
    told.project.commit()
    told.deploy()
    assert [text.partition(" after")[0] for text in told.texts()] == [
        "shop: v1 is live in local", "shop: Deploying v2 to local", "shop: v2 is live in local",
    ]  # fmt: skip


@pytest.mark.exhaustive
def test_no_message_twice_however_often_it_is_killed(told: Told) -> None:
    """But where the kill falls between Slack's answer and the record: then the second one says that it may be one."""
    told.project.config["services"]["backend"]["health"]["start"] = "1s"
    told.project.commit("Sick", app_py=told.project.app_source(NEVER_HEALTHY))
    codes = list(
        fork_server.run_crash_relay(
            told.project.folder, "deploy", "--yes", moment="after", every=4, variables=told.variables
        )
    )
    assert codes[-1] == 1
    assert len(codes) > 4
    messages = Counter(text for text in told.texts() if not text.endswith("(may have been sent before)"))
    assert set(messages.values()) == {1}
    told_of = {re.sub(r"v\d+", "V", text.partition(" after")[0]) for text in messages}
    assert told_of - {"shop: V failed and is turned back in local"} == {
        "shop: Deploying V to local", "shop: V failed and was turned back in local",
    }  # fmt: skip


@pytest.mark.exhaustive
def test_the_webhook_is_nowhere(told: Told) -> None:
    told.fail(status=404, body="no_service")
    done = told.deploy()
    secret = PATH.rpartition("/")[2]
    assert secret not in done.stdout + done.stderr
    for file in (told.project.folder / ".abreast").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_faults_of_the_configuration_name_the_place(told: Told) -> None:
    told.project.config["notify"] = {"slak": {}, "slack": {"webhok": "x"}}
    told.project.commit()
    done = told.deploy(code=2)
    assert "notify.slak: unknown key (did you mean 'slack'?), expected one of: apprise, email, github," in done.stderr
    assert "notify.slack.webhok" in done.stderr


def test_a_route_to_an_environment_that_does_not_exist_is_a_fault(told: Told) -> None:
    key = {"routing_key": "x" * 32}
    told.project.config["notify"] = {
        "slack-alerts": {"webhook": "x", "environments": ["locale", "local-pr-7", "*-pr-*"]}, "pagerduty": key,
        "slack-ops": {"webhook": "x", "events": ["exploded"], "digest": "yearly"},
    }  # fmt: skip
    told.project.commit()
    faults = told.deploy(code=2).stderr
    assert "notify.slack-alerts.environments[0]: no environment 'locale' (did you mean 'local'?)" in faults
    assert "notify.pagerduty: no environment 'production', the default of `environments`" in faults
    assert "notify.slack-ops.events[0]" in faults
    assert "notify.slack-ops.digest" in faults
    assert "local-pr-7" not in faults
