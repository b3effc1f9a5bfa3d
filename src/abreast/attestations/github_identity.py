"""Which certificates are those of a repository's own workflows.

Extensions: https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md.
"""

import re
from typing import TYPE_CHECKING

from abreast.core.frozen_dataclass import dataclass
from abreast.github.token_issuer import token_issuer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_REMOTE = re.compile(
    r"(?:https://(?:[^@/]+@)?|ssh://git@|git@)(?P<host>github\.com|[\w-]+\.ghe\.com)"
    r"[:/](?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?"
)

_ISSUER, _SOURCE_REPOSITORY, _TRIGGER = "1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.12", "1.3.6.1.4.1.57264.1.20"


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """A repository, ``OWNER/NAME`` at ``server_url``."""

    server_url: str
    name: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.server_url}/{self.name}"

    @property
    def issuer(self) -> str:
        """Who issues the identity tokens of its workflows."""
        return token_issuer(self.server_url)


def parse_remote(url: str) -> GitHubRepository | None:
    """Return the repository that a remote's address names, None if it is not at GitHub."""
    match = _REMOTE.fullmatch(url)
    return GitHubRepository(f"https://{match['host']}", match["name"]) if match else None


class WorkflowPolicy:
    """Accepts certificates of workflows in a repository, but those of runs that a pull request started.

    A pull request can change the workflow that it runs. Has the interface of the policies of ``sigstore.verify``.
    """

    def __init__(self, repository: GitHubRepository) -> None:
        self._repository = repository
        self.workflow = ""
        """The workflow of the certificate that was accepted: ``OWNER/NAME/.github/workflows/FILE@REF``."""

    def verify(self, cert: "Certificate") -> None:
        """Raise VerificationError unless the certificate is accepted."""
        from sigstore.errors import VerificationError  # noqa: PLC0415 (slow)

        repository, signer = self._repository, _signer(cert)
        issuer, source, trigger = (_extension(cert, oid) for oid in (_ISSUER, _SOURCE_REPOSITORY, _TRIGGER))
        if issuer != repository.issuer:
            raise VerificationError(f"its certificate is for an identity of {issuer}, not of {repository.issuer}")
        workflows = f"{repository.url}/.github/workflows/".casefold()
        if source.casefold() != repository.url.casefold() or not signer.casefold().startswith(workflows):
            raise VerificationError(f"{signer} signed it, which is no workflow of {repository.url}")
        if trigger.startswith("pull_request"):
            raise VerificationError(f"{signer} signed it in a run that a pull request started")
        self.workflow = signer.removeprefix(f"{repository.server_url}/")


def _signer(cert: "Certificate") -> str:
    from cryptography import x509  # noqa: PLC0415 (slow)

    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


def _extension(cert: "Certificate", oid: str) -> str:
    from cryptography import x509  # noqa: PLC0415 (slow)
    from cryptography.hazmat import asn1  # noqa: PLC0415 (slow)

    value = cert.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value
    assert isinstance(value, x509.UnrecognizedExtension)
    return asn1.decode_der(str, value.value)
