"""Parts of the local platform are killed during a deployment: it goes on, and nothing is left behind."""

import asyncio
import signal
from pathlib import Path

import pytest

from abreast.platforms.local.platform import LocalPlatform
from abreast.testing.process_tree import kill_at_once, processes_of
from fork_server import StartedCommand
from sample_project import SampleProject, eventually, get_json, wait_for_exit


def kill(project: SampleProject, *programs: str) -> None:
    """Kill the project's processes whose command line has one of the words, all at once."""
    found = [pid for pid, command in processes_of(project.folder) if any(program in command for program in programs)]
    assert found, programs
    kill_at_once(found)


def deploying_in(project: SampleProject, chapter: str) -> StartedCommand:
    """Start a deployment, and return when it is in a chapter."""
    before = project.latest_deployment()["id"]
    deploying = project.start("deploy", "--yes")
    eventually(
        lambda: project.latest_deployment()["id"] != before and project.latest_deployment()["chapter"] == chapter
    )
    return deploying


def is_nothing_left(project: SampleProject) -> bool:
    """Check that only what is live is there."""
    home = project.folder / ".abreast" / "local" / "local"
    live = {service["commit"] for service in project.status()["services"].values()}
    assert len(live) == 1
    assert len(list((home / "versions").iterdir())) == 2
    assert len(list((home / "instances").glob("backend-*.json"))) == 1
    apps = [command for _, command in processes_of(project.folder) if "app.py" in command]
    assert len(apps) == 1, apps
    return True


@pytest.mark.smoke
def test_the_supervisor_and_its_watchdog_die_while_a_release_is_watched(project: SampleProject) -> None:
    project.deploy()
    project.config["environments"]["local"]["settle"] = "4s"
    commit = project.commit()
    deploying = deploying_in(project, "watch")
    kill(project, "supervisor.watchdog", "supervisor.process_manager")
    assert wait_for_exit(deploying) == 0
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    eventually(lambda: is_nothing_left(project))


def test_both_die_and_the_release_is_bad(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    deploying = deploying_in(project, "watch")
    deploying.send_signal(signal.SIGSTOP)
    kill(project, "supervisor.watchdog", "supervisor.process_manager")
    deploying.send_signal(signal.SIGCONT)
    project.run("cancel", "--reason", "no")
    assert wait_for_exit(deploying) == 1
    assert project.served_commits() == {"frontend": good, "backend": good}
    eventually(lambda: is_nothing_left(project))


def test_envoy_dies_in_the_drain(project: SampleProject) -> None:
    project.config["environments"]["local"]["drain"] = "20s"
    project.commit(app_py=project.app_source("    return 200, {}\n"))
    project.deploy()
    commit = project.commit()
    deploying = deploying_in(project, "settle")
    kill(project, "bootstrap.json")
    assert wait_for_exit(deploying) == 0
    eventually(lambda: get_json(project.backend_port)["commit"] == commit)
    eventually(lambda: is_nothing_left(project))


def test_instances_are_stopped_though_their_supervisor_dies_meanwhile(project: SampleProject) -> None:
    project.deploy()
    home = project.folder / ".abreast" / "local" / "local"
    (version,) = [folder.name for folder in (home / "versions").iterdir() if folder.name.startswith("backend-")]
    kill(project, "supervisor.watchdog", "supervisor.process_manager")
    asyncio.run(LocalPlatform(home, home / "logs", {})._processes.stop([version]))
    assert not [command for _, command in processes_of(project.folder) if "app.py" in command]


def test_instances_are_stopped_though_their_supervisor_dies_after_the_look(
    project: SampleProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deploy()
    home = project.folder / ".abreast" / "local" / "local"
    platform = LocalPlatform(home, home / "logs", {})
    look = platform._supervisor.is_running
    kills = iter([lambda: kill(project, "supervisor.watchdog", "supervisor.process_manager")])

    def look_and_kill() -> bool:
        is_running = look()
        next(kills, lambda: None)()
        return is_running

    monkeypatch.setattr(platform._supervisor, "is_running", look_and_kill)
    asyncio.run(platform._processes.stop(None))
    assert not [command for _, command in processes_of(project.folder) if "app.py" in command]


def test_users_are_served_though_the_routing_table_is_lost(project: SampleProject) -> None:
    commit = project.commit()
    project.deploy()
    router = project.folder / ".abreast" / "local" / "local" / "router"
    (router / "table.json").unlink()
    before = (router / "endpoints.json").read_text()
    kill(project, "app.py")
    eventually(lambda: (router / "endpoints.json").read_text() not in {before, "{}"})
    eventually(lambda: get_json(project.backend_port)["commit"] == commit)
    assert "table.json is lost" in project.run("doctor").stdout
    commit = project.commit()
    project.deploy()
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert (router / "table.json").exists()
    assert "work in progress" not in (project.folder / ".abreast" / "logs" / "local" / "router.log").read_text()


def test_a_turn_back_finds_the_previous_version_on_the_port_that_it_moved_to(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    kill(project, "app.py")
    eventually(lambda: get_json(project.backend_port)["commit"] == good)
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    deploying = deploying_in(project, "watch")
    told = project.run("cancel", "--reason", "no").stdout
    assert wait_for_exit(deploying) == 1
    assert "does not answer" not in told + deploying.output
    assert project.served_commits() == {"frontend": good, "backend": good}


def test_what_a_killed_platform_left_is_told_and_removed(project: SampleProject) -> None:
    project.deploy()
    home = project.folder / ".abreast" / "local" / "local"
    (live,) = [folder for folder in (home / "versions").iterdir() if folder.name.startswith("backend-")]
    stale = home / "versions" / "backend-01AAAAAAAAAAAAAAAAAAAAAAAA"
    stale.mkdir()
    (stale / "app.py").write_bytes((live / "app.py").read_bytes())
    told = project.run("doctor", code=None).stdout
    assert f"killed deployments left {stale.name}" in told
    project.commit()
    assert f"removed leftovers of killed deployments: {stale.name}" in project.deploy().stdout
    assert not stale.exists()
    assert "killed deployments left" not in project.run("doctor", code=None).stdout


def test_what_users_reach_is_no_leftover_where_the_record_is_an_older_one(project: SampleProject) -> None:
    project.deploy()
    state = project.folder / ".abreast"
    older = {name: (state / name).read_bytes() for name in ("ledger.db", "ledger.anchor")}
    assert not (state / "ledger.db-wal").exists(), "the copy is whole"
    served = project.commit()
    project.deploy()
    for name, content in older.items():
        (state / name).write_bytes(content)
    project.config["services"]["backend"]["build"] = "exit 1"
    project.commit()
    told = project.deploy(code=1).stdout
    assert "removed leftovers" not in told
    assert project.served_commits() == {"frontend": served, "backend": served}


def test_state_of_others_is_not_a_leftover(project: SampleProject) -> None:
    project.deploy()
    assert Path(project.folder / ".abreast" / "local" / "local" / "data").exists()
    assert "killed deployments left" not in project.run("doctor", code=None).stdout
