"""Others judge the tokens of the emulators, and we judge those of an issuer that others made."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from abreast.ci.id_tokens.interface import Claims, RejectedTokenError
from abreast.ci.id_tokens.requests import request_keys
from abreast.ci.id_tokens.verification import verify
from abreast.testing.github import WorkflowJob
from abreast.testing.gitlab import GitLabEmulator, GitLabJob
from abreast.testing.platforms.threaded_server import ThreadedServer
from github_stage import GitHubStage, github_stage
from npm import install_packages
from sample_project import eventually, free_ports, get_text

CORE, JOSE = "2.0.1", "6.1.3"
PROGRAM = Path(__file__).parents[1] / "id_token_clients.mjs"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path / "github") as found:
        yield found


def ask_as_an_action(stage: GitHubStage, variables: dict[str, str]) -> dict[str, Any]:
    """Return the claims of the token that an action gets, or the error."""
    packages = install_packages("id_tokens", f"@actions/core@{CORE}", f"jose@{JOSE}").parent
    libraries = [str(packages / "@actions/core/lib/core.js"), str(packages / "jose/dist/webapi/index.js")]
    done = subprocess.run(
        ["node", str(PROGRAM), *libraries, f"{stage.url}/_services/token"],
        env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_githubs_own_client_gets_a_token_that_another_library_verifies(stage: GitHubStage) -> None:
    job = stage.emulator.add_job(WorkflowJob(stage.repository, environment="production"))
    variables = dict(job.variables(stage.url))
    claims = ask_as_an_action(stage, variables)
    assert claims | job.signed_claims() == claims
    assert claims["exp"] - claims["iat"] == 300
    refused = ask_as_an_action(stage, {**variables, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of another job"})
    assert "401" in refused["error"]
    job.has_ended = True
    assert "401" in ask_as_an_action(stage, variables)["error"]


def test_a_token_of_gitlab_is_one_for_a_verifier_that_knows_only_the_issuer() -> None:
    emulator = GitLabEmulator()
    with ThreadedServer(emulator.app) as server:
        token = emulator.variables(server.url, GitLabJob(1, ("ann", 7), "c", None))["ABREAST_ID_TOKEN"]
        discovery = httpx2.get(f"{server.url}/.well-known/openid-configuration").json()
        key = jwt.PyJWKClient(discovery["jwks_uri"]).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, ["RS256"], audience="abreast", issuer=server.url)
    assert (claims["user_login"], claims["job_id"]) == ("ann", "1")


@contextmanager
def serve_issuer() -> Iterator[str]:
    """Serve an issuer that others made, in a process of its own."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).parent / "oidc-provider-mock"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: "jwks_uri" in get_text(f"{url}/.well-known/openid-configuration"))
            yield url
        finally:
            process.terminate()


@pytest.fixture
def other_issuer() -> Iterator[str]:
    with serve_issuer() as url:
        yield url


def sign_in(issuer: str, client: str) -> str:
    """Return the ID token of somebody who signed in, by the authorization code flow (OpenID Connect Core 1.0, 3.1)."""
    back = "http://localhost/back"
    asked = {
        "client_id": client, "redirect_uri": back, "response_type": "code", "scope": "openid", "nonce": "n", "state": "s",
    }  # fmt: skip
    with httpx2.Client(follow_redirects=False) as browser:
        answer = browser.post(f"{issuer}/oauth2/authorize", params=asked, data={"sub": "ann"})
        code = re.search(r"[?&]code=([^&]+)", answer.headers["location"])
        assert code
        form = {"grant_type": "authorization_code", "code": code[1], "redirect_uri": back, "client_id": client}
        answer = browser.post(f"{issuer}/oauth2/token", data=form, auth=(client, "secret"))
    return str(answer.json()["id_token"])


def check(issuer: str, token: str) -> Claims:
    return verify(token, issuer, asyncio.run(request_keys("an issuer", issuer)))


def test_a_token_of_an_issuer_that_others_made_is_verified(other_issuer: str) -> None:
    claims = check(other_issuer, sign_in(other_issuer, "abreast"))
    assert (claims["sub"], claims["iss"]) == ("ann", other_issuer)
    with pytest.raises(RejectedTokenError, match="Audience doesn't match"):
        check(other_issuer, sign_in(other_issuer, "another-client"))


def test_a_token_of_one_issuer_is_none_of_another(other_issuer: str) -> None:
    token = sign_in(other_issuer, "abreast")
    with (
        serve_issuer() as another,
        pytest.raises(RejectedTokenError, match=r"Signature verification failed|no key of \S+ signed it"),
    ):
        check(another, token)
