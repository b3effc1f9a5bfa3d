"""Fingerprints of secrets can be compared by all machines that share the record and its key, and by no others."""

from pathlib import Path

import pytest

from abreast.core.secrets import Secret, same_value
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace

KEY = {"ABREAST_AUDIT_KEY": "YWJyZWFzdCBzaWducyB0aGlzIHdpdGggMzIgYnl0ZXM="}
SECRET = Secret("TOKEN", "a-token-of-mine")


def fingerprint(folder: Path, **variables: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "abreast.yml").write_text("project: shop\n")
    return Assembly(Workspace(folder / "abreast.yml", folder / ".abreast", variables))._fingerprint_secret(SECRET)


@pytest.mark.parametrize(
    ("variables", "is_the_same"),
    [
        ({"ABREAST_STATE": "git", **KEY}, True),
        ({"ABREAST_STATE": "git"}, False),
        ({"ABREAST_STATE": "git", "ABREAST_AUDIT_KEY": "none"}, False),
        (KEY, False),
    ],
)
def test_two_machines(tmp_path: Path, variables: dict[str, str], is_the_same: bool) -> None:
    one, other = (fingerprint(tmp_path / name, **variables) for name in ("one", "other"))
    assert (one == other) is is_the_same
    assert one == fingerprint(tmp_path / "one", **variables)
    assert same_value(one, other) is is_the_same, "of machines without a common key nobody asks"
    another = fingerprint(
        tmp_path / "one", ABREAST_STATE="git", ABREAST_AUDIT_KEY="b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="
    )
    assert same_value(one, another) is None, "with another key nobody can tell"
