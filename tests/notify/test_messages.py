"""What a message says, and how it is shortened; the same value for every receiver."""

import json

import pytest

from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.notify.interface import Occurrence, OccurrenceKind
from abreast.notify.message import (
    MAX_LOG_CHARACTERS,
    MAX_LOG_LINES,
    MAX_TEXT,
    deployment_message,
    fit,
    occurrence_message,
)
from abreast.notify.notification_events import NotificationEvent
from abreast.notify.slack.rendering import MAX_CHARACTERS, slack_message
from notified_snapshots import DEPLOYMENT, snapshot

EVENT = NotificationEvent


@pytest.mark.parametrize(
    ("state", "kind", "event", "title"),
    [
        (DeploymentState.RUNNING, DeploymentKind.DEPLOY, EVENT.STARTED, "Deploying v7 to production"),
        (DeploymentState.RUNNING, DeploymentKind.ROLLBACK, EVENT.STARTED, "Rolling production back to v7"),
        (DeploymentState.RUNNING, DeploymentKind.RESTORE, EVENT.STARTED, "Restore in production (v7)"),
        (DeploymentState.SUCCEEDED, DeploymentKind.DEPLOY, EVENT.SUCCEEDED, "v7 is live in production after 2 min 40 s"),
        (DeploymentState.SUCCEEDED, DeploymentKind.MIGRATE, EVENT.SUCCEEDED, "Migrate in production succeeded after 2 min 40 s"),
        (DeploymentState.TURNED_BACK, DeploymentKind.DEPLOY, EVENT.TURNED_BACK, "v7 failed and was turned back in production after 2 min 40 s"),
        (DeploymentState.TURNED_BACK, DeploymentKind.DRILL, EVENT.DRILL_FAILED, "The drill failed in production after 2 min 40 s"),
        (DeploymentState.STUCK, DeploymentKind.DEPLOY, EVENT.STUCK, "v7 failed and is NOT fully turned back: a person is needed in production"),
        (DeploymentState.APPROVING, DeploymentKind.DEPLOY, EVENT.APPROVAL, "v7 waits for an approval in production"),
    ],
)  # fmt: skip
def test_titles(state: DeploymentState, kind: DeploymentKind, event: NotificationEvent, title: str) -> None:
    assert deployment_message(snapshot(state, kind=kind), event).title == title


def test_a_success_says_where_users_are_and_how_to_go_back() -> None:
    message = deployment_message(snapshot(author="ada", reason="a sale"), EVENT.SUCCEEDED)
    assert [(service.name, service.text, service.url) for service in message.services] == [
        ("frontend", "✅ Deployed to Render", "https://frontend.example"),
        ("backend", "✅ Deployed to Render", "https://backend.example"),
    ]
    assert message.facts == (
        ("Commit", "3f9c2ab Add a basket"), ("By", "ada"), ("Reason", "a sale"), ("Run", "https://ci.example/runs/1"),
    )  # fmt: skip
    assert message.next_commands == ("abreast rollback --env production",)
    assert message.duration == 160


def test_a_failure_says_what_stays_live_what_failed_and_what_to_do() -> None:
    log = [f"line {number}" for number in range(40)]
    turned_back = snapshot(DeploymentState.TURNED_BACK, failure="no such\nmodule", log=log)
    message = deployment_message(turned_back, EVENT.TURNED_BACK)
    assert {service.text for service in message.services} == {"↩ v6 stays on Render"}
    (failure,) = message.failures
    assert failure.text == "backend, build: no such module"
    assert failure.log.splitlines() == log[-MAX_LOG_LINES:]
    assert message.next_commands[0] == f"abreast logs {DEPLOYMENT}"


def test_an_approval_says_how_it_is_given() -> None:
    message = deployment_message(snapshot(DeploymentState.APPROVING), EVENT.APPROVAL)
    assert message.next_commands[0] == f"abreast approve {DEPLOYMENT}"
    assert message.facts[-1] == ("Run", "https://ci.example/runs/1")


def test_an_occurrence_has_its_first_line_and_the_rest() -> None:
    happened = Occurrence(
        OccurrenceKind.BACKUP_FAILED, "shop", "production", "disk full\n  next: df", "2026-11-27T03:00:00.000Z"
    )
    message = occurrence_message(happened)
    assert message.headline == "shop: A backup failed in production"
    assert [(failure.text, failure.log) for failure in message.failures] == [("disk full", "  next: df")]


def test_it_is_shortened_from_its_least_important_end() -> None:
    services = [f"service-{number}" for number in range(60)]
    long = snapshot(
        DeploymentState.TURNED_BACK, failure="x" * 999, log=["y" * 9999], services=services, subject="z" * 999
    )
    message = deployment_message(long, EVENT.TURNED_BACK)
    assert len(message.failures[0].log) == MAX_LOG_CHARACTERS
    assert len(message.subject) == MAX_TEXT
    sizes = [len(str(fit(message, lambda m: len(str(m)), limit))) for limit in (10**6, 8000, 5000, 3000, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert fit(message, lambda m: len(str(m)), 1).services[-1].name == "and 60 more"
    assert fit(message, lambda m: len(str(m)), 1).title == message.title


@pytest.mark.parametrize("character", ["x", "&", "<", "`", "é", "🚀", "\\", '"', "\x1b"])
def test_slack_takes_every_message(character: str) -> None:
    services = [f"service-{number}" for number in range(200)]
    long = snapshot(
        DeploymentState.TURNED_BACK, failure=character * 999, log=[character * 9999] * 20, services=services,
        subject=character * 999, author=character * 999, reason=character * 999,
    )  # fmt: skip
    rendered = slack_message(deployment_message(long, EVENT.TURNED_BACK))
    assert len(json.dumps(rendered)) <= MAX_CHARACTERS
    (attachment,) = rendered["attachments"]
    assert {field["title"] for field in attachment["fields"]} >= {"Failed", "Commit", "Next"}
