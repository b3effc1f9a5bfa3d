"""A repository at a provider and a machine of one's own that runs its workflows, by `act`: a runner that others made.

What act does not have is stood in for: the actions of GitHub (a checkout, a cache that is always warm, an upload), and
`queue`, `deployment` and `artifact-metadata`, which its grammar does not know. It runs a job in a folder that it deletes afterwards; a
runner's folder stays, so each step goes there first.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

from abreast.workflows import github_templates
from fork_server import run_command
from limits import scaled
from sample_project import SampleProject
from state_worlds import git

REPOSITORY = Path(__file__).parents[1]
SOURCE = "acme/abreast@" + "0123456789" * 4
CLEAN_UP = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
STAND_INS: dict[str, dict[str, Any]] = {
    github_templates.CHECKOUT_ACTION: {
        "inputs": {"fetch-depth": {}, "persist-credentials": {}, "clean": {}, "ref": {}},
        "run": 'git fetch -q origin && git checkout -q --detach "$(git rev-parse -q --verify "origin/$REF" || '
        'echo "${REF:-$GITHUB_SHA}")"',
    },
    github_templates.CACHE_ACTION: {
        "inputs": {"path": {}, "key": {}},
        "outputs": {"cache-hit": {"value": "true"}},
        "run": 'mkdir -p "$(dirname "$PLACE")"; ln -sfn "$WARM" "$PLACE"',
    },
    "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0": {
        "inputs": {name: {} for name in ("path", "name", "include-hidden-files", "if-no-files-found", "retention-days")},
        "run": '[[ ! -e $PLACE ]] || cp -r "$PLACE" "$UPLOADED"',
    },
}  # fmt: skip


class ActionsWorld:
    """A project, its remote, and a machine of its own: ``runner``, where its services run too."""

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        """``program``: a folder with ``bin/abreast``, in place of the installed one."""
        self.folder = folder
        self.project = SampleProject(folder / "shop")
        config = self.project.config
        config["environments"] = {"local": {}, "staging": config["environments"]["local"]}
        config["services"]["backend"]["test"] = "test ! -e broken"
        for service in config["services"].values():
            service["watch"] = ["**", "!**/*.md"]
        self.remote = folder / "remote.git"
        git(folder, "init", "-q", "--bare", "-b", "main", str(self.remote))
        self.project.git("remote", "add", "origin", str(self.remote))
        self.project.commit("Describe it")
        self.project.run("init", "--github", "--action", SOURCE)
        self.push("Workflows")
        for clone in ("hosted", "runner"):
            git(folder, "clone", "-q", str(self.remote), clone)
        self.runner = folder / "runner"
        self.warm = program or Path(sys.prefix)
        self._write_stand_ins()
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if (self.runner / ".abreast").exists():
            self.project.folder = self.runner
            self.project.run("down", "--env", "staging", "--yes", code=None, variables={"ABREAST_STATE": "git"})

    def push(self, subject: str = "Change", **files: str) -> str:
        commit = self.project.commit(subject, **files)
        self.project.git("push", "-q", "origin", "main")
        return commit

    def push_only(self, name: str, text: str) -> str:
        """Push a commit that changes one file and nothing else."""
        (self.project.folder / name).write_text(text)
        self.project.git("add", name)
        self.project.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", f"Change {name}")
        self.project.git("push", "-q", "origin", "HEAD")
        return self.project.git("rev-parse", "HEAD").strip()

    def deploy_here(self) -> None:
        """Deploy what was pushed last to staging, on ``runner``: as a workflow does, without one."""
        git(self.runner, "fetch", "-q", "origin")
        git(self.runner, "checkout", "-q", "--detach", "origin/main")
        self.run_here("deploy", "--env", "staging", "--yes")

    def run_here(self, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
        """Run a command on ``runner`` that succeeds, and return what it printed."""
        done = run_command(self.runner, *arguments, variables={"ABREAST_STATE": "git", **(variables or {})})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(
        self, workflow: str, event: str, inputs: Mapping[str, str] | None = None, machine: Path | None = None,
        commit: str = "origin/main", payload: Mapping[str, Any] | None = None,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start a workflow of a commit, of what was pushed last without one, on ``runner`` or another machine.

        ``payload`` is what the event says besides.
        """
        hosted = self.folder / "hosted"
        git(hosted, "fetch", "-q", "origin")
        git(hosted, "checkout", "-q", "--detach", commit)
        text = (hosted / f".github/workflows/{workflow}.yml").read_text()
        known = self.folder / f"{workflow}.yml"
        text = re.sub(r"^ *artifact-metadata: write.*\n", "", text, flags=re.MULTILINE)
        known.write_text(text.replace(", queue: max", "").replace(", deployment: false", ""))
        event_file = self.folder / "event.json"
        before, after = (git(hosted, "rev-parse", name) for name in ("HEAD^", "HEAD"))
        pushed = {"ref": "refs/heads/main", "before": before, "after": after, "repository": {"default_branch": "main"}}
        event_file.write_text(json.dumps({"inputs": dict(inputs or {}), **pushed, **(payload or {})}))
        log = self.folder / f"run-{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._command(machine or self.runner), event, "-W", str(known), "-e", str(event_file)],
                cwd=hosted,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"HOME": str(self.folder / "home"), "PATH": os.environ["PATH"]},
            )
        self._running.append(process)
        return process

    def run(
        self, workflow: str, event: str, inputs: Mapping[str, str] | None = None, machine: Path | None = None,
        *, commit: str = "origin/main", succeeds: bool = True, payload: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Run a workflow to its end, and return what it said."""
        process = self.start(workflow, event, inputs, machine, commit, payload)
        code = process.wait(scaled(100))
        said = self.output()
        assert (code == 0) is succeeds, said
        return said

    def output(self) -> str:
        """Return what the latest run said, without its control sequences."""
        log = self.folder / f"run-{len(self._running) - 1}.log"
        return CLEAN_UP.sub(b"", log.read_bytes()).decode()

    def cancel(self, process: subprocess.Popen[bytes]) -> None:
        """Cancel a run as GitHub's runner does: SIGINT, 7.5 s later SIGTERM, 2.5 s later the end of all.

        https://docs.github.com/actions/reference/workflow-cancellation-reference
        """
        (command,) = (
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "bin/abreast" in " ".join(child.cmdline()) and "deploy" in child.cmdline()
        )
        group = os.getpgid(command.pid)
        for sign, patience in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 30)):
            with suppress(ProcessLookupError):
                os.killpg(group, sign)
            _, alive = psutil.wait_procs([command], patience)
            if not alive:
                break
        process.wait(scaled(60))

    def _command(self, machine: Path) -> list[str]:
        command = [str(Path(sys.executable).with_name("act")), "-P", "self-hosted=-self-hosted", "--no-skip-checkout"]
        command += ["--action-offline-mode", "--no-cache-server", "--action-cache-path", str(self.folder / "act")]
        for place in sorted((self.folder / "actions").iterdir()):
            command += ["--local-repository", f"{place.name.replace('+', '/')}={place}"]
        values = {
            "BASH_ENV": self.folder / "enter.sh",
            "MACHINE": machine,
            "WARM": self.warm,
            "UPLOADED": self.folder / "uploaded",
        }
        for name, value in values.items():
            command += ["--env", f"{name}={value}"]
        return command

    def _write_stand_ins(self) -> None:
        (self.folder / "home").mkdir()
        (self.folder / "enter.sh").write_text('cd "$MACHINE"\n')
        for action, described in STAND_INS.items():
            given = {"PLACE": "${{ inputs.path }}", "REF": "${{ inputs.ref }}"}
            step = {"shell": "bash", "run": described["run"], "env": given}
            text = {"name": action, **described, "runs": {"using": "composite", "steps": [step]}}
            del text["run"]
            place = self._action_folder(action.split()[0])
            (place / "action.yml").write_text(yaml.safe_dump(text))
        place = self._action_folder(SOURCE)
        shutil.copy(REPOSITORY / "action.yml", place)
        shutil.copy(REPOSITORY / "pyproject.toml", place)
        (place / "src").mkdir()
        (place / "src" / "version.py").touch()  # act copies the action for each run, which only hashes its modules

    def _action_folder(self, action: str) -> Path:
        place = self.folder / "actions" / action.replace("/", "+")
        place.mkdir(parents=True)
        return place


def recording_program(folder: Path) -> Path:
    """Return a folder with a ``bin/abreast`` that records its arguments in ``arguments.json`` and does nothing."""
    program = folder / "recorder/bin/abreast"
    program.parent.mkdir(parents=True)
    record = f"open({str(folder / 'arguments.json')!r}, 'w').write(json.dumps(sys.argv[1:]))"
    program.write_text(f"#!{sys.executable}\nimport json, sys\n{record}\n")
    program.chmod(0o755)
    return program.parents[1]
