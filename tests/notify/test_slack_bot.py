"""A bot keeps one message for each deployment. Slack's own client holds the receiver true."""

from collections.abc import Iterator

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from abreast.core.states import DeploymentState
from abreast.notify.interface import NotificationError, Notifier
from abreast.testing.platforms.fault_injection import FaultKind
from abreast.testing.receivers.slack import BURST, MAX_CHARACTERS
from abreast.testing.receivers.slack_api import CHANNEL, TOKEN, SlackWorkspace
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, fail, send_test, served, tell, tell_whole_deployment


@pytest.fixture
def slack() -> Iterator[tuple[SlackWorkspace, str]]:
    workspace = SlackWorkspace()
    with served(workspace.app) as url:
        yield workspace, f"{url}/api"


def bot(api: str, channel: str = CHANNEL) -> Notifier:
    return create_notifier(
        "slack", {"token": "${SLACK_BOT_TOKEN}", "channel": channel, "api": api}, SLACK_BOT_TOKEN=TOKEN
    )


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up <HTTPError:ResourceWarning")  # slack_sdk closes none
def test_the_receiver_takes_and_refuses_what_slacks_client_sends(slack: tuple[SlackWorkspace, str]) -> None:
    workspace, api = slack
    client = WebClient(TOKEN, base_url=f"{api}/")
    posted = client.chat_postMessage(channel=CHANNEL, text="hello", attachments=[{"color": "good", "fields": []}])
    client.chat_update(channel=CHANNEL, ts=str(posted["ts"]), text="goodbye")
    assert workspace.messages == {posted["ts"]: {"text": "goodbye"}}

    def refusal(client: WebClient = client, method: str = "chat_postMessage", **arguments: str) -> str:
        with pytest.raises(SlackApiError) as refused:
            getattr(client, method)(**arguments)
        return str(refused.value.response["error"])

    assert refusal(method="chat_update", channel=CHANNEL, ts="1.2", text="x") == "message_not_found"
    assert refusal(channel="C000", text="x") == "channel_not_found"
    assert refusal(channel=CHANNEL, text="x" * MAX_CHARACTERS) == "msg_blocks_too_long"
    assert "ratelimited" in {refusal(channel="C000", text="x") for _ in range(BURST)}
    assert refusal(WebClient("xoxb-wrong", base_url=f"{api}/"), channel=CHANNEL, text="x") == "invalid_auth"


def test_a_deployment_has_one_message_which_is_changed(slack: tuple[SlackWorkspace, str]) -> None:
    workspace, api = slack
    tell_whole_deployment(bot(api), DeploymentState.SUCCEEDED, Memory())
    (message,) = workspace.messages.values()
    assert message["text"] == "shop: v7 is live in production after 2 min 40 s"
    assert next(said["text"] for _, said in workspace.history) == "shop: Deploying v7 to production"
    (attachment,) = message["attachments"]
    assert attachment["color"] == "good"
    assert {"title": "Next", "value": "abreast rollback --env production", "short": False} in attachment["fields"]


def test_another_process_changes_the_same_message(slack: tuple[SlackWorkspace, str]) -> None:
    workspace, api = slack
    sent = Memory()
    tell(bot(api), snapshot(DeploymentState.RUNNING), sent)
    tell(bot(api), snapshot(), sent)
    assert len(workspace.messages) == 1
    assert len(workspace.history) == 2


@pytest.mark.parametrize("is_gone", [True, False])
def test_what_cannot_be_changed_is_posted_anew(slack: tuple[SlackWorkspace, str], is_gone: bool) -> None:
    workspace, api = slack
    sent = Memory()
    tell(bot(api), snapshot(DeploymentState.RUNNING), sent)
    workspace.is_editable = False
    if is_gone:
        workspace.messages.clear()
    tell(bot(api), snapshot(), sent)
    assert workspace.history[0][0] != workspace.history[1][0]
    assert len(workspace.history) == 2


def test_a_change_whose_answer_is_lost_is_made_again_and_says_nothing_of_it(slack: tuple[SlackWorkspace, str]) -> None:
    workspace, api = slack
    sent, notifier = Memory(), bot(api)
    tell(notifier, snapshot(DeploymentState.RUNNING), sent)
    fail(workspace.faults, FaultKind.RESPONSE_LOST)
    tell(notifier, snapshot(), sent)
    (message,) = workspace.messages.values()
    assert "before" not in message["text"]


def test_it_waits_when_slack_says_so(slack: tuple[SlackWorkspace, str]) -> None:
    workspace, api = slack
    fail(workspace.faults, status=429, headers={"retry-after": "1"}, body='{"ok":false,"error":"ratelimited"}')
    fail(workspace.faults, status=200, body='{"ok":false,"error":"internal_error"}')
    tell(bot(api), snapshot(), Memory())
    assert len(workspace.messages) == 1


def test_a_refusal_is_said_with_what_is_needed(slack: tuple[SlackWorkspace, str]) -> None:
    with pytest.raises(NotificationError, match="Slack answers channel_not_found") as refused:
        tell(bot(slack[1], "C0000000000"), snapshot(), Memory())
    assert "chat:write" in refused.value.need
    assert TOKEN not in str(refused.value)


def test_a_test_is_delivered(slack: tuple[SlackWorkspace, str]) -> None:
    assert send_test(bot(slack[1])) == "delivered"
    assert [said["text"] for _, said in slack[0].history] == ["shop: This is how abreast tells you"]


@pytest.mark.parametrize(
    "settings", [{}, {"webhook": "x", "token": "y", "channel": "z"}, {"token": "y"}, {"webhook": "x", "channel": "y"}]
)
def test_settings_say_one_way(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected `"):
        create_notifier("slack", settings)
