"""aiosmtpd, a mail server of others, with TLS by a certificate authority of its own, and a few ways to go wrong."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "deployments@example.com", "s3cret/of:the@mailbox"

SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip
"""What RFC 5280, 4.2.1.3, asks of an authority; Python checks it from 3.13 on."""


@dataclass
class Mailbox:
    """What a server took, and what it refuses: ``rcpt`` and ``data`` map what it answers, with how often."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    data_answers: list[str] = field(default_factory=list)
    drops_answer: int = 0
    delay: float = 0.0

    @property
    def recipients(self) -> list[list[str]]:
        """The recipients of each mail."""
        return [envelope.rcpt_tos for envelope in self.envelopes]

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or not."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (as above)
        """Take a mail, or not."""
        await asyncio.sleep(self.delay)
        if self.data_answers:
            return self.data_answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.envelopes.append(envelope)
        self.arrivals.append(time.time())
        if self.drops_answer:
            self.drops_answer -= 1
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401
        """Take the one user."""
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=is_right)


@contextmanager
def mail_server(folder: Path, *, tls: str, trusted: bool = True) -> Iterator[Mailbox]:
    """Serve a mailbox on 127.0.0.1 with ``tls``: starttls, implicit or none. ``folder`` has the authority's ``ca.pem``."""
    mailbox = Mailbox()
    context = _server_context(folder, trusted=trusted)
    security: dict[str, Any] = {"auth_required": True, "authenticator": mailbox.authenticate}
    options: dict[str, Any] = {
        "none": {},
        "starttls": {"tls_context": context, **security},
        "implicit": {"auth_require_tls": False, **security},
    }[tls]
    loop = asyncio.new_event_loop()

    def connect() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not know that TLS began before it
            return SMTP(mailbox, loop=loop, **options)

    serving = loop.create_server(connect, "127.0.0.1", 0, ssl=context if tls == "implicit" else None)
    server = loop.run_until_complete(serving)
    mailbox.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield mailbox
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Close the server, and what is left of its connections."""
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _server_context(folder: Path, *, trusted: bool) -> ssl.SSLContext:
    """Return the context of a server for 127.0.0.1. An authority is made for it; ``ca.pem`` is another if not trusted."""
    authority, authority_key = _certificate("authority", None, None)
    certificate, key = _certificate("127.0.0.1", authority, authority_key)
    shown = authority if trusted else _certificate("another", None, None)[0]
    (folder / "ca.pem").write_bytes(shown.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def _certificate(
    name: str, issuer: x509.Certificate | None, issuer_key: ec.EllipticCurvePrivateKey | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = issuer_key or key
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_id, critical=False)
    )
    if issuer is None:
        builder = builder.add_extension(SIGNS_CERTIFICATES, critical=True)
    else:
        address = x509.IPAddress(ipaddress.ip_address(name))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key
