"""``doctor --github``: the settings of the repository at GitHub, and how to mend them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from abreast.cli.redaction import redact, redact_only
from abreast.cli.selection import locate_workspace
from abreast.cli.views.diagnostics import diagnostic_lines
from abreast.core.codec import dump
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, TransientError, UnavailableError
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.github.repository_settings import read_settings
from abreast.github.settings_doctor import Change, SettingsFinding, diagnose_settings
from abreast.ledger.acts import DONE, REFUSED
from abreast.ledger.interface import Ledger
from abreast.wiring.assembly import Assembly
from abreast.wiring.ci_pipeline import is_this_machine
from abreast.wiring.environment_credentials import needed_variables

ACT = "doctor --github --fix"
UNKNOWN = "unknown"
"""The outcome of a change that GitHub did not answer: it may have been made."""

Needs = Mapping[str, frozenset[str]]
"""The names of the secrets that each environment needs."""

FAILING = frozenset({DiagnosticSeverity.FAULT, DiagnosticSeverity.UNKNOWN})


def check_github(environment: str | None, *, fix: bool, as_json: bool) -> int:
    """Print what is found of the repository's settings; with ``fix``, mend what a request can mend.

    Returns 1 if something is wrong or could not be looked at.
    """
    workspace = locate_workspace()
    project = Assembly(workspace).project
    names = (
        [environment] if environment else [name for name in project.environments if not is_this_machine(project, name)]
    )
    unknown = [name for name in names if name not in project.environments]
    if unknown:
        project.environment(unknown[0])
    needs = {
        place: frozenset(
            variable
            for variable, known in needed_variables(project, name).items()
            if known.is_secret and known.is_required
        )
        for name in names
        for place in (name, *([f"{name}-preview"] if name in project.preview_lifetimes else []))
    }
    if fix:
        with workspace.open_ledger() as ledger:
            findings = asyncio.run(_mend(needs, ledger))
    else:
        findings = asyncio.run(_check(needs))
    if as_json:
        print(redact(json.dumps({"github": [dump(finding, Diagnostic) for finding in findings]}, indent=2)))
    else:
        print("github", *(redact(line) for line in diagnostic_lines(findings)), sep="\n")
    return 1 if any(finding.level in FAILING for finding in findings) else 0


async def _check(needs: Needs) -> list[Diagnostic]:
    async with _connected() as github:
        return [finding.diagnostic for finding in await _find(github, needs)]


async def _mend(needs: Needs, ledger: Ledger) -> list[Diagnostic]:
    """Make the changes, and return what is found afterwards; what was refused comes first."""
    async with _connected() as github:
        refused: list[Diagnostic] = []
        for finding in await _find(github, needs):
            if finding.change:
                try:
                    await _change(github, finding.diagnostic.about, finding.change, ledger)
                except PlatformError as error:
                    refused.append(Diagnostic.from_error(finding.diagnostic.about, error))
        return [*refused, *(finding.diagnostic for finding in await _find(github, needs))]


async def _change(github: GitHubClient, about: str, change: Change, ledger: Ledger) -> None:
    """Make one change, and record it: before, since whoever is killed may have made it, and how it ended."""
    body = json.dumps(change.body)
    detail = redact_only(f"{github.repository}, {about}: {change.method} {change.path or '/'} {body}")
    ledger.record_act("", ACT, "begun", detail=detail)
    try:
        await github.change(change.method, change.path, change.body)
    except PlatformError as error:
        outcome = UNKNOWN if isinstance(error, UnavailableError | TransientError) else REFUSED
        ledger.record_act("", ACT, outcome, detail=f"{detail}: {redact_only(error.what)}")
        raise
    ledger.record_act("", ACT, DONE, detail=detail)


async def _find(github: GitHubClient, needs: Needs) -> list[SettingsFinding]:
    return list(diagnose_settings(await read_settings(github, needs), needs))


@asynccontextmanager
async def _connected() -> AsyncIterator[GitHubClient]:
    settings = VariableSettings(os.environ)
    github = GitHubClient(connect_github(settings), repository_name(settings.variable))
    try:
        yield github
    finally:
        await github.close()
