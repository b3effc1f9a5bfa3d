"""The example of docs/notifications.md is deployed: a channel of Slack gets the two messages that the page shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers import slack_api
from abreast.testing.receivers.slack import PATH, SlackChannel
from all_receivers import all_receivers
from page_examples import Example
from sample_project import SampleProject
from storefront_repository import StorefrontRepository

PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()


@pytest.mark.executes("docs/notifications.md", 1)
@pytest.mark.exhaustive
def test_the_channel_gets_what_the_page_shows(tmp_path: Path, examples: list[Example]) -> None:
    repository = StorefrontRepository(tmp_path / "storefront")
    repository.follow(yaml.safe_load(examples[0].text))
    variable, *commands = re.findall(r"^    (?:export (\w+)=.*|(abreast .*))$", PAGE, re.MULTILINE)[:3]
    assert [command[1] for command in commands] == ["abreast notify test", "abreast deploy"]
    channel = SlackChannel()
    with ThreadedServer(channel.app) as server:
        tried = repository.run("notify", "test", variables={variable[0]: server.url + PATH}).stdout
        assert tried == "slack: delivered\n"
        told = repository.deploy(variables={variable[0]: server.url + PATH})
        assert "slack" not in told.stdout + told.stderr
        _, started, ended = channel.messages
        assert started["text"] == "storefront: Deploying v1 to local"
        (shown,) = re.findall(r"^> \*\*(.*)\*\*$", PAGE, re.MULTILINE)[:1]
        assert re.sub(r" after .*", "", ended["text"]) == re.sub(
            r"v7 is live in production after .*", "v1 is live in local", shown
        )
        fields = {field["title"]: field["value"] for field in ended["attachments"][0]["fields"]}
        assert fields["Backend"].startswith("✅ Deployed to Local http://127.0.0.1:")
        assert repository.git("rev-parse", "--short=7", "HEAD").strip() in fields["Commit"]
        channel.archived = True
        repository.commit()
        told = repository.deploy(variables={variable[0]: server.url + PATH})
        (shown,) = re.findall(r"^    (slack was not told: .*)$", PAGE, re.MULTILINE)
        assert shown in told.stdout
    repository.down()


@pytest.mark.executes("docs/notifications.md", 2, 3, 4)
def test_every_receiver_of_the_page_gets_a_test(
    project: SampleProject, examples: list[Example], tmp_path: Path
) -> None:
    project.config["environments"] |= {"staging": {}, "production": {}}
    apprise = Starlette(routes=[Route("/", lambda _: Response(), methods=["POST"])])
    with all_receivers(tmp_path) as receivers, ThreadedServer(FaultInjector(apprise)) as server:
        here = receivers.variables
        variables = here | {
            "SLACK_WEBHOOK_URL": here["SLACK_URL"], "SLACK_ALERTS_URL": here["SLACK_URL"],
            "SLACK_BOT_TOKEN": slack_api.TOKEN, "PAGERDUTY_ROUTING_KEY": here["PD_KEY"],
            "TEAMS_WEBHOOK_URL": here["TEAMS_URL"], "TELEGRAM_URL": server.url.replace("http", "json"),
        }  # fmt: skip
        for example in examples:
            notify = project.config["notify"] = yaml.safe_load(example.text)["notify"]
            if "pagerduty" in notify:
                notify["pagerduty"]["api"] = here["PD_API"]
            if "token" in notify.get("slack", {}):
                notify["slack"] |= {"api": here["SLACK_API"], "channel": slack_api.CHANNEL}
            project.commit()
            done = subprocess.run(
                [sys.executable, "-m", "abreast", "notify", "test"], cwd=project.folder, env={**os.environ, **variables},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            told = [line.partition(":")[0] for line in done.stdout.splitlines()]
            assert (told, done.stderr) == ([*notify], "")
