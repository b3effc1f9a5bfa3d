"""What is asked for a token and for keys: by HTTPS, of the right issuer, within a limit."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.ci.id_tokens import github_actions
from abreast.ci.id_tokens.interface import RejectedTokenError
from abreast.ci.id_tokens.requests import request_keys
from abreast.ci.id_tokens.run_verification import RunVerification, verify_run
from abreast.core.errors import PlatformError
from abreast.testing.github import WorkflowJob
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.threaded_server import ThreadedServer
from github_stage import GitHubStage, github_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path / "github") as found:
        yield found


def verify(stage: GitHubStage) -> RunVerification:
    variables = stage.emulator.add_job(WorkflowJob(stage.repository)).variables(stage.url)
    source = github_actions.find(variables)
    assert source
    return asyncio.run(verify_run(github_actions.PROVIDER, source, variables))


def test_a_run_is_verified_with_one_token_and_the_keys_of_its_issuer(stage: GitHubStage) -> None:
    found = verify(stage)
    assert found.names_person
    assert found.token
    assert found.token.issuer == f"{stage.url}/_services/token"
    assert sorted(path for _, path in stage.emulator.id_tokens.faults.requests) == [
        "/_services/pipelines/idtoken", "/_services/token/.well-known/jwks",
        "/_services/token/.well-known/openid-configuration",
    ]  # fmt: skip


def test_nobody_waits_longer_than_the_limit(stage: GitHubStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abreast.ci.id_tokens.run_verification.LIMIT", 0.2)
    stage.emulator.id_tokens.faults.planned.append(InjectedFault(".*", ".*", FaultKind.SLOW, times=9, delay=5))
    found = verify(stage)
    assert (found.token, found.refusal) == (None, None)
    assert found.warning.startswith("GitHub did not answer within ")


@pytest.mark.parametrize(
    ("body", "told"),
    [("<html>Sign in</html>", "HTML instead of JSON"), ("{}", "an unexpected answer: value"), ("", "empty answer")],
)
def test_an_answer_that_is_no_token_is_no_word_against_the_run(stage: GitHubStage, body: str, told: str) -> None:
    fault = InjectedFault(".*", "/idtoken", FaultKind.STATUS, times=9, status=200, body=body)
    stage.emulator.id_tokens.faults.planned.append(fault)
    found = verify(stage)
    assert told in found.warning
    assert found.refusal is None


def test_a_token_that_another_key_signed_is_refused(stage: GitHubStage) -> None:
    keys = json.dumps({"keys": [{**other_key(), "kid": stage.emulator.id_tokens.issuer.key_id}]})
    fault = InjectedFault(".*", "/jwks", FaultKind.STATUS, status=200, body=keys)
    stage.emulator.id_tokens.faults.planned.append(fault)
    found = verify(stage)
    assert found.refusal
    assert "Signature verification failed" in found.refusal.what
    assert (found.token, found.names_person) == (None, False)


def other_key() -> dict[str, str]:
    """Return the public key of RFC 7517, appendix A.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    return {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"}


def test_keys_at_the_address_of_one_issuer_that_are_those_of_another() -> None:
    async def discover(_: Request) -> Response:
        return JSONResponse({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"})

    app, told = Starlette(routes=[Route("/.well-known/openid-configuration", discover)]), "the issuer https://evil"
    with ThreadedServer(app) as server, pytest.raises(RejectedTokenError, match=told):
        asyncio.run(request_keys("GitLab", server.url))


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        ("http://gitlab.example", "http://gitlab.example does not prove who it is"),
        ("http://127.0.0.1.evil.example", "does not prove who it is"),
        ("ftp://gitlab.example", "does not prove who it is"),
        ("", "does not prove who it is"),
        ("https://gitlab.example:port", "is not a URL"),
    ],
)
def test_keys_that_anybody_on_the_way_could_replace_are_not_asked_for(issuer: str, told: str) -> None:
    with pytest.raises(PlatformError, match=told):
        asyncio.run(request_keys("GitLab", issuer))
