"""Security scans: secrets, dependencies, code, workflows, images. A scanner that could not run means unknown."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from abreast.core.changes.watch_patterns import match_files
from abreast.core.changes.workspaces import MANIFESTS, parse_packages, unlocked_manifests
from abreast.core.container_image import RECORD_FILE, parse_record
from abreast.core.gates import Finding, Gate, GateResult, ScanKind, Severity
from abreast.core.reports import scan_results
from abreast.gates.interface import GateContext, GatePlugin
from abreast.gates.scan_tool import ScanTool, ToolReport, run_tool
from abreast.gates.scanner_program import find_program
from abreast.gates.secret_scan import scan_secrets
from abreast.machine.tasks import run_all

EXCLUDED_GLOBS = ("**/node_modules/**", "**/.git/**", "**/.venv/**", "**/site-packages/**")


PIP_AUDIT = ScanTool(
    "pip-audit",
    '--strict --progress-spinner off --format json --output "$REPORT" -r',
    frozenset({0, 1}),
    scan_results.pip_audit,
    ("**/requirements*.txt", "**/uv.lock", "**/poetry.lock"),
)
NPM_AUDIT = ScanTool(
    "npm",
    'audit --json --package-lock-only > "$REPORT" --prefix',
    frozenset({0, 1}),
    scan_results.npm_audit,
    ("**/package-lock.json", "**/npm-shrinkwrap.json"),
    "https://nodejs.org",
)
TOOLS_BY_SCAN = {
    ScanKind.CODE: (
        ScanTool(
            "bandit",
            '--quiet --exit-zero --format json --output "$REPORT" --exclude "*/node_modules/*,*/.venv/*" --recursive .',
            frozenset({0}),
            scan_results.bandit,
            ("**/*.py",),
            scans_whole_tree=True,
        ),
    ),
    ScanKind.WORKFLOWS: (
        ScanTool(
            "zizmor",
            '--offline --quiet --no-exit-codes --format json > "$REPORT" --',
            frozenset({0}),
            scan_results.zizmor,
            (".github/workflows/*.{yml,yaml}", "**/action.{yml,yaml}"),
        ),
        ScanTool(
            "check-jsonschema",
            '--builtin-schema vendor.github-workflows -o JSON > "$REPORT" --',
            frozenset({0, 1}),
            scan_results.check_jsonschema,
            (".github/workflows/*.{yml,yaml}",),
        ),
    ),
    ScanKind.DOCKERFILES: (
        ScanTool(
            "hadolint",
            '--format json > "$REPORT" --',
            frozenset({0, 1}),
            scan_results.hadolint,
            ("**/Dockerfile", "**/Dockerfile.*", "**/*.dockerfile", "**/Containerfile"),
        ),
    ),
}

IMAGE_SCANNERS = (
    ScanTool(
        "trivy",
        'image --quiet --format json --output "$REPORT"',
        frozenset({0}),
        scan_results.trivy,
        install_hint="https://trivy.dev, or grype",
    ),
    ScanTool(
        "grype",
        '--quiet --output json --file "$REPORT"',
        frozenset({0}),
        scan_results.grype,
        install_hint="https://github.com/anchore/grype",
    ),
)
"""Image scanners; the first one installed is used."""


async def evaluate(gate: Gate, context: GateContext) -> tuple[GateResult, ...]:
    """Run the gate's scanners in parallel."""
    if gate.scan is ScanKind.SECRETS:
        scan = await scan_secrets(gate, context)
        return (scan_results.evaluate_findings(gate, scan.findings, scan.unknown, context.today, notes=scan.notes),)
    runners = {ScanKind.DEPENDENCIES: _scan_dependencies, ScanKind.IMAGES: _scan_images}
    run_scan = runners.get(gate.scan or ScanKind.CODE, _scan_files)
    reports = await run_scan(gate, context)
    findings = [finding for report in reports if not isinstance(report, str) for finding in report]
    unknown = [report for report in reports if isinstance(report, str)]
    return (scan_results.evaluate_findings(gate, findings, unknown, context.today),)


async def _scan_files(gate: Gate, context: GateContext) -> Sequence[ToolReport]:
    files = await asyncio.to_thread(lambda: sorted(_list_files(context.workdir)))
    tools = TOOLS_BY_SCAN[gate.scan or ScanKind.CODE]
    targets = [[f"./{file}" for file, _ in match_files(tool.file_globs, files)] for tool in tools]
    applicable = [
        (tool, [] if tool.scans_whole_tree else found) for tool, found in zip(tools, targets, strict=True) if found
    ]
    return await run_all(*(run_tool(tool, found, gate, context) for tool, found in applicable))


async def _scan_dependencies(gate: Gate, context: GateContext) -> Sequence[ToolReport]:
    files = await asyncio.to_thread(lambda: sorted(_list_files(context.workdir)))
    python = [file for file, _ in match_files(PIP_AUDIT.file_globs, files)]
    node = [file for file, _ in match_files(NPM_AUDIT.file_globs, files)]
    contents = {file: (context.workdir / file).read_bytes() for file in files if Path(file).name in MANIFESTS}
    unpinned_manifests = [
        f"{file}: no lock file pins its dependencies" for file in unlocked_manifests(parse_packages(contents), files)
    ]
    audited = await run_all(
        *(_audit_python(file, gate, context) for file in python), *(_audit_npm(file, gate, context) for file in node)
    )
    return [*audited, *unpinned_manifests]


async def _audit_python(file: str, gate: Gate, context: GateContext) -> ToolReport:
    """Audit pinned versions directly; pip resolves unpinned ones first."""
    try:
        requirements = scan_results.pinned_requirements(
            file, await asyncio.to_thread((context.workdir / file).read_bytes)
        )
    except (ValueError, KeyError) as error:
        return f"{file}: {error}"
    if requirements is None:
        return _with_file(file, await run_tool(PIP_AUDIT, [file], gate, context))
    if not requirements:
        return []
    requirements_file = context.scratch_dir / f"{file.replace('/', '_')}.txt"
    await asyncio.to_thread(requirements_file.write_text, requirements)
    exact = replace(PIP_AUDIT, arguments=f"--no-deps --disable-pip {PIP_AUDIT.arguments}")
    return _with_file(file, await run_tool(exact, [str(requirements_file)], gate, context))


async def _audit_npm(file: str, gate: Gate, context: GateContext) -> ToolReport:
    return _with_file(file, await run_tool(NPM_AUDIT, [f"./{Path(file).parent}"], gate, context))


async def _scan_images(gate: Gate, context: GateContext) -> Sequence[ToolReport]:
    """Check the size of the built images and scan them."""
    files = [
        path / RECORD_FILE for path in (await context.await_artifacts()).values() if (path / RECORD_FILE).is_file()
    ]
    images = [parse_record(await asyncio.to_thread(file.read_bytes)) for file in files]
    oversized = [
        Finding(
            "size",
            f"{image.pinned} is {image.size / 1e6:,.0f} MB, over the limit of {gate.max_image_bytes / 1e6:,.0f} MB",
            Severity.HIGH,
        )
        for image in images
        if image.size > gate.max_image_bytes
    ]
    tool = next((scanner for scanner in IMAGE_SCANNERS if find_program(scanner.program)), IMAGE_SCANNERS[0])
    return [oversized, *await run_all(*(run_tool(tool, [image.pinned], gate, context) for image in images))]


def _with_file(file: str, report: ToolReport) -> ToolReport:
    return f"{file}: {report}" if isinstance(report, str) else [replace(finding, file=file) for finding in report]


def _list_files(workdir: Path) -> Iterator[str]:
    for base, folders, files in os.walk(workdir):
        folders[:] = [name for name in folders if not match_files(EXCLUDED_GLOBS, [f"{name}/x"])]
        yield from ((Path(base) / name).relative_to(workdir).as_posix() for name in files)


PLUGIN = GatePlugin(evaluate)
