"""One receiver of each kind, at the addresses and with the secrets that a project has in its variables."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers import pagerduty, slack, slack_api, teams, webhook
from mail_server import PASSWORD, Mailbox, mail_server


@dataclass
class Receivers:
    """One receiver of each kind, each with an address that is a secret."""

    variables: dict[str, str] = field(default_factory=dict)
    channel: slack.SlackChannel = field(default_factory=slack.SlackChannel)
    workspace: slack_api.SlackWorkspace = field(default_factory=slack_api.SlackWorkspace)
    service: pagerduty.PagerDutyService = field(default_factory=pagerduty.PagerDutyService)
    workflow: teams.TeamsWorkflow = field(default_factory=teams.TeamsWorkflow)
    endpoint: webhook.WebhookEndpoint = field(default_factory=webhook.WebhookEndpoint)
    mailbox: Mailbox = field(default_factory=Mailbox)

    @property
    def texts(self) -> list[str]:
        """What the channel of the webhook was told, without how long it took, and without what is not the end."""
        texts = [message["text"].partition(" after")[0] for message in self.channel.messages]
        return [text for text in texts if "failed and is turned back" not in text]

    @property
    def events(self) -> list[str]:
        """The events that the webhook of one's own got, without what is not the end."""
        return [event["type"] for event in self.endpoint.events if event["type"] != "deployment.failed"]


SECRETS = (
    slack.PATH.rpartition("/")[2],
    slack_api.TOKEN,
    pagerduty.ROUTING_KEY,
    teams.SIGNATURE,
    webhook.SECRET,
    PASSWORD,
)


@contextmanager
def all_receivers(folder: Path) -> Iterator[Receivers]:
    """Serve one receiver of each kind. ``folder`` gets the certificate of the mail server's authority."""
    made = Receivers()
    with ExitStack() as stack:

        def serve(app: Any) -> str:  # noqa: ANN401 (an ASGI app)
            return stack.enter_context(ThreadedServer(app)).url

        made.mailbox = stack.enter_context(mail_server(folder, tls="implicit"))
        made.variables = {
            "SLACK_URL": serve(made.channel.app) + slack.PATH,
            "SLACK_TOKEN": slack_api.TOKEN,
            "SLACK_API": serve(made.workspace.app) + "/api",
            "PD_KEY": pagerduty.ROUTING_KEY,
            "PD_API": serve(made.service.app),
            "TEAMS_URL": serve(made.workflow.app) + teams.PATH + teams.QUERY,
            "HOOK_URL": serve(made.endpoint.app) + "/hook",
            "HOOK_SECRET": webhook.SECRET,
            "SMTP_URL": f"smtps://deployments%40example.com:{PASSWORD.replace('/', '%2F').replace(':', '%3A').replace('@', '%40')}@127.0.0.1:{made.mailbox.port}",
            "SSL_CERT_FILE": str(folder / "ca.pem"),
        }
        yield made
