"""Redaction: throughput on a large log, recall of planted secrets, and false positives in real logs."""

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

from abreast.core.redaction import redactor as engine
from abreast.core.redaction.redactor import Redactor
from abreast.core.redaction.secret_patterns import SECRET_PATTERNS, compiled_pattern

LOG_SIZE, SLOW_LOG_SIZE, CHUNK_SIZE, SECRET_COUNT, RUNS = 200 << 20, 8 << 20, 64 << 10, 50, 3
NODE_MODULES = Path(sys.prefix) / "netlify-cli" / "node_modules"
"""Installed by the tests."""

LINE_PATTERNS = (re.compile(rb"(?i)bearer\s+\S+"), re.compile(rb"(?i)(?:password|token|secret)\s*[:=]\s*\S+"))


def run() -> str:
    """Return throughput, recall and false positives."""
    chance = random.Random(11)
    secrets = [
        "".join(chance.choices(string.ascii_letters + string.digits + "+/=&\"'$", k=chance.choice((16, 32, 40, 64))))
        for _ in range(SECRET_COUNT)
    ]
    log = _generate_log(chance, secrets)
    speeds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for name, redact, size in (
            ("abreast", _redactor_pass(secrets, fast=True), LOG_SIZE),
            ("abreast without the automaton", _redactor_pass(secrets, fast=False), SLOW_LOG_SIZE),
            ("three expressions, line by line", _line_by_line_pass(secrets), SLOW_LOG_SIZE),
        ):
            text = (log * (size // len(log) + 1))[:size]
            began = time.perf_counter()
            redact(text)
            speeds.setdefault(name, []).append(size / 1e6 / (time.perf_counter() - began))
    rows = "\n".join(f"| {name} | {statistics.median(each):,.0f} MB/s |" for name, each in speeds.items())
    ours, slow, loop = (statistics.median(each) for each in speeds.values())
    planted, missed = _count_missed_leaks()
    return f"""## Redaction

{LOG_SIZE >> 20} MB of build log ({SLOW_LOG_SIZE >> 20} MB for the slower methods), {SECRET_COUNT} known secrets in all encodings, {len(SECRET_PATTERNS)} patterns. One line in 2,000
contains a secret. Medians of {RUNS} alternating runs, with no patterns compiled before. Goal: ≥ 500 MB/s.

| | |
|---|---|
{rows}

abreast is {ours / slow:.0f} times as fast as without the automaton, and {ours / loop:.0f} times as fast as the three expressions (bearer tokens,
assignments, the known secrets in plain form).

Recall: known secrets were planted in a log in {_encoding_count()} encodings, and the stream was split at random. {planted - missed} of {planted} were redacted.

{_false_positive_report()}"""


def _generate_log(chance: random.Random, secrets: list[str]) -> bytes:
    lines = []
    for number in range(200_000):
        word = "".join(chance.choices(string.ascii_lowercase, k=12))
        lines.append(
            f"2026-11-21T10:00:{number % 60:02} [info] module ./src/components/{word}.tsx built in {number} ms"
        )
        if number % 2000 == 0:
            lines.append(f"connecting with {chance.choice(secrets)} to db")
    return "\n".join(lines).encode() + b"\n"


def _redactor_pass(secrets: list[str], *, fast: bool) -> Callable[[bytes], None]:
    def redact(text: bytes) -> None:
        engine.HAS_HYPERSCAN = fast
        engine._candidate_search.cache_clear()
        redactor = Redactor(secrets)
        for at in range(0, len(text), CHUNK_SIZE):
            redactor.feed(text[at : at + CHUNK_SIZE])
        redactor.flush()
        engine.HAS_HYPERSCAN = True
        engine._candidate_search.cache_clear()

    return redact


def _line_by_line_pass(secrets: list[str]) -> Callable[[bytes], None]:
    known = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets))

    def redact(text: bytes) -> None:
        for line in text.splitlines(keepends=True):
            shown = line
            for one in (*LINE_PATTERNS, known):
                shown = one.sub(b"***", shown)

    return redact


def _count_missed_leaks() -> tuple[int, int]:
    """Return how many secrets were planted, and how many were missed."""
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


def _encoding_count() -> int:
    import test_redactor as planting  # noqa: PLC0415

    return len(planting.ENCODINGS)


def _false_positive_report() -> str:
    """Return the false positives in logs of real builds, which contain no secrets."""
    matches: Counter[str] = Counter()
    size = 0
    for text in _real_logs():
        size += len(text)
        for name in SECRET_PATTERNS:
            matches[name] += sum(1 for _ in compiled_pattern(name).finditer(text))
    each = ", ".join(f"{name} {count}" for name, count in matches.most_common() if count)
    return (
        f"False positives: {matches.total()}{f' ({each})' if each else ''} in {size / 1e6:.0f} MB of verbose logs of real builds "
        f"(npm, pip, mypy, webpack, TypeScript, the interpreter), which contain no secrets."
    )


def _real_logs() -> Iterator[bytes]:
    """Yield the output of real tools at their most verbose."""
    python, here = sys.executable, Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        npm = ["npm", "install", "--loglevel", "silly", "--no-audit", "--ignore-scripts", "--prefix", folder]
        pip = [python, "-m", "pip", "install", "-vvv", "--no-cache-dir", "--target", f"{folder}/pip"]
        tools = Path(folder) / "node_modules"
        commands: list[list[str]] = [
            [*npm, "vite", "react", "react-dom", "typescript", "jest", "webpack", "webpack-cli", "next", "@types/react", "@types/node"],
            [*pip, "django", "numpy", "pandas", "sqlalchemy", "mypy", "pytest", "httpx", "scikit-learn", "jupyterlab"],
            [python, "-m", "mypy", "-v", "--no-incremental", str(here / "src")],
            [python, "-v", "-c", "import abreast.wiring.assembly, moto, boto3, hypothesis"],
            ["node", f"{tools}/webpack-cli/bin/cli.js", "build", f"{tools}/next/dist/server/next-server.js", "--target", "node",
             "--stats", "verbose", "--output-path", f"{folder}/out"],
            ["node", "--max-old-space-size=4000", f"{tools}/typescript/bin/tsc", "--project", folder],
        ]  # fmt: skip
        for command in commands:
            if "--project" in command:
                _write_tsconfig(Path(folder))
            yield subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            ).stdout


def _write_tsconfig(folder: Path) -> None:
    """Configure the compiler to read all declarations, and to trace how it resolves each."""
    found = [str(path) for root in (folder, NODE_MODULES) for path in root.rglob("*.d.ts")]
    options = {"noEmit": True, "skipLibCheck": True, "module": "esnext", "moduleResolution": "bundler", "types": [],
               "traceResolution": True, "listFiles": True}  # fmt: skip
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": found[:20_000]}))
