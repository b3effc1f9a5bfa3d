"""Release commands: once for each release, before the candidate starts, and again only if it is not known to have run."""

import signal
from typing import Any

import pytest

import fork_server
from abreast.core.events import EventKind
from database_project import DatabaseProject
from sample_project import SampleProject, eventually

DEPLOY = ("deploy", "--yes")


class Released:
    """The sample project whose backend has a release command, which notes each run in ``runs``."""

    def __init__(self, project: SampleProject, command: str = "") -> None:
        self.project, self.file = project, project.folder.parent / "runs"
        note = f'echo "$ABREAST_RELEASE $(ls app.py) $ABREAST_SERVICE $(ls -d $ABREAST_DATA | wc -l)" >> {self.file}'
        self.set(f"{note}; {command}".rstrip("; "))

    def set(self, command: str | dict[str, Any]) -> str:
        self.project.config["services"]["backend"]["release"] = command
        return self.project.commit()

    def runs(self) -> list[str]:
        """Return the releases for which it ran, once for each time."""
        return [line.split()[0] for line in self.file.read_text().splitlines()] if self.file.exists() else []


def test_it_runs_once_in_the_build_output_with_the_service_s_variables(project: SampleProject) -> None:
    released = Released(project)
    assert "runs here, once, before the new version starts" in project.run("plan").stdout
    project.deploy()
    assert released.file.read_text() == "v1 app.py backend 1\n"
    project.commit()
    project.deploy()
    assert released.runs() == ["v1", "v2"]
    events = project.latest_deployment()["events"]
    order = [event["chapter"] for event in events if event["service"] == "backend" and event["kind"] == "started"]
    assert order == ["build", "release", "stage", "check"]


def test_it_does_not_run_again_for_a_release_that_it_ran_for(project: SampleProject) -> None:
    released = Released(project)
    project.deploy()
    project.commit()
    project.deploy()
    told = project.run("rollback", "--yes", "--reason", "test").stdout
    assert "does not run again: it succeeded for v1 in" in told
    project.run("unlock", "--release", "v2")
    project.deploy("--release", "v2")
    project.run("down", "--yes")
    project.deploy("--release", "v2")
    assert released.runs() == ["v1", "v2"]


def test_another_environment_runs_it_too(project: SampleProject) -> None:
    released = Released(project)
    project.config["environments"]["other"] = project.config["environments"]["local"]
    project.commit()
    project.deploy("--env", "local")
    project.run("down", "--env", "local", "--yes")
    project.deploy("--env", "other", "--release", "v1")
    project.run("down", "--env", "other", "--yes")
    assert released.runs() == ["v1", "v1"]


def test_if_it_fails_nothing_starts_and_its_errors_are_shown(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    Released(project, "echo 'no such' 'table: shops' >&2; seq --format='  --option-%g' 60; exit 3")
    told = project.deploy(code=1)
    assert "exit code 3" in told.stdout + told.stderr
    assert "no such table: shops" in told.stdout + told.stderr
    assert project.served_commits() == {"frontend": good, "backend": good}
    staged = [event["service"] for event in project.latest_deployment()["events"] if event["chapter"] == "stage"]
    assert "backend" not in staged
    assert "no such table: shops" in project.run("logs", project.latest_deployment()["id"]).stdout


def test_it_has_a_timeout(project: SampleProject) -> None:
    Released(project).set({"run": "exec sleep 60", "timeout": "300ms"})
    told = project.deploy(code=1)
    assert "`exec sleep 60`: timed out after 0.3 s" in told.stdout + told.stderr


def test_a_cancel_stops_it(project: SampleProject) -> None:
    released = Released(project, "exec sleep 60")
    begun = project.start(*DEPLOY)
    eventually(released.runs)
    project.run("cancel", code=None)
    eventually(lambda: begun.poll() is not None)
    assert project.latest_deployment()["state"] == "cancelled"


def test_it_runs_after_migrations_and_sees_them(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    seen = project.folder.parent / "seen"
    Released(project, f"cp app.py {seen}")
    shop.deploy()
    events = project.latest_deployment()["events"]
    order = [event["chapter"] for event in events if event["service"] == "backend" and event["kind"] == "started"]
    assert order.index("migrate") < order.index("release") < order.index("stage")


def test_a_killed_one_runs_again_and_never_beside_itself(project: SampleProject) -> None:
    """A crash in its middle: it is not known to have succeeded, so it runs again, after what was left has ended."""
    pid, gate = project.folder.parent / "pid", project.folder.parent / "gate"
    alone = f"case $(cut -d' ' -f3 /proc/$(cat {pid})/stat) in R|S|D) exit 9;; esac; echo $$ > {pid}"
    released = Released(project, f"{alone}; test -e {gate} || sleep 60")
    begun = project.start(*DEPLOY)
    eventually(pid.read_text)
    begun.kill()
    eventually(lambda: begun.poll() is not None)
    gate.touch()
    project.run("resume")
    assert released.runs() == ["v1", "v1"]
    assert project.latest_deployment()["state"] == "succeeded"


@pytest.mark.timeout(280)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_write_in_turn_it_never_runs_again_once_it_is_known_to_have_succeeded(
    project: SampleProject, moment: str
) -> None:
    project.config["services"]["frontend"]["needs"] = ["backend"]
    project.commit()
    project.deploy()
    released = Released(project)
    codes: list[int] = []
    known: list[str] = []
    for code in fork_server.run_crash_relay(project.folder, *DEPLOY, moment=moment):
        codes.append(code)
        if not known and _has_succeeded(project):
            known = released.runs()
        assert not known or released.runs() == known
    assert codes[-1] == 0
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert {"backend/release/started", "backend/release/ended"} <= set(fork_server.relay_writes(project.folder))
    release = project.latest_deployment()["release"]
    assert set(known) == {release}
    assert len(known) >= (2 if moment == "before" else 1)
    project.run("down", "--yes")
    project.deploy("--release", release)
    assert released.runs() == known


def _has_succeeded(project: SampleProject) -> bool:
    return any(
        (event["service"], event["chapter"], event["kind"]) == ("backend", "release", str(EventKind.FINISHED))
        for event in project.latest_deployment()["events"]
    )
