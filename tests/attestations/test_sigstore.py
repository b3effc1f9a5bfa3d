"""What is signed can be verified, also by the verifier of GitHub's own client; what was altered, or is another's, cannot."""

import asyncio
import base64
import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from abreast.artifacts.folder import tree_digest, tree_manifest
from abreast.attestations.github_identity import GitHubRepository, parse_remote
from abreast.attestations.interface import AttestationError, BuiltArtifact
from abreast.attestations.sigstore import SigstoreAttestor
from abreast.ci.id_tokens import github_actions
from abreast.ci.id_tokens.requests import request_token
from abreast.core.attestations import Attestation, AttestationVerdict
from abreast.core.secrets import Secret
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from sigstore_instance import SigstoreInstance, gh_verify, sigstore_instance

REPOSITORY = GitHubRepository("https://github.com", "octo/shop")
COMMIT = "1234567" + "0" * 33
OTHER_DIGEST = f"sha256:{'e' * 64}"


@dataclass
class Signing:
    """An artifact, and who attests it."""

    instance: SigstoreInstance
    folder: Path
    variables: dict[str, str]
    uploaded: list[dict[str, object]] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return tree_digest(self.folder / "artifact")

    def attestor(self, **variables: str) -> SigstoreAttestor:
        async def upload(bundle: dict[str, object]) -> None:
            self.uploaded.append(bundle)

        return SigstoreAttestor({**self.variables, **variables}, True, lambda: REPOSITORY, upload, self.request_token)

    async def request_token(self, audience: str) -> Secret:
        source = github_actions.find(self.variables, audience)
        assert source
        assert source.bearer
        return await request_token(source.system, source.url, source.bearer)

    def sign(self) -> str:
        built = BuiltArtifact(
            {"backend": self.digest}, "backend", "v7", "production", COMMIT, "make", "ab12", "2026-11-21T01:02:03.456Z"
        )
        return asyncio.run(self.attestor().sign(built))

    def verify(self, bundle: str | None, digest: str = "", **variables: str) -> Attestation:
        return asyncio.run(self.attestor(**variables).verify(digest or self.digest, bundle))

    def gh_verify(self, bundle: str) -> "subprocess.CompletedProcess[str]":
        """Let ``gh`` verify the artifact's manifest, whose SHA-256 is its digest."""
        manifest, file = self.folder / "manifest", self.folder / "bundle.json"
        manifest.write_bytes(b"".join(tree_manifest(self.folder / "artifact")))
        file.write_text(bundle)
        return gh_verify(self.instance, str(manifest), file)


@pytest.fixture
def signing(tmp_path: Path) -> Iterator[Signing]:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "app.py").write_text("print('hello')\n")
    with sigstore_instance(tmp_path) as (instance, file):
        instance.run.commit = COMMIT
        yield Signing(instance, tmp_path, {**instance.runner_variables, "ABREAST_SIGSTORE": str(file)})


def statement_of(bundle: str) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    return statement


def test_what_is_signed_is_verified_here_and_by_gh(signing: Signing) -> None:
    bundle = [signing.sign() for _ in range(3)][-1]
    workflow = "octo/shop/.github/workflows/deploy.yml@refs/heads/main"
    assert signing.verify(bundle) == Attestation(AttestationVerdict.VERIFIED, f"{workflow}, commit 1234567")
    done = signing.gh_verify(bundle)
    assert done.returncode == 0, done.stderr
    (verified,) = json.loads(done.stdout)
    certificate = verified["verificationResult"]["signature"]["certificate"]
    assert certificate["subjectAlternativeName"] == f"https://github.com/{workflow}"
    assert verified["verificationResult"]["statement"]["predicateType"] == "https://slsa.dev/provenance/v1"


def test_the_statement_is_slsa_provenance_and_says_what_is_so(signing: Signing) -> None:
    from sigstore.dsse._predicate import SLSAPredicateV1_0  # noqa: PLC0415 (slow)

    statement = statement_of(signing.sign())
    SLSAPredicateV1_0.model_validate(statement["predicate"])
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"]["workflow"] == {
        "ref": "refs/heads/main", "repository": "https://github.com/octo/shop", "path": ".github/workflows/deploy.yml",
    }  # fmt: skip
    assert definition["resolvedDependencies"] == [
        {"uri": "git+https://github.com/octo/shop@refs/heads/main", "digest": {"gitCommit": COMMIT}}
    ]
    assert run["metadata"]["invocationId"] == "https://github.com/octo/shop/actions/runs/42/attempts/1"
    signing.instance.run.commit = "9" * 40  # the run is of one commit, and what was built of another
    (source,) = statement_of(signing.sign())["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert source == {"uri": "git+https://github.com/octo/shop", "digest": {"gitCommit": COMMIT}}


def altered_payload(bundle: dict[str, Any]) -> None:
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["subject"][0]["digest"]["sha256"] = OTHER_DIGEST.removeprefix("sha256:")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def altered_signature(bundle: dict[str, Any]) -> None:
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def no_log_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def altered_log_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1700000000"


@pytest.mark.parametrize("alter", [altered_payload, altered_signature, no_log_entry, altered_log_entry])
def test_what_was_altered_is_not_valid(signing: Signing, alter: Callable[[dict[str, Any]], None]) -> None:
    bundle = json.loads(signing.sign())
    altered = copy.deepcopy(bundle)
    alter(altered)
    digest = OTHER_DIGEST if alter is altered_payload else signing.digest
    assert signing.verify(json.dumps(altered), digest).verdict is AttestationVerdict.INVALID
    assert signing.gh_verify(json.dumps(altered)).returncode != 0
    assert signing.gh_verify(json.dumps(bundle)).returncode == 0


def test_an_attestation_of_another_artifact_does_not_count(signing: Signing) -> None:
    bundle = signing.sign()
    assert signing.verify(bundle, OTHER_DIGEST) == Attestation(
        AttestationVerdict.INVALID, "it is about another artifact"
    )
    (signing.folder / "artifact" / "app.py").write_text("print('another')\n")
    assert signing.verify(bundle).verdict is AttestationVerdict.INVALID
    assert signing.gh_verify(bundle).returncode != 0


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("repository", "octo/other", "is no workflow of https://github.com/octo/shop"),
        ("server", "https://evil.example", "is no workflow of https://github.com/octo/shop"),
        ("event", "pull_request", "a run that a pull request started"),
        ("event", "pull_request_target", "a run that a pull request started"),
        ("workflow", "tools/../.github/workflows/x.yml", "is no workflow of"),
        (
            "overrides",
            {"job_workflow_ref": "octo/reusable/.github/workflows/x.yml@refs/heads/main"},
            "octo/reusable/.github/workflows/x.yml@refs/heads/main signed it, which is no workflow of",
        ),
    ],
)
def test_an_attestation_of_somebody_else_does_not_count(signing: Signing, name: str, value: object, told: str) -> None:
    setattr(signing.instance.run, name, value)
    found = signing.verify(signing.sign())
    assert found.verdict is AttestationVerdict.INVALID
    assert told in found.detail


def test_an_identity_of_another_issuer_does_not_count(signing: Signing) -> None:
    bundle = signing.sign()
    elsewhere = SigstoreAttestor(
        signing.variables,
        False,
        lambda: GitHubRepository("https://git.example", "octo/shop"),
        signing.attestor().upload,
        signing.request_token,
    )
    found = asyncio.run(elsewhere.verify(signing.digest, bundle))
    assert found.verdict is AttestationVerdict.INVALID
    assert "not of https://git.example/_services/token" in found.detail


def test_an_instance_that_is_not_trusted_does_not_count(signing: Signing, tmp_path: Path) -> None:
    bundle = signing.sign()
    (tmp_path / "other").mkdir()
    with sigstore_instance(tmp_path / "other") as (_, file):
        assert signing.verify(bundle, ABREAST_SIGSTORE=str(file)).verdict is AttestationVerdict.INVALID


def test_what_cannot_be_looked_at_is_unknown(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = signing.sign()
    assert signing.verify(None) == Attestation(AttestationVerdict.MISSING)
    found = signing.verify(bundle, ABREAST_SIGSTORE=str(signing.folder / "gone.json"))
    assert found.verdict is AttestationVerdict.UNKNOWN
    nobody = SigstoreAttestor(signing.variables, False, lambda: None, signing.attestor().upload, signing.request_token)
    assert asyncio.run(nobody.verify(signing.digest, bundle)).verdict is AttestationVerdict.UNKNOWN
    monkeypatch.setattr("abreast.attestations.sigstore.find_spec", lambda _: None)
    assert signing.verify(bundle).verdict is AttestationVerdict.UNKNOWN


def test_the_public_instance_that_cannot_be_reached_is_unknown(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = signing.sign()
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(signing.folder / name))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = signing.verify(bundle, ABREAST_SIGSTORE="")
    assert found.verdict is AttestationVerdict.UNKNOWN
    assert "whom Sigstore trusts cannot be asked" in found.detail


def test_who_cannot_sign_says_why(signing: Signing) -> None:
    assert "id-token: write" in signing.attestor(ACTIONS_ID_TOKEN_REQUEST_TOKEN="").obstacle()
    assert "pull request" in signing.attestor(GITHUB_EVENT_NAME="pull_request").obstacle()
    laptop = SigstoreAttestor({}, False, lambda: REPOSITORY, signing.attestor().upload, signing.request_token)
    assert laptop.obstacle() == "it is not built by GitHub Actions"


def test_a_private_repository_is_not_named_in_the_public_log(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.instance.run.visibility = "private"
    assert signing.verify(signing.sign()).is_verified, "a Sigstore of one's own may know of it"
    signing.variables["ABREAST_SIGSTORE"] = ""
    with pytest.raises(AttestationError, match="the repository is private"):
        signing.sign()


@pytest.mark.parametrize("path", ["/token", "/api/v2/signingCert", "/api/v1/log/entries"])
def test_a_service_that_is_away_is_an_error_of_signing(signing: Signing, path: str) -> None:
    signing.instance.faults.planned.append(InjectedFault(".*", path, FaultKind.STATUS, times=9, status=503))
    with pytest.raises(AttestationError, match="Sigstore did not sign it"):
        signing.sign()


def test_a_service_that_does_not_answer_counts_as_away(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abreast.attestations.sigstore.TIMEOUT", 0.2)
    signing.instance.faults.planned.append(InjectedFault(".*", "/api/v1/log/entries", FaultKind.SLOW, delay=2))
    with pytest.raises(AttestationError, match="no answer within"):
        signing.sign()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/octo/shop.git", "octo/shop"),
        ("https://x-access-token:t@github.com/octo/shop", "octo/shop"),
        ("git@github.com:octo/shop.git", "octo/shop"),
        ("ssh://git@github.com/octo/shop.js.git", "octo/shop.js"),
        ("https://gitlab.com/octo/shop.git", None),
        ("https://github.com.evil.example/octo/shop.git", None),
        ("/srv/git/shop.git", None),
        ("", None),
    ],
)
def test_the_repository_of_a_remote(url: str, name: str | None) -> None:
    found = parse_remote(url)
    assert (found and found.name) == name


def test_nothing_of_sigstore_is_imported_before_it_is_needed() -> None:
    code = "import sys, abreast.wiring.assembly, abreast.deploy.workflow, abreast.attestations.sigstore; print([name for name in sys.modules if name.split('.')[0] in {'sigstore', 'cryptography', 'requests', 'tuf'}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
