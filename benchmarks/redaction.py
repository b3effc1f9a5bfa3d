"""Redaction: a large log with known secrets, what is found of planted leaks, and what is taken for one in real logs."""

import json
import random
import re
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from abreast.core import redactor as engine
from abreast.core.leaks import LEAKS, pattern
from abreast.core.redactor import Redactor

SIZE, SLOW, CHUNK, SECRETS, RUNS = 200 << 20, 8 << 20, 64 << 10, 50, 3
CLI = Path(sys.prefix) / "netlify-cli" / "node_modules"
"""Where the tests install it."""

LOOP = (re.compile(rb"(?i)bearer\s+\S+"), re.compile(rb"(?i)(?:password|token|secret)\s*[:=]\s*\S+"))


def run() -> str:
    """Return throughput, recall and false positives."""
    chance = random.Random(11)
    secrets = [
        "".join(chance.choices(string.ascii_letters + string.digits + "+/=&\"'$", k=chance.choice((16, 32, 40, 64))))
        for _ in range(SECRETS)
    ]
    log = _log(chance, secrets)
    speeds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for name, way, size in (
            ("abreast", _ours(secrets, fast=True), SIZE),
            ("abreast without the automaton", _ours(secrets, fast=False), SLOW),
            ("three expressions, a line at a time", _loop(secrets), SLOW),
        ):
            text = (log * (size // len(log) + 1))[:size]
            began = time.perf_counter()
            way(text)
            speeds.setdefault(name, []).append(size / 1e6 / (time.perf_counter() - began))
    rows = "\n".join(f"| {name} | {statistics.median(each):,.0f} MB/s |" for name, each in speeds.items())
    ours, slow, loop = (statistics.median(each) for each in speeds.values())
    planted, missed = _recall()
    return f"""## Redaction

{SIZE >> 20} MB of a build's log ({SLOW >> 20} MB for the slower ways), {SECRETS} known secrets in every form in which they are looked
for, {len(LEAKS)} patterns; one line in 2,000 has a secret. Medians of {RUNS} runs in turn, each from nothing compiled. Goal:
≥ 500 MB/s.

| | |
|---|---|
{rows}

{ours / slow:.0f} times the same without the automaton, {ours / loop:.0f} times the three expressions (bearer, assignments, one of the known
secrets as they are).

Known secrets planted in a log in {_encodings()} encodings, the stream split at random: {planted - missed} of {planted} taken out.

{_false_positives()}"""


def _log(chance: random.Random, secrets: list[str]) -> bytes:
    lines = []
    for number in range(200_000):
        word = "".join(chance.choices(string.ascii_lowercase, k=12))
        lines.append(
            f"2026-11-21T10:00:{number % 60:02} [info] module ./src/components/{word}.tsx built in {number} ms"
        )
        if number % 2000 == 0:
            lines.append(f"connecting with {chance.choice(secrets)} to db")
    return "\n".join(lines).encode() + b"\n"


def _ours(secrets: list[str], *, fast: bool) -> Callable[[bytes], None]:
    def way(text: bytes) -> None:
        engine.FAST = fast
        engine._automaton.cache_clear()
        redactor = Redactor(secrets)
        for at in range(0, len(text), CHUNK):
            redactor.feed(text[at : at + CHUNK])
        redactor.flush()
        engine.FAST = True
        engine._automaton.cache_clear()

    return way


def _loop(secrets: list[str]) -> Callable[[bytes], None]:
    known = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets))

    def way(text: bytes) -> None:
        for line in text.splitlines(keepends=True):
            shown = line
            for one in (*LOOP, known):
                shown = one.sub(b"***", shown)

    return way


def _recall() -> tuple[int, int]:
    """Return how many leaks were planted, and how many of them came through."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
    import test_redactor as planting  # noqa: PLC0415

    planted = missed = 0
    for seed in range(5):
        log, forms = planting.planted(seed)
        redactor = Redactor(planting.SECRETS)
        shown = b"".join([*map(redactor.feed, planting.cut(log.encode(), seed)), redactor.flush()]).decode()
        planted += len(forms)
        missed += sum(form.strip("'\"=") in shown for form in forms)
    return planted, missed


def _encodings() -> int:
    import test_redactor as planting  # noqa: PLC0415

    return len(planting.ENCODINGS)


def _false_positives() -> str:
    """Return what is taken for a secret in the logs of real builds, which hold none."""
    found: Counter[str] = Counter()
    size = 0
    for text in _real_logs():
        size += len(text)
        for name in LEAKS:
            found[name] += sum(1 for _ in pattern(name).finditer(text))
    each = ", ".join(f"{name} {count}" for name, count in found.most_common() if count)
    return (
        f"In {size / 1e6:.0f} MB of logs of real builds (npm, pip, mypy, webpack, TypeScript, the interpreter, as talkative as they are), none of "
        f"which has a secret of ours: {sum(found.values())} times something was taken for one{f' ({each})' if each else ''}."
    )


def _real_logs() -> Iterator[bytes]:
    """Yield what real tools print, as talkative as they are."""
    python, here = sys.executable, Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        npm = ["npm", "install", "--loglevel", "silly", "--no-audit", "--ignore-scripts", "--prefix", folder]
        pip = [python, "-m", "pip", "install", "-vvv", "--no-cache-dir", "--target", f"{folder}/pip"]
        tools = Path(folder) / "node_modules"
        commands: list[list[str]] = [
            [*npm, "vite", "react", "react-dom", "typescript", "jest", "webpack", "webpack-cli", "next", "@types/react", "@types/node"],
            [*pip, "django", "numpy", "pandas", "sqlalchemy", "mypy", "pytest", "httpx", "scikit-learn", "jupyterlab"],
            [python, "-m", "mypy", "-v", "--no-incremental", str(here / "src")],
            [python, "-v", "-c", "import abreast.wiring.workspace, moto, boto3, hypothesis"],
            ["node", f"{tools}/webpack-cli/bin/cli.js", "build", f"{tools}/next/dist/server/next-server.js", "--target", "node",
             "--stats", "verbose", "--output-path", f"{folder}/out"],
            ["node", "--max-old-space-size=4000", f"{tools}/typescript/bin/tsc", "--project", folder],
        ]  # fmt: skip
        for command in commands:
            if "--project" in command:
                _describe(Path(folder))
            yield subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            ).stdout


def _describe(folder: Path) -> None:
    """Have the compiler read all declarations that there are, and say of each how it found it."""
    found = [str(path) for root in (folder, CLI) for path in root.rglob("*.d.ts")]
    options = {"noEmit": True, "skipLibCheck": True, "module": "esnext", "moduleResolution": "bundler", "types": [],
               "traceResolution": True, "listFiles": True}  # fmt: skip
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": found[:20_000]}))
