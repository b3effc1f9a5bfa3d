"""``cancel`` and ``rollback`` beside a process that runs a deployment: they follow it, and return when it has ended."""

import json
import signal
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from fork_server import StartedCommand
from limits import scaled
from sample_project import APP_SOURCE, SampleProject, eventually, wait_for_exit

TURN_BACK = {
    "rollback": ("rollback", "--yes", "--reason", "users complain"),
    "cancel": ("cancel", "--reason", "users complain"),
}


@pytest.mark.parametrize("command", TURN_BACK.values(), ids=TURN_BACK)
def test_users_are_on_the_old_version_when_the_command_returns(
    project: SampleProject, command: tuple[str, ...]
) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    done = project.run(*command)
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert f"runs in process {deploying.pid}" in done.stdout
    assert "cancelled: users complain" in done.stdout, "what the other process does is shown"
    assert project.latest_deployment()["state"] == "cancelled"
    assert wait_for_exit(deploying) == 1
    assert "users complain" in deploying.output


def test_cancel_during_a_build_touches_nothing(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"]["run"] = "sleep 60"
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(lambda: any(event["chapter"] == "build" for event in project.latest_deployment()["events"]))
    outcome = json.loads(project.run("cancel", "--reason", "changed my mind", "--json").stdout)
    latest = project.latest_deployment()
    assert outcome == {"state": "cancelled", "deployment": latest["id"]}
    assert latest["state"] == "cancelled"
    assert wait_for_exit(deploying) == 1


def test_cancel_that_comes_too_late_fails_and_says_what_to_do(project: SampleProject) -> None:
    _, deploying = settling(project)
    cancelling = project.start("cancel", "--reason", "no")
    assert end_of_both(project, deploying, cancelling) == (0, 1)
    assert "had succeeded before it could be turned back" in cancelling.output
    assert "next: abreast rollback --env local" in cancelling.output


def test_rollback_that_comes_too_late_deploys_the_release_before(project: SampleProject) -> None:
    first, deploying = settling(project)
    rolling_back = project.start("rollback", "--yes", "--reason", "no")
    assert end_of_both(project, deploying, rolling_back) == (0, 0)
    assert "had succeeded already; rolling back what is live" in rolling_back.output
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert project.latest_deployment()["kind"] == "rollback"


def settling(project: SampleProject) -> tuple[str, StartedCommand]:
    """Return the first commit, and a deployment that has succeeded but for its old version, which still answers."""
    app = APP_SOURCE.replace(
        "        body =",
        f"        while self.path == '/slow' and not os.path.exists({answer_file(project)!r}): time.sleep(0.05)\n        body =",
    )
    return deploying_until(project, "settle", drain="60s", app_py=app)


def answer_file(project: SampleProject) -> str:
    """Return the file that lets the old version answer."""
    return str(project.folder.parent / "answer")


def end_of_both(project: SampleProject, deploying: StartedCommand, other: StartedCommand) -> tuple[int, int]:
    """Let the old version answer once the other command follows the deployment, and return both exit codes."""
    eventually(lambda: "runs in process" in other.output)
    Path(answer_file(project)).touch()
    return wait_for_exit(deploying), wait_for_exit(other)


def test_a_process_that_dies_while_it_is_followed_is_replaced(project: SampleProject) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    deploying.send_signal(signal.SIGSTOP)
    cancelling = project.start("cancel", "--reason", "no")
    eventually(lambda: "runs in process" in cancelling.output)
    assert cancelling.poll() is None
    deploying.kill()
    assert wait_for_exit(cancelling) == 0
    assert "no process runs deployment" in cancelling.output
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_who_stops_following_learns_that_the_deployment_goes_on(project: SampleProject) -> None:
    _, deploying = deploying_until(project, "watch", settle="60s")
    deploying.send_signal(signal.SIGSTOP)
    cancelling = project.start("cancel", "--reason", "no")
    eventually(lambda: "runs in process" in cancelling.output)
    cancelling.send_signal(signal.SIGINT)
    assert wait_for_exit(cancelling) == 4
    assert f"process {deploying.pid} goes on" in cancelling.output
    deploying.send_signal(signal.SIGCONT)
    assert wait_for_exit(deploying) == 1
    assert project.latest_deployment()["state"] == "cancelled"


def test_who_waits_for_a_deployment_learns_how_to_turn_it_back(project: SampleProject) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    waiting = project.start("rollback", "--to", "v1", "--yes", "--reason", "critical bug: orders fail")
    command = f"abreast cancel {project.latest_deployment()['id']}"
    eventually(lambda: f"waits until it ends; to turn that back at once: {command}" in waiting.output)
    project.run(*command.split()[1:], "--reason", "no")
    assert (wait_for_exit(deploying), wait_for_exit(waiting)) == (1, 0)
    assert project.served_commits() == {"frontend": first, "backend": first}


@pytest.mark.parametrize("is_killed", [False, True], ids=["running", "killed"])
def test_an_emergency_turns_back_what_is_deployed_whatever_release_it_leads_to(
    project: SampleProject, *, is_killed: bool
) -> None:
    first = project.commit("Release 1")
    project.deploy()
    _, deploying = deploying_until(project, "watch", settle="60s")
    running = project.latest_deployment()["id"]
    if is_killed:
        deploying.kill()
    emergency = ("rollback", "--emergency", "--yes", "--reason", "service outage: nobody can log in", "--to")
    assert "there is no release 'v9'" in project.run(*emergency, "v9", code=2).stderr
    assert project.latest_deployment()["state"] == "running", "nothing is turned back for a mistyped release"
    told = project.run(*emergency, "v1").stdout
    assert f"deployment {running} is turned back first" in told
    if not is_killed:
        assert wait_for_exit(deploying) == 1
    assert project.run("show", running, "--json").stdout.count('"cancelled"')
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert "v1" in project.status()["release"]


def test_an_emergency_to_the_release_before_the_running_one_only_turns_that_back(project: SampleProject) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    emergency = ("rollback", "--emergency", "--yes", "--reason", "service outage: nobody can log in", "--to", "v1")
    assert "watched closely until 20" in project.run(*emergency).stdout
    assert wait_for_exit(deploying) == 1
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_a_rollback_that_waits_is_not_displaced_by_a_deployment(project: SampleProject) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    waiting = project.start("rollback", "--to", "v1", "--yes", "--reason", "critical bug: orders fail")
    eventually(lambda: "waiting for local" in waiting.output)
    project.commit("Routine")
    refused = project.deploy("--force", code=3).stderr
    assert "a rollback is waiting for local, so this one gave up; nothing was changed" in refused
    assert waiting.poll() is None
    project.run("cancel", project.latest_deployment()["id"], "--reason", "no")
    assert (wait_for_exit(deploying), wait_for_exit(waiting)) == (1, 0)
    assert project.served_commits() == {"frontend": first, "backend": first}
    project.deploy()


@pytest.fixture
def rolling_back(project: SampleProject) -> tuple[list[str], StartedCommand]:
    """Three releases, the third one bad, and a rollback from it that has switched traffic. The commits."""
    commits = []
    for number in (1, 2):
        commits.append(project.commit(f"Release {number}"))
        project.deploy()
    project.config["environments"]["local"] |= {"settle": "8s"}
    commits.append(project.commit("Release 3"))
    project.deploy()
    before = project.latest_deployment()["id"]
    command = project.start("rollback", "--yes", "--reason", "critical bug: the first one")
    eventually(lambda: (latest := project.latest_deployment())["id"] != before and latest["chapter"] == "watch", 90)
    return commits, command


def test_a_rollback_beside_a_rollback_goes_back_once(
    project: SampleProject, rolling_back: tuple[list[str], StartedCommand]
) -> None:
    commits, first = rolling_back
    second = project.run("rollback", "--yes", "--reason", "critical bug: the second one")
    assert wait_for_exit(first) == 0
    assert f"runs in process {first.pid}, which is rolling back now" in second.stdout
    assert "v2 is live in local" in second.stdout
    assert project.served_commits() == {"frontend": commits[1], "backend": commits[1]}
    assert project.latest_deployment()["state"] == "succeeded"


def test_a_rollback_that_was_killed_is_finished_by_the_next_one(
    project: SampleProject, rolling_back: tuple[list[str], StartedCommand]
) -> None:
    commits, first = rolling_back
    first.kill()
    second = json.loads(project.run("rollback", "--yes", "--reason", "again", "--emergency", "--json").stdout)
    assert (second["state"], second["release"]) == ("succeeded", "v2")
    assert project.served_commits() == {"frontend": commits[1], "backend": commits[1]}


def test_a_rollback_that_somebody_cancels_is_made_again_by_who_asked_meanwhile(
    project: SampleProject, rolling_back: tuple[list[str], StartedCommand]
) -> None:
    commits, first = rolling_back
    second = project.start("rollback", "--yes", "--reason", "critical bug: orders fail")
    eventually(lambda: "runs in process" in second.output)
    project.run("cancel", "--reason", "a mistake")
    assert (wait_for_exit(first), wait_for_exit(second)) == (1, 0)
    assert "is cancelled; rolling back what is live" in second.output
    assert project.served_commits() == {"frontend": commits[1], "backend": commits[1]}


def test_rollback_beside_a_deployment_needs_no_valid_configuration(project: SampleProject) -> None:
    first, deploying = deploying_until(project, "watch", settle="60s")
    (project.folder / "abreast.yml").write_text("environments: {local: }\nnonsense: 1\n")
    project.run("rollback", "--yes", "--reason", "no")
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert wait_for_exit(deploying) == 1
    project.commit()


def deploying_until(
    project: SampleProject, chapter: str, app_py: str = APP_SOURCE, **settings: str
) -> tuple[str, StartedCommand]:
    """Deploy a commit, then another until it is in ``chapter``. Return the first commit, and the second deployment."""
    first = project.commit(app_py=app_py)
    project.deploy()
    project.config["environments"]["local"] |= settings
    project.commit()
    before = project.latest_deployment()["id"]
    threading.Thread(target=ask_slowly, args=(project.backend_port,)).start()
    deploying = project.start("deploy", "--yes")

    def is_there() -> bool:
        latest = project.latest_deployment()
        return bool(latest["id"] != before and latest["chapter"] == chapter)

    eventually(is_there, 90)
    return first, deploying


def ask_slowly(port: int) -> None:
    """Keep a request in flight while the app takes its time."""
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/slow", timeout=scaled(60)).close()
