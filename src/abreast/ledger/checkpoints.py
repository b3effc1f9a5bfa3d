"""Checkpoints: the end of a chain, signed with an Ed25519 key. Whoever holds one can tell whether all before it stands.

A checkpoint is a signed note, https://c2sp.org/signed-note, so it can be verified without abreast. Its text is as of
https://c2sp.org/tlog-checkpoint: what the chain is of, its length, its hash in base64; as an extension, the time.
The hash is that of the chain's last entry, not of a Merkle tree.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from abreast.core.frozen_dataclass import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519 = b"\x01"
_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/=]+)")
_KEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, ``NAME+ID+KEY`` as text (https://c2sp.org/signed-note#verifier-keys)."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Return the key that a text describes. Raises ValueError for any other text."""
        found = _KEY.fullmatch(text.strip())
        data = base64.b64decode(found["key"], validate=True) if found else b""
        if not found or len(data) != 33 or not data.startswith(_ED25519):
            raise ValueError("not an Ed25519 verifier key: NAME+ID+KEY")
        key = cls(found["name"], data[1:])
        if key.id.hex() != found["id"]:
            raise ValueError(f"a verifier key whose id is not {key.id.hex()}")
        return key

    @property
    def id(self) -> bytes:
        """The four bytes that tell it from other keys of this name."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Return whether ``signature`` is this key's, of ``text``."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (slow, and seldom needed)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 (as above)

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of a project's chain at a time: the number of its last entry and its hash, with ``note``, the whole text.

    ``signatures`` pairs the name and the id of each key with its signature. They are not verified yet.
    """

    project: str
    seq: int
    hash: str
    at: str
    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, note: str) -> "Checkpoint":
        """Return the checkpoint of a signed note. Raises ValueError for any other text."""
        text, _, signed = note.rpartition("\n\n")
        lines = text.split("\n")
        matches = [_SIGNATURE.fullmatch(line) for line in signed.splitlines()]
        if (
            len(lines) != 4
            or not matches
            or not lines[0].startswith("abreast/")
            or not re.fullmatch("[0-9]+", lines[1])
        ):
            raise ValueError("not a checkpoint of abreast")
        signatures = []
        for found in matches:
            data = base64.b64decode(found["signature"], validate=True) if found else b""
            if not found or len(data) <= 4:
                raise ValueError("a checkpoint with a signature that cannot be read")
            signatures.append((found["name"], data[:4], data[4:]))
        hash_ = base64.b64decode(lines[2], validate=True).hex()
        return cls(lines[0].removeprefix("abreast/"), int(lines[1]), hash_, lines[3], f"{text}\n", tuple(signatures))

    def signer(self, keys: Mapping[bytes, VerifierKey]) -> VerifierKey | None:
        """Return the first of the keys that signed it, None if none did. Raises ValueError for a wrong signature."""
        for name, id_, signature in self.signatures:
            if (key := keys.get(id_)) and key.name == name:
                if not key.has_signed(self.text, signature):
                    raise ValueError(f"the signature of {name}+{id_.hex()} is not of this checkpoint")
                return key
        return None


@dataclass(frozen=True, slots=True)
class CheckpointSigner:
    """Signs the chain of one project."""

    project: str
    private: "Ed25519PrivateKey"

    @property
    def key(self) -> VerifierKey:
        """The public key, named as the chain."""
        return VerifierKey(f"abreast/{self.project}", self.private.public_key().public_bytes_raw())

    def sign(self, seq: int, hash: str, at: datetime) -> str:
        """Return the signed note of a chain that ends with this entry."""
        root, time = base64.b64encode(bytes.fromhex(hash)).decode(), at.isoformat(timespec="seconds")
        text = f"abreast/{self.project}\n{seq}\n{root}\n{time}\n"
        signature = base64.b64encode(self.key.id + self.private.sign(text.encode())).decode()
        return f"{text}\n— {self.key.name} {signature}\n"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far checkpoints vouch for a chain: up to entry ``seq``, signed by ``key`` at ``at``; 0 if none does.

    ``is_trusted``: the key is one that the reader knows. ``fault``: what a checkpoint contradicts, "" if none does.
    """

    seq: int = 0
    key: str = ""
    at: str = ""
    is_trusted: bool = False
    fault: str = ""


def check_recorded(
    recorded: Iterable[tuple[int, str, str]], hash_at: Callable[[int], str], trusted: Collection[VerifierKey]
) -> Coverage:
    """Return how far recorded checkpoints vouch for a chain that is intact.

    ``recorded`` are the number of the entry, the signing key and the note, newest first. ``hash_at`` returns the hash
    of an entry. The newest checkpoint of a trusted key vouches for all entries before, also for others' checkpoints.
    """
    keys, strangers = {key.id: key for key in trusted}, list[str]()
    newest = Coverage()
    for number, signing_key, note in recorded:
        try:
            checkpoint, claimed = Checkpoint.parse(note), VerifierKey.parse(signing_key)
            signer = checkpoint.signer(keys) or checkpoint.signer({claimed.id: claimed})
        except ValueError as error:
            return Coverage(fault=f"the checkpoint in entry {number} is not one: {error}")
        if signer is None:
            return Coverage(fault=f"the checkpoint in entry {number} is not signed by {claimed}")
        if hash_at(checkpoint.seq) != checkpoint.hash:
            return Coverage(fault=f"entry {checkpoint.seq} is not the one that the checkpoint in entry {number} signs")
        found = Coverage(checkpoint.seq, str(signer), checkpoint.at, signer in trusted)
        newest = newest if newest.seq else found
        if found.is_trusted or not trusted:
            return replace(found, fault=_stranger(strangers))
        strangers.append(f"the checkpoint in entry {number} is signed by {signer}")
    return replace(newest, fault=_stranger(strangers))


def _stranger(strangers: Sequence[str]) -> str:
    return f"{strangers[0]}, which is none of the keys known here" if strangers else ""


def check_exported(
    checkpoint: Checkpoint, hash_at: Callable[[int], str], last: int, trusted: Collection[VerifierKey]
) -> str:
    """Return what an exported checkpoint contradicts in a chain of ``last`` entries, "" if nothing.

    A checkpoint of a key that is not known vouches by its hash alone: whoever kept it knows where it is from.
    """
    try:
        checkpoint.signer({key.id: key for key in trusted})
    except ValueError as error:
        return str(error)
    if checkpoint.seq > last:
        return f"{checkpoint.seq} entries had been recorded at {checkpoint.at}, and {last} are left"
    if hash_at(checkpoint.seq) != checkpoint.hash:
        return f"entry {checkpoint.seq} is not the one that was signed at {checkpoint.at}: it or one before was changed"
    return ""
