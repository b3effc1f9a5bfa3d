"""A Sigstore of our own on loopback: a certificate authority, its certificate transparency log, and a signature log.

It issues real certificates and signs real entries, by https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md,
RFC 6962 and https://github.com/sigstore/rekor. Beside it, the issuer of the identity tokens of GitHub Actions.
"""

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.github.token_issuer import token_issuer
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.threaded_server import ThreadedServer

REQUEST_TOKEN = "actions-runtime-token"
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
FULCIO_OIDS = "1.3.6.1.4.1.57264.1"
EC = ec.ECDSA(hashes.SHA256())


@dataclass
class WorkflowRun:
    """What the issuer says of the run that asks for a token. GitHub's claims; `overrides` replace some."""

    repository: str = "octo/shop"
    workflow: str = ".github/workflows/deploy.yml"
    ref: str = "refs/heads/main"
    commit: str = "0" * 40
    event: str = "push"
    visibility: str = "public"
    run_id: int = 42
    server: str = "https://github.com"
    issuer: str = token_issuer("https://github.com")
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """What a runner says of the run; an Enterprise server is what else can be on loopback."""
        return {
            "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": self.server, "GITHUB_REPOSITORY": self.repository,
            "GITHUB_REPOSITORY_ID": "1296269", "GITHUB_REPOSITORY_OWNER_ID": "1", "GITHUB_RUN_ID": str(self.run_id),
            "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "octocat", "GITHUB_ACTOR_ID": "1",
            "GITHUB_EVENT_NAME": self.event,
        }  # fmt: skip

    def claims(self, audience: str) -> dict[str, Any]:
        now, path = int(time.time()), f"{self.repository}/{self.workflow}@{self.ref}"
        return {
            "iss": self.issuer, "aud": audience, "sub": f"repo:{self.repository}:ref:{self.ref}", "iat": now, "nbf": now - 5,
            "exp": now + 300, "jti": f"{now}", "repository": self.repository, "repository_id": "1296269",
            "repository_owner": self.repository.partition("/")[0], "repository_owner_id": "1",
            "repository_visibility": self.visibility, "ref": self.ref, "sha": self.commit, "event_name": self.event,
            "workflow": "Deploy", "workflow_ref": path, "workflow_sha": self.commit, "job_workflow_ref": path,
            "job_workflow_sha": self.commit, "runner_environment": "github-hosted", "run_id": str(self.run_id),
            "run_attempt": "1", "actor": "octocat", "actor_id": "1", **self.overrides,
        }  # fmt: skip


class SigstoreInstance:
    """Serve ``app`` with ``ThreadedServer``. ``entries`` are the bodies in the signature log."""

    def __init__(self) -> None:
        self.run = WorkflowRun()
        self.entries: list[bytes] = []
        self.url = ""
        self._issuer, self._ct, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._root_key, self._ca_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        self._root = _authority("root", self._root_key, None, self._root_key, path_length=1)
        self._ca = _authority("intermediate", self._ca_key, self._root, self._root_key, path_length=0)
        self.faults = FaultInjector(
            Starlette(
                routes=[
                    Route("/token", self._issue_token),
                    Route("/_services/token/.well-known/openid-configuration", self._discover),
                    Route("/_services/token/keys", self._list_keys),
                    Route("/api/v2/signingCert", self._issue_certificate, methods=["POST"]),
                    Route("/api/v1/log/entries", self._add_entry, methods=["POST"]),
                ]
            )
        )
        self.app = self.faults

    @property
    def runner_variables(self) -> dict[str, str]:
        """What a runner sets in a job with `id-token: write`."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    # ── the issuer of GitHub Actions ───────────────────────────────────────────────────────────

    async def _issue_token(self, request: Request) -> Response:
        if request.headers.get("authorization", "").lower() != f"bearer {REQUEST_TOKEN}":
            return JSONResponse({"message": "unauthorized"}, 401)
        claims = self.run.claims(request.query_params.get("audience", self.run.server))
        return JSONResponse({"value": jwt.encode(claims, self._issuer, "ES256", {"kid": "1"}), "count": 1})

    async def _discover(self, _: Request) -> Response:
        return JSONResponse({"issuer": self.run.issuer, "jwks_uri": f"{self.run.issuer}/keys"})

    async def _list_keys(self, _: Request) -> Response:
        public = ECAlgorithm.to_jwk(self._issuer.public_key(), as_dict=True)
        return JSONResponse({"keys": [{**public, "kid": "1", "use": "sig", "alg": "ES256"}]})

    # ── the certificate authority, and its log ─────────────────────────────────────────────────

    async def _issue_certificate(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(
                token, self._issuer.public_key(), ["ES256"], audience="sigstore", issuer=self.run.issuer
            )
        except jwt.InvalidTokenError as error:
            return JSONResponse(
                {"code": 16, "message": f"There was an error processing the identity token: {error}"}, 401
            )
        csr = x509.load_pem_x509_csr(base64.b64decode((await request.json())["certificateSigningRequest"]))
        if not csr.is_signature_valid:
            return JSONResponse(
                {"code": 3, "message": "The signature supplied in the request could not be verified"}, 400
            )
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        chain = [self._certificate(key, claims), self._ca, self._root]
        pems = [each.public_bytes(Encoding.PEM).decode() for each in chain]
        return JSONResponse({"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}, 201)

    def _certificate(self, key: ec.EllipticCurvePublicKey, claims: Mapping[str, Any]) -> x509.Certificate:
        """Return a certificate for ten minutes, with the proof that the log has it."""
        server, now = self.run.server, datetime.now(UTC).replace(microsecond=0)
        signer, source = f"{server}/{claims['job_workflow_ref']}", f"{server}/{claims['repository']}"
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._ca.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(minutes=10))
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(signer)]), critical=True)
        )
        old = [
            claims["iss"],
            claims["event_name"],
            claims["sha"],
            claims["workflow"],
            claims["repository"],
            claims["ref"],
        ]
        new = [
            claims["iss"], signer, claims["job_workflow_sha"], claims["runner_environment"], source, claims["sha"],
            claims["ref"], claims["repository_id"], f"{server}/{claims['repository_owner']}",
            claims["repository_owner_id"], f"{server}/{claims['workflow_ref']}", claims["workflow_sha"],
            claims["event_name"], f"{source}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}",
            claims["repository_visibility"],
        ]  # fmt: skip
        values = {
            **{number: text.encode() for number, text in enumerate(old, 1)},
            **{number: _utf8_string(text) for number, text in enumerate(new, 8)},
        }
        for number, value in values.items():
            oid = ObjectIdentifier(f"{FULCIO_OIDS}.{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        precertificate = builder.sign(self._ca_key, hashes.SHA384())
        proof = _octets(self._certificate_timestamp(precertificate.tbs_certificate_bytes))
        return builder.add_extension(x509.UnrecognizedExtension(SCT_LIST, proof), critical=False).sign(
            self._ca_key, hashes.SHA384()
        )

    def _certificate_timestamp(self, tbs: bytes) -> bytes:
        """Return the list with the one signed timestamp of a precertificate (RFC 6962, 3.2 and 3.3)."""
        moment = int(time.time() * 1000)
        issuer = hashlib.sha256(_spki(self._ca_key)).digest()
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + struct.pack("!I", len(tbs))[1:] + tbs + b"\0\0"
        signature = self._ct.sign(signed, EC)
        log_id = hashlib.sha256(_spki(self._ct)).digest()
        sct = b"\0" + log_id + struct.pack("!QH", moment, 0) + b"\4\3" + struct.pack("!H", len(signature)) + signature
        return struct.pack("!H", len(sct) + 2) + struct.pack("!H", len(sct)) + sct

    # ── the signature log ──────────────────────────────────────────────────────────────────────

    async def _add_entry(self, request: Request) -> Response:
        proposed = await request.json()
        if (proposed["kind"], proposed["apiVersion"]) != ("dsse", "0.0.1"):
            return JSONResponse({"code": 400, "message": "only dsse 0.0.1 is taken here"}, 400)
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        verifier = base64.b64decode(content["verifiers"][0])
        payload = base64.b64decode(envelope["payload"])
        public_key = x509.load_pem_x509_certificate(verifier).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        kind = envelope["payloadType"]
        signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        signature = envelope["signatures"][0]["sig"]
        public_key.verify(base64.b64decode(signature), signed, EC)
        body = {
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(content["envelope"].encode()).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": signature, "verifier": base64.b64encode(verifier).decode()}],
            },
        }  # fmt: skip
        return JSONResponse(self._append(_canonical(body)), 201)

    def _append(self, body: bytes) -> dict[str, Any]:
        self.entries.append(body)
        index, size = len(self.entries) - 1, len(self.entries)
        leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in self.entries]
        root, spki = _tree_hash(leaves), _spki(self._log)
        note = f"rekor.localhost - 1\n{size}\n{base64.b64encode(root).decode()}\n"
        note_signature = hashlib.sha256(spki).digest()[:4] + self._log.sign(note.encode(), EC)
        checkpoint = f"{note}\n— rekor.localhost {base64.b64encode(note_signature).decode()}\n"
        entry = {
            "body": base64.b64encode(body).decode(), "integratedTime": int(time.time()),
            "logID": hashlib.sha256(spki).hexdigest(), "logIndex": index,
        }  # fmt: skip
        proof = {
            "checkpoint": checkpoint, "hashes": [each.hex() for each in _inclusion(index, leaves)], "logIndex": index,
            "rootHash": root.hex(), "treeSize": size,
        }  # fmt: skip
        promise = base64.b64encode(self._log.sign(_canonical(entry), EC)).decode()
        uuid = leaves[index].hex()
        return {uuid: {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    # ── who trusts it ──────────────────────────────────────────────────────────────────────────

    def trusted_root(self) -> dict[str, Any]:
        """Return the TrustedRoot that says whom to trust (sigstore/protobuf-specs)."""
        since = {"start": "2024-01-01T00:00:00Z"}
        chain = [
            {"rawBytes": base64.b64encode(each.public_bytes(Encoding.DER)).decode()} for each in (self._ca, self._root)
        ]
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log_instance(self.url, self._log, since)],
            "ctlogs": [_log_instance(f"{self.url}/ct", self._ct, since)],
            "certificateAuthorities": [
                {"subject": {"organization": "sigstore.localhost", "commonName": "sigstore"}, "uri": self.url,
                 "certChain": {"certificates": chain}, "validFor": since}
            ],
            "timestampAuthorities": [],
        }  # fmt: skip

    def client_trust_config(self) -> dict[str, Any]:
        """Return the ClientTrustConfig: whom to trust, and where to sign."""
        service = {"majorApiVersion": 1, "validFor": {"start": "2024-01-01T00:00:00Z"}, "operator": "localhost"}
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [{**service, "url": self.url}], "oidcUrls": [{**service, "url": self.run.issuer}],
            "rekorTlogUrls": [{**service, "url": self.url}], "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [], "tsaConfig": {"selector": "ANY"},
        }  # fmt: skip
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(), "signingConfig": signing,
        }  # fmt: skip


@contextmanager
def sigstore_instance(folder: Path) -> Iterator[tuple[SigstoreInstance, Path]]:
    """Serve an instance; yield it with the file that says how to reach and trust it."""
    instance = SigstoreInstance()
    with ThreadedServer(instance.app) as server:
        instance.url = server.url
        file = folder / "sigstore.json"
        file.write_text(json.dumps(instance.client_trust_config()))
        yield instance, file


def gh_verify(instance: SigstoreInstance, subject: str, bundle: Path) -> "subprocess.CompletedProcess[str]":
    """Let GitHub's own client verify the attestation of a file or an image, with the instance as the one to trust."""
    root = bundle.with_name(f"{bundle.name}.root.jsonl")
    root.write_text(json.dumps(instance.trusted_root()) + "\n")
    command = [
        str(Path(sys.executable).parent / "gh"), "attestation", "verify", subject, "--bundle", str(bundle),
        "--custom-trusted-root", str(root), "--repo", "octo/shop", "--format", "json",
        "--signer-workflow", "octo/shop/.github/workflows/deploy.yml",
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "HOME": str(bundle.parent), "GH_TOKEN": "x"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _authority(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey, *, path_length: int,
) -> x509.Certificate:  # fmt: skip
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigstore.localhost")
    subject = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, f"sigstore-{name}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2044, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(authority, critical=False)
    return builder.sign(issuer_key, hashes.SHA384())


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=key_cert_sign, crl_sign=key_cert_sign, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _log_instance(url: str, key: ec.EllipticCurvePrivateKey, since: Mapping[str, str]) -> dict[str, Any]:
    spki = _spki(key)
    return {
        "baseUrl": url, "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": base64.b64encode(spki).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since,
        },
        "logId": {"keyId": base64.b64encode(hashlib.sha256(spki).digest()).decode()},
    }  # fmt: skip


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _utf8_string(text: str) -> bytes:
    return _der(0x0C, text.encode())


def _octets(content: bytes) -> bytes:
    return _der(0x04, content)


def _canonical(value: object) -> bytes:
    """Return JSON by RFC 8785, of values that have ASCII text and integers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _tree_hash(leaves: list[bytes]) -> bytes:
    """Return the head of a Merkle tree (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return leaves[0]
    at = _split(len(leaves))
    return hashlib.sha256(b"\1" + _tree_hash(leaves[:at]) + _tree_hash(leaves[at:])).digest()


def _inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return the audit path of a leaf (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*_inclusion(index, leaves[:at]), _tree_hash(leaves[at:])]
    return [*_inclusion(index - at, leaves[at:]), _tree_hash(leaves[:at])]
