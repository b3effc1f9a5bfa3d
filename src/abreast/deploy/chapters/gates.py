"""Gates: conditions that must hold before anything is staged. Each runs in a clean checkout of its own."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from pathlib import Path

from abreast.commands.interface import Command
from abreast.core.codec import dump
from abreast.core.errors import UsageError
from abreast.core.events import EventKind
from abreast.core.gates import Gate, GateResult, GateVerdict, skipped_results
from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.reports import sarif
from abreast.deploy.chapters.install import Installed, install
from abreast.deploy.runtime.run import Run
from abreast.gates.interface import CommandOutcome, GateContext
from abreast.ledger.interface import ReleasePart
from abreast.source.interface import Source


async def evaluate_gate(run: Run, gate: Gate) -> Failure | None:
    """Evaluate one gate and record its results. Returns a failure if one of them blocks the deployment."""
    if gate.skipped is not None:
        results = skipped_results(gate)
    else:
        gate_workdir = run.ports.folders.work / run.plan.deployment / "gates" / gate.key
        await asyncio.to_thread(_fresh_checkout, run, gate_workdir)
        installed = await _install_dependencies(run, gate, gate_workdir / "checkout")
        if isinstance(installed, Failure):
            return installed
        results = await run.ports.gates[gate.runner](gate, _gate_context(run, gate, gate_workdir, installed.variables))
        await asyncio.to_thread(shutil.rmtree, gate_workdir, ignore_errors=True)
    if stopping := run.halt.stop_failure(Chapter.GATES, gate.service):
        return stopping
    for result in results:
        await _record_result(run, gate, result)
    blocking = next(
        (
            result
            for result in results
            if result.is_blocking and not (result.verdict is GateVerdict.UNKNOWN and gate.pass_if_unknown)
        ),
        None,
    )
    if blocking is None:
        return None
    what = f"{blocking.gate}: {'unknown: ' if blocking.verdict is GateVerdict.UNKNOWN else ''}{blocking.why}"
    return Failure(Chapter.GATES, what, gate.service, blocking.lines, FailureCause.REFUSED)


def _fresh_checkout(run: Run, gate_workdir: Path) -> None:
    if gate_workdir.exists():
        shutil.rmtree(gate_workdir)
    run.ports.source.checkout(run.plan.commit, gate_workdir / "checkout")


async def _record_result(run: Run, gate: Gate, result: GateResult) -> None:
    text = f"{result.gate} {result.verdict}{': ' if result.why else ''}{result.why}"
    key = f"{gate.key}/{result.gate}/judged"
    if gate.run is None:
        document = run.redactor.redact_value(sarif.document(result.gate, result.findings))
        await asyncio.to_thread(_write_sarif, run, result.gate, document)
    await run.record(key, EventKind.JUDGED, text, service=gate.service, chapter=Chapter.GATES, data=dump(result))


def _write_sarif(run: Run, gate: str, document: object) -> None:
    folder = run.ports.folders.logs / run.plan.deployment
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / f"{gate}.sarif").write_text(json.dumps(document, indent=1))


async def _install_dependencies(run: Run, gate: Gate, checkout: Path) -> Installed | Failure:
    """Install the dependencies of the service whose tests a gate runs."""
    part = next((part for part in run.plan.services if part.name == gate.service), None)
    if part is None or gate.run is None:
        return Installed()
    return await install(run, part.service, run.plan.commit, checkout, Chapter.GATES)


def _gate_context(run: Run, gate: Gate, gate_workdir: Path, variables: Mapping[str, str]) -> GateContext:
    live = {part.name: part.previous.commit for part in run.plan.services if part.previous}
    source, commit = run.ports.source, run.plan.commit

    async def changed() -> Mapping[str, frozenset[int]] | None:
        return await asyncio.to_thread(source.changed_lines, live.get(gate.service or ""), commit)

    async def export(since: Collection[str], end: str, into: Path) -> AsyncIterator[Path]:
        portions = await asyncio.to_thread(source.export_outgoing, since, end, into)
        while portion := await asyncio.to_thread(next, portions, None):
            yield portion

    async def outgoing(into: Path) -> AsyncIterator[Path]:
        known = {await asyncio.to_thread(_find_baseline, source, gate, gate.since)} if gate.since else set()
        async for portion in export(known.union(live.values()), commit, into):
            yield portion

    async def baseline(into: Path) -> AsyncIterator[Path]:
        if gate.since:
            end = await asyncio.to_thread(_find_baseline, source, gate, gate.since)
            async for portion in export(frozenset(live.values()), end, into):
                yield portion

    async def artifacts() -> Mapping[str, Path]:
        # Shielded: a cancelled gate must not cancel the builds.
        built = {name: await asyncio.shield(future) for name, future in run.built.items()}
        fetch = run.ports.artifacts.fetch
        return {name: await asyncio.to_thread(fetch, part.artifact) for name, part in built.items()}

    return GateContext(
        gate_workdir / "checkout",
        gate_workdir,
        run.ports.now()[:10],
        partial(_run_gate_command, run, gate, gate_workdir / "checkout", variables),
        changed,
        outgoing,
        baseline,
        artifacts,
    )


def _find_baseline(source: Source, gate: Gate, since: str) -> str:
    """Return the full id of a gate's baseline. Raises UsageError, with the key, if it is not in the repository."""
    try:
        return source.resolve_commit(since)
    except UsageError as error:
        raise UsageError(f"gates.{gate.name}.since: {error.what}", need=error.need, next=error.next) from error


async def _run_gate_command(
    run: Run, gate: Gate, workdir: Path, variables: Mapping[str, str],
    name: str, text: str, env: Mapping[str, str], timeout: float,
) -> CommandOutcome:  # fmt: skip
    metadata = {
        "ABREAST_ENVIRONMENT": run.plan.environment,
        "ABREAST_RELEASE": run.plan.release,
        "ABREAST_COMMIT": run.plan.commit,
        **({"ABREAST_SERVICE": gate.service} if gate.service else {}),
    }
    log = ".".join(filter(None, (gate.service, gate.name, name, "log")))
    command = Command(
        text=text,
        cwd=workdir / gate.folder,
        log=run.ports.folders.logs / run.plan.deployment / log,
        timeout=timeout,
        env={**run.ports.inherited_environment, "CI": "true", **variables, **env, **metadata},
    )
    ended = await run.ports.run_command(command, run.halt.wait())
    return CommandOutcome(ended.why, ended.tail, ended.exit_code)


def annotate_gate_results(run: Run, built: ReleasePart) -> None:
    """Store the results of the gates with the artifact."""
    if not run.plan.gates:
        return
    events = run.ports.ledger.events(run.plan.deployment)
    recorded = [
        event.data for event in events if event.kind is EventKind.JUDGED and event.service in {None, built.service}
    ]
    results = [{key: event.get(key) for key in ("gate", "verdict", "why", "figures")} for event in recorded]
    run.ports.artifacts.annotate(built.artifact, built.service, results=results, tested=run.plan.release)
