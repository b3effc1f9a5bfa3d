"""``doctor --github``: the settings of the repository at GitHub, and how to mend them."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence

from abreast.cli.redaction import redact
from abreast.cli.selection import locate_workspace
from abreast.cli.views.diagnostics import diagnostic_lines
from abreast.core.codec import dump
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.github.repository_settings import read_settings
from abreast.github.settings_doctor import SettingsFinding, diagnose_settings
from abreast.wiring.assembly import Assembly
from abreast.wiring.ci_pipeline import is_this_machine
from abreast.wiring.environment_credentials import needed_variables

FAILING = frozenset({DiagnosticSeverity.FAULT, DiagnosticSeverity.UNKNOWN})


def check_github(environment: str | None, *, fix: bool, as_json: bool) -> int:
    """Print what is found of the repository's settings; with ``fix``, mend what a request can mend.

    Returns 1 if something is wrong or could not be looked at.
    """
    project = Assembly(locate_workspace()).project
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
    findings = asyncio.run(_check(needs, fix=fix))
    if as_json:
        print(redact(json.dumps({"github": [dump(finding, Diagnostic) for finding in findings]}, indent=2)))
    else:
        print("github", *(redact(line) for line in diagnostic_lines(findings)), sep="\n")
    return 1 if any(finding.level in FAILING for finding in findings) else 0


async def _check(needs: Mapping[str, frozenset[str]], *, fix: bool) -> list[Diagnostic]:
    settings = VariableSettings(os.environ)
    github = GitHubClient(connect_github(settings), repository_name(settings.variable))
    try:
        findings = list(diagnose_settings(await read_settings(github, needs), needs))
        if fix:
            return await _mend(github, needs, findings)
        return [finding.diagnostic for finding in findings]
    finally:
        await github.close()


async def _mend(
    github: GitHubClient, needs: Mapping[str, frozenset[str]], findings: Sequence[SettingsFinding]
) -> list[Diagnostic]:
    """Make the changes, and return what is found afterwards; what was refused comes first."""
    refused: list[Diagnostic] = []
    for finding in findings:
        if finding.change:
            try:
                await github.change(finding.change.method, finding.change.path, finding.change.body)
            except PlatformError as error:
                refused.append(Diagnostic.from_error(finding.diagnostic.about, error))
    found = diagnose_settings(await read_settings(github, needs), needs)
    return [*refused, *(finding.diagnostic for finding in found)]
