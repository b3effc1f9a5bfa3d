"""Who may approve gets a mail of their own, with their own link, once; nobody else ever sees a link."""

import os
import re
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from all_receivers import Receivers, all_receivers
from approvers import KEY, as_person, read_claims, votes
from mail_server import USER
from sample_project import SampleProject

ADDRESSES = {"ada": "ada@example.com", "grace": "grace@example.com", "eve": "eve@example.com"}


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    with all_receivers(tmp_path) as made:
        yield made


@pytest.fixture
def guarded(project: SampleProject) -> SampleProject:
    """Ada, grace, eve and linus may approve; linus has no address. Everybody else is told as well."""
    project.deploy()
    project.config["people"] = {**ADDRESSES, "linus": {}}
    project.config["environments"]["local"]["approval"] = {"by": [*ADDRESSES, "linus"], "required": 2}
    project.config["notify"] = {
        "slack": {"webhook": "${SLACK_URL}"}, "teams": {"webhook": "${TEAMS_URL}"},
        "webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"},
        "email": {"server": "${SMTP_URL}", "sender": f"abreast <{USER}>", "to": ["ops@example.com"], "severity": "warning"},
    }  # fmt: skip
    project.commit("Ask people")
    return project


def mails_to(receivers: Receivers, address: str) -> list[EmailMessage]:
    pairs = zip(receivers.mailbox.mails, receivers.mailbox.recipients, strict=True)
    return [mail for mail, recipients in pairs if recipients == [address]]


def texts(mail: EmailMessage) -> str:
    return "".join(str(part.get_content()) for part in mail.walk() if part.get_content_maintype() == "text")


def link_in(mail: EmailMessage) -> str:
    """Return the one link of a mail, which its text and its HTML have."""
    text = texts(mail).replace("&#x27;", "'")
    (link,) = {*re.findall(r"'(\S+#v4\.public\.[\w-]+)'", text)}
    return str(link)


def run(project: SampleProject, receivers: Receivers, *arguments: str, **variables: str) -> str:
    """Run a command in a process of its own, which reads the authority of the mail server."""
    environment = {**os.environ, **receivers.variables, **variables}
    done = subprocess.run(
        project.command_line(*arguments),
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def deploy(project: SampleProject, receivers: Receivers, **variables: str) -> str:
    return run(project, receivers, "deploy", "--yes", **as_person("eve"), **variables)


def everything(project: SampleProject, receivers: Receivers) -> bytes:
    """Return what is kept, and what all but the people were told."""
    kept = [file.read_bytes() for file in (project.folder / ".abreast").rglob("*") if file.is_file()]
    told: list[Any] = [receivers.channel.messages, receivers.endpoint.events, receivers.workflow.cards]
    told += [texts(mail) for mail in mails_to(receivers, "ops@example.com")]
    return b"".join(kept) + repr(told).encode()


@pytest.mark.smoke
def test_each_gets_a_link_of_their_own_once(guarded: SampleProject, receivers: Receivers) -> None:
    printed = deploy(guarded, receivers, **KEY)
    (ada,), (grace,) = (mails_to(receivers, ADDRESSES[name]) for name in ("ada", "grace"))
    assert mails_to(receivers, ADDRESSES["eve"]) == [], "an author gets none"
    links = [link_in(ada), link_in(grace)]
    assert [read_claims(link).person for link in links] == ["ada", "grace"]
    assert "1 commit since what is live" in texts(ada)
    assert "To approve it, in any clone of shop" in texts(ada)
    id_ = guarded.latest_deployment()["id"]
    printed += run(guarded, receivers, "resume", id_, **KEY)
    printed += run(guarded, receivers, "notify", "send", **KEY)
    assert [len(mails_to(receivers, ADDRESSES[name])) for name in ("ada", "grace")] == [1, 1], "once, whatever runs"
    for link in links:
        printed += guarded.run("approve", link).stdout
    printed += run(guarded, receivers, "resume", id_, **KEY)
    assert guarded.latest_deployment()["state"] == "succeeded"
    assert [act["who_kind"] for act in votes(guarded)] == ["signed-link", "signed-link"]
    assert [len(mails_to(receivers, ADDRESSES[name])) for name in ("ada", "grace")] == [1, 1]
    assert "Ask people" in repr(receivers.channel.messages)
    seen = everything(guarded, receivers) + printed.encode()
    for link in links:
        assert link.encode()[-40:] not in seen, "a link is a secret"


def test_a_server_that_is_busy_or_away_is_asked_again(guarded: SampleProject, receivers: Receivers) -> None:
    receivers.mailbox.refused = {ADDRESSES["ada"]: "550 no such user"}
    receivers.mailbox.data_answers = ["451 try again"]
    printed = deploy(guarded, receivers, **KEY)
    assert "email to ada was not told: the mail server 127.0.0.1 answers 550 no such user" in printed
    assert len(mails_to(receivers, ADDRESSES["grace"])) == 1
    receivers.mailbox.refused = {}
    assert run(guarded, receivers, "notify", "send", **KEY) == ""
    (ada,) = mails_to(receivers, ADDRESSES["ada"])
    assert "approved by ada" in guarded.run("approve", link_in(ada)).stdout
    assert "before" not in ada["Subject"]
    assert len(mails_to(receivers, ADDRESSES["grace"])) == 1


def test_without_the_key_nobody_gets_a_link_and_that_is_said(guarded: SampleProject, receivers: Receivers) -> None:
    missing = "nobody is sent a link to approve by: there is no key to sign an approval link with"
    planned = guarded.run("plan", variables=receivers.variables).stdout
    assert missing in planned
    assert "openssl rand -base64 32" in planned
    assert missing in guarded.run("doctor", variables=receivers.variables, code=None).stdout
    assert missing not in guarded.run("plan", variables={**receivers.variables, **KEY}).stdout
    deploy(guarded, receivers)
    assert {*map(tuple, receivers.mailbox.recipients)} == {("ops@example.com",)}
    del guarded.config["notify"]["email"]
    guarded.commit("No mail")
    planned = guarded.run("plan", variables={**receivers.variables, **KEY}).stdout
    assert "`notify` has no receiver `email` for local" in planned


def test_a_server_of_ones_own_has_the_links_address(guarded: SampleProject, receivers: Receivers) -> None:
    guarded.config["environments"]["local"]["approval"]["url"] = "https://deploy.example.com/"
    guarded.commit("A server")
    deploy(guarded, receivers, **KEY)
    (ada,) = mails_to(receivers, ADDRESSES["ada"])
    assert link_in(ada).startswith("https://deploy.example.com/approve#v4.public.")
    assert 'href="https://deploy.example.com/approve#v4.public.' in texts(ada)
    assert "approved by ada" in guarded.run("approve", link_in(ada)).stdout
