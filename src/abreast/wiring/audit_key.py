"""The key that signs checkpoints of the audit trail, and the public keys that are known here."""

import base64
from collections.abc import Mapping
from pathlib import Path

from abreast.config.names import project_name
from abreast.core.errors import UsageError
from abreast.ledger.checkpoints import CheckpointSigner
from abreast.wiring.random_files import random_bytes
from abreast.wiring.state_location import is_elsewhere, state_location
from abreast.wiring.workspace import Workspace

KEY_VARIABLE = "ABREAST_AUDIT_KEY"
"""32 random bytes in base64, the seed of an Ed25519 key."""

KEY_FILE = "audit.key"
SEED_SIZE = 32


def checkpoint_signer(workspace: Workspace) -> CheckpointSigner | None:
    """Return who signs the record: the key of the variable, or else the one of this machine, which is made once.

    Returns None where the record is kept for other machines and the variable is not set: they would not know this one's
    key. Raises UsageError for a variable that is no key, StateError for a damaged file.
    """
    if given := given_signer(workspace):
        return given
    if is_elsewhere(state_location(workspace.variables)):
        return None
    return _signer(workspace, random_bytes(workspace.state / KEY_FILE, SEED_SIZE))


def given_signer(workspace: Workspace) -> CheckpointSigner | None:
    """Return who signs with the key of the variable, None if it is not set. Raises UsageError if it is no key."""
    seed = given_seed(workspace.variables)
    return _signer(workspace, seed) if seed else None


def known_signers(workspace: Workspace) -> list[CheckpointSigner]:
    """Return the keys that are here, of the variable and of this machine. Makes none, and leaves out what is no key."""
    seeds = [given_seed(workspace.variables), _read_bytes(workspace.state / KEY_FILE)]
    return [_signer(workspace, seed) for seed in seeds if len(seed) == SEED_SIZE]


def _read_bytes(file: Path) -> bytes:
    """Return what is in a file, empty if it is missing or is of somebody else, who alone reads it."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, PermissionError):
        return b""


def given_seed(variables: Mapping[str, str]) -> bytes:
    """Return the seed that the variable is, empty if it is not set. Raises UsageError if it is none."""
    text = variables.get(KEY_VARIABLE, "")
    try:
        seed = base64.b64decode(text, validate=True)
    except ValueError:
        seed = b"?"
    if len(seed) not in {0, SEED_SIZE}:
        raise UsageError(
            f"{KEY_VARIABLE} is not a key", need="32 random bytes in base64", next="openssl rand -base64 32"
        )
    return seed


def _signer(workspace: Workspace, seed: bytes) -> CheckpointSigner:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 (slow)

    return CheckpointSigner(project_name(workspace.config_file), Ed25519PrivateKey.from_private_bytes(seed))
