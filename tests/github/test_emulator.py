"""The emulator of GitHub, held true by GitHub's own clients: Octokit, ``gh`` and git."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema_rs
import pytest

from abreast.testing.github import Hook
from abreast.testing.github.webhooks import sign
from github_stage import ADMIN, TOKEN, GitHubStage, commit, git, github_stage, push_branch
from octokit import Octokit, octokit
from openapi_validator import SPECS
from sample_project import eventually, free_ports

PAGE = (Path(__file__).parents[2] / "docs/emulators.md").read_text()
GH = shutil.which("gh", path=str(Path(sys.executable).parent))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path) as made:
        yield made


@pytest.fixture
def workflow(stage: GitHubStage) -> Iterator[Octokit]:
    with octokit(stage.url, TOKEN) as client:
        yield client


@pytest.fixture
def admin(stage: GitHubStage) -> Iterator[Octokit]:
    with octokit(stage.url, ADMIN) as client:
        yield client


# ── Octokit ────────────────────────────────────────────────────────────────────────────────────


def test_octokit_deploys_and_reports(stage: GitHubStage, workflow: Octokit) -> None:
    new = {"ref": "main", "environment": "staging/api", "auto_merge": False, "required_contexts": []}
    one, two = (workflow.call("repos.createDeployment", **new, payload={"n": n}) for n in range(2))
    for made in (one, two):
        workflow.call("repos.createDeploymentStatus", deployment_id=made["id"], state="success", log_url="https://run")
    statuses = workflow.call("repos.listDeploymentStatuses", deployment_id=one["id"])
    assert [status["state"] for status in statuses] == ["inactive", "success"]
    workflow.call("repos.getDeploymentStatus", deployment_id=one["id"], status_id=statuses[1]["id"])
    assert workflow.call("repos.getDeployment", deployment_id=two["id"])["payload"] == {"n": 1}
    listed = workflow.call("repos.listDeployments", environment="staging/api")
    assert [made["id"] for made in listed] == [two["id"], one["id"]]
    workflow.call("repos.deleteDeployment", deployment_id=one["id"])
    assert workflow.request("repos.deleteDeployment", owner="octo", repo="shop", deployment_id=two["id"])[0] == 204

    run = workflow.call("checks.create", name="abreast", head_sha=stage.commit, status="in_progress")
    note = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    output = {"title": "t", "summary": "s", "annotations": [note]}
    workflow.call("checks.update", check_run_id=run["id"], conclusion="neutral", output=output)
    assert workflow.call("checks.get", check_run_id=run["id"])["status"] == "completed"
    assert workflow.call("checks.listForRef", ref="main")["total_count"] == 1
    assert len(workflow.call("checks.listAnnotations", check_run_id=run["id"])) == 1

    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)
    (pull,) = workflow.call("repos.listPullRequestsAssociatedWithCommit", commit_sha=stage.commit)
    made = workflow.call("issues.createComment", issue_number=pull["number"], body="one")
    workflow.call("issues.updateComment", comment_id=made["id"], body="two")
    assert workflow.call("issues.getComment", comment_id=made["id"])["body"] == "two"
    assert len(workflow.call("issues.listComments", issue_number=7)) == 1
    workflow.call("issues.deleteComment", comment_id=made["id"])
    assert workflow.request("rateLimit.get")[0] == 200


def test_octokit_reads_all_pages(stage: GitHubStage, workflow: Octokit) -> None:
    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)
    for number in range(7):
        workflow.call("issues.createComment", issue_number=7, body=f"{number}")
    read = workflow.call("paginate issues.listComments", issue_number=7, per_page=3)
    assert [comment["body"] for comment in read] == list("0123456")


def test_octokit_changes_settings(stage: GitHubStage, admin: Octokit) -> None:
    assert admin.call("repos.get")["default_branch"] == "main"
    protection = {
        "required_status_checks": {"strict": True, "contexts": ["ci"]}, "enforce_admins": True,
        "required_pull_request_reviews": {"required_approving_review_count": 2}, "restrictions": None,
    }  # fmt: skip
    admin.call("repos.updateBranchProtection", branch="main", **protection)
    assert admin.call("repos.getBranchProtection", branch="main")["required_status_checks"]["contexts"] == ["ci"]
    admin.call("repos.updateStatusCheckProtection", branch="main", contexts=["ci", "abreast"])
    assert admin.call("repos.getStatusChecksProtection", branch="main")["contexts"] == ["ci", "abreast"]
    admin.call("repos.deleteBranchProtection", branch="main")
    user = admin.request("users.getByUsername", username="octocat")[1]
    reviewers = [{"type": "User", "id": user["id"]}]
    admin.call("repos.createOrUpdateEnvironment", environment_name="production", wait_timer=30, reviewers=reviewers)
    rules = admin.call("repos.getEnvironment", environment_name="production")["protection_rules"]
    assert [rule["type"] for rule in rules] == ["wait_timer", "required_reviewers"]
    assert admin.call("repos.getAllEnvironments")["total_count"] == 1
    admin.call("actions.createEnvironmentVariable", environment_name="production", name="REGION", value="fra")
    assert admin.call("actions.listEnvironmentVariables", environment_name="production")["total_count"] == 1
    assert admin.call("actions.listEnvironmentSecrets", environment_name="production")["secrets"] == []
    admin.call("actions.createRepoVariable", name="REGION", value="fra")
    assert admin.call("actions.listRepoVariables")["variables"][0]["value"] == "fra"
    assert admin.call("actions.listRepoOrganizationSecrets")["total_count"] == 0
    admin.call("actions.setGithubActionsPermissionsRepository", enabled=True, allowed_actions="local_only")
    assert admin.call("actions.getGithubActionsPermissionsRepository")["allowed_actions"] == "local_only"
    admin.call("actions.setGithubActionsDefaultWorkflowPermissionsRepository", default_workflow_permissions="write")
    permissions = admin.call("actions.getGithubActionsDefaultWorkflowPermissionsRepository")
    assert permissions["default_workflow_permissions"] == "write"
    admin.call("repos.deleteAnEnvironment", environment_name="production")


def test_octokit_starts_workflows(stage: GitHubStage, admin: Octokit) -> None:
    stage.repository.workflows.add("deploy.yml")
    stage.repository.groups["deploy/production"] = [(5, "in_progress")]
    admin.call("repos.createDispatchEvent", event_type="deploy", client_payload={"a": 1})
    admin.call("actions.createWorkflowDispatch", workflow_id="deploy.yml", ref="main", inputs={"env": "production"})
    assert stage.repository.dispatches == [("deploy", {"a": 1}), ("deploy.yml", {"env": "production"})]
    arguments = {"owner": "octo", "repo": "shop", "workflow_id": "other.yml", "ref": "main"}
    assert admin.request("actions.createWorkflowDispatch", **arguments)[0] == 404


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("repos.createDeployment", {"ref": "nowhere"}, 422, "No ref found for: nowhere"),
    ("repos.createDeployment", {"ref": "main", "description": "x" * 141}, 422, "at most 140"),
    ("repos.createDeployment", {"ref": "behind"}, 409, "status checks failed"),
    ("repos.createDeployment", {"ref": "main", "required_contexts": ["ci"]}, 409, "status checks failed"),
    ("repos.createDeployment", {"ref": "main", "undescribed": 1}, 422, "Extra inputs"),
    ("repos.createDeploymentStatus", {"deployment_id": 1, "state": "success"}, 404, "Not Found"),
    ("checks.create", {"name": "x", "head_sha": "0" * 40}, 422, "Validation Failed"),
    ("checks.create", {"name": "x", "head_sha": "HEAD", "status": "completed"}, 422, "head_sha"),
    ("issues.createComment", {"issue_number": 99, "body": "x"}, 404, "Not Found"),
    ("issues.createComment", {"issue_number": 7, "body": "x" * 65_537}, 422, "65536"),
    ("repos.getBranchProtection", {"branch": "main"}, 403, "Resource not accessible by integration"),
    ("actions.listEnvironmentSecrets", {"environment_name": "x"}, 403, "Resource not accessible"),
]


def test_octokit_is_refused(stage: GitHubStage, workflow: Octokit) -> None:
    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)
    stage.repository.git("update-ref", "refs/heads/behind", stage.commit)
    workflow.call("checks.create", name="ci", head_sha=stage.commit, conclusion="failure")
    for call, params, status, message in REFUSED:
        answer = workflow.request(call, owner="octo", repo="shop", **params)
        assert answer[0] == status, (call, answer)
        assert message in answer[1], (call, answer)
    assert workflow.request("repos.get", owner="octo", repo="other")[0] == 404
    with octokit(stage.url, "ghs_wrong") as stranger:
        assert stranger.request("repos.get", owner="octo", repo="shop")[0] == 401


def test_github_merges_unless_it_is_told_not_to(stage: GitHubStage, workflow: Octokit) -> None:
    push_branch(stage.repository, stage.folder / "work", "topic")
    stage.repository.git("update-ref", "refs/heads/behind", stage.commit)
    stage.repository.git("update-ref", "refs/heads/main", stage.repository.commit_of("topic"))
    status, data = workflow.request("repos.createDeployment", owner="octo", repo="shop", ref="behind")
    assert (status, "id" in data) == (202, False)
    assert stage.repository.deployments == []


def test_octokit_waits_as_long_as_it_is_told(stage: GitHubStage, workflow: Octokit) -> None:
    stage.emulator.rate_limits.content_per_minute = 0
    status, message = workflow.request("issues.createComment", owner="octo", repo="shop", issue_number=7, body="x")
    assert status == 403
    assert "secondary rate limit" in message
    stage.emulator.rate_limits.requests_per_hour = 0
    status, message = workflow.request("repos.get", owner="octo", repo="shop")
    assert (status, "API rate limit exceeded" in message) == (403, True)


# ── webhooks ───────────────────────────────────────────────────────────────────────────────────


def test_the_published_signature() -> None:
    expected = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign("It's a Secret to Everybody", b"Hello, World!") == f"sha256={expected}"


def test_webhooks_are_as_described_and_signed(stage: GitHubStage, admin: Octokit) -> None:
    received: list[tuple[str, bytes, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["X-GitHub-Event"], body, self.headers["X-Hub-Signature-256"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        config = {"url": f"http://127.0.0.1:{server.server_port}/hook", "content_type": "json", "secret": "s3cret"}
        admin.call("repos.createWebhook", config=config, events=["deployment", "deployment_status"])
        assert "s3cret" not in json.dumps(admin.call("repos.listWebhooks"))
        new = {"ref": "main", "auto_merge": False, "required_contexts": []}
        made = admin.call("repos.createDeployment", **new)
        admin.call("repos.createDeploymentStatus", deployment_id=made["id"], state="success")
        eventually(lambda: len(received) == 3)
        hook: Hook = stage.repository.hooks[0]
        eventually(lambda: [status for _, _, status in hook.deliveries] == [204] * 3)
        server.shutdown()
    described = json.loads((SPECS / "github-webhooks.json").read_text())
    names = {"ping": "ping", "deployment": "deployment-created", "deployment_status": "deployment-status-created"}
    assert sorted(event for event, _, _ in received) == sorted(names)
    for event, body, signature in received:
        jsonschema_rs.validator_for(
            {**described["webhooks"][names[event]], "components": described["components"]}
        ).validate(json.loads(body))
        for text, is_genuine in ((body.decode(), True), (body.decode() + " ", False)):
            assert admin.request("verify", secret="s3cret", body=text, signature=signature) == (200, is_genuine)


# ── gh ─────────────────────────────────────────────────────────────────────────────────────────


def gh(stage: GitHubStage, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    assert GH
    return subprocess.run(
        [GH, *arguments], env=stage.gh_environment, input=stdin, capture_output=True, text=True, check=False, timeout=60
    )


def test_gh_reads_and_writes(stage: GitHubStage) -> None:
    new = ("-f", "ref=main", "-F", "auto_merge=false", "-f", "environment=production")
    done = gh(stage, "api", "repos/octo/shop/deployments", *new, "--jq", ".id")
    assert done.returncode == 0, done.stderr
    assert stage.repository.deployments[0].id == int(done.stdout)
    done = gh(stage, "api", "-X", "PUT", "repos/octo/shop/environments/production%2Fapi", "-F", "wait_timer=30")
    assert done.returncode == 0, done.stderr
    assert stage.repository.environments["production/api"].wait_timer == 30
    for scope, secrets in (
        ((), stage.repository.secrets),
        (("--env", "production/api"), stage.repository.environments["production/api"].secrets),
    ):
        done = gh(
            stage, "secret", "set", "NETLIFY_AUTH_TOKEN", *scope, "--repo", "github.localhost/octo/shop", stdin="nfp_x"
        )
        assert done.returncode == 0, done.stderr
        assert "nfp_x" not in secrets["NETLIFY_AUTH_TOKEN"]
        done = gh(stage, "secret", "list", *scope, "--repo", "github.localhost/octo/shop")
        assert "NETLIFY_AUTH_TOKEN" in done.stdout
    assert gh(stage, "variable", "list", "--repo", "github.localhost/octo/shop").returncode == 0


def test_gh_tells_what_is_refused(stage: GitHubStage) -> None:
    done = gh(stage, "api", "repos/octo/shop/check-runs", "-f", "name=x", "-f", f"head_sha={stage.commit}")
    assert done.returncode == 1
    assert "You must authenticate via a GitHub App. (HTTP 403)" in done.stderr


# ── git ────────────────────────────────────────────────────────────────────────────────────────


def address(stage: GitHubStage, token: str) -> str:
    return f"{stage.url.replace('//', f'//x-access-token:{token}@')}/octo/shop.git"


def test_git_clones_and_pushes(stage: GitHubStage, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", address(stage, TOKEN), "clone")
    made = commit(tmp_path / "clone", "Pushed over HTTP")
    git(tmp_path / "clone", "push", "--quiet", "origin", "main")
    assert stage.repository.commit_of("main") == made


@pytest.mark.parametrize(
    ("token", "verb", "why"),
    [
        ("ghs_reader", "push", "403"),
        ("ghs_wrong", "fetch", "Authentication failed"),
        ("ghs_blind", "fetch", "not found"),
    ],
)
def test_git_is_refused(stage: GitHubStage, tmp_path: Path, token: str, verb: str, why: str) -> None:
    stage.emulator.add_token("ghs_reader", contents="read")
    stage.emulator.add_token("ghs_blind", deployments="write")
    git(tmp_path, "clone", "--quiet", address(stage, TOKEN), "clone")
    commit(tmp_path / "clone", "More")
    command = ["git", "-c", "credential.helper=", verb, address(stage, token), "main"]
    done = subprocess.run(
        command,
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
        check=False,
        env={"GIT_TERMINAL_PROMPT": "0", "PATH": stage.gh_environment["PATH"]},
    )
    assert done.returncode != 0
    assert why in done.stderr
    assert stage.repository.commit_of("main") == stage.commit


def test_octokit_stores_what_is_known_of_an_artifact(stage: GitHubStage, workflow: Octokit) -> None:
    digest = f"sha256:{'a' * 64}"
    statement = {"subject": [{"name": "api", "digest": {"sha256": "a" * 64}}]}
    envelope = {"payload": base64.b64encode(json.dumps(statement).encode()).decode(), "signatures": []}
    bundle = {"mediaType": "application/json", "verificationMaterial": {}, "dsseEnvelope": envelope}
    made = workflow.call("repos.createAttestation", bundle=bundle)
    (listed,) = workflow.call("repos.listAttestations", subject_digest=digest)["attestations"]
    assert listed["bundle"] == bundle
    assert (
        workflow.request("repos.createAttestation", owner="octo", repo="shop", bundle={**bundle, "dsseEnvelope": {}})[0]
        == 422
    )

    record = {
        "name": "shop/api", "digest": digest, "status": "deployed", "logical_environment": "staging",
        "deployment_name": "shop/api", "github_repository": "shop", "version": "v7",
    }  # fmt: skip
    create = "POST /orgs/{org}/artifacts/metadata/deployment-record"  # no method of its own yet
    assert workflow.request(create, org="octo", **record)[0] == 404, "its owner is a person"
    stage.repository.owner_type = "Organization"
    ids = [
        workflow.request(create, org="octo", **record, tags={"release": release})[1]["deployment_records"][0]["id"]
        for release in ("v7", "v8")
    ]
    assert ids[0] == ids[1], "a record of the same place and name replaces the earlier one"
    listing = "GET /orgs/{org}/artifacts/{subject_digest}/metadata/deployment-records"
    status, found = workflow.request(listing, org="octo", subject_digest=digest)
    assert (status, found["total_count"]) == (200, 1)
    assert found["deployment_records"][0]["tags"] == {"release": "v8"}
    assert found["deployment_records"][0]["attestation_id"] == made["id"]
    stage.token.permissions = {"metadata": "read"}
    assert workflow.request(create, org="octo", **record)[0] == 403


# ── the command, and the page ──────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_the_command_serves_a_repository(stage: GitHubStage, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "abreast.testing.platforms",
        "--github",
        f"{port}",
        "--fault",
        "github GET /deployments$ 503",
    ]
    with subprocess.Popen(command, cwd=tmp_path / "work", stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.fullmatch(
            r"export GITHUB_API_URL=(\S+) GITHUB_TOKEN=(\S+) GITHUB_REPOSITORY=(\S+)\n", process.stdout.readline()
        )
        assert found
        owner, name = found[3].split("/")
        with octokit(found[1], found[2]) as client:
            arguments = {"owner": owner, "repo": name}
            assert client.request("repos.listDeployments", **arguments)[0] == 503
            assert client.request("repos.listDeployments", **arguments) == (200, [])
        process.terminate()


def test_the_page_lists_what_is_emulated(stage: GitHubStage) -> None:
    """Each operation of the description that the tests hold the emulator to is in the table, and works or is refused."""
    described = {
        f"{method.upper()} {path}"
        for path, operations in json.loads((SPECS / "github.json").read_text())["paths"].items()
        for method in operations if method != "parameters"
    }  # fmt: skip
    served = {
        f"{operation.method} {re.sub(r'{[^}]*}', '{}', operation.path)}" for operation in stage.emulator.operations
    }
    served |= {"GET /rate_limit", "GET /users/{}"}
    section = PAGE.split("## GitHub\n")[1]
    rows = dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (works|refused)", section, re.MULTILINE))
    assert set(rows) == described
    for row, outcome in rows.items():
        assert (outcome == "works") == (re.sub(r"{[^}]*}", "{}", row) in served), row
