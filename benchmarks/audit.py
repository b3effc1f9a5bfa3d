"""The audit trail: how fast it is verified, and whether each of many random tamperings is found."""

import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

from abreast.ledger.acts import read_acts
from abreast.ledger.checkpoints import Checkpoint, check_recorded
from abreast.ledger.sqlite import SqliteLedger
from benchmarks.tests_helpers import tests_module

DEPLOYMENTS, RUNS = 1500, 5
TAMPERINGS, SMALL = 10_000, 6


def run() -> str:
    """Return a table of speeds and one of tamperings."""
    with tests_module("tamperings") as tamperings, tempfile.TemporaryDirectory() as name:
        speeds = _speed_rows(tamperings, Path(name) / "large")
        entries, found, made = _tamper(tamperings, Path(name))
    rows = [f"| {kind} | {made[kind]:,} | {found[kind]:,} |" for kind in tamperings.KINDS]
    return "\n".join([
        "## The audit trail", "",
        (f"A ledger of {DEPLOYMENTS:,} deployments of three services, verified whole: pages, chain, tables, checkpoints. "
         f"Medians of {RUNS} runs, in seconds of the processor, since the machine is shared. Goal: ≥ 100,000 entries a second."), "",
        "| | |", "|---|---|", *speeds, "",
        (f"{TAMPERINGS:,} random tamperings with copies of a ledger of {entries:,} entries, whose last checkpoint somebody else "
         "has. Nobody who tampers has the key. Goal: each is found."), "",
        "| tampering | made | found |", "|---|---|---|", *rows, f"| all | {made.total():,} | {found.total():,} |",
    ])  # fmt: skip


def _speed_rows(tamperings: ModuleType, folder: Path) -> list[str]:
    signer = tamperings.new_signer()
    with SqliteLedger.open(folder) as ledger:
        tamperings.fill(ledger, DEPLOYMENTS, signer)
        file, last = ledger.file, ledger.file.last_link()
        assert last
        took, wall, reading, acts = [], [], [], 0
        for _ in range(RUNS):
            began, began_wall = time.process_time(), time.perf_counter()
            assert not ledger.find_damage()
            assert not check_recorded(file.checkpoints(), file.hash_at, [signer.key]).fault
            took.append(time.process_time() - began)
            wall.append(time.perf_counter() - began_wall)
            began = time.process_time()
            acts = sum(1 for _ in read_acts(file.links()))
            reading.append(time.process_time() - began)
    size = (folder / "ledger.db").stat().st_size
    return [
        f"| entries | {last.seq:,}, {size / 2**20:.0f} MiB |",
        f"| verified | {statistics.median(took):.2f} s, {last.seq / statistics.median(took):,.0f} entries/s |",
        f"| … by the clock | {statistics.median(wall):.2f} s, {last.seq / statistics.median(wall):,.0f} entries/s |",
        f"| read as {acts:,} acts | {statistics.median(reading):.2f} s |",
    ]


def _tamper(tamperings: ModuleType, folder: Path) -> tuple[int, Counter[str], Counter[str]]:
    """Return how many entries there are, and by kind how many tamperings were found and made."""
    signer, original = tamperings.new_signer(), folder / "small"
    with SqliteLedger.open(original) as ledger:
        tamperings.fill(ledger, SMALL, signer)
        exported = Checkpoint.parse(ledger.record_checkpoint(signer))
    found, made = Counter[str](), Counter[str]()
    tamperer = tamperings.Tamperer(original, folder / "copy", random.Random(1), exported.seq)
    assert not tamperings.find(original, exported, [signer.key])
    for number in range(TAMPERINGS):
        kind = list(tamperings.KINDS)[number % len(tamperings.KINDS)]
        tamperer.tamper(kind)
        made[kind] += 1
        found[kind] += bool(tamperings.find(folder / "copy", exported, [signer.key]))
    return exported.seq, found, made
