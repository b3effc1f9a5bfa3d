"""Teams gets adaptive cards. Microsoft's own parser reads each of them without a complaint."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from abreast.core.states import DeploymentState
from abreast.notify.interface import NotificationError, Notifier
from abreast.notify.message import deployment_message
from abreast.notify.notification_events import NotificationEvent
from abreast.notify.routing import Route
from abreast.notify.teams import MAX_BYTES, teams_message
from abreast.testing.receivers.teams import PATH, QUERY, SIGNATURE, TeamsWorkflow
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, fail, send_test, served, tell, tell_whole_deployment
from npm import install_packages

PARSER = """
const cards = require("adaptivecards/dist/adaptivecards.js");
const context = new cards.SerializationContext(cards.Versions.v1_4);
const card = new cards.AdaptiveCard();
card.parse(JSON.parse(require("fs").readFileSync(0, "utf8")), context);
const complaints = Array.from({length: context.eventCount}, (_, index) => context.getEventAt(index).message);
console.log(JSON.stringify({complaints, items: card.getItemCount(), actions: card.getActionCount()}));
"""


@pytest.fixture
def teams() -> Iterator[tuple[TeamsWorkflow, str]]:
    workflow = TeamsWorkflow()
    with served(workflow.app) as url:
        yield workflow, f"{url}{PATH}{QUERY}"


def notifier(webhook: str) -> Notifier:
    return create_notifier("teams", {"webhook": "${TEAMS_WEBHOOK_URL}"}, TEAMS_WEBHOOK_URL=webhook)


def parse(card: dict[str, Any]) -> dict[str, Any]:
    """Return what Microsoft's parser makes of a card."""
    packages = install_packages("adaptivecards", "adaptivecards@3.0.6")
    done = subprocess.run(
        ["node", "-e", PARSER],
        input=json.dumps(card),
        cwd=packages.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def card_of(state: DeploymentState, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (fields of a snapshot)
    deployment = snapshot(state, **fields)
    event = Route(events=frozenset(NotificationEvent)).due_event(deployment)
    assert event
    return dict(teams_message(deployment_message(deployment, event))["attachments"][0]["content"])


@pytest.mark.parametrize("state", DeploymentState)
def test_microsofts_parser_complains_of_no_card(state: DeploymentState) -> None:
    card = card_of(state, failure="no [module](https://evil.example)", log=["**a**", "<at>all</at>"])
    assert parse(card) == {"complaints": [], "items": len(card["body"]), "actions": len(card.get("actions", []))}


def test_microsofts_parser_would_complain() -> None:
    card = card_of(DeploymentState.SUCCEEDED)
    card["body"][0]["inlines"][0]["weight"] = "heavy"
    card["body"].append({"type": "Slide"})
    assert len(parse(card)["complaints"]) == 2


def test_start_and_end(teams: tuple[TeamsWorkflow, str]) -> None:
    workflow, url = teams
    sent = Memory()
    tell_whole_deployment(notifier(url), DeploymentState.SUCCEEDED, sent)
    texts = [card["body"][0]["inlines"][0]["text"] for card in workflow.cards]
    assert texts == ["shop: Deploying v7 to production", "shop: v7 is live in production after 2 min 40 s"]
    assert [action["title"] for action in workflow.cards[1]["actions"]] == ["Run", "Frontend", "Backend"]
    assert sent.find("succeeded") == "accepted"


@pytest.mark.parametrize("character", ["x", "é", "🚀", '"'])
def test_teams_takes_every_message(teams: tuple[TeamsWorkflow, str], character: str) -> None:
    services = [f"service-{number}" for number in range(200)]
    long = snapshot(
        DeploymentState.TURNED_BACK, failure=character * 999, log=[character * 9999] * 20, services=services,
        subject=character * 999, author=character * 999, reason=character * 999,
    )  # fmt: skip
    tell(notifier(teams[1]), long, Memory())
    (card,) = teams[0].cards
    assert len(json.dumps(card)) <= MAX_BYTES


def test_nothing_in_a_text_is_markdown() -> None:
    card = card_of(DeploymentState.TURNED_BACK, failure="[click](https://evil.example)")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}


def test_the_address_of_a_retired_connector_is_refused() -> None:
    url = "https://contoso.webhook.office.com/webhookb2/secret-part"
    with pytest.raises(NotificationError, match="a connector, which Microsoft has retired") as refused:
        tell(notifier(url), snapshot(), Memory())
    assert "secret-part" not in str(refused.value)


def test_what_a_workflow_refuses_is_said(teams: tuple[TeamsWorkflow, str]) -> None:
    workflow, url = teams
    with pytest.raises(NotificationError, match="Teams answers 401"):
        tell(notifier(url.replace(SIGNATURE, "wrong")), snapshot(), Memory())
    workflow.is_on = False
    with pytest.raises(NotificationError, match="WorkflowTriggerIsNotEnabled"):
        tell(notifier(url), snapshot(), Memory())
    workflow.is_on = True
    fail(workflow.faults, status=200, headers={"content-type": "text/html"}, body="<html>")
    fail(workflow.faults, status=429, headers={"retry-after": "1"})
    tell(notifier(url), snapshot(), Memory())
    assert len(workflow.cards) == 1


def test_a_test_is_only_accepted(teams: tuple[TeamsWorkflow, str]) -> None:
    assert send_test(notifier(teams[1])) == "accepted"
