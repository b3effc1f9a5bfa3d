"""Overhead: wall time of a deployment against the critical path of what it waits for; parallel against in turn."""

import tempfile
from pathlib import Path

from benchmarks.shop import Shop

BUILD, HOLD, SETTLE = 20.0, 2.0, 8.0
"""Seconds: each service's build sleeps, its candidate is held, the release is watched."""


def run() -> str:
    """Return a table for 2, 20 and 200 services; the first deployment, so that everything has to start."""
    path = BUILD + HOLD + SETTLE
    rows = []
    for count in (2, 20, 200):
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder) / "shop", count, 12000, BUILD, HOLD, SETTLE)
            wall = shop.abreast("deploy", "--yes")
            shop.abreast("down", "--yes")
        rows.append(f"| {count} | {path:.0f} s | {wall:.1f} s | {wall / path:.3f} |")
    return "\n".join([
        "## Overhead", "",
        f"Each service: a build of {BUILD:.0f} s, a start, {HOLD:.0f} s held healthy; then {SETTLE:.0f} s of watching. The critical path counts",
        "the sleeps alone, so that starting the command, the engine, Envoy and every process is overhead. Goal ≤ 1.05.", "",
        "| services | critical path | wall | ratio |", "|---|---|---|---|", *rows, "", _parallel(),
    ])  # fmt: skip


def _parallel() -> str:
    count = 5
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", count, 12000, build=3, hold=0.5, settle=1)
        together = shop.abreast("deploy", "--yes")
        shop.commit()
        in_turn = sum(shop.abreast("deploy", "--yes", "--service", f"s{number:03}") for number in range(count))
        shop.abreast("down", "--yes")
    return (
        f"{count} services with builds of 3 s: together {together:.1f} s, one after the other {in_turn:.1f} s, "
        f"{in_turn / together:.1f} times as long."
    )
