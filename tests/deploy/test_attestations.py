"""What a workflow builds is signed, and what is deployed is verified before: in this run, later, and on another machine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from abreast.github.token_issuer import token_issuer
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from github_stage import TOKEN, GitHubStage, github_stage
from sample_project import APP_SOURCE, NEVER_HEALTHY, SampleProject, eventually
from sigstore_instance import SigstoreInstance, sigstore_instance

WORKFLOW = "octo/shop/.github/workflows/deploy.yml@refs/heads/main"


@dataclass
class Attested:
    """The sample project, whose workflow at GitHub may sign."""

    project: SampleProject
    stage: GitHubStage
    instance: SigstoreInstance
    laptop: dict[str, str]
    """The variables of a laptop that trusts the instance."""

    @property
    def workflow(self) -> dict[str, str]:
        """The variables of a job of the workflow."""
        return {
            **self.laptop, **self.instance.runner_variables, **self.instance.run.variables,
            "GITHUB_API_URL": self.stage.url, "GITHUB_TOKEN": TOKEN, "ABREAST_STATE": ".abreast",
            "GITHUB_STEP_SUMMARY": str(self.project.folder.parent / "summary.md"),
        }  # fmt: skip

    def bundles(self) -> list[Path]:
        return sorted((self.project.folder / ".abreast" / "artifacts").glob("*.sigstore.json"))

    def shown(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.project.run("show", "--json").stdout)
        return document["attestations"]  # type: ignore[no-any-return]

    @property
    def without_permission(self) -> dict[str, str]:
        """The variables of a job that may not prove who it is."""
        return {name: value for name, value in self.workflow.items() if not name.startswith("ACTIONS_")}

    def history_length(self) -> int:
        return len(json.loads(self.project.run("history", "--json").stdout))

    def require(self, *, is_required: bool = True) -> None:
        self.project.config["environments"]["local"]["attested"] = is_required

    def away(self, path: str = "/api/v2/signingCert") -> None:
        self.instance.faults.planned.append(InjectedFault(".*", path, FaultKind.STATUS, times=99, status=503))


@pytest.fixture
def attested(project: SampleProject, tmp_path: Path) -> Iterator[Attested]:
    with github_stage(tmp_path / "github") as stage, sigstore_instance(tmp_path) as (instance, file):
        stage.repository.path = project.folder
        instance.run.server, instance.run.issuer = instance.url, token_issuer(instance.url)
        here = {"GITHUB_REPOSITORY": "octo/shop", "GITHUB_SERVER_URL": instance.url}
        yield Attested(project, stage, instance, {"ABREAST_SIGSTORE": str(file), **here})


def test_what_a_workflow_builds_is_signed_and_told(attested: Attested) -> None:
    attested.project.config["services"]["frontend"]["build"]["run"] += "; env > dist/env"
    commit = attested.instance.run.commit = attested.project.commit()
    told = attested.project.deploy(variables=attested.workflow)
    by = f"{WORKFLOW}, commit {commit[:7]}"
    assert told.stdout.count(f"attested by {by}") == 2
    assert attested.shown() == {name: {"verdict": "verified", "detail": by} for name in ("frontend", "backend")}
    assert f"artifact of backend: attested by {by}" in attested.project.run("show").stdout
    assert f"attested by {by}" in Path(attested.workflow["GITHUB_STEP_SUMMARY"]).read_text()
    stored = {digest for each in attested.stage.repository.attestations for digest in each.digests}
    assert stored == {f"sha256:{file.name.partition('.')[0]}" for file in attested.bundles()}
    assert len(stored) == 2
    (variables,) = (attested.project.folder / ".abreast" / "artifacts").glob("*/env")
    assert "ACTIONS_ID_TOKEN" not in variables.read_text(), "the commands of the project cannot sign"


def test_another_machine_verifies_it_before_it_deploys_it(attested: Attested) -> None:
    store = attested.project.folder.parent / "store"
    store.mkdir()
    attested.project.config["artifacts"] = {"store": f"file://{store}"}
    attested.require()
    for _ in range(2):
        attested.instance.run.commit = attested.project.commit()
        attested.project.deploy(variables=attested.workflow)
    for file in attested.bundles():
        file.unlink()
    told = attested.project.run("rollback", "--yes", "--reason", "x", variables=attested.laptop).stdout
    plan, _, deployment = told.partition("backend      build")
    assert f"attested by {WORKFLOW}" in plan
    assert f"attested by {WORKFLOW}" in deployment


def test_an_attestation_that_was_altered(attested: Attested) -> None:
    attested.require()
    for _ in range(2):
        attested.instance.run.commit = attested.project.commit()
        attested.project.deploy(variables=attested.workflow)
    before = attested.project.served_commits()
    for file in attested.bundles():
        bundle = json.loads(file.read_text())
        bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1700000000"
        file.write_text(json.dumps(bundle))
    rollback = ("rollback", "--yes", "--reason", "x")
    done = attested.project.run(*rollback, code=3, variables=attested.laptop)
    assert "its attestation is not valid" in done.stdout + done.stderr
    assert "`attested: true` of local" in done.stderr
    assert attested.project.served_commits() == before
    assert attested.history_length() == 2, "nothing was begun"

    attested.require(is_required=False)
    attested.project.commit()
    done = attested.project.run(*rollback, variables=attested.laptop)
    assert "its attestation is not valid" in done.stdout + done.stderr
    assert attested.project.served_commits() != before


def test_what_is_not_signed_is_in_the_way_only_where_that_is_required(attested: Attested) -> None:
    attested.project.commit()
    told = attested.project.deploy()
    assert "attest" not in told.stdout + told.stderr, "on a laptop"
    assert attested.bundles() == []
    assert attested.instance.entries == []
    assert attested.shown()["backend"] == {"verdict": "not attested", "detail": ""}
    attested.project.commit()
    attested.project.deploy()
    assert "      not attested\n" in attested.project.run("rollback", "--yes", "--reason", "x").stdout

    attested.require()
    a_laptop_is_refused_before_anything_is_built(attested)
    a_pull_request_plans_what_another_job_will_sign(attested)
    attested.away()
    for is_required in (True, False):
        attested.require(is_required=is_required)
        commit = attested.project.commit()
        done = attested.project.deploy(code=1 if is_required else 0, variables=attested.workflow)
        assert "not attested: Sigstore did not sign it" in done.stdout
        assert attested.bundles() == []
        assert attested.shown()["backend"]["verdict"] == "not attested"
        assert (attested.project.served_commits()["backend"] == commit) is not is_required

    attested.instance.faults.planned.clear()
    attested.project.commit()
    done = attested.project.deploy(variables=attested.without_permission)
    assert done.stdout.count("not attested: the job may not prove who it is") == 2
    assert attested.bundles() == []
    github_that_does_not_store_it(attested)


def a_laptop_is_refused_before_anything_is_built(attested: Attested) -> None:
    commit = attested.project.commit()
    plan = json.loads(attested.project.run("plan", "--json", variables=attested.laptop).stdout)
    assert [refusal["what"] for refusal in plan["refusals"]] == [
        f"{name}: not attested: it is not built by GitHub Actions" for name in ("frontend", "backend")
    ]
    done = attested.project.deploy(code=3, variables=attested.laptop)
    assert "`attested: true` of local" in done.stderr
    assert attested.project.built_services(commit) == []


def a_pull_request_plans_what_another_job_will_sign(attested: Attested) -> None:
    before = attested.history_length()
    attested.project.commit()
    variables = {**attested.without_permission, "GITHUB_EVENT_NAME": "pull_request"}
    plan = json.loads(attested.project.run("plan", "--json", variables=variables).stdout)
    assert plan["refusals"] == []
    done = attested.project.deploy(code=3, variables=variables)
    assert "not attested: the job may not prove who it is" in done.stderr
    assert attested.history_length() == before


def github_that_does_not_store_it(attested: Attested) -> None:
    attested.stage.token.permissions = {"metadata": "read", "contents": "write"}
    attested.project.commit()
    done = attested.project.deploy(variables=attested.workflow)
    assert "GitHub did not store its attestation" in done.stdout
    assert "attestations: write" in done.stdout
    assert len(attested.bundles()) == 2
    assert attested.stage.repository.attestations == []


def test_a_build_that_was_not_signed_yet_when_it_was_killed(attested: Attested) -> None:
    attested.require()
    commit = attested.project.commit()
    slow = InjectedFault("POST", "/log/entries", FaultKind.SLOW, times=2, delay=60)
    attested.instance.faults.planned.append(slow)
    killed = attested.project.start("deploy", "--yes", variables=attested.workflow)
    eventually(lambda: len(attested.instance.faults.requests) >= 6)
    killed.kill()
    killed.wait()
    attested.instance.faults.planned.clear()
    assert attested.bundles() == []
    attested.project.run("resume", variables=attested.workflow)
    assert attested.project.served_commits() == {"frontend": commit, "backend": commit}
    assert {each["verdict"] for each in attested.shown().values()} == {"verified"}


def test_what_is_not_attested_is_built_again_where_it_has_to_be(attested: Attested) -> None:
    frontend = attested.project.config["services"]["frontend"]
    frontend["watch"] = ["page/**"]
    frontend["build"]["run"] = frontend["build"]["run"].replace("$ABREAST_RELEASE", "-")
    attested.project.config["services"]["backend"] |= {
        "watch": ["app.py"],
        "health": {"path": "/health", "start": "1s", "hold": "0s"},
    }
    attested.project.commit(app_py=attested.project.app_source(NEVER_HEALTHY))
    attested.project.deploy(code=1)
    attested.require()
    commit = attested.project.commit("Mend", app_py=APP_SOURCE)
    attested.project.deploy(variables=attested.workflow)
    assert sorted(attested.project.built_services(commit)) == ["backend", "frontend"]
    assert {each["verdict"] for each in attested.shown().values()} == {"verified"}
