"""The pages about approvals, promotion and the effective configuration are followed, with people of a CI system."""

import json
import os
import re
import subprocess
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from all_receivers import all_receivers
from approvers import KEY, read_claims
from mail_server import USER
from page_examples import Example
from sample_project import SampleProject, eventually, free_ports, require_programs

RUN = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "octo/shop", "GITHUB_TOKEN": "",
       "ABREAST_STATE": ".abreast"}  # fmt: skip


def as_person(login: str) -> dict[str, str]:
    return {**RUN, "GITHUB_ACTOR": login}


def follow(project: SampleProject, shown: dict[str, Any]) -> None:
    """Take an example as it is, but for this machine's ports and how long one waits."""
    project.config = {"project": "storefront", **shown}
    project.config["services"] = {
        name: {**service, **({"run": "python3 -S app.py"} if "run" in service else {"build": {"output": "public"}})}
        for name, service in shown["services"].items()
    }
    (project.folder / "public").mkdir(exist_ok=True)
    (project.folder / "public" / "index.html").write_text("hello")
    for environment in project.config["environments"].values():
        environment["settle"] = "300ms"
        for service in shown["services"]:
            environment[service] = {"local": {"port": free_ports(1)[0]}}
    project.commit()


def masked(text: str) -> str:
    """Return a text without what is another one each time: ids, times, releases."""
    text = re.sub(r"\b[0-9A-Z]{26}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{7} ", "HASH ", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "MOMENT", text))
    return re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", re.sub(r"\bv\d+\b", "RELEASE", text))


def check_printed(printed: str, example: Example) -> None:
    for line in example.output:
        assert line == "..." or masked(line) in masked(printed), line


@pytest.mark.executes("docs/approvals.md", 1, 2, 3, 4)
@pytest.mark.exhaustive
def test_people_agree_before_production(project: SampleProject, examples: list[Example]) -> None:
    config, deploys, approves, shows = examples
    follow(project, yaml.safe_load(config.text))
    deployed = project.run(*deploys.commands[0].split()[1:], variables=as_person("eve")).stdout
    check_printed(deployed, deploys)
    assert approves.commands == ['abreast approve --reason "read the migrations"']
    reason = ("--reason", "read the migrations")
    check_printed(project.run("approve", *reason, variables=as_person("ada")).stdout, approves)
    project.run("approve", variables=as_person("linus"))
    assert "RELEASE is live in production" in masked(project.run("resume").stdout)
    (project.folder / "public" / "index.html").write_text("a basket")
    project.git("-c", "user.name=Eve", "-c", "user.email=eve@example.com", "commit", "-qam", "Add a basket")
    project.run(*deploys.commands[0].split()[1:], variables=as_person("eve"))
    assert shows.commands[0].split()[:2] == ["abreast", "show"]
    check_printed(project.run("show", project.latest_deployment()["id"]).stdout, shows)
    project.run("cancel", "--reason", "shown")
    project.run("down", "--env", "production", "--yes")


@pytest.mark.executes("docs/approvals.md", 5)
@pytest.mark.executes("docs/approvals.md", 1)
@pytest.mark.executes("docs/reference.md", 9)
@pytest.mark.exhaustive
def test_people_get_links(project: SampleProject, examples: list[Example], tmp_path: Path) -> None:
    reference, services, page = (yaml.safe_load(example.text) for example in examples)
    with all_receivers(tmp_path) as receivers:
        environment = {**os.environ, **as_person("eve"), **receivers.variables, **KEY}
        for shown in (reference, {**services, **page}):
            receivers.mailbox.mails.clear()
            receivers.mailbox.envelopes.clear()
            shown["notify"]["email"]["sender"] = USER  # the only one that the server here sends for
            follow(project, shown)
            command = project.command_line("deploy", "--env", "production", "--yes")
            subprocess.run(command, cwd=project.folder, env=environment, check=True, capture_output=True)
            addresses = {address for recipients in receivers.mailbox.recipients for address in recipients}
            assert addresses == {"ada@example.com", "grace@example.com", "ops@example.com"}
            links = {
                link for mail in receivers.mailbox.mails for link in re.findall(r"'(\S+)' --reason", str(text_of(mail)))
            }
            url = shown["environments"]["production"]["approval"].get("url")
            place = f"{url}/approve" if url else "abreast:approve"
            assert {link.partition("#")[0] for link in links} == {place}
            assert {read_claims(link).person for link in links} == {"ada", "grace"}
            for link in links:
                project.run("approve", link)
            subprocess.run(
                project.command_line("resume"), cwd=project.folder, env=environment, check=True, capture_output=True
            )
    assert project.latest_deployment()["state"] == "succeeded"
    project.run("down", "--env", "production", "--yes")


def text_of(mail: EmailMessage) -> object:
    body = mail.get_body(("plain",))
    return body and body.get_content()


@pytest.mark.executes("docs/reference.md", 8)
@pytest.mark.exhaustive
def test_a_group_approves(project: SampleProject, examples: list[Example]) -> None:
    follow(project, yaml.safe_load(examples[0].text))
    project.deploy("--env", "production", variables=as_person("eve"))
    for login in ("grace", "ada"):
        project.run("approve", variables=as_person(login))
    project.run("resume")
    assert project.latest_deployment()["state"] == "succeeded"
    project.run("down", "--env", "production", "--yes")


@pytest.mark.executes("docs/promotion.md", 1, 2)
@pytest.mark.exhaustive
def test_a_release_soaks_before_production(project: SampleProject, examples: list[Example]) -> None:
    config, promotes = examples
    shown = yaml.safe_load(config.text)
    follow(project, shown)
    project.deploy("--env", "staging")
    refused = project.run(*promotes.commands[0].split()[1:], code=3).stderr
    for line in promotes.output:
        assert masked(line).replace("13 minutes", "30 minutes") in masked(refused), line
    shown["environments"]["production"]["promotion"]["soak"] = "3s"
    project.commit("Shorter")
    eventually(lambda: project.run("promote", "--to", "production", "--yes", code=None).returncode == 0)
    assert project.latest_deployment()["environment"] == "production"
    for environment in ("staging", "production"):
        project.run("down", "--env", environment, "--yes")


@pytest.mark.executes("docs/reference.md", 11)
@pytest.mark.exhaustive
def test_production_takes_no_commits(project: SampleProject, examples: list[Example]) -> None:
    follow(project, yaml.safe_load(examples[0].text))
    project.deploy("--env", "staging")
    assert "abreast promote --to production" in project.deploy("--env", "production", code=3).stderr
    project.run("down", "--env", "staging", "--yes")


@pytest.mark.executes("docs/commands.md", 2)
def test_the_settings_that_differ(project: SampleProject, examples: list[Example]) -> None:
    lines = {
        1: "project: shop", 2: "services:", 3: "  backend: {run: serve}", 6: "environments:", 7: "  staging:",
        8: "    settle: 1s", 9: "    backend: {instances: 1}", 10: "  production:", 11: "    extends: staging",
        12: "    settle: 30s", 13: "    backend: {instances: 4}",
    }  # fmt: skip
    text = "\n".join(lines.get(number, "") for number in range(1, 14))
    (project.folder / "abreast.yml").write_text(text)
    printed = project.run(*examples[0].commands[0].split()[1:]).stdout
    assert [re.sub(r" +", " ", line).strip() for line in printed.splitlines()] == [
        re.sub(r" +", " ", line).strip() for line in examples[0].output
    ]
    assert json.loads(project.run(*examples[0].commands[0].split()[1:], "--json").stdout)


@pytest.mark.executes("docs/freezes.md", 1, 2)
@pytest.mark.executes("docs/reference.md", 10)
def test_production_is_frozen_on_a_weekend(project: SampleProject, examples: list[Example]) -> None:
    require_programs("faketime")
    reference, page, refused = examples
    for example in (reference, page):
        project.config["environments"] = yaml.safe_load(example.text)["environments"]
        project.config["environments"]["production"]["backend"] = {"local": {"port": free_ports(1)[0]}}
        project.commit()
        command = ["faketime", "2026-11-28 12:00:00", *project.command_line(*refused.commands[0].split()[1:], "--yes")]
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        for line in refused.output[1:]:
            assert line in done.stderr
