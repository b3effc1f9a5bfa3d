"""A request for an approval as each receiver shows it, within what each of them takes."""

import json
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage

import pytest

from abreast.core.approvals.request import (
    ApprovalRequest,
    GateOutcome,
    MigrationChange,
    ReleaseChanges,
    ServiceChange,
    VariableChange,
)
from abreast.core.approvals.rule import ApprovalRule, ApprovalState
from abreast.core.commits import Commit, CommitRange
from abreast.core.risk import Risk, RiskLevel, RiskReason
from abreast.core.secrets import Secret
from abreast.core.states import DeploymentState
from abreast.notify.email.rendering import email_message
from abreast.notify.github.wording import check_report, comment_body
from abreast.notify.message import Message, deployment_message
from abreast.notify.notification_events import NotificationEvent, reached_events
from abreast.notify.plain_text import plain_text
from abreast.notify.slack.rendering import MAX_CHARACTERS, slack_message
from abreast.notify.teams import MAX_BYTES, teams_message
from abreast.notify.webhook import webhook_event
from notified_snapshots import COMMIT, DEPLOYMENT, snapshot

MAX_COMMENT = 65_536
"""Characters of a comment, and of the summary of a check run, that GitHub takes."""


def request(text: str = "x", count: int = 1) -> ApprovalRequest:
    changes = ReleaseChanges(
        CommitRange(count, tuple(Commit(COMMIT, f"Add {text}", text) for _ in range(count))),
        services=tuple(ServiceChange(text, text, "deploy", text, "v6") for _ in range(count)),
        migrations=(MigrationChange("api", (f"apply {text}",) * count, (f"drops {text}",) * count),),
        gates=(GateOutcome(text, text, "passed", text),) * count,
        variables=(VariableChange("api", "REGION", text, text),) * count,
        duration=200.0,
        way_back=("abreast rollback --env production --to v6 --reason …", *((text,) * count)),
        unknown=(text,) * count,
    )
    risk = Risk(RiskLevel.HIGH, tuple(RiskReason(2, text) for _ in range(count)))
    rule = ApprovalRule(2, tuple(f"{text}{number}" for number in range(count + 2)))
    return ApprovalRequest(
        DEPLOYMENT, "production", "v7", rule, "2026-11-28T04:12:07Z", changes, approved=(f"{text}0",), risk=risk
    )


def message(text: str = "x", count: int = 1) -> Message:
    waiting = replace(snapshot(DeploymentState.APPROVING), request=request(text, count))
    return deployment_message(waiting, NotificationEvent.APPROVAL)


def body(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert isinstance(found, EmailMessage)
    return str(found.get_content())


RENDERINGS: dict[str, Callable[[Message], str]] = {
    "plain": plain_text,
    "slack": lambda message: json.dumps(slack_message(message), ensure_ascii=False),
    "teams": lambda message: json.dumps(teams_message(message), ensure_ascii=False),
    "email": lambda message: body(email_message(message, "1", "a@example.com", ["b@example.com"]), "html"),
}


@pytest.mark.parametrize("receiver", RENDERINGS)
def test_everybody_is_shown_the_same(receiver: str) -> None:
    shown = RENDERINGS[receiver](message("basket"))
    for part in (
        "2 of basket0, basket1, basket2, until 2026-11-28T04:12:07Z", "approved by basket0; 1 more needed",
        "high (2 points)", "+2 basket", "3f9c2ab Add basket (basket)", "api: RISK: drops basket", "api: apply basket", "REGION = basket (was basket)",
        "basket of basket passed: basket", "about 3 min", "abreast rollback --env production --to v6", f"abreast approve {DEPLOYMENT}",
    ):  # fmt: skip
        assert part in shown, part


def test_github_shows_it_in_blocks() -> None:
    hostile = replace(snapshot(DeploymentState.APPROVING), request=request("@ada #1 ```"))
    body = comment_body(hostile)
    assert "**Commits**\n\n````\n1 commit since what is live\n3f9c2ab Add @ada #1 ``` (@ada #1 ```)\n````" in body
    assert f"Next: `abreast approve {DEPLOYMENT}`" in body
    assert "Add @ada" in check_report(hostile).summary
    assert "**Commits**" not in comment_body(snapshot(DeploymentState.APPROVING))


def test_a_program_gets_the_whole_value() -> None:
    data = webhook_event(message("basket"))["data"]
    assert data["approval"]["changes"]["way_back"][0].startswith("abreast rollback")
    assert (data["approval"]["missing"], data["approval"]["approved"]) == (1, ["basket0"])
    started = deployment_message(snapshot(DeploymentState.RUNNING), NotificationEvent.STARTED)
    assert webhook_event(started)["data"]["approval"] is None


@pytest.mark.parametrize("character", ["x", "&", "<", "`", "é", "🚀", "\\", '"', "\x1b"])
def test_it_fits_into_every_receiver(character: str) -> None:
    long = message(character * 999, 60)
    slack, teams = slack_message(long), teams_message(long)
    assert len(json.dumps(slack)) <= MAX_CHARACTERS
    assert len(json.dumps(teams)) <= MAX_BYTES
    (attachment,) = slack["attachments"]
    titles = [field["title"] for field in attachment["fields"]]
    assert {"Approval", "Commits", "Migrations", "Way back", "Next"} <= set(titles)
    waiting = replace(snapshot(DeploymentState.APPROVING), request=request(character * 999, 60))
    assert len(comment_body(waiting)) <= MAX_COMMENT
    assert len(check_report(waiting).summary) <= MAX_COMMENT


def test_only_the_mail_of_one_person_has_a_link() -> None:
    link = Secret("an approval link", "abreast:approve#v4.public.eyJ-_x")
    mail = email_message(message(), "1", "a@example.com", ["maria@example.com"], link)
    text, page = (body(mail, kind) for kind in ("plain", "html"))
    for shown in (text, page.replace("&#x27;", "'")):
        assert "abreast approve 'abreast:approve#v4.public.eyJ-_x'" in shown
        assert "abreast reject 'abreast:approve#v4.public.eyJ-_x' --reason" in shown
    assert "<a href" not in page.partition("To approve it")[2], "only a page can be opened"
    assert "v4.public" not in body(email_message(message(), "1", "a@example.com", ["b@example.com"]), "plain")


@pytest.mark.parametrize("state", ApprovalState)
def test_nobody_is_asked_for_what_is_decided(state: ApprovalState) -> None:
    waiting = replace(snapshot(DeploymentState.APPROVING), request=replace(request(), state=state))
    is_asked = NotificationEvent.APPROVAL in reached_events(waiting)
    assert is_asked is (state is ApprovalState.PENDING)
