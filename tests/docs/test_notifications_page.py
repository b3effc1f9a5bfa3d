"""The example of docs/notifications.md is deployed: a channel of Slack gets the two messages that the page shows."""

import re
from pathlib import Path

import pytest
import yaml

from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers.slack import PATH, SlackChannel
from page_examples import Example
from storefront_repository import StorefrontRepository

PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()


@pytest.mark.executes("docs/notifications.md", 1)
@pytest.mark.exhaustive
def test_the_channel_gets_what_the_page_shows(tmp_path: Path, examples: list[Example]) -> None:
    repository = StorefrontRepository(tmp_path / "storefront")
    repository.follow(yaml.safe_load(examples[0].text))
    (variable, command) = re.findall(r"^    (?:export (\w+)=.*|(abreast .*))$", PAGE, re.MULTILINE)[:2]
    assert command[1] == "abreast deploy"
    channel = SlackChannel()
    with ThreadedServer(channel.app) as server:
        told = repository.deploy(variables={variable[0]: server.url + PATH})
        assert "slack" not in told.stdout + told.stderr
        started, ended = channel.messages
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
