"""Attestations by Sigstore, with the identity of the workflow that GitHub Actions runs; https://docs.sigstore.dev."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from abreast.attestations.github_identity import GitHubRepository, WorkflowPolicy
from abreast.attestations.interface import AttestationError, Attestor, BuiltArtifact
from abreast.attestations.provenance import PAYLOAD_TYPE, built_commit, provenance, statement_fault
from abreast.core.attestations import Attestation, AttestationVerdict
from abreast.core.errors import AbreastError
from abreast.core.secrets import Secret
from abreast.machine.background import Background

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig

T = TypeVar("T")

TRUST_VARIABLE = "ABREAST_SIGSTORE"
"""The file that describes a Sigstore of one's own: a ClientTrustConfig (https://github.com/sigstore/protobuf-specs)."""

TIMEOUT = 60.0
"""Seconds until a service that does not answer counts as away: the library's own requests have no limit."""

AUDIENCE = "sigstore"
"""Whom the ID token is for that the certificate is issued by."""

INSTALL = "pip install 'abreast[attest]'"


@dataclass(frozen=True)
class SigstoreAttestor(Attestor):
    """Signs in a job of GitHub Actions, and verifies anywhere.

    ``repository`` returns the repository whose workflows count, None if it is unknown; ``upload`` stores a bundle at
    GitHub; ``request_token`` returns the run's ID token for an audience. ``in_workflow``: whether this is a run of
    GitHub Actions.
    """

    variables: Mapping[str, str]
    in_workflow: bool
    repository: Callable[[], GitHubRepository | None]
    upload: Callable[[dict[str, object]], Awaitable[None]]
    request_token: Callable[[str], Awaitable[Secret]]

    def obstacle(self) -> str:
        """Return why nothing can be signed here, "" if it can be tried. Asks nobody."""
        if not self.in_workflow:
            return "it is not built by GitHub Actions"
        if not self.variables.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
            return "the job may not prove who it is; add `permissions: {id-token: write}`"
        if self.variables.get("GITHUB_EVENT_NAME", "").startswith("pull_request"):
            return "a pull request started the run"
        return "" if find_spec("sigstore") else f"sigstore is not installed; next: {INSTALL}"

    async def sign(self, built: BuiltArtifact) -> str:
        """Return the signed statement of a build, a Sigstore bundle as JSON. Raises AttestationError."""
        if obstacle := self.obstacle():
            raise AttestationError(obstacle)
        try:
            token = await self.request_token(AUDIENCE)
            return await _in_time(lambda: self._sign(built, token.reveal()))
        except AttestationError:
            raise
        except Exception as error:  # the library raises what its parts raise
            raise AttestationError(f"Sigstore did not sign it: {_reason(error)}") from error

    async def publish(self, bundle: str) -> None:
        """Store a bundle where the repository shows its attestations. Raises AttestationError."""
        try:
            await self.upload(json.loads(bundle))
        except AbreastError as error:
            raise AttestationError(error.what, need="a token with attestations: write") from error

    async def verify(self, digest: str, bundle: str | None) -> Attestation:
        """Return whether ``bundle`` says that the repository's own workflow built the artifact; never raises."""
        if bundle is None:
            return Attestation(AttestationVerdict.MISSING)
        if find_spec("sigstore") is None:
            return Attestation(AttestationVerdict.UNKNOWN, f"sigstore is not installed; next: {INSTALL}")
        repository = await asyncio.to_thread(self.repository)
        if repository is None:
            return Attestation(AttestationVerdict.UNKNOWN, "the repository at GitHub is unknown")
        try:
            trust = await _in_time(lambda: self._trust)
        except Exception as error:  # noqa: BLE001 (the library raises what its parts raise)
            return Attestation(AttestationVerdict.UNKNOWN, f"whom Sigstore trusts cannot be asked: {_reason(error)}")
        try:
            return await asyncio.to_thread(_verify, trust, repository, digest, bundle)
        except Exception as error:  # noqa: BLE001 (whatever it is, the bundle did not pass)
            return Attestation(AttestationVerdict.INVALID, _reason(error))

    @cached_property
    def _trust(self) -> "ClientTrustConfig":
        """Whom to trust and where to sign: the file of the variable, else Sigstore's public instance, by TUF."""
        from sigstore.models import ClientTrustConfig  # noqa: PLC0415 (slow)

        for library in ("sigstore", "tuf"):  # whose remarks would be lines on the terminal
            logging.getLogger(library).addHandler(logging.NullHandler())
        if file := self.variables.get(TRUST_VARIABLE):
            return ClientTrustConfig.from_json(Path(file).read_text())
        return ClientTrustConfig.production()

    def _sign(self, built: BuiltArtifact, token: str) -> str:
        from sigstore.dsse import Statement  # noqa: PLC0415 (slow, as all of these)
        from sigstore.oidc import IdentityToken  # noqa: PLC0415
        from sigstore.sign import SigningContext  # noqa: PLC0415

        claims = _claims(token)
        if claims.get("repository_visibility") != "public" and not self.variables.get(TRUST_VARIABLE):
            raise AttestationError("the repository is private, and Sigstore's log is public")
        repository = self.repository()
        assert repository is not None, "a workflow knows its repository"
        statement = json.dumps(provenance(built, claims, repository.server_url)).encode()
        with SigningContext.from_trust_config(self._trust).signer(IdentityToken(token)) as signer:
            return signer.sign_dsse(Statement(statement)).to_json()


def _verify(trust: "ClientTrustConfig", repository: GitHubRepository, digest: str, bundle: str) -> Attestation:
    """Verify signature, certificate and log entry, then what is stated. Raises whatever the library raises."""
    from sigstore.models import Bundle  # noqa: PLC0415 (slow, as these)
    from sigstore.verify import Verifier  # noqa: PLC0415

    policy = WorkflowPolicy(repository)
    kind, payload = Verifier(trusted_root=trust.trusted_root).verify_dsse(Bundle.from_json(bundle), policy)
    if kind != PAYLOAD_TYPE:
        return Attestation(AttestationVerdict.INVALID, f"it is {kind}, not {PAYLOAD_TYPE}")
    statement = json.loads(payload)
    if fault := statement_fault(statement, digest):
        return Attestation(AttestationVerdict.INVALID, fault)
    commit = built_commit(statement)
    return Attestation(AttestationVerdict.VERIFIED, policy.workflow + (f", commit {commit[:7]}" if commit else ""))


async def _in_time(work: Callable[[], T]) -> T:
    """Return the result of ``work`` in a thread that is left behind after ``TIMEOUT``. Raises TimeoutError then."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work_and_tell() -> T:
        try:
            return work()
        finally:
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

    background = Background(work_and_tell)
    try:
        await asyncio.wait_for(done.wait(), TIMEOUT)
    except TimeoutError:
        raise TimeoutError(f"no answer within {TIMEOUT:.0f} s") from None
    return background.result()


def _claims(token: str) -> dict[str, Any]:
    """Return what an identity token says (RFC 7519)."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _reason(error: BaseException) -> str:
    """Return an error in one line."""
    text = str(error) or str(error.__cause__ or "") or type(error).__name__
    return text.splitlines()[0][:300]
