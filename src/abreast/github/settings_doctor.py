"""Compares a repository's settings with what deployments need. Decides only: nothing here talks to GitHub."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.wording import counted
from abreast.github.repository_settings import EnvironmentSettings, Hidden, RepositorySettings, Seen
from abreast.github.resources import ConcurrencyGroup, Environment


@dataclass(frozen=True, slots=True)
class Change:
    """A request that mends a setting; ``path`` is relative to the repository."""

    method: str
    path: str
    body: Mapping[str, object]

    def command(self, repository: str) -> str:
        """Return it as a command of ``gh``."""
        sent = shlex.quote(json.dumps(self.body))
        return f"echo {sent} | gh api -X {self.method} repos/{repository}{self.path} --input -"


@dataclass(frozen=True, slots=True)
class SettingsFinding:
    """A diagnostic, and the change that mends it where there is one."""

    diagnostic: Diagnostic
    change: Change | None = None


def diagnose_settings(settings: RepositorySettings, needs: Mapping[str, Collection[str]]) -> Iterator[SettingsFinding]:
    """Yield what is found. ``needs`` has the names of the secrets that each environment needs."""
    yield from _actions(settings)
    yield from _protection(settings)
    for name, secrets in needs.items():
        found = settings.environments[name]
        yield from _environment(settings, name, found)
        yield from _secrets(settings, name, found, secrets)
    yield from _groups(settings)


def _finding(
    level: DiagnosticSeverity, about: str, what: str, need: str = "", next: str = "", change: Change | None = None
) -> SettingsFinding:
    return SettingsFinding(Diagnostic(level, about, what, need, next), change)


def _ok(about: str, what: str) -> SettingsFinding:
    return _finding(DiagnosticSeverity.OK, about, what)


def _unknown(about: str, hidden: Hidden) -> SettingsFinding:
    what = "the token may not look"
    return _finding(DiagnosticSeverity.UNKNOWN, about, what, f"a token with {hidden.permission}")


def _mendable(
    settings: RepositorySettings, level: DiagnosticSeverity, about: str, what: str, need: str, change: Change
) -> SettingsFinding:
    return _finding(level, about, what, need, change.command(settings.repository), change)


# ── workflows ──────────────────────────────────────────────────────────────────────────────────


def _actions(settings: RepositorySettings) -> Iterator[SettingsFinding]:
    if isinstance(settings.actions, Hidden):
        yield _unknown("actions", settings.actions)
    elif not settings.actions.value.enabled:
        change = Change("PUT", "/actions/permissions", {"enabled": True, "allowed_actions": "all"})
        text, need = "workflows do not run in this repository", "GitHub Actions, switched on"
        yield _mendable(settings, DiagnosticSeverity.FAULT, "actions", text, need, change)
    else:
        yield _ok("actions", f"workflows run; actions: {settings.actions.value.allowed_actions}")
    if isinstance(settings.workflows, Hidden):
        yield _unknown("workflow token", settings.workflows)
    elif settings.workflows.value.default_workflow_permissions != "read":
        change = Change("PUT", "/actions/permissions/workflow", {"default_workflow_permissions": "read"})
        text = "the token of every workflow may write, also where it does not ask for that"
        need = "read as default; a job that deploys names what it needs under permissions:"
        yield _mendable(settings, DiagnosticSeverity.WARNING, "workflow token", text, need, change)
    else:
        yield _ok("workflow token", "may read unless a job asks for more")


# ── the default branch ─────────────────────────────────────────────────────────────────────────


def _protection(settings: RepositorySettings) -> Iterator[SettingsFinding]:
    about = f"branch {settings.default_branch}"
    if isinstance(settings.protection, Hidden):
        yield _unknown(about, settings.protection)
        return
    protection = settings.protection.value
    required = protection.required_status_checks.contexts if protection and protection.required_status_checks else []
    if required:
        yield _ok(about, f"is protected; required: {', '.join(sorted(required))}")
    elif protection:
        what, where = "is protected, but requires no check", f"repos/{settings.repository}/branches"
        page = f"gh api {where}/{quote(settings.default_branch, safe='')}/protection shows what protects it"
        yield _finding(DiagnosticSeverity.WARNING, about, what, "a required status check, such as the tests", page)
    else:
        yield from _unprotected(settings, about)


def _unprotected(settings: RepositorySettings, about: str) -> Iterator[SettingsFinding]:
    if isinstance(settings.checks, Hidden):
        yield _unknown(f"checks of {settings.default_branch}", settings.checks)
    ran = sorted(settings.checks.value) if isinstance(settings.checks, Seen) else []
    need = f"protection that requires {', '.join(ran)}" if ran else "protection, and a required check once one has run"
    body = {
        "required_status_checks": {"strict": True, "contexts": ran} if ran else None, "enforce_admins": False,
        "required_pull_request_reviews": None, "restrictions": None,
    }  # fmt: skip
    change = Change("PUT", f"/branches/{quote(settings.default_branch, safe='')}/protection", body)
    text = "is not protected: whoever may push decides what is deployed"
    yield _mendable(settings, DiagnosticSeverity.WARNING, about, text, need, change)


# ── environments and secrets ───────────────────────────────────────────────────────────────────


def _environment(settings: RepositorySettings, name: str, found: EnvironmentSettings) -> Iterator[SettingsFinding]:
    about = f"environment {name}"
    if isinstance(found.environment, Hidden):
        yield _unknown(about, found.environment)
    elif found.environment.value is None:
        change = Change("PUT", f"/environments/{quote(name, safe='')}", {})
        text, need = "does not exist at GitHub", f"an environment, for a job with environment: {name}"
        yield _mendable(settings, DiagnosticSeverity.WARNING, about, text, need, change)
    else:
        yield _ok(about, _reviewers(found.environment.value))


def _reviewers(environment: Environment) -> str:
    names = environment.reviewers
    if not names:
        return "has no reviewers: a job that names it starts without an approval"
    who = "one approval" if len(names) == 1 else "one approval, although there are several reviewers"
    alone = any(rule.prevent_self_review for rule in environment.protection_rules)
    return f"reviewers: {', '.join(names)}; they count as {who}{'; not by whoever started it' if alone else ''}"


def _secrets(
    settings: RepositorySettings, name: str, found: EnvironmentSettings, needed: Collection[str]
) -> Iterator[SettingsFinding]:
    """Yield the secrets that are nowhere. What one place holds is enough, even if others are hidden."""
    places = (found.secrets, settings.secrets, settings.shared_secrets)
    there = {secret for place in places if isinstance(place, Seen) for secret in place.value}
    missing = sorted(set(needed) - there)
    hidden = [place for place in places if isinstance(place, Hidden)]
    about = f"secrets of {name}"
    if missing and hidden:
        permissions = ", ".join(dict.fromkeys(place.permission for place in hidden))
        what = f"the token may not look everywhere for {', '.join(missing)}"
        yield _finding(DiagnosticSeverity.UNKNOWN, about, what, f"a token with {permissions}")
    elif missing:
        scope = f" --env {name}" if isinstance(found.environment, Seen) and found.environment.value else ""
        for secret in missing:
            command = f'gh secret set {secret} --repo {settings.repository}{scope} --body "${secret}"'
            yield _finding(DiagnosticSeverity.FAULT, about, f"{secret} is not set", "a secret of that name", command)
    elif needed:
        yield _ok(about, f"set: {', '.join(sorted(needed))}")


# ── concurrency groups ─────────────────────────────────────────────────────────────────────────


def _groups(settings: RepositorySettings) -> Iterator[SettingsFinding]:
    if isinstance(settings.groups, Hidden):
        yield _unknown("concurrency", settings.groups)
        return
    for group in settings.groups.value:
        yield _ok(f"group {group.group_name}", _holders(group))


def _holders(group: ConcurrencyGroup) -> str:
    holding = [member for member in group.group_members if member.status == "in_progress"]
    waiting = len(group.group_members) - len(holding)
    who = ", ".join(f"run {member.run_id} {member.run_html_url or ''}".strip() for member in holding)
    return f"held by {who or 'nobody'}; {counted(waiting, 'run')} {'waits' if waiting == 1 else 'wait'}"
