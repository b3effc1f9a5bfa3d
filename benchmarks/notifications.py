"""Notifications: how long after a change of its state each receiver was told of a deployment."""

import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import ModuleType

import yaml
from starlette.types import ASGIApp, Receive, Scope, Send

from abreast.ledger.sqlite import SqliteLedger
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers import pagerduty, slack, slack_api, teams, webhook
from benchmarks.bench_project import BenchProject
from benchmarks.tests_helpers import tests_module

DEPLOYMENTS, PORT = 40, 12900


class ArrivalClock:
    """Middleware that records when each request was answered, in seconds since 1970."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.times: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        self.times.append(time.time())


def run() -> str:
    """Return a table of the latency of each receiver."""
    with (
        tests_module("mail_server") as mail,
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 1, PORT, 0.0, 0.1, 1.0) as shop,
        ExitStack() as stack,
    ):
        mailbox = stack.enter_context(mail.mail_server(Path(folder), tls="implicit"))
        clocks = _configure_receivers(shop, stack, mail, mailbox.port)
        os.environ["SSL_CERT_FILE"] = str(Path(folder) / "ca.pem")
        for _ in range(DEPLOYMENTS):
            shop.commit()
            shop.timed_abreast("deploy", "--yes")
        changes = _state_changes(shop)
        told = {**{name: clock.times for name, clock in clocks.items()}, "e-mail": list(mailbox.arrivals)}
    ends = [end for end in changes[1::2] for _ in ("change event", "alert that is resolved")]
    latencies = {
        name: [
            arrived - changed for arrived, changed in zip(times, ends if name == "PagerDuty" else changes, strict=True)
        ]
        for name, times in told.items()
    }
    every = [latency for receiver in latencies.values() for latency in receiver]
    rows = [f"| {name} | {_figures(receiver)} |" for name, receiver in latencies.items()]
    return "\n".join([
        "## Notifications", "",
        f"{DEPLOYMENTS} deployments of one service tell six receivers on this machine at once. Latency: from the record of a start or an end",
        "until a receiver has answered. abreast looks twice a second for what is new, and at once at an end. Goal: p99 < 2 s.", "",
        "| receiver | messages | p50 | p99 | longest |", "|---|---|---|---|---|", *rows, f"| all | {_figures(every)} |",
    ])  # fmt: skip


def _configure_receivers(
    shop: BenchProject, stack: ExitStack, mail: ModuleType, mail_port: int
) -> Mapping[str, ArrivalClock]:
    """Serve the receivers and write them into abreast.yml; return when each of them answered."""
    apps = {
        "Slack, webhook": slack.SlackChannel().app,
        "Slack, bot": slack_api.SlackWorkspace().app,
        "PagerDuty": pagerduty.PagerDutyService().app,
        "Teams": teams.TeamsWorkflow().app,
        "webhook": webhook.WebhookEndpoint().app,
    }
    clocks = {name: ArrivalClock(app) for name, app in apps.items()}
    url = {name: stack.enter_context(ThreadedServer(clock)).url for name, clock in clocks.items()}
    user, password = (
        text.replace("@", "%40").replace("/", "%2F").replace(":", "%3A") for text in (mail.USER, mail.PASSWORD)
    )
    config = yaml.safe_load((shop.folder / "abreast.yml").read_text())
    config["notify"] = {
        "slack": {"webhook": url["Slack, webhook"] + slack.PATH},
        "slack-bot": {"token": slack_api.TOKEN, "channel": slack_api.CHANNEL, "api": f"{url['Slack, bot']}/api"},
        "pagerduty": {"routing_key": pagerduty.ROUTING_KEY, "environments": ["local"], "api": url["PagerDuty"]},
        "teams": {"webhook": url["Teams"] + teams.PATH + teams.QUERY},
        "webhook": {"url": url["webhook"], "secret": webhook.SECRET},
        "email": {
            "server": f"smtps://{user}:{password}@127.0.0.1:{mail_port}",
            "sender": "abreast@example.com",
            "to": ["ops@example.com"],
        },
    }
    (shop.folder / "abreast.yml").write_text(yaml.safe_dump(config))
    return clocks


def _state_changes(shop: BenchProject) -> Sequence[float]:
    """Return when deployments began and ended, in seconds since 1970, in order."""
    with SqliteLedger.open(shop.folder / ".abreast") as ledger:
        deployments = ledger.deployments("local", DEPLOYMENTS)
    moments = [moment for deployment in deployments for moment in (deployment.started, deployment.finished)]
    return sorted(datetime.fromisoformat(moment).timestamp() for moment in moments if moment)


def _figures(latencies: Sequence[float]) -> str:
    p99 = statistics.quantiles(latencies, n=100, method="inclusive")[98]
    return f"{len(latencies)} | {statistics.median(latencies):.2f} s | {p99:.2f} s | {max(latencies):.2f} s"
