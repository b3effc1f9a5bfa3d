"""A signed link approves as its person, once, from any clone; any other link approves nothing, and that is recorded."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from abreast.core.approvals.link import LinkClaims
from approvers import KEY, as_person, link_for, read_claims, signed, votes
from sample_project import SampleProject, eventually, require_programs, wait_for_exit


@pytest.fixture
def guarded(project: SampleProject) -> SampleProject:
    """Two of ada, grace and linus have to approve what comes after the first deployment."""
    project.deploy()
    project.config["groups"] = {"release": ["ada", "grace"]}
    project.config["environments"]["local"]["approval"] = {"by": ["release", "linus"], "required": 2}
    project.commit("Ask people")
    return project


def start(project: SampleProject, login: str = "eve", code: int = 0) -> str:
    project.deploy(variables=as_person(login), code=code)
    return str(project.latest_deployment()["id"])


def refused(project: SampleProject, link: str, command: str = "approve") -> str:
    """Return what a link is refused with."""
    told = project.run(command, link, "--reason", "x", code=3).stderr
    assert "v4.public.ey" not in told
    return told


@pytest.mark.smoke
def test_a_link_approves_as_its_person_and_counts_once(guarded: SampleProject) -> None:
    id_ = start(guarded)
    ada = link_for(guarded, "ADA", id_)
    assert ada.startswith("abreast:approve#v4.public.")
    assert "waits for an approval by 2" in guarded.run("resume", id_).stdout, "to have a link approves nothing"
    for told in [guarded.run("approve", link).stdout for link in (ada, ada.partition("#")[2])]:
        assert "ada approved v2 for local" in told
        assert "1 more of ada, grace, linus; approved by ada" in told
    guarded.run("approve", link_for(guarded, "grace", id_), "--reason", "read it")
    guarded.run("resume", id_)
    assert guarded.latest_deployment()["state"] == "succeeded"
    me = os.uname().nodename
    assert [(act["who"], act["who_kind"], act["evidence"], act["outcome"]) for act in votes(guarded)] == [
        ("ada", "signed-link", "signed link", "done"), ("grace", "signed-link", "signed link", "done"),
    ]  # fmt: skip
    assert all(act["used_by"].endswith(f"(local:{os.getuid()}@{me})") for act in votes(guarded))
    trail = map(json.loads, guarded.run("audit", "export").stdout.splitlines())
    made = [(act["who_kind"], act["detail"]) for act in trail if act["what"] == "approval-link"]
    assert made == [("local", f"for {person}, to approve or reject {id_}") for person in ("ada", "grace")]
    kept = b"".join(file.read_bytes() for file in (guarded.folder / ".abreast").rglob("*") if file.is_file())
    assert ada.encode()[-60:] not in kept, "whoever reads the record cannot use the link"
    assert "the deployment" in refused(guarded, ada) or "does not wait" in refused(guarded, ada)


CHANGES: dict[str, tuple[Callable[[LinkClaims], LinkClaims], str]] = {
    "another project": (lambda claims: replace(claims, project="site"), "is for the project site, and this is shop"),
    "another deployment": (lambda claims: replace(claims, deployment="0" * 26), "which the record here does not have"),
    "a part of its id": (lambda claims: replace(claims, deployment=claims.deployment[:20]), "does not have"),
    "another plan": (lambda claims: replace(claims, plan="A" * 22), "for another plan than the one that is recorded"),
    "a stranger": (lambda claims: replace(claims, person="mallory"), "mallory is not among those who may approve"),
    "an author": (lambda claims: replace(claims, person="linus"), "linus is an author of this deployment"),
    "expired": (lambda claims: replace(claims, expires=ago(1)), "the link of ada expired at"),
}


def ago(seconds: float) -> str:
    then = datetime.now().astimezone() - timedelta(seconds=seconds)
    return then.isoformat(timespec="seconds")


def test_what_a_link_is_refused_for(guarded: SampleProject) -> None:
    id_ = start(guarded, "linus")
    who_makes_a_link_needs_the_key_and_is_a_person(guarded, id_)  # before a key is known here
    forged_links_approve_nothing(guarded, id_)
    ada = link_for(guarded, "ada", id_)
    a_clock_that_jumps_is_noticed(guarded, ada)
    who_is_not_named_any_more_does_not_approve(guarded, id_, ada)
    guarded.commit("Newer")
    second = start(guarded)
    assert "does not wait for an approval: it is superseded" in refused(guarded, ada), "a newer plan needs new links"
    linus = link_for(guarded, "linus", second)
    assert read_claims(ada).plan != read_claims(linus).plan
    assert "linus rejected it: not on a Friday" in guarded.run("reject", linus, "--reason", "not on a Friday").stdout
    assert guarded.latest_deployment()["state"] == "turned-back"
    assert f"deployment {second} does not wait for an approval: it is turned-back" in refused(guarded, linus)


def forged_links_approve_nothing(guarded: SampleProject, id_: str) -> None:
    before = len(guarded.run("audit", "export").stdout.splitlines())
    claims = read_claims(link_for(guarded, "ada", id_))
    for change, expected in CHANGES.values():
        assert expected in refused(guarded, signed(change(claims)))
    assert "is not one that abreast/shop+b219fb44 signed" in refused(
        guarded, signed(claims, b"another key with 32 bytes here!!")
    )
    whole = signed(claims)
    for broken in (
        whole[:-1],
        whole.replace("v4", "v2"),
        f"{whole[:60]}Z{whole[61:]}",
        "abreast:approve#",
        f"{whole} x",
    ):
        assert "is not one that abreast/shop+b219fb44 signed" in refused(guarded, broken)
    assert "expired" in refused(guarded, signed(CHANGES["expired"][0](claims)), "reject")
    assert "waits for an approval by 2" in guarded.run("resume", id_).stdout
    trail = [json.loads(line) for line in guarded.run("audit", "export").stdout.splitlines()[before:]]
    recorded = [act["detail"] for act in trail if act["outcome"] == "refused"]
    assert len(recorded) == len(CHANGES) + 1 + 5 + 1
    assert all(any(expected in detail for detail in recorded) for _, expected in CHANGES.values())
    assert "v4.public.ey" not in json.dumps(trail)
    assert {act["environment"] for act in trail if "expired at" in act["detail"]} == {"local"}
    uncounted = [
        (act["who"], act["outcome"]) for act in trail if act["what"] == "approve" and act["who_kind"] == "signed-link"
    ]
    assert uncounted == [("mallory", "not counted"), ("linus", "not counted")]


def who_makes_a_link_needs_the_key_and_is_a_person(guarded: SampleProject, id_: str) -> None:
    order = ("approve", id_, "--link-for", "ada")
    foreign = signed(LinkClaims("shop", "ada", id_, "A" * 22, "2999-01-01T00:00:00Z"))
    assert "no key is known here" in refused(guarded, foreign), "the machine's own signs no links"
    told = guarded.run(*order, code=2).stderr
    assert "ABREAST_AUDIT_KEY is not set" in told
    assert "openssl rand -base64 32" in told
    assert "robot is an agent" in guarded.run(*order, code=3, variables={**KEY, "ABREAST_AGENT": "robot"}).stderr
    assert "in the log of a run" in guarded.run(*order, code=3, variables={**KEY, **as_person("ada")}).stderr
    assert "mallory is not among" in guarded.run(*order[:3], "mallory", code=3, variables=KEY).stderr
    document = json.loads(guarded.run(*order, "--json", variables=KEY).stdout)
    assert (document["person"], document["deployment"]) == ("ada", id_)
    assert read_claims(document["link"]).expires == document["expires"]
    robot = {"ABREAST_AGENT": "robot"}
    assert "robot is an agent" in guarded.run("approve", document["link"], code=3, variables=robot).stderr


def a_clock_that_jumps_is_noticed(guarded: SampleProject, ada: str) -> None:
    require_programs("faketime")
    for jump, expected in (
        ("+2d", "the link of ada expired at"),
        ("-2d", "by the clock of this machine, and the record"),
    ):
        command = ["faketime", "-f", jump, *guarded.command_line("approve", ada)]
        done = subprocess.run(command, cwd=guarded.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert expected in done.stderr


def who_is_not_named_any_more_does_not_approve(guarded: SampleProject, id_: str, ada: str) -> None:
    mine = guarded.folder / "abreast.yml"
    text = mine.read_text()
    mine.write_text(text.replace("- ada\n", ""))
    assert "ada may not approve any more: abreast.yml names grace, linus" in refused(guarded, ada)
    assert "ada may not approve any more" in guarded.run("approve", id_, variables=as_person("ada"), code=3).stderr
    mine.write_text("project: shop\nservices: 7")
    assert "approved by ada" in guarded.run("approve", ada).stdout, "what is recorded holds where nothing else is known"
    mine.write_text(text)


def test_what_is_said_at_the_same_moment_is_heard(guarded: SampleProject) -> None:
    id_ = start(guarded)
    as_ada = as_person("ada")
    both = [
        guarded.start("approve", id_, variables=as_ada),
        guarded.start("reject", id_, "--reason", "no", variables=as_ada),
    ]
    for one in both:
        wait_for_exit(one)
    said = sorted((act["what"], act["outcome"]) for act in votes(guarded))
    assert ("reject", "done") in said
    assert both[0].returncode != 0 or ("approve", "done") in said, "what was told to be recorded is"

    before, id_ = len(said), start(guarded)
    ada, grace = link_for(guarded, "ada", id_), link_for(guarded, "grace", id_)
    assert [wait_for_exit(one) for one in [guarded.start("approve", ada) for _ in range(3)]] == [0, 0, 0]
    assert "waits for an approval by 1 more" in guarded.run("resume", id_).stdout
    assert len(votes(guarded)) == before + 1, "one link counts once"
    both = [guarded.start("approve", grace), guarded.start("approve", id_, variables=as_person("linus"))]
    assert [wait_for_exit(one) for one in both] == [0, 0]
    guarded.run("resume", id_)
    assert guarded.latest_deployment()["state"] == "succeeded"
    assert sorted(act["who"] for act in votes(guarded)[before:]) == ["ada", "grace", "linus"]
    a_secret_that_changes_after_the_approval_asks_again(guarded)


def test_a_clone_without_the_key_knows_the_public_one(guarded: SampleProject, tmp_path: Path) -> None:
    remote = tmp_path / "shop.git"
    guarded.git("clone", "-q", "--bare", str(guarded.folder), str(remote))
    guarded.git("remote", "add", "origin", str(remote))
    in_git = {"ABREAST_STATE": "git"}
    guarded.run("state", "move", "--to", "git", "--yes")
    guarded.run("unlock", variables=in_git)
    guarded.deploy(variables={**as_person("eve"), **in_git})
    id_ = json.loads(guarded.run("show", "--json", variables=in_git).stdout)["id"]
    foreign = signed(LinkClaims("shop", "ada", id_, "A" * 22, "2999-01-01T00:00:00Z"))
    other = SampleProject.__new__(SampleProject)
    other.folder, other._started_commands = tmp_path / "clone", []
    guarded.git("clone", "-q", str(remote), str(other.folder))
    assert "is not one that" in other.run("approve", foreign, variables=in_git, code=3).stderr
    ada, grace = (link_for(guarded, person, id_, {**KEY, **in_git}) for person in ("ada", "grace"))
    assert "approved by ada" in other.run("approve", ada, variables=in_git).stdout
    stranger = "abreast/shop+57b14d6c+AcY5lfddcJgYcnrujEE+xrD1qADitSC+c5JSeqUZrF52"
    wrong = {**in_git, "ABREAST_AUDIT_PUBLIC_KEY": stranger}
    assert (
        "ABREAST_AUDIT_PUBLIC_KEY is a verifier key whose id"
        in other.run("approve", grace, variables=wrong, code=2).stderr
    )
    another = {**in_git, "ABREAST_AUDIT_KEY": "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="}
    assert "is not one that" in other.run("approve", grace, variables=another, code=3).stderr
    public = guarded.run("audit", "verify", variables={**KEY, **in_git}).stdout
    assert "by abreast/shop+b219fb44+" in public
    right = {**in_git, "ABREAST_AUDIT_PUBLIC_KEY": "abreast/shop+b219fb44+ASBoBbO9Sb3TSUIOYdHeHV9LSQfkQVuDaDe3u0idHPqP"}
    assert "approved by ada, grace" in other.run("approve", grace, variables=right).stdout
    assert "approved by ada, grace" in guarded.run("resume", variables=in_git).stdout
    assert {act["who"]: act["who_kind"] for act in votes(guarded, in_git)} == dict.fromkeys(
        ("ada", "grace"), "signed-link"
    )
    guarded.run("down", "--yes", variables=in_git)


def a_secret_that_changes_after_the_approval_asks_again(guarded: SampleProject) -> None:
    guarded.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    guarded.config["environments"]["local"]["approval"]["required"] = 1
    guarded.commit("With a token")
    first, second = {"API_TOKEN": "one-token-of-mine"}, {"API_TOKEN": "another-token-of-mine"}
    guarded.deploy(variables={**as_person("eve"), **first})
    id_ = guarded.latest_deployment()["id"]
    guarded.run("approve", id_, variables=as_person("ada"))
    assert "API_TOKEN" in guarded.run("resume", id_).stdout, "a machine without the value changes nothing"
    assert guarded.latest_deployment()["state"] == "approving"
    told = guarded.run("resume", id_, variables=second, code=3).stdout
    assert "since it was asked for, API_TOKEN of backend got another value: ask again" in told
    assert "another-token-of-mine" not in told
    guarded.deploy(variables={**as_person("eve"), **second})
    again = guarded.latest_deployment()["id"]
    assert again != id_
    guarded.run("approve", again, variables=as_person("ada"))
    guarded.run("resume", again, variables=second)
    eventually(lambda: guarded.latest_deployment()["state"] == "succeeded")
