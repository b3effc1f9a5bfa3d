"""What changed: match 2,000 of 100,000 files against 20 services, with abreast and with picomatch on Node."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from abreast.core.changes import glob, watch_patterns
from abreast.core.model import Service
from abreast.source.changed_files import changed_files_by_service
from abreast.source.git import GitRepository

FILES, CHANGED, SERVICES, RUNS = 100_000, 2_000, 20, 7
PICOMATCH = Path(sys.prefix) / "netlify-cli" / "node_modules" / "picomatch"
"""Installed by the tests."""

PICOMATCH_SCRIPT = """
const picomatch = require(process.argv.at(-1));
const {services, files} = JSON.parse(require('fs').readFileSync(0));
const begin = process.hrtime.bigint();
let count = 0;
for (const patterns of services) {
  const wanted = patterns.filter(one => !one.startsWith('!')).map(one => picomatch(one, {dot: true}));
  const unwanted = patterns.filter(one => one.startsWith('!')).map(one => picomatch(one.slice(1), {dot: true}));
  for (const file of files)
    if (wanted.some(is => is(file)) && !unwanted.some(is => is(file))) count++;
}
console.log(JSON.stringify({count, took: Number(process.hrtime.bigint() - begin) / 1e6}));
"""
"""Matches as the paths-filter action does: compile each filter's patterns, then try each on each file."""


def run() -> str:
    """Return a table of the matching alone, and of the whole change detection of a plan."""
    services = [
        Service(f"s{number}", "local", watch=(f"services/s{number}/**", "!**/*.md", "!**/test/**"),
                uses=("shared/{core,ui}/**", f"libs/*-{number}/src/**/*.{{js,ts}}"))
        for number in range(SERVICES)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        first, second = _create_repository(Path(folder))
        source = GitRepository(Path(folder))
        files = list(source.changed_files(first, second) or ())
        request = json.dumps({"services": [[*service.watch, *service.uses] for service in services], "files": files})
        ours, theirs, total, counts = [], [], [], set()
        for _ in range(RUNS):
            result = _run_picomatch(request)
            theirs.append(result["took"])
            glob.compile_glob.cache_clear()
            watch_patterns._cached_glob.cache_clear()
            began = time.perf_counter()
            counts.add(sum(len(watch_patterns.match_files(service.watch, files, service.uses)) for service in services))
            ours.append((time.perf_counter() - began) * 1000)
            counts.add(int(result["count"]))
            began = time.perf_counter()
            changed_files_by_service(source, services, {service.name: first for service in services}, second)
            total.append((time.perf_counter() - began) * 1000)
    assert len(files) == CHANGED
    assert len(counts) == 1, counts
    version = json.loads((PICOMATCH / "package.json").read_text())["version"]
    ratio = statistics.median(other / own for own, other in zip(ours, theirs, strict=True))
    return f"""## What changed

{CHANGED:,} changed files of {FILES:,}, matched against {SERVICES} services with five patterns each. Both find the same {counts.pop():,} matches.
Medians of {RUNS} alternating runs, with no patterns compiled before, without Node's start-up. Goals: ≥ 5; total < 0.5 s.

| | |
|---|---|
| picomatch {version} on Node, matching | {statistics.median(theirs):.1f} ms |
| abreast, matching | {statistics.median(ours):.2f} ms |
| ratio | {ratio:.1f} |
| abreast, in total: git diff, manifests, matching | {statistics.median(total):.0f} ms |"""


def _run_picomatch(request: str) -> dict[str, float]:
    done = subprocess.run(
        ["node", "-e", PICOMATCH_SCRIPT, "--", str(PICOMATCH)],
        input=request,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def _create_repository(folder: Path) -> tuple[str, str]:
    """Create a repository of many files and a second commit that changes some; return both commits."""
    kinds = ("services/s{0}/src/{1}.py", "services/s{0}/docs/{1}.md", "libs/lib-{0}/src/deep/{1}.ts", "shared/core/{0}/{1}.js",
             "docs/{0}/{1}.md", "tools/{0}/test/{1}.sh", "services/s{0}/test/{1}.py", "other/{0}/{1}.txt")  # fmt: skip
    names = [kinds[number % len(kinds)].format(number % SERVICES, number) for number in range(FILES)]
    first = _commit(folder, {name: f"{name}\n" for name in names}, init=True)
    return first, _commit(folder, dict.fromkeys(names[:: FILES // CHANGED], "changed\n"))


def _commit(folder: Path, files: dict[str, str], *, init: bool = False) -> str:
    """Commit files without a working tree, by git fast-import(1)."""
    if init:
        subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    lines = ["commit refs/heads/main", "committer t <t@localhost> 1700000000 +0000", "data 1", "x"]
    lines += [] if init else ["from refs/heads/main^0"]
    for name, text in files.items():
        lines += [f"M 100644 inline {name}", f"data {len(text)}", text]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input="\n".join(lines) + "\n", text=True, check=True)
    head = ["git", "rev-parse", "main"]
    return subprocess.run(head, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
