"""Write the workflows of a CI provider for what abreast.yml describes."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from abreast.cli.commands.init import put_in_place
from abreast.cli.lazy import load
from abreast.cli.selection import locate_workspace
from abreast.core.errors import UsageError
from abreast.wiring.assembly import Assembly
from abreast.wiring.ci_pipeline import (
    describe_pipeline,
    installed_source,
    lost_with_runner,
    parse_source,
    written_source,
)
from abreast.workflows.interface import AbreastSource, Pipeline

WRITERS = {
    "github": ("abreast.workflows.github_actions:write_workflows", ".github/workflows/deploy.yml"),
    "gitlab": ("abreast.workflows.gitlab_ci:write_workflows", ".gitlab-ci.yml"),
}
"""By provider: what writes its workflows, and the one that tells where abreast came from when they were written."""


def init_workflows(provider: str, action: str | None, *, yes: bool) -> int:
    """Write a provider's workflows, and say what has to be set there."""
    workspace = locate_workspace()
    root = workspace.root
    if _git(root, "rev-parse", "--show-prefix"):
        raise UsageError(f"{root} is not the top of its repository", need="abreast.yml there, where workflows start")
    target, main_file = WRITERS[provider]
    project, source = Assembly(workspace).project, _source(root / main_file, provider, action)
    pipeline = describe_pipeline(project, _git(root, "ls-files").splitlines(), _default_branch(root), source)
    texts: Mapping[str, str] = load(target)(pipeline)
    if put_in_place(root, texts, yes=yes):
        print(f"written: {', '.join(texts)}")
    for line in (*_variables_to_set(pipeline), *lost_with_runner(project, pipeline)):
        print(f"- {line}")
    print("next: review them, commit them, and git push")
    return 0


def _source(main_file: Path, provider: str, action: str | None) -> AbreastSource:
    """Return where runners get abreast from: as requested, else as before, else as this abreast was installed."""
    if action:
        return parse_source(action)
    before = written_source(main_file.read_text()) if main_file.exists() else None
    if found := before or installed_source():
        return found
    raise UsageError(
        "nothing says where runners get abreast from: this one was not installed from a repository on GitHub",
        need="that repository, and a full commit of it",
        next=f"abreast init --{provider} --action OWNER/NAME@COMMIT",
    )


def _variables_to_set(pipeline: Pipeline) -> Iterator[str]:
    """Yield, by environment, what the deployment needs."""
    for target in pipeline.targets:
        for kind, names in (("secrets", target.secrets), ("variables", target.settings)):
            if names:
                yield f"set the {kind} of the environment {target.name}: {', '.join(names)}"
    environments = ", ".join(target.name for target in pipeline.targets)
    for secret in pipeline.signing_secrets:
        yield f"set the secret {secret} of {environments}, so that the record is signed: openssl rand -base64 32"


def _default_branch(root: Path) -> str:
    """Return the default branch of the remote, else the current one, else main."""
    remote = _git(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").partition("/")[2]
    return remote or _git(root, "symbolic-ref", "--short", "HEAD") or "main"


def _git(root: Path, *arguments: str) -> str:
    """Return what git answers, "" if it does not."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return "" if done.returncode else done.stdout.strip()
