"""ID tokens: what is accepted is what the issuer signed for this run, for abreast, now. Attacks that were published are not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from abreast.ci.id_tokens import github_actions, gitlab
from abreast.ci.id_tokens.interface import RejectedTokenError, RunStatement
from abreast.ci.id_tokens.verification import verify

ISSUER = "https://token.actions.githubusercontent.com"


@dataclass
class Issuer:
    """Keys of an issuer, and what a token of it says. ``key`` signs."""

    key: rsa.RSAPrivateKey
    curve: ec.EllipticCurvePrivateKey
    keys: list[dict[str, Any]]

    def claims(self, **others: object) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": ISSUER, "aud": "abreast", "sub": "repo:o/r", "iat": now, "nbf": now - 5, "exp": now + 300}
        return {name: value for name, value in {**said, **others}.items() if value is not None}

    def token(self, algorithm: str = "RS256", kid: str | None = "rsa", **claims: object) -> str:
        key = self.curve if algorithm.startswith("ES") else self.key
        return jwt.encode(self.claims(**claims), key, algorithm, {"kid": kid} if kid else {})

    @property
    def public_key(self) -> bytes:
        """What anybody has, as PEM."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    key, curve = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    keys = [
        {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "rsa", "use": "sig", "alg": "RS256"},
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
    ]
    return Issuer(key, curve, keys)


def handmade(header: Mapping[str, object], claims: Mapping[str, object], sign: Callable[[bytes], bytes]) -> str:
    """Return a token that no library would make."""
    parts = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    return (parts + b"." + base64.urlsafe_b64encode(sign(parts)).rstrip(b"=")).decode()


def test_what_the_issuer_signed_is_accepted(issuer: Issuer) -> None:
    assert verify(issuer.token(jti="1"), ISSUER, issuer.keys)["jti"] == "1"
    assert verify(issuer.token("ES256", "ec"), ISSUER, issuer.keys)["sub"] == "repo:o/r"
    now = int(time.time())
    assert verify(issuer.token(nbf=now + 30, iat=now + 30), ISSUER, issuer.keys), "a clock that is late"
    assert verify(issuer.token(exp=now - 30), ISSUER, issuer.keys), "a clock that is early"
    assert verify(issuer.token(aud=["other", "abreast"]), ISSUER, issuer.keys)


def attacks(issuer: Issuer) -> Iterator[tuple[str, str, str]]:
    """Yield a name, a token and what is said of it."""
    now, claims = int(time.time()), issuer.claims()
    stranger = rsa.generate_private_key(65537, 2048)
    for none in ("none", "None", "NONE"):
        yield f"alg {none}", handmade({"alg": none, "kid": "rsa"}, claims, lambda _: b""), "alg value is not allowed"
    by_public_key = handmade(
        {"alg": "HS256", "kid": "rsa"}, claims,
        lambda signed: hmac.new(issuer.public_key, signed, hashlib.sha256).digest(),
    )  # fmt: skip
    yield "the public key as the secret of an HMAC (CVE-2015-9235)", by_public_key, "alg value is not allowed"
    yield "RS512", issuer.token("RS512"), "alg value is not allowed"
    yield "ES256 with a key for RSA", issuer.token("ES256", "rsa"), ""
    yield "the kid of another key", issuer.token("RS256", "ec"), ""
    yield "an unknown kid", issuer.token(kid="../../dev/null"), f"no key of {ISSUER} signed it"
    yield "no kid", issuer.token(kid=None), f"no key of {ISSUER} signed it"
    own = {**RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True), "kid": "rsa"}
    brought = jwt.encode(claims, stranger, "RS256", {"kid": "rsa", "jwk": own, "jku": "https://evil.example/keys"})
    yield "a key that it brings (CVE-2018-0114)", brought, "Signature verification failed"
    header, payload, signature = issuer.token().split(".")
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "x"}).encode()).rstrip(b"=").decode()
    yield "other claims below the signature", f"{header}.{other}.{signature}", "Signature verification failed"
    yield "no signature", f"{header}.{payload}.", "Signature verification failed"
    yield (
        "an unknown extension that is critical",
        jwt.encode(claims, issuer.key, "RS256", {"kid": "rsa", "crit": ["x"], "x": 1}),
        "critical",
    )
    yield "no token", "not a token", "Not enough segments"
    yield "for somebody else", issuer.token(aud="sts.amazonaws.com"), "Audience doesn't match"
    yield "for nobody", issuer.token(aud=None), 'missing the "aud" claim'
    yield "by somebody else", issuer.token(iss="https://evil.example"), "Invalid issuer"
    yield "a longer issuer", issuer.token(iss=f"{ISSUER}/evil"), "Invalid issuer"
    yield "expired", issuer.token(exp=now - 120), "expired"
    yield "without an end", issuer.token(exp=None), 'missing the "exp" claim'
    yield "of the future", issuer.token(nbf=now + 600), "not yet valid"
    yield "issued in the future", issuer.token(iat=now + 600), "not yet valid"
    yield "of nobody", issuer.token(sub=None), 'missing the "sub" claim'


def test_published_attacks_are_refused(issuer: Issuer) -> None:
    tried = list(attacks(issuer))
    for name, token, told in tried:
        with pytest.raises(RejectedTokenError) as refused:
            verify(token, ISSUER, issuer.keys)
        assert told in refused.value.what, name
        assert refused.value.exit_code == 3
        assert token not in str(refused.value), name
    assert len(tried) == 23


def test_a_short_key_and_one_for_encryption_sign_nothing(issuer: Issuer) -> None:
    short = rsa.generate_private_key(65537, 1024)
    keys = [{**RSAAlgorithm.to_jwk(short.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256"}]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(issuer.claims(), short, "RS256", {"kid": "rsa"})
    with pytest.raises(RejectedTokenError, match="2048"):
        verify(token, ISSUER, keys)
    with pytest.raises(RejectedTokenError, match="no key"):
        verify(issuer.token(), ISSUER, [{**issuer.keys[0], "use": "enc"}])


RUN = {
    "GITHUB_REPOSITORY": "octo/shop", "GITHUB_REPOSITORY_ID": "11", "GITHUB_REPOSITORY_OWNER_ID": "12",
    "GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "octocat", "GITHUB_ACTOR_ID": "1",
    "GITHUB_TRIGGERING_ACTOR": "octocat",
}  # fmt: skip
SIGNED = {
    "iss": ISSUER, "sub": "repo:octo-12/shop-11:ref:refs/heads/main", "jti": "j", "repository": "octo/shop",
    "repository_id": "11", "repository_owner_id": "12", "run_id": "42", "run_attempt": "1", "actor": "octocat",
    "actor_id": "1", "ref": "refs/heads/main", "sha": "c" * 40, "environment": "production",
    "job_workflow_ref": "octo/shop/.github/workflows/deploy.yml@refs/heads/main",
}  # fmt: skip


def github(given: Mapping[str, str] = RUN, /, **claims: str) -> RunStatement:
    return github_actions.read({**SIGNED, **claims}, given)


def test_a_run_at_github_that_is_what_its_token_says() -> None:
    said = github()
    assert (said.contradictions, said.names_person) == ((), True)
    assert (said.token.repository_id, said.token.owner_id, said.token.actor_id) == ("11", "12", "1")
    assert (said.token.run_id, said.token.environment, said.token.commit) == ("42", "production", "c" * 40)
    assert github(sub="repo:old/name:ref:refs/heads/main").contradictions == (), "names in the subject may be old"
    assert github({**RUN, "GITHUB_REPOSITORY": "Octo/Shop"}).contradictions == ()


@pytest.mark.parametrize("variable", sorted(RUN.keys() - {"GITHUB_TRIGGERING_ACTOR"}))
def test_each_variable_of_a_run_at_github_must_be_what_was_signed(variable: str) -> None:
    (told,) = github({**RUN, variable: "99"}).contradictions
    assert told.startswith(f"{variable} is 99, and GitHub signed that ")
    (told,) = github({name: value for name, value in RUN.items() if name != variable}).contradictions
    assert told.startswith(f"{variable} is not set, and GitHub signed that ")
    (claim,) = (claim for claim, name in github_actions._EXPECTED.items() if name == variable)
    assert github(RUN, **{claim: ""}).contradictions


def test_a_token_does_not_name_who_started_a_run_at_github_again() -> None:
    again = {**RUN, "GITHUB_RUN_ATTEMPT": "2"}
    for actor in ("octocat", "hubot"):
        said = github({**again, "GITHUB_TRIGGERING_ACTOR": actor}, run_attempt="2")
        assert (said.contradictions, said.names_person) == ((), False)
    assert not github({**RUN, "GITHUB_TRIGGERING_ACTOR": "hubot"}).names_person


def test_who_may_ask_for_a_token_at_github() -> None:
    url = "https://pipelines.actions.githubusercontent.com/x/idtoken?api-version=2.0"
    asks = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "bearer-of-this-job"}
    found = github_actions.find(asks)
    assert found
    assert (found.url, found.issuer) == (f"{url}&audience=abreast", ISSUER)
    assert "bearer-of-this-job" not in repr(found)
    data_residency = github_actions.find({**asks, "GITHUB_SERVER_URL": "https://octo.ghe.com"})
    assert data_residency
    assert data_residency.issuer == "https://token.actions.octo.ghe.com"
    enterprise = github_actions.find({**asks, "GITHUB_SERVER_URL": "https://git.example/"})
    assert enterprise
    assert enterprise.issuer == "https://git.example/_services/token"
    for name in asks:
        assert github_actions.find({**asks, name: ""}) is None


JOB = {
    "CI_SERVER_URL": "https://gitlab.example/git", "CI_PROJECT_ID": "20", "CI_PROJECT_PATH": "acme/shop",
    "CI_PIPELINE_ID": "574", "CI_JOB_ID": "302", "GITLAB_USER_ID": "1", "GITLAB_USER_LOGIN": "ann",
    "CI_JOB_URL": "https://gitlab.example/git/acme/shop/-/jobs/302",
}  # fmt: skip
SIGNED_JOB = {
    "iss": "https://gitlab.example/git", "sub": "project_path:acme/shop:ref_type:branch:ref:main",
    "project_id": "20", "project_path": "acme/shop", "namespace_id": "72", "user_id": "1", "user_login": "ann",
    "pipeline_id": "574", "job_id": "302", "ref": "main", "ref_path": "refs/heads/main", "sha": "c" * 40,
    "runner_id": 1, "ci_config_ref_uri": "gitlab.example/acme/shop//.gitlab-ci.yml@refs/heads/main",
}  # fmt: skip
OF_JOB = {"job_project_id": "20", "job_project_path": "acme/shop", "job_namespace_id": "72"}


def test_a_job_at_gitlab_that_is_what_its_token_says() -> None:
    for claims in (SIGNED_JOB, {**SIGNED_JOB, **OF_JOB}):
        said = gitlab.read(claims, JOB)
        assert (said.contradictions, said.names_person) == ((), True)
        assert (said.token.repository_id, said.token.owner_id, said.token.actor_id) == ("20", "72", "1")
        assert (said.token.run_id, said.token.job_id, said.token.ref) == ("574", "302", "refs/heads/main")


@pytest.mark.parametrize("variable", sorted(JOB.keys() - {"CI_SERVER_URL"}))
def test_each_variable_of_a_job_at_gitlab_must_be_what_was_signed(variable: str) -> None:
    for claims in (SIGNED_JOB, {**SIGNED_JOB, **OF_JOB}):
        assert variable in gitlab.read(claims, {**JOB, variable: "99"}).contradictions[0]
        assert f"{variable} is not set" in gitlab.read(claims, {**JOB, variable: ""}).contradictions[0]


def test_the_project_of_a_merge_request_from_a_fork() -> None:
    fork = {**JOB, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "21", "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "ann/shop"}
    source = {**SIGNED_JOB, "project_id": "21", "project_path": "ann/shop"}
    assert gitlab.read(source, fork).contradictions == ()
    assert gitlab.read({**source, **OF_JOB}, fork).contradictions == ()
    assert gitlab.read({**source, **OF_JOB, "job_project_id": "22"}, fork).contradictions
    assert gitlab.read(source, JOB).contradictions
    assert gitlab.find({**JOB, "ABREAST_ID_TOKEN": ""}) is None
