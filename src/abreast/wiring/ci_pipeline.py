"""What the workflows of a project do, from its abreast.yml and the files that git knows."""

import json
import re
from collections.abc import Collection, Iterator
from importlib.metadata import distribution

from abreast.config.environment_resolver import LOCAL
from abreast.config.load import ProjectConfig
from abreast.core.errors import UsageError
from abreast.core.gates import ScanKind
from abreast.wiring.audit_key import KEY_VARIABLE
from abreast.wiring.environment_credentials import needed_variables, platforms_of
from abreast.workflows.interface import AbreastSource, BackupSchedule, DeployTarget, Pipeline

_PACKAGE_CACHES = {
    "package-lock.json": "~/.npm",
    "pnpm-lock.yaml": "~/.local/share/pnpm/store",
    "yarn.lock": "~/.cache/yarn",
    "requirements.txt": "~/.cache/pip",
    "uv.lock": "~/.cache/uv",
}
"""The folder that a package manager downloads to, by the name of its lock file."""

OWN_MACHINE = ("local", "development")
"""The names of environments that, on the platform `local`, are the machine of whoever types the command."""

_GITHUB_URL = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
_SOURCE = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")


def describe_pipeline(
    project: ProjectConfig, files: Collection[str], default_branch: str, source: AbreastSource
) -> Pipeline:
    """Return what the project's workflows do. ``files`` are the names of the files in the repository.

    Raises UsageError if no environment can be deployed to by a runner.
    """
    config, names = (
        project.resolver.project,
        [name for name in project.environments if not is_this_machine(project, name)],
    )
    if not names:
        raise UsageError(
            f"{', '.join(project.environments)}: no environment that a runner could deploy to",
            need="one on a platform such as netlify or render, or one with another name than `local` for a machine of "
            "your own that has a runner",
            next="abreast docs environment",
        )
    declared = {name: branch for name in names if (branch := config.environments[name].branch)}
    first = next((name for name in names if not config.environments[name].promotion), None)
    branches = declared or ({first: default_branch} if first else {})
    lock_files = {file.rpartition("/")[2] for file in files}
    return Pipeline(
        services=tuple(config.services),
        targets=tuple(_describe_target(project, name, branches.get(name)) for name in names),
        source=source,
        extras=tuple(_needed_extras(project, names)),
        caches={folder: f"**/{name}" for name, folder in _PACKAGE_CACHES.items() if name in lock_files},
        node_version_file=next((name for name in (".nvmrc", ".node-version") if name in files), ""),
        schedule=_schedule(project),
        signing_secrets=(KEY_VARIABLE,),
    )


def lost_with_runner(project: ProjectConfig, pipeline: Pipeline) -> Iterator[str]:
    """Yield what would be lost with a runner that vanishes, and what keeps it."""
    if all(target.is_own_machine for target in pipeline.targets):
        return
    if not _is_remote(project.artifacts.store):
        yield "artifacts stay on the runner, so that a rollback builds again; add: artifacts: {store: s3://…}"
    if any(service.database for service in project.resolver.project.services.values()) and not _keeps_backups(project):
        yield (
            "backups and their key stay on the runner, so that none is made nightly, and one before a migration is "
            "lost with it; add: backups: {store: s3://…, recipients: [age1…]}"
        )


def parse_source(text: str) -> AbreastSource:
    """Return the source in ``OWNER/NAME@COMMIT``. Raises UsageError unless it names a full commit."""
    if not (match := _SOURCE.fullmatch(text)):
        raise UsageError(
            f"{text!r} is no pinned action",
            need="OWNER/NAME@ and the 40 digits of a commit: a tag or a branch can be moved",
            next="git ls-remote https://github.com/OWNER/NAME",
        )
    return AbreastSource(match[1], match[2])


def installed_source() -> AbreastSource | None:
    """Return the repository on GitHub that this abreast was installed from, None if it was from elsewhere.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    origin = json.loads(distribution("abreast").read_text("direct_url.json") or "{}")
    match, commit = _GITHUB_URL.fullmatch(origin.get("url", "")), origin.get("vcs_info", {}).get("commit_id", "")
    return AbreastSource(match[1], commit) if match and commit else None


def written_source(workflow: str) -> AbreastSource | None:
    """Return the source that a workflow uses, None if it uses none."""
    found = (AbreastSource(*match) for match in _SOURCE.findall(workflow))
    return next((source for source in found if not source.repository.startswith("actions/")), None)


def is_this_machine(project: ProjectConfig, environment: str) -> bool:
    """Whether an environment is the machine of whoever types the command, which a runner is not.

    One that names a branch is a machine with a runner, whatever its name.
    """
    is_here = environment in OWN_MACHINE and platforms_of(project, environment) == {LOCAL}
    return is_here and not project.resolver.project.environments[environment].branch


def _describe_target(project: ProjectConfig, name: str, branch: str | None) -> DeployTarget:
    variables = needed_variables(project, name)
    is_own_machine = LOCAL in platforms_of(project, name)
    services = project.resolver.project.services
    has_database = any(project.resolver.declared_database(name, service)[1] for service in services)
    return DeployTarget(
        name,
        branch,
        is_own_machine=is_own_machine,
        secrets=tuple(variable for variable, known in variables.items() if known.is_secret),
        settings=tuple(variable for variable, known in variables.items() if not known.is_secret),
        skippable_gates=tuple(project.resolver.project.environments[name].may_skip),
        has_backups=has_database and (is_own_machine or _keeps_backups(project)),
        is_promoted_to=project.resolver.project.environments[name].promotion is not None,
        needs_approval=project.resolver.project.environments[name].approval is not None,
        has_previews=project.resolver.project.environments[name].preview is not None,
    )


def _keeps_backups(project: ProjectConfig) -> bool:
    """Whether backups, and what decrypts them, outlive the machine that made them."""
    return _is_remote(project.backups.store) and bool(project.backups.recipients or project.backups.passphrase)


def _is_remote(store: str | None) -> bool:
    return bool(store) and not str(store).startswith("file://")


def _needed_extras(project: ProjectConfig, environments: Collection[str]) -> Iterator[str]:
    resolver = project.resolver
    databases = [
        resolver.declared_database(name, service)[1] for name in environments for service in resolver.project.services
    ]
    if any(database and not database.url.startswith("sqlite:") for database in databases):
        yield "postgres"
    if any(getattr(resolver.project.gates, scan) for scan in ScanKind):
        yield "security"
    if any(service.python for service in resolver.project.services.values()):
        yield "python"


def _schedule(project: ProjectConfig) -> BackupSchedule:
    usual, backups = BackupSchedule(), project.backups
    return BackupSchedule(backups.schedule or usual.backup, backups.drill or usual.drill, backups.timezone)


def unpublished_source_error(provider: str) -> UsageError:
    """Return the error that asks where runners get abreast from."""
    return UsageError(
        "it is not known where runners get abreast from: this one was not installed from a repository on GitHub",
        need="that repository, with a full commit",
        next=f"abreast init --{provider} --action OWNER/NAME@COMMIT",
    )
