"""The audit trail: acts are read from entries, checkpoints vouch for them, and whatever is tampered with is found."""

import base64
import random
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sigstore._internal.rekor.checkpoint import LogCheckpoint, SignedNote

import tamperings
from abreast.core.identity import Evidence, Identity
from abreast.ledger.acts import NO_ACTS, READINGS, Act, read_acts
from abreast.ledger.change_report import make_report
from abreast.ledger.checkpoints import Checkpoint, VerifierKey, check_exported, check_recorded
from abreast.ledger.entries import EntryKind
from abreast.ledger.sqlite import SqliteLedger

ANN = Identity("local", "ann", "1000", "laptop", evidence=Evidence.KERNEL)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint, VerifierKey]:
    """A ledger, its last checkpoint as somebody else has it, and the key."""
    folder, signer = tmp_path_factory.mktemp("ledger"), tamperings.new_signer()
    with SqliteLedger.open(folder) as ledger:
        tamperings.fill(ledger, 3, signer)
        exported = Checkpoint.parse(ledger.record_checkpoint(signer))
    assert tamperings.find(folder, exported, [signer.key]) == ""
    return folder, exported, signer.key


@pytest.mark.parametrize("kind", tamperings.KINDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_is_tampered_with_is_found(
    original: tuple[Path, Checkpoint, VerifierKey], tmp_path: Path, kind: str, seed: int
) -> None:
    folder, exported, key = original
    tamperings.Tamperer(folder, tmp_path / "copy", random.Random(seed), exported.seq).tamper(kind)
    assert tamperings.find(tmp_path / "copy", exported, [key])


def test_a_forger_without_the_key_is_found_by_the_recorded_checkpoints(
    original: tuple[Path, Checkpoint, VerifierKey], tmp_path: Path
) -> None:
    folder, _, key = original
    tamperings.Tamperer(folder, tmp_path / "copy", random.Random(7), 50).tamper("edit, all hashes computed again")
    with SqliteLedger.open(tmp_path / "copy") as ledger:
        assert ledger.find_damage() == "", "the chain is whole, and the tables follow from it"
        file = ledger.file
        assert (
            "is not the one that the checkpoint in entry"
            in check_recorded(file.checkpoints(), file.hash_at, [key]).fault
        )


# ── checkpoints ────────────────────────────────────────────────────────────────────────────────


def test_a_note_that_others_signed_is_verified() -> None:
    """The example of golang.org/x/mod/sumdb/note, and of https://c2sp.org/signed-note."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )  # fmt: skip
    signed = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    data = base64.b64decode(signed)
    assert data[:4] == key.id
    assert key.has_signed(text, data[4:])
    assert not key.has_signed(text + "\n", data[4:])
    assert str(key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_others_read_and_verify_our_checkpoints(tmp_path: Path) -> None:
    signer = tamperings.new_signer()
    with SqliteLedger.open(tmp_path) as ledger:
        tamperings.fill(ledger, 1, signer)
        last = ledger.file.last_link()
        assert last
        note = ledger.record_checkpoint(signer)
    read = LogCheckpoint.from_text(SignedNote.from_text(note).note)
    assert (read.origin, read.log_size, read.log_hash) == ("abreast/shop", last.seq, last.hash)
    (tmp_path / "key.pem").write_bytes(
        signer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "text").write_bytes(note.partition("\n\n")[0].encode() + b"\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(note.split()[-1])[4:])
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "text", ["", "abreast/shop\n1\nAA==\nt\n", "a\n\n— b c\n", "other/x\n1\nAA==\nt\n\n— n AAAAAAA=\n"]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "abreast/shop", "a+00000000+AQ==", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="verifier key"):
        VerifierKey.parse(text)


def test_the_newest_checkpoint_of_a_known_key_vouches_for_those_of_others(tmp_path: Path) -> None:
    ours, before = tamperings.new_signer(), tamperings.new_signer()
    with SqliteLedger.open(tmp_path) as ledger:
        file = ledger.file

        def check(*keys: VerifierKey) -> tuple[int, bool, str]:
            coverage = check_recorded(file.checkpoints(), file.hash_at, keys)
            return coverage.seq, coverage.is_trusted, coverage.fault

        assert check(ours.key) == (0, False, "")
        tamperings.fill(ledger, 1, before)
        signed = file.last_link()
        assert signed
        assert check() == (signed.seq - 1, False, "")
        assert "none of the keys known here" in check(ours.key)[2]
        assert check(before.key) == (signed.seq - 1, True, "")
        ledger.record_checkpoint(ours)
        assert check(ours.key) == (signed.seq, True, "")
        ledger.record_checkpoint(before)
        assert "none of the keys known here" in check(ours.key)[2]
        assert check(ours.key, before.key) == (signed.seq + 1, True, "")


def test_an_exported_checkpoint_with_another_signature_is_refused(
    original: tuple[Path, Checkpoint, VerifierKey],
) -> None:
    folder, exported, key = original
    with SqliteLedger.open(folder) as ledger:
        file = ledger.file
        note = tamperings.new_signer().sign(exported.seq, exported.hash, ledger.file._clock())
        assert check_exported(Checkpoint.parse(note), file.hash_at, exported.seq, [key]) == ""
        ours = f"{exported.text}\n— {key.name} {base64.b64encode(key.id + b'x' * 64).decode()}\n"
        told = check_exported(Checkpoint.parse(ours), file.hash_at, exported.seq, [key])
    assert "is not of this checkpoint" in told


# ── acts ───────────────────────────────────────────────────────────────────────────────────────


def test_each_kind_of_entry_is_read_as_an_act_or_is_none() -> None:
    assert set(EntryKind) == READINGS.keys() | NO_ACTS
    assert not READINGS.keys() & NO_ACTS


def acts(ledger: SqliteLedger) -> list[Act]:
    return list(read_acts(ledger.file.links()))


def test_who_acts_is_recorded_once_and_named_by_each_act(tmp_path: Path) -> None:
    bob = Identity(
        "github-actions", "bob", "7", url="https://github.com/o/r/actions/runs/1", evidence=Evidence.ENVIRONMENT
    )
    for who in (ANN, bob, ANN):
        with SqliteLedger.open(tmp_path) as ledger:
            ledger.file.identity = lambda who=who: who
            ledger.lock_environment("production", {"reason": "a sale", "by": "claimed", "since": "t"})
            ledger.lock_environment("production", None)
    with SqliteLedger.open(tmp_path) as ledger:
        assert [(act.what, act.who) for act in acts(ledger)] == [
            (what, who) for who in (ANN, bob, ANN) for what in ("lock", "unlock")
        ]
        assert ledger.file.query("SELECT count(*) FROM entries WHERE kind = 'identity'") == [(2,)]
        assert {act.environment for act in acts(ledger)} == {"production"}
        assert ledger.find_damage() == ""


def test_an_entry_of_before_has_the_name_it_was_recorded_with(tmp_path: Path) -> None:
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.lock_environment("production", {"reason": "a sale", "by": "ann", "since": "t"})
        (act,) = acts(ledger)
    assert (act.who.kind, act.who.name, act.who.evidence) == ("unknown", "ann", Evidence.NOBODY)


def record_change(ledger: SqliteLedger, id_: str, kind: str, skipped: str | None, verdict: str) -> None:
    gate = {"name": "test", "service": "api", "skipped": skipped, "threshold": None}
    plan = {
        "project": "shop", "environment": "production", "kind": kind, "release": "v1", "commit": "c", "author": "ann",
        "authors": ["ann", "zoe"], "reason": "r", "gates": [gate], "superseded": "", "services": [],
    }  # fmt: skip
    event: dict[str, object] = {"message": "m", "service": None, "chapter": None, "state": None, "data": {}}
    with ledger.file.transaction():
        ledger.file.append(EntryKind.PLAN, id_, "", plan)
        judged = {**event, "kind": "judged", "data": {"verdict": verdict}}
        ledger.file.append(EntryKind.EVENT, id_, "judged", judged)
        for state in ("running", "succeeded"):
            ledger.file.append(EntryKind.EVENT, id_, state, {**event, "kind": "state", "state": state})


def test_the_report_says_what_was_tested_skipped_and_by_whom(tmp_path: Path) -> None:
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.file.identity = lambda: ANN
        record_change(ledger, "D1", "deploy", None, "passed")
        record_change(ledger, "D2", "deploy", "ann: it is slow", "skipped")
        record_change(ledger, "D3", "rollback", None, "passed")
        ledger.record_act("production", "deploy", "refused", detail="locked")
        ledger.record_act("production", "down", "begun")
        report = make_report(acts(ledger), lambda _: True)
    tested, skipped, back = report.changes
    assert [change.outcome for change in report.changes] == ["succeeded"] * 3
    assert [change.is_tested for change in report.changes] == [True, False, True]
    assert [change.emergency for change in report.changes] == ["", "without test/api", "rollback"]
    assert [act.why for act in skipped.skipped] == ["ann: it is slow"]
    assert not any(change.is_separated for change in (tested, skipped, back))
    assert [act.detail for act in report.refusals] == ["locked"]
    assert [act.what for act in report.others] == ["down"]


EVE = Identity("local", "eve", "1000", "laptop", evidence=Evidence.KERNEL)
BOB = Identity("local", "bob", "1001", "laptop", evidence=Evidence.KERNEL)
ROBOT = Identity("local", "bob", "1001", "laptop", agent="robot", evidence=Evidence.KERNEL)


@pytest.mark.parametrize(
    ("who", "by", "counts", "key", "separated"),
    [
        (ANN, "ann", True, "vote/1", False),
        (EVE, "eve", True, "vote/1", False),
        (BOB, "bob", True, "vote/1", True),
        (BOB, "bob", False, "vote/1", False),
        (ROBOT, "bob", True, "vote/1", False),
        (Identity("local", "Zoe", "1002", "laptop"), "Zoe", True, "vote/1", False),
        (ANN, "bob", True, "vote/reviewer", True),
        (BOB, "ann", True, "vote/reviewer", False),
    ],
    ids=["the same person", "the same account", "another person", "one who may not", "an agent", "an author",
         "another person at GitHub", "the same person at GitHub"],
)  # fmt: skip
def test_duties_are_separated_if_another_person_approved(
    tmp_path: Path, who: Identity, by: str, counts: bool, key: str, separated: bool
) -> None:
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.file.identity = lambda: ANN
        record_change(ledger, "D1", "deploy", None, "passed")
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.file.identity = lambda: who
        vote = {"by": by, "approves": True, "reason": "reviewed", "counts": counts}
        event = {"kind": "voted", "message": "m", "service": None, "chapter": None, "state": None, "data": vote}
        with ledger.file.transaction():
            ledger.file.append(EntryKind.EVENT, "D1", key, event)
        (change,) = make_report(acts(ledger), lambda act: act.who == ANN).changes
    assert change.is_separated is separated
    (approval,) = change.approvals
    assert (approval.who.name, approval.why) == (by, "reviewed")
    assert approval.outcome == ("done" if counts else "not counted")
