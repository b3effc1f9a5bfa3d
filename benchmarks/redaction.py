"""Redaction: what of other scanners' samples is hidden, false hits in real logs, and throughput, also on hostile input.

The samples and some of the logs are other projects'. They are read from a folder that ABREAST_LEAK_CORPORA names, with
checkouts of three public repositories: ``git clone https://github.com/gitleaks/gitleaks``, likewise
``mongodb/kingfisher`` (at a commit that still has ``data/rules``) and ``logpai/loghub``. Without them, their rows say so.
"""

import base64
import json
import os
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
from typing import Any

from abreast.core.redaction import redactor as engine
from abreast.core.redaction.automaton import keep_automata
from abreast.core.redaction.known_secrets import KnownSecrets
from abreast.core.redaction.pattern_search import PatternSearch, _automaton
from abreast.core.redaction.redactor import Redactor
from abreast.core.redaction.secret_patterns import SECRET_PATTERNS
from abreast.core.redaction.token_shapes import TOKEN_SHAPES
from abreast.machine.automaton_folder import AutomatonFolder
from benchmarks.leak_samples import Sample, gitleaks_samples, kingfisher_samples

CORPORA = Path(os.environ.get("ABREAST_LEAK_CORPORA", "/nowhere"))
LOG_SIZE, SLOW_LOG_SIZE, HOSTILE_SIZE, CHUNK_SIZE, SECRET_COUNT, RUNS = 200 << 20, 8 << 20, 4 << 20, 64 << 10, 50, 3
NODE_MODULES = Path(sys.prefix) / "netlify-cli" / "node_modules"
"""Installed by the tests."""

LINE_PATTERNS = (re.compile(rb"(?i)bearer\s+\S+"), re.compile(rb"(?i)(?:password|token|secret)\s*[:=]\s*\S+"))


def run() -> str:
    """Return what is hidden, what is hidden in error, and throughput."""
    chance = random.Random(11)
    secrets = [
        "".join(chance.choices(string.ascii_letters + string.digits + "+/=&\"'$", k=chance.choice((16, 32, 40, 64))))
        for _ in range(SECRET_COUNT)
    ]
    planted, missed = _count_missed_leaks()
    return f"""## Redaction

{len(SECRET_PATTERNS)} patterns, {len(TOKEN_SHAPES)} of them shapes of tokens. Goal: ≥ 95 % of the samples hidden, ≤ 1 false hit in 10,000 lines.

| samples | hidden | rules of which all are |
|---|---|---|
{_sample_rows()}

gitleaks: secrets generated from its rules, in the contexts that its own tests use, or alone in a sentence if the rule needs no context.
kingfisher: the examples of its rules; what a rule marks as no secret by itself is left out.

| logs | false hits | |
|---|---|---|
{_false_hit_rows()}

Known secrets were planted in a log in {_encoding_count()} encodings, and the stream was split at random: {planted - missed} of {planted} were redacted.

{_throughput_report(chance, secrets)}"""


# ── what is hidden ──────────────────────────────────────────────────────────────────────────────


def _sample_rows() -> str:
    rows = []
    for name, read in (("gitleaks", gitleaks_samples), ("kingfisher", kingfisher_samples)):
        if not (CORPORA / name).is_dir():
            rows.append(f"| {name} | not measured: set ABREAST_LEAK_CORPORA | |")
            continue
        for kind, samples in zip(("in context", "bare"), read(CORPORA / name), strict=True):
            rows.append(f"| {name}, {kind} | {_hidden(samples)} |")
    return "\n".join(rows)


def _hidden(samples: list[Sample]) -> str:
    redactor = Redactor()
    shown = Counter[str]()
    for sample in samples:
        shown[sample.rule] += sample.secret in redactor.redact_text(sample.text)
    hidden = len(samples) - shown.total()
    whole = sum(not count for count in shown.values())
    return f"{hidden / len(samples):.1%} ({hidden:,} of {len(samples):,}) | {whole} of {len(shown)}"


def _count_missed_leaks() -> tuple[int, int]:
    """Return how many known secrets were planted, and how many were missed."""
    planting = _planting()
    planted = missed = 0
    for seed in range(5):
        log, forms = planting.planted(seed)
        redactor = Redactor(planting.SECRETS)
        shown = b"".join([*map(redactor.feed, planting.cut(log.encode(), seed)), redactor.flush()]).decode()
        planted += len(forms)
        missed += sum(form.strip("'\"=") in shown for form in forms)
    return planted, missed


def _encoding_count() -> int:
    return len(_planting().ENCODINGS)


def _planting() -> Any:  # noqa: ANN401 (a test module)
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
    import test_redactor  # noqa: PLC0415

    return test_redactor


# ── what is hidden in error ─────────────────────────────────────────────────────────────────────


def _false_hit_rows() -> str:
    """Return the false hits in logs that contain no secrets."""
    rows = []
    logs = sorted((CORPORA / "loghub").glob("*/*.log"))
    if logs:
        rows.append(f"| loghub, {len(logs)} systems | {_false_hits(path.read_bytes() for path in logs)} |")
    rows.append(f"| npm, pip, mypy, webpack, TypeScript, the interpreter, verbose | {_false_hits(_real_logs())} |")
    return "\n".join(rows)


def _false_hits(logs: Iterator[bytes]) -> str:
    hits = lines = size = 0
    for text in logs:
        lines += text.count(b"\n")
        size += len(text)
        hits += len(PatternSearch().spans(text, automaton=True))
    return f"{hits} | {hits / lines * 10_000:.2f} in 10,000 lines ({lines:,} lines, {size / 1e6:.0f} MB)"


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


# ── throughput ──────────────────────────────────────────────────────────────────────────────────


def _throughput_report(chance: random.Random, secrets: list[str]) -> str:
    log = _generate_log(chance, secrets)
    methods = (
        ("abreast", _redactor_pass(secrets, fast=True), LOG_SIZE),
        ("hyperscan alone, with the automata of abreast", _automata_pass(secrets), LOG_SIZE),
        ("abreast without the automaton", _redactor_pass(secrets, fast=False), SLOW_LOG_SIZE),
        ("three expressions, line by line", _line_by_line_pass(secrets), SLOW_LOG_SIZE),
    )
    speeds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for name, redact, size in methods:
            text = (log * (size // len(log) + 1))[:size]
            began = time.process_time()
            redact(text)
            speeds.setdefault(name, []).append(size / 1e6 / (time.process_time() - began))
    rows = [f"| {name} | {statistics.median(each):,.0f} MB/s |" for name, each in speeds.items()]
    compiled, read = _first_uses()
    hostile = sorted((statistics.median(each), name) for name, each in _hostile_speeds(chance, secrets).items())
    rows += [f"| hostile: {name} | {speed:,.0f} MB/s |" for speed, name in hostile]
    table = "\n".join(rows)
    return f"""{LOG_SIZE >> 20} MB of build log ({SLOW_LOG_SIZE >> 20} MB for the slower methods), {SECRET_COUNT} known secrets. One line in 2,000 contains a secret.
Medians of {RUNS} alternating runs, in CPU time; of hostile input, {HOSTILE_SIZE >> 20} MB. Goal: ≥ 500 MB/s, on hostile input ≥ 50 MB/s.
The automata of patterns take {compiled:.0f} ms of CPU time to compile, once for each machine, and {read:.0f} ms to read in each process.

| | |
|---|---|
{table}"""


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
        redactor = Redactor(secrets)
        for at in range(0, len(text), CHUNK_SIZE):
            redactor.feed(text[at : at + CHUNK_SIZE])
        redactor.flush()
        engine.HAS_HYPERSCAN = True

    return redact


def _automata_pass(secrets: list[str]) -> Callable[[bytes], None]:
    """Return a pass that looks at no hit: the upper bound of what these automata allow."""
    known = KnownSecrets(secrets)

    def search(text: bytes) -> None:
        for at in range(0, len(text), CHUNK_SIZE):
            chunk = text[at : at + CHUNK_SIZE]
            known.suspects(chunk, automaton=True)
            _automaton()(chunk, len(chunk))

    return search


def _first_uses() -> tuple[float, float]:
    """Return the milliseconds of CPU time to compile the automata of patterns, and to read them in a later process."""
    used = []
    with tempfile.TemporaryDirectory() as folder:
        keep_automata(AutomatonFolder(Path(folder)))
        for _ in range(2):
            _automaton.cache_clear()
            began = time.process_time()
            _automaton()
            used.append((time.process_time() - began) * 1000)
    return used[0], used[1]


def _line_by_line_pass(secrets: list[str]) -> Callable[[bytes], None]:
    known = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets))

    def redact(text: bytes) -> None:
        for line in text.splitlines(keepends=True):
            shown = line
            for one in (*LINE_PATTERNS, known):
                shown = one.sub(b"***", shown)

    return redact


def _hostile_speeds(chance: random.Random, secrets: list[str]) -> dict[str, list[float]]:
    redact = _redactor_pass(secrets, fast=True)
    threshold, engine.AUTOMATON_THRESHOLD = engine.AUTOMATON_THRESHOLD, 0
    redact(b"compile the automata\n")
    speeds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for name, piece in _hostile_inputs(chance, secrets).items():
            text = (piece * (HOSTILE_SIZE // len(piece) + 1))[:HOSTILE_SIZE]
            began = time.process_time()
            redact(text)
            speeds.setdefault(name, []).append(len(text) / 1e6 / (time.process_time() - began))
    engine.AUTOMATON_THRESHOLD = threshold
    return speeds


def _hostile_inputs(chance: random.Random, secrets: list[str]) -> dict[str, bytes]:
    """Return what is repeated: long lines, near matches, beginnings without ends, and nothing but secrets."""

    def token(size: int) -> str:
        return "".join(chance.choices(string.ascii_letters + string.digits, k=size))

    kinds = [prefix + token(80) for shape in TOKEN_SHAPES for prefix in shape.prefixes.split()]
    return {
        "a line without end": b"x ",
        "`sk-sk-sk-`": b"sk-",
        "`eyJeyJeyJ`": b"eyJ",
        "`a:a:a:a:`": b"a:a:",
        "`://a:aaa://a:aaa`": b"://a:aaa",
        "beginnings of private keys": b"-----BEGIN PRIVATE KEY-----",
        "private keys": b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
        "`tokentokentoken`": b"token",
        "`token = token = `": b"token = ",
        "`token=a1b2c3d`, which is none": b"token=a1b2c3d ",
        "`key=user:12345`, which is none": b"key=user:12345 ",
        "a token in each line": "".join(f"token={token(14)}\n" for _ in range(5000)).encode(),
        "a token of each kind in turn": "\n".join(kinds).encode(),
        "`%41%41%41`": b"%41",
        "`&#65;&#65;`": b"&#65;",
        "a color for each letter": b"\x1b[1mx",
        "a known secret in each line": f"connecting with {secrets[3]} to db\n".encode(),
        "a known secret in base64 in each line": base64.b64encode(secrets[3].encode()) + b" is it\n",
        "the beginning of a known secret in each line": secrets[3].encode()[:10] + b"\n",
    }
