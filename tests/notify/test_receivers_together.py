"""A project that tells several receivers: routes, digests, tests, and secrets that are nowhere."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fork_server
from abreast.deploy.outbox import has_failed, tell_occurrence
from abreast.notify.interface import Occurrence, OccurrenceKind
from abreast.testing.receivers import slack_api
from abreast.wiring.workspace import Workspace
from all_receivers import SECRETS, Receivers, all_receivers
from database_project import DatabaseProject
from notify_receivers import fail
from sample_project import NEVER_HEALTHY, SampleProject, eventually, wait_for_exit


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    with all_receivers(tmp_path) as made:
        yield made


def all_of_them(receivers: Receivers) -> dict[str, Any]:
    variables = receivers.variables
    return {
        "slack": {"webhook": "${SLACK_URL}"},
        "slack-board": {"token": "${SLACK_TOKEN}", "channel": slack_api.CHANNEL, "api": variables["SLACK_API"]},
        "pagerduty": {"routing_key": "${PD_KEY}", "environments": ["local"], "api": variables["PD_API"]},
        "teams": {"webhook": "${TEAMS_URL}", "severity": "error"},
        "webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"},
        "email": {
            "server": "${SMTP_URL}",
            "sender": "a@example.com",
            "to": ["b@example.com"],
            "events": ["turned-back"],
        },
    }


def test_every_receiver_gets_what_its_route_says_and_no_secret_is_anywhere(
    project: SampleProject, receivers: Receivers
) -> None:
    project.config["notify"] = all_of_them(receivers)
    project.commit()
    abreast = ("-m", "abreast")
    tried = run_new_process(project, receivers.variables, *abreast, "notify", "test")
    accepted = "accepted: it is on its way, and nobody says when it is read"
    assert tried.splitlines() == [
        "slack: delivered", "slack-board: delivered", f"pagerduty: {accepted}", f"teams: {accepted}",
        "webhook: delivered", f"email: {accepted}",
    ]  # fmt: skip
    done = run_new_process(project, receivers.variables, *abreast, "deploy", "--yes")
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit("Sick: token=sentinelsentinel1234", app_py=project.app_source(NEVER_HEALTHY))
    failed = run_new_process(project, receivers.variables, *abreast, "deploy", "--yes", code=1)
    assert "was not told" not in done + failed
    assert receivers.texts[1:] == [
        "shop: Deploying v1 to local", "shop: v1 is live in local",
        "shop: Deploying v2 to local", "shop: v2 failed and was turned back in local",
    ]  # fmt: skip
    assert len(receivers.workspace.messages) == 3
    assert receivers.workflow.cards[-1]["body"][0]["inlines"][0]["text"].startswith("shop: v2 failed and was turned")
    assert set(receivers.service.alerts) == {"abreast/shop/local"}
    assert len(receivers.service.changes) == 3
    assert len(receivers.mailbox.mails) == 2
    assert receivers.events[1:] == [f"deployment.{name}" for name in ("started", "succeeded", "started", "turned-back")]
    assert "sentinelsentinel1234" not in json.dumps([receivers.channel.messages, receivers.endpoint.events])
    for secret in SECRETS:
        assert secret not in tried + done + failed
        for file in (project.folder / ".abreast").rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_what_cannot_be_reached_is_said_by_the_test(project: SampleProject, receivers: Receivers) -> None:
    project.config["notify"] = {"slack": {"webhook": "${SLACK_URL}"}, "teams": {"webhook": "${NOT_SET_URL}"}}
    project.commit()
    receivers.channel.archived = True
    done = project.run("notify", "test", code=1, variables=receivers.variables)
    assert "slack: Slack answers 410 channel_is_archived" in done.stderr
    assert "teams: not set: NOT_SET_URL" in done.stderr
    assert "no receiver 'slak'" in project.run("notify", "test", "slak", code=2, variables=receivers.variables).stderr
    project.config["notify"] = {}
    project.commit()
    assert "nobody is told" in project.run("notify", "test", code=2).stderr


def test_what_a_dead_receiver_missed_is_sent_without_a_deployment(project: SampleProject, receivers: Receivers) -> None:
    project.config["notify"] = {"slack": {"webhook": "${SLACK_URL}"}}
    project.commit()
    fail(receivers.channel.faults, status=503, times=1000)
    done = project.deploy(variables=receivers.variables)
    assert "slack was not told: Slack answers 503" in done.stdout
    assert "next:   abreast notify send" in done.stdout
    still = project.run("notify", "send", code=1, variables=receivers.variables)
    assert "slack was not told: Slack answers 503" in still.stderr
    receivers.channel.faults.planned.clear()
    project.run("notify", "send", variables=receivers.variables)
    project.run("notify", "send", variables=receivers.variables)
    assert receivers.texts == ["shop: v1 is live in local"]


def test_another_receiver_of_the_kind_gets_a_digest(project: SampleProject, receivers: Receivers) -> None:
    project.config["notify"] = {
        "webhook-digest": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}", "digest": "hourly"}
    }
    project.commit()
    project.deploy(variables=receivers.variables)
    project.commit("Again")
    project.deploy(variables=receivers.variables)
    project.run("notify", "send", variables=receivers.variables)
    assert receivers.events == []
    send_an_hour_later(project, receivers.variables)
    send_an_hour_later(project, receivers.variables)
    assert receivers.events == ["environment.digest"]
    data = receivers.endpoint.events[0]["data"]
    assert data["text"] == "shop: 2 deployments in local"
    assert [line.partition(" after")[0] for line in data["details"]] == ["v1 is live in local", "v2 is live in local"]


def run_new_process(project: SampleProject, variables: dict[str, str], *command: str, code: int = 0) -> str:
    """Return what a command prints that starts from nothing: it reads which certificates to trust, and its clock."""
    done = subprocess.run(
        [sys.executable, *command], cwd=project.folder, env={**os.environ, **variables}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def send_an_hour_later(project: SampleProject, variables: dict[str, str]) -> None:
    """Send what is due when an hour is over."""
    program = (
        "import sys; from abreast.notify import routing; from abreast.deploy import outbox\n"
        "from abreast.__main__ import main; outbox.MIN_AGE = routing.DIGEST_INTERVALS['hourly'] = 0.001\n"
        "sys.argv = ['abreast', 'notify', 'send']; sys.exit(main())"
    )
    run_new_process(project, variables, "-c", program)


@pytest.mark.exhaustive
def test_a_scheduled_backup_that_fails_is_told_once(project: SampleProject, receivers: Receivers) -> None:
    project.config["services"]["backend"]["database"] = "sqlite:///shop.db"
    project.config["backups"] = {"schedule": "* * * * * *"}
    project.config["notify"] = {"webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}}
    project.commit()
    running = project.start("db", "backup", "--scheduled", variables=receivers.variables)
    eventually(lambda: receivers.events, 60)
    running.send_signal(15)
    wait_for_exit(running)
    first = receivers.endpoint.events[0]
    assert first["type"] == "environment.backup-failed"
    assert "does not exist yet" in first["data"]["failures"][0]["text"]
    before = len(receivers.events)
    project.run("notify", "send", variables=receivers.variables)
    assert len(receivers.events) == before


@pytest.mark.exhaustive
def test_a_failed_backup_that_could_not_be_told_is_told_later_and_once(
    project: SampleProject, receivers: Receivers
) -> None:
    project.config["services"]["backend"]["database"] = "sqlite:///shop.db"
    project.config["backups"] = {"schedule": "* * * * * *"}
    project.config["notify"] = {"webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}}
    project.commit()
    fail(receivers.endpoint.faults, status=503, times=1000)
    running = project.start("db", "backup", "--scheduled", variables=receivers.variables)
    eventually(lambda: receivers.endpoint.faults.requests, 60)
    running.kill()
    wait_for_exit(running)
    receivers.endpoint.faults.planned.clear()
    project.run("notify", "send", variables=receivers.variables)
    assert receivers.events == [], "for two minutes it is left to the process that met it"
    send_an_hour_later(project, receivers.variables)
    send_an_hour_later(project, receivers.variables)
    assert receivers.events == ["environment.backup-failed"]


@pytest.mark.exhaustive
def test_a_scheduled_backup_that_works_again_closes_the_alert_of_another_process(
    project: SampleProject, receivers: Receivers, tmp_path: Path
) -> None:
    shop, store = DatabaseProject(project), tmp_path / "store"
    project.config["backups"] = {"schedule": "* * * * * *", "store": f"file://{store}"}
    project.config["notify"] = {
        "pagerduty": {"routing_key": "${PD_KEY}", "environments": ["local"], "api": receivers.variables["PD_API"]},
        "webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}", "events": ["backup-failed", "backup-resumed"]},
    }
    project.commit()
    variables = {**shop.variables, **receivers.variables}
    project.deploy(variables=variables)
    shop.run("db", "backup")
    store.rename(tmp_path / "away")
    store.touch()
    _run_schedule_until(project, variables, lambda: "environment.backup-failed" in receivers.events)
    assert set(receivers.service.alerts) == {"abreast/shop/local/backup"}
    store.unlink()
    (tmp_path / "away").rename(store)
    _run_schedule_until(project, variables, lambda: "environment.backup-resumed" in receivers.events)
    assert receivers.service.alerts == {}
    before = len(shop.backups())
    _run_schedule_until(project, variables, lambda: len(shop.backups()) > before + 1)
    assert receivers.events.count("environment.backup-resumed") == 1


def _run_schedule_until(project: SampleProject, variables: dict[str, str], condition: Callable[[], object]) -> None:
    running = project.start("db", "backup", "--scheduled", variables=variables)
    eventually(condition, 60)
    running.send_signal(15)
    wait_for_exit(running)


@pytest.mark.exhaustive
def test_a_failure_that_is_over_opens_no_alert_later(project: SampleProject, receivers: Receivers) -> None:
    project.config["notify"] = {
        "pagerduty": {"routing_key": "${PD_KEY}", "environments": ["local"], "api": receivers.variables["PD_API"]}
    }
    project.commit()
    project.deploy(variables=receivers.variables)
    failed, resumed = (
        Occurrence(kind, "shop", "local", "why", f"2026-01-0{day}T03:00:00.000Z")
        for day, kind in ((6, OccurrenceKind.BACKUP_FAILED), (7, OccurrenceKind.BACKUP_RESUMED))
    )
    with Workspace.locate(project.folder, os.environ).open_ledger() as ledger:
        asyncio.run(tell_occurrence(ledger, [], failed, print))
        assert has_failed(ledger, "local", OccurrenceKind.BACKUP_RESUMED, "")
        asyncio.run(tell_occurrence(ledger, [], resumed, print))
        assert not has_failed(ledger, "local", OccurrenceKind.BACKUP_RESUMED, "")
    project.run("notify", "send", variables=receivers.variables)
    assert receivers.service.alerts == {}
    assert receivers.service.events[-1]["event_action"] == "resolve"


def test_people_are_told_that_a_deployment_waits_for_them(project: SampleProject, receivers: Receivers) -> None:
    project.config["environments"]["local"]["approval"] = {"by": ["ada"], "required": 1}
    project.config["notify"] = {
        "webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"},
        "slack-bot": {"token": "${SLACK_TOKEN}", "channel": slack_api.CHANNEL, "api": receivers.variables["SLACK_API"]},
    }
    project.commit()
    project.deploy(variables=receivers.variables)
    id_ = project.latest_deployment()["id"]
    assert receivers.events == ["deployment.started", "deployment.approval"]
    assert f"abreast approve {id_}" in json.dumps(receivers.endpoint.events[-1]["data"]["next_commands"])
    (waiting,) = receivers.workspace.messages.values()
    assert "waits for an approval in local" in waiting["text"]
    project.run("cancel", id_, "--reason", "not today", variables=receivers.variables)
    assert receivers.events[2:] == ["deployment.cancelled"]
    (ended,) = receivers.workspace.messages.values()
    assert "was cancelled" in ended["text"]


@pytest.mark.exhaustive
def test_no_receiver_is_told_twice_however_often_it_is_killed(project: SampleProject, receivers: Receivers) -> None:
    """A message that cannot be recognized as a repeat says that it may be one."""
    told = all_of_them(receivers)
    project.config["notify"] = {name: told[name] for name in ("slack-board", "pagerduty", "webhook")}
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit("Sick", app_py=project.app_source(NEVER_HEALTHY))
    relay = fork_server.run_crash_relay(
        project.folder, "deploy", "--yes", moment="both", every=5, variables=receivers.variables
    )
    codes = list(relay)
    assert codes[-1] == 1
    assert len(codes) > 4
    deployments = {event["data"]["deployment"] for event in receivers.endpoint.events}
    ended = [
        event["data"]["deployment"] for event in receivers.endpoint.events if event["type"].endswith("turned-back")
    ]
    assert sorted(ended) == sorted(deployments), "each deployment's end, once"
    said = [message["text"] for message in receivers.workspace.messages.values()]
    changes = [change["payload"]["summary"] for change in receivers.service.changes]
    for texts in (said, changes):
        ends = [text for text in texts if "failed and was turned back" in text]
        certain = [text for text in ends if not text.endswith("(may have been sent before)")]
        assert {text.partition(" failed")[0] for text in ends} == {f"shop: v{n + 1}" for n in range(len(deployments))}
        assert len(certain) == len({text.partition(" failed")[0] for text in certain})
    assert set(receivers.service.alerts) == {"abreast/shop/local"}
