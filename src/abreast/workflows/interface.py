"""What the workflows of any CI provider are written from. Pure values: no file is read, no variable looked up."""

from collections.abc import Callable, Mapping
from dataclasses import field

from abreast.core.frozen_dataclass import dataclass

NIGHTLY, WEEKLY = "17 3 * * *", "17 4 * * 0"
"""When backups and drills run by default: not on the hour, when runners are scarce."""

SWEEP = "41 4 * * *"
"""When previews that nobody needs are removed."""


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """An environment that workflows deploy to.

    ``branch``: a push to it deploys, None for a person only. ``is_own_machine``: its services run on the machine of the
    runner. ``secrets`` and ``settings`` name the variables that abreast.yml refers to: those to mask, and others.
    ``has_backups``: it has a database, and its backups are stored where the next runner finds them. ``has_previews``:
    pull requests get previews of it. ``needs_approval``: people have to agree to each deployment.
    ``is_promoted_to``: releases come from another environment, not from commits.
    """

    name: str
    branch: str | None
    is_own_machine: bool = False
    secrets: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    skippable_gates: tuple[str, ...] = ()
    has_backups: bool = False
    has_previews: bool = False
    needs_approval: bool = False
    is_promoted_to: bool = False


@dataclass(frozen=True, slots=True)
class BackupSchedule:
    """When databases are backed up, and when a recovery is rehearsed: cron expressions in one time zone."""

    backup: str = NIGHTLY
    drill: str = WEEKLY
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class AbreastSource:
    """Where runners get abreast from: a repository ``OWNER/NAME`` on GitHub, and a full commit of it."""

    repository: str
    commit: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a project's workflows do.

    ``extras`` are those of abreast's package that the project needs. ``caches`` maps a folder that a package manager
    downloads to onto a glob of its lock files. ``node_version_file`` says which Node the project needs, if one does.
    ``signing_secrets`` sign the record: for jobs that run only what was merged.
    """

    services: tuple[str, ...]
    targets: tuple[DeployTarget, ...]
    source: AbreastSource
    extras: tuple[str, ...] = ()
    caches: Mapping[str, str] = field(default_factory=dict)
    node_version_file: str = ""
    schedule: BackupSchedule = BackupSchedule()
    signing_secrets: tuple[str, ...] = ()

    @property
    def pushed_targets(self) -> tuple[DeployTarget, ...]:
        """The environments that a push deploys to."""
        return tuple(target for target in self.targets if target.branch)

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches whose pushes deploy."""
        return tuple(dict.fromkeys(target.branch for target in self.targets if target.branch))


WorkflowWriter = Callable[[Pipeline], Mapping[str, str]]
"""Returns the text of each workflow by its path in the repository."""


def fill(template: str, **parts: str) -> str:
    """Return the template with each ``@name@`` replaced. One alone in its line takes its part's lines, indented alike.

    A line whose part is empty is left out.
    """
    lines = []
    for line in template.splitlines():
        name = line.strip().strip("@")
        if line.strip() == f"@{name}@" and name in parts:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + part if part else "" for part in parts[name].splitlines()]
            continue
        for key, part in parts.items():
            line = line.replace(f"@{key}@", part)  # noqa: PLW2901 (the line as filled so far)
        lines.append(line)
    return "\n".join(lines) + "\n"
