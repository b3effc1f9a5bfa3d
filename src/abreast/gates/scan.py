"""Security: tools that look for leaked secrets, known holes and weak places; one that could not look is unknown."""

import asyncio
import os
import posixpath
import shlex
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from abreast.core import scans
from abreast.core.gates import Finding, Gate, Judgement, Scan, Severity
from abreast.core.image import FILE, read
from abreast.core.watch import decide
from abreast.core.workspaces import MANIFESTS, packages, unsettled
from abreast.gates.interface import GatePlugin, Scene

INSTALL = "pip install 'abreast[security]'"
NOT_OURS = ("**/node_modules/**", "**/.git/**", "**/.venv/**", "**/site-packages/**")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: what it is run with so that it writes ``$REPORT``, the codes with which it has looked, its report.

    ``files`` are those that it is for; with ``whole`` it finds them itself.
    """

    program: str
    arguments: str
    looked: frozenset[int]
    read: scans.Read
    files: tuple[str, ...] = ()
    install: str = INSTALL
    whole: bool = False


KINGFISHER = Tool(
    "kingfisher",
    'scan --no-validate --no-update-check --no-dedup --no-ignore --redact --quiet --format json --output "$REPORT" --',
    frozenset({0, 200}),
    scans.kingfisher,
)
PIP_AUDIT = Tool(
    "pip-audit",
    '--strict --progress-spinner off --format json --output "$REPORT" -r',
    frozenset({0, 1}),
    scans.pip_audit,
    ("**/requirements*.txt", "**/uv.lock", "**/poetry.lock"),
)
NPM_AUDIT = Tool(
    "npm",
    'audit --json --package-lock-only > "$REPORT" --prefix',
    frozenset({0, 1}),
    scans.npm_audit,
    ("**/package-lock.json", "**/npm-shrinkwrap.json"),
    "https://nodejs.org",
)
TOOLS = {
    Scan.CODE: (
        Tool(
            "bandit",
            '--quiet --exit-zero --format json --output "$REPORT" --exclude "*/node_modules/*,*/.venv/*" --recursive .',
            frozenset({0}),
            scans.bandit,
            ("**/*.py",),
            whole=True,
        ),
    ),
    Scan.WORKFLOWS: (
        Tool(
            "zizmor",
            '--offline --quiet --no-exit-codes --format json > "$REPORT" --',
            frozenset({0}),
            scans.zizmor,
            (".github/workflows/*.{yml,yaml}", "**/action.{yml,yaml}"),
        ),
        Tool(
            "check-jsonschema",
            '--builtin-schema vendor.github-workflows -o JSON > "$REPORT" --',
            frozenset({0, 1}),
            scans.check_jsonschema,
            (".github/workflows/*.{yml,yaml}",),
        ),
    ),
    Scan.DOCKERFILES: (
        Tool(
            "hadolint",
            '--format json > "$REPORT" --',
            frozenset({0, 1}),
            scans.hadolint,
            ("**/Dockerfile", "**/Dockerfile.*", "**/*.dockerfile", "**/Containerfile"),
        ),
    ),
}

SCANNERS = (
    Tool(
        "trivy",
        'image --quiet --format json --output "$REPORT"',
        frozenset({0}),
        scans.trivy,
        install="https://trivy.dev, or grype",
    ),
    Tool(
        "grype",
        '--quiet --output json --file "$REPORT"',
        frozenset({0}),
        scans.grype,
        install="https://github.com/anchore/grype",
    ),
)
"""What looks into images; the first that is here does."""

Report = list[Finding] | str
"""What a tool found, or why it could not look."""


async def judge(gate: Gate, scene: Scene) -> tuple[Judgement, ...]:
    """Run the tools that look for what the gate is about, side by side."""
    by_scan = {Scan.SECRETS: _secrets, Scan.DEPENDENCIES: _dependencies, Scan.IMAGES: _images}
    look = by_scan.get(gate.scan or Scan.CODE, _files)
    reports = await look(gate, scene)
    found = [finding for report in reports if not isinstance(report, str) for finding in report]
    unknown = [report for report in reports if isinstance(report, str)]
    return (scans.judged(gate, found, unknown, scene.today),)


async def _files(gate: Gate, scene: Scene) -> Sequence[Report]:
    files = await asyncio.to_thread(lambda: sorted(_below(scene.room)))
    tools = TOOLS[gate.scan or Scan.CODE]
    targets = [[f"./{file}" for file, _ in decide(tool.files, files)] for tool in tools]
    meant = [(tool, [] if tool.whole else found) for tool, found in zip(tools, targets, strict=True) if found]
    return await asyncio.gather(*(_run(tool, found, gate, scene) for tool, found in meant))


async def _secrets(gate: Gate, scene: Scene) -> Sequence[Report]:
    """Look at what the commits bring that go out, also what a later one takes away again, and at what was built."""
    outgoing = scene.scratch / "outgoing"
    await scene.outgoing(outgoing)
    targets = {"": outgoing, **(await scene.artifacts() if gate.thorough else {})}
    report = await _run(KINGFISHER, [str(path) for path in targets.values()], gate, scene)
    return [report if isinstance(report, str) else [_placed(one, targets) for one in report]]


def _placed(finding: Finding, targets: dict[str, Path]) -> Finding:
    """Return a finding with the place that a person knows: the commit and its file, or the service's artifact."""
    for service, path in targets.items():
        file = Path(finding.file)
        if file.is_relative_to(path):
            inside = file.relative_to(path)
            if service:
                return replace(finding, file=inside.as_posix(), message=f"{finding.message} (built for {service})")
            commit, inside = inside.parts[0], inside.relative_to(inside.parts[0])
            return replace(finding, file=inside.as_posix(), message=f"{finding.message} (commit {commit})")
    return finding


async def _dependencies(gate: Gate, scene: Scene) -> Sequence[Report]:
    files = await asyncio.to_thread(lambda: sorted(_below(scene.room)))
    python = [file for file, _ in decide(PIP_AUDIT.files, files)]
    node = [file for file, _ in decide(NPM_AUDIT.files, files)]
    contents = {file: (scene.room / file).read_bytes() for file in files if Path(file).name in MANIFESTS}
    open_ = [f"{file}: nothing settles what it depends on" for file in unsettled(packages(contents), files)]
    audited = await asyncio.gather(
        *(_python(file, gate, scene) for file in python), *(_node(file, gate, scene) for file in node)
    )
    return [*audited, *open_]


async def _python(file: str, gate: Gate, scene: Scene) -> Report:
    """Audit what a file settles as it stands; where it leaves versions open, pip resolves them first."""
    try:
        settled = scans.pinned(file, await asyncio.to_thread((scene.room / file).read_bytes))
    except (ValueError, KeyError) as error:
        return f"{file}: {error}"
    if settled is None:
        return _at(file, await _run(PIP_AUDIT, [file], gate, scene))
    if not settled:
        return []
    asked = scene.scratch / f"{file.replace('/', '_')}.txt"
    await asyncio.to_thread(asked.write_text, settled)
    exact = replace(PIP_AUDIT, arguments=f"--no-deps --disable-pip {PIP_AUDIT.arguments}")
    return _at(file, await _run(exact, [str(asked)], gate, scene))


async def _node(file: str, gate: Gate, scene: Scene) -> Report:
    return _at(file, await _run(NPM_AUDIT, [f"./{Path(file).parent}"], gate, scene))


async def _images(gate: Gate, scene: Scene) -> Sequence[Report]:
    """Look at the images that were built: their size, and what the scanner that is here finds in them."""
    files = [path / FILE for path in (await scene.artifacts()).values() if (path / FILE).is_file()]
    images = [read(await asyncio.to_thread(file.read_bytes)) for file in files]
    large = [
        Finding(
            "size", f"{one.pinned} has {one.size / 1e6:,.0f} MB, and may have {gate.largest / 1e6:,.0f}", Severity.HIGH
        )
        for one in images
        if one.size > gate.largest
    ]
    tool = next((one for one in SCANNERS if _found(one.program)), SCANNERS[0])
    return [large, *await asyncio.gather(*(_run(tool, [one.pinned], gate, scene) for one in images))]


def _at(file: str, report: Report) -> Report:
    return f"{file}: {report}" if isinstance(report, str) else [replace(one, file=file) for one in report]


async def _run(tool: Tool, targets: Sequence[str], gate: Gate, scene: Scene) -> Report:
    program = _found(tool.program)
    if program is None:
        return f"{tool.program} is not installed: {tool.install}"
    name = f"{tool.program}-{zlib.crc32(' '.join(targets).encode()):08x}"
    report = scene.scratch / f"{name}.json"
    text = f"{shlex.quote(program)} {tool.arguments} {' '.join(map(shlex.quote, targets))}"
    ended = await scene.command(name, text, {**gate.env, "REPORT": str(report)}, gate.timeout)
    if ended.code not in tool.looked:
        return f"{tool.program}: {ended.why}{_last(ended.tail)}"
    try:
        return [_relative(one) for one in tool.read(await asyncio.to_thread(report.read_bytes))]
    except FileNotFoundError:
        return f"{tool.program}: {ended.why or 'it wrote no report'}{_last(ended.tail)}"
    except (OSError, ValueError) as error:
        return f"{tool.program}: {error}{_last(ended.tail)}"


def _last(tail: Sequence[str]) -> str:
    lines = [line.strip() for line in tail if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def _relative(finding: Finding) -> Finding:
    return replace(finding, file=posixpath.normpath(finding.file) if finding.file else "")


def _found(program: str) -> str | None:
    """Return where a program is: on the path, or installed beside abreast."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def _below(room: Path) -> Iterator[str]:
    for base, folders, files in os.walk(room):
        folders[:] = [name for name in folders if not decide(NOT_OURS, [f"{name}/x"])]
        yield from ((Path(base) / name).relative_to(room).as_posix() for name in files)


PLUGIN = GatePlugin(judge)
