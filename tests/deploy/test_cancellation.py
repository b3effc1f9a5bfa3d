"""``cancel`` and ``rollback`` beside a process that runs a deployment: they follow it, and return when it has ended."""

import json
import signal
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

from fork_server import StartedCommand
from limits import scaled
from sample_project import APP_SOURCE, SampleProject, eventually, wait_for_exit

REASON = ("--reason", "users complain")


def test_users_are_on_the_old_version_when_the_command_returns(project: SampleProject) -> None:
    first = deployed(project)
    for command in (("rollback", "--yes", *REASON), ("cancel", *REASON)):
        deploying = deploying_until(project, "watch", settle="60s")
        done = project.run(*command)
        assert project.served_commits() == first, command
        assert f"runs in process {deploying.pid}" in done.stdout
        assert "cancelled: users complain" in done.stdout, "what the other process does is shown"
        assert project.latest_deployment()["state"] == "cancelled"
        assert wait_for_exit(deploying) == 1
        assert "users complain" in deploying.output
    a_build_is_cancelled(project)
    a_rollback_needs_no_valid_configuration(project)
    assert project.served_commits() == first

    deploying = deploying_until(project, "watch")
    emergency = ("rollback", "--emergency", "--yes", "--reason", "service outage: nobody can log in", "--to", "v1")
    assert "watched closely until 20" in project.run(*emergency).stdout
    assert wait_for_exit(deploying) == 1
    assert project.served_commits() == first, "to the release before the running one, it only turns that back"


def a_build_is_cancelled(project: SampleProject) -> None:
    build = project.config["services"]["frontend"]["build"]
    usual, build["run"] = build["run"], "sleep 60"
    deploying = deploying_until(project, "build")
    outcome = json.loads(project.run("cancel", "--reason", "changed my mind", "--json").stdout)
    latest = project.latest_deployment()
    assert outcome == {"state": "cancelled", "deployment": latest["id"]}
    assert latest["state"] == "cancelled"
    assert wait_for_exit(deploying) == 1
    build["run"] = usual


def a_rollback_needs_no_valid_configuration(project: SampleProject) -> None:
    live, deploying = project.served_commits(), deploying_until(project, "watch")
    (project.folder / "abreast.yml").write_text("environments: {local: }\nnonsense: 1\n")
    assert project.served_commits() != live
    project.run("rollback", "--yes", "--reason", "no")
    assert project.served_commits() == live
    assert wait_for_exit(deploying) == 1


def test_what_comes_too_late_says_so_and_a_rollback_deploys_the_release_before(project: SampleProject) -> None:
    deployed(project, app_py=slow_app(project))
    settling = deploying_until(project, "settle", drain="60s")
    cancelling = project.start("cancel", "--reason", "no")
    assert end_of_both(project, settling, cancelling) == (0, 1)
    assert "had succeeded before it could be turned back" in cancelling.output
    assert "next: abreast rollback --env local" in cancelling.output

    Path(answer_file(project)).unlink()
    live = project.served_commits()
    settling = deploying_until(project, "settle")
    rolling_back = project.start("rollback", "--yes", "--reason", "no")
    assert end_of_both(project, settling, rolling_back) == (0, 0)
    assert "had succeeded already; rolling back what is live" in rolling_back.output
    assert project.served_commits() == live
    assert project.latest_deployment()["kind"] == "rollback"


def slow_app(project: SampleProject) -> str:
    """Return an app that answers ``/slow`` when a test lets it: so long, its version has not been stopped."""
    return APP_SOURCE.replace(
        "        body =",
        f"        while self.path == '/slow' and not os.path.exists({answer_file(project)!r}): time.sleep(0.05)\n        body =",
    )


def answer_file(project: SampleProject) -> str:
    """Return the file that lets the old version answer."""
    return str(project.folder.parent / "answer")


def end_of_both(project: SampleProject, deploying: StartedCommand, other: StartedCommand) -> tuple[int, int]:
    """Let the old version answer once the other command follows the deployment, and return both exit codes."""
    eventually(lambda: "runs in process" in other.output)
    Path(answer_file(project)).touch()
    return wait_for_exit(deploying), wait_for_exit(other)


def test_who_follows_a_deployment_learns_what_becomes_of_it(project: SampleProject) -> None:
    first = deployed(project)
    who_stops_following_learns_that_it_goes_on(project)
    a_rollback_that_waits_is_not_displaced_by_a_deployment(project)
    assert project.served_commits() == first

    deploying = deploying_until(project, "watch")
    deploying.send_signal(signal.SIGSTOP)
    cancelling = project.start("cancel", "--reason", "no")
    eventually(lambda: "runs in process" in cancelling.output)
    assert cancelling.poll() is None
    deploying.kill()
    assert wait_for_exit(cancelling) == 0, "a process that dies is replaced"
    assert "no process runs deployment" in cancelling.output
    assert project.served_commits() == first


def who_stops_following_learns_that_it_goes_on(project: SampleProject) -> None:
    deploying = deploying_until(project, "watch", settle="60s")
    deploying.send_signal(signal.SIGSTOP)
    cancelling = project.start("cancel", "--reason", "no")
    eventually(lambda: "runs in process" in cancelling.output)
    cancelling.send_signal(signal.SIGINT)
    assert wait_for_exit(cancelling) == 4
    assert f"process {deploying.pid} goes on" in cancelling.output
    deploying.send_signal(signal.SIGCONT)
    assert wait_for_exit(deploying) == 1
    assert project.latest_deployment()["state"] == "cancelled"


def a_rollback_that_waits_is_not_displaced_by_a_deployment(project: SampleProject) -> None:
    deploying = deploying_until(project, "watch")
    waiting = project.start("rollback", "--to", "v1", "--yes", "--reason", "critical bug: orders fail")
    command = f"abreast cancel {project.latest_deployment()['id']}"
    eventually(lambda: f"waits until it ends; to turn that back at once: {command}" in waiting.output)
    eventually(lambda: "waiting for local" in waiting.output)
    project.commit("Routine")
    refused = project.deploy("--force", code=3).stderr
    assert "a rollback is waiting for local, so this one gave up; nothing was changed" in refused
    assert waiting.poll() is None
    project.run(*command.split()[1:], "--reason", "no")
    assert (wait_for_exit(deploying), wait_for_exit(waiting)) == (1, 0)


def test_an_emergency_turns_back_what_is_deployed_whatever_release_it_leads_to(project: SampleProject) -> None:
    first = deployed(project)
    for is_killed in (False, True):
        project.config["environments"]["local"]["settle"] = "300ms"
        project.commit("Another release")
        project.deploy()
        deploying = deploying_until(project, "watch", settle="60s")
        running = project.latest_deployment()["id"]
        if is_killed:
            deploying.kill()
        project.config["environments"]["local"]["settle"] = "300ms"
        project.commit("No time to watch")
        emergency = ("rollback", "--emergency", "--yes", "--reason", "service outage: nobody can log in", "--to")
        assert "there is no release 'v9'" in project.run(*emergency, "v9", code=2).stderr
        assert project.latest_deployment()["state"] == "running", "nothing is turned back for a mistyped release"
        told = project.run(*emergency, "v1").stdout
        assert f"deployment {running} is turned back first" in told
        if not is_killed:
            assert wait_for_exit(deploying) == 1
        assert project.run("show", running, "--json").stdout.count('"cancelled"')
        assert project.served_commits() == first
        assert "v1" in project.status()["release"]


def test_a_rollback_beside_a_rollback(project: SampleProject) -> None:
    """What is live is always the second release, however the two end."""
    deployed(project)
    project.commit("Release 2")
    project.deploy()
    second = project.served_commits()

    rolling_back = rolling_back_until_watched(project)
    beside = project.run("rollback", "--yes", "--reason", "critical bug: the second one")
    assert wait_for_exit(rolling_back) == 0
    assert f"runs in process {rolling_back.pid}, which is rolling back now" in beside.stdout
    assert "v2 is live in local" in beside.stdout, "it goes back once"
    assert project.served_commits() == second
    assert project.latest_deployment()["state"] == "succeeded"

    rolling_back = rolling_back_until_watched(project)
    asked_meanwhile = project.start("rollback", "--yes", "--reason", "critical bug: orders fail")
    eventually(lambda: "runs in process" in asked_meanwhile.output)
    project.run("cancel", "--reason", "a mistake")
    assert (wait_for_exit(rolling_back), wait_for_exit(asked_meanwhile)) == (1, 0)
    assert "is cancelled; rolling back what is live" in asked_meanwhile.output, "it is made again"
    assert project.served_commits() == second

    rolling_back = rolling_back_until_watched(project)
    rolling_back.kill()
    finished = json.loads(project.run("rollback", "--yes", "--reason", "again", "--emergency", "--json").stdout)
    assert (finished["state"], finished["release"]) == ("succeeded", "v2")
    assert project.served_commits() == second


def rolling_back_until_watched(project: SampleProject) -> StartedCommand:
    """Deploy a bad release, and return a rollback from it that has switched traffic."""
    settings = project.config["environments"]["local"]
    settings["settle"] = "300ms"
    project.commit("Bad")
    project.deploy()
    settings["settle"] = "8s"
    project.commit("Watch the rollback")
    return started_until(project, "watch", "rollback", "--yes", "--reason", "critical bug: the first one")


def deployed(project: SampleProject, app_py: str = APP_SOURCE) -> dict[str, str]:
    """Deploy a first release, and return the commits that users reach."""
    project.commit(app_py=app_py)
    project.deploy()
    return project.served_commits()


def deploying_until(project: SampleProject, chapter: str, **settings: str) -> StartedCommand:
    """Return a deployment of a new commit that has come to ``chapter``."""
    project.config["environments"]["local"] |= settings
    project.commit()
    threading.Thread(target=ask_slowly, args=(project.backend_port,)).start()
    return started_until(project, chapter, "deploy", "--yes")


def started_until(project: SampleProject, chapter: str, *command: str) -> StartedCommand:
    before = project.latest_deployment()["id"]
    started = project.start(*command)

    def is_there() -> bool:
        latest = project.latest_deployment()
        return bool(latest["id"] != before and chapter in {event["chapter"] for event in latest["events"]})

    eventually(is_there, 90)
    return started


def ask_slowly(port: int) -> None:
    """Keep a request in flight while the app takes its time."""
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/slow", timeout=scaled(60)).close()
