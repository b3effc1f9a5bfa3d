"""At a terminal: the live board, and the question that Ctrl-C asks."""

import json
import signal
from collections.abc import Callable, Iterator

import pytest

from sample_project import SampleProject, eventually
from terminal import CTRL_C, CTRL_D, Terminal, print_screen_on_failure


@pytest.fixture
def terminal(project: SampleProject) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_(*arguments: str, columns: int = 100) -> Terminal:
        opened.append(Terminal(project, *arguments, columns=columns))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.mark.exhaustive
def test_the_board_shows_the_services_side_by_side(project: SampleProject, terminal: Callable[..., Terminal]) -> None:
    project.config["environments"]["local"]["settle"] = "4s"
    project.commit()
    at = terminal("deploy", "--yes")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("frontend", "✓") and at.shows("backend", "✓") and at.shows("watch …"))
        eventually(lambda: at.process.poll() is not None)
        assert at.process.returncode == 0
        eventually(lambda: at.shows("succeeded"))
        assert sum("build" in line and "check" in line for line in at.lines) == 1, "the board is drawn in place"


@pytest.mark.exhaustive
def test_the_board_fits_a_narrow_terminal(project: SampleProject, terminal: Callable[..., Terminal]) -> None:
    project.config["environments"]["local"]["settle"] = "4s"
    project.commit()
    at = terminal("deploy", "--yes", columns=40)
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("frontend", "check ✓") and at.shows("backend", "check ✓") and at.shows("watch …"))
        eventually(lambda: at.process.poll() is not None)
        eventually(lambda: at.shows("succeeded") and at.shows("backend", f"http://127.0.0.1:{project.backend_port}"))


@pytest.mark.exhaustive
def test_the_board_shows_the_last_line_of_a_build_that_runs(
    project: SampleProject, terminal: Callable[..., Terminal], tmp_path_factory: pytest.TempPathFactory
) -> None:
    go = tmp_path_factory.mktemp("build") / "go"
    project.config["services"]["backend"]["build"] = f"echo one; echo two; until [ -e {go} ]; do sleep 0.05; done"
    project.commit()
    at = terminal("deploy", "--yes")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("backend │ two"))
        assert not at.shows("backend │ one")
        go.touch()
        eventually(lambda: at.process.poll() is not None)
        eventually(lambda: at.shows("succeeded") and not at.shows("│"))


@pytest.mark.exhaustive
def test_a_rollback_and_a_lock_ask_for_the_reason(project: SampleProject, terminal: Callable[..., Terminal]) -> None:
    project.deploy()
    project.commit()
    project.deploy()
    at = terminal("rollback", "--yes")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("1  critical bug") and at.shows("Which of these"))
        at.type("2\n")
        eventually(lambda: at.shows("Reason"))
        at.type("orders take minutes\n")
        eventually(lambda: at.process.poll() is not None)
        assert at.process.returncode == 0
    assert project.latest_deployment()["reason"] == "performance issue: orders take minutes"
    at = terminal("lock")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("Reason"))
        at.type("a sale\n")
        eventually(lambda: at.process.poll() is not None)
    assert "a sale" in project.run("status").stdout
    project.run("unlock")


def test_the_board_shows_each_gate(
    project: SampleProject, terminal: Callable[..., Terminal], tmp_path_factory: pytest.TempPathFactory
) -> None:
    go = tmp_path_factory.mktemp("gates") / "go"  # the first that fails ends the others
    project.config["services"]["backend"]["test"] = "test ! -e go && sleep 1"
    project.config["gates"] = {"licences": "true", "style": f"until [ -e {go} ]; do sleep 0.05; done; exit 3"}
    project.commit()
    at = terminal("deploy", "--yes")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("licences ✓"))
        go.touch()
        eventually(lambda: at.process.poll() is not None)
        assert at.process.returncode == 3
        eventually(lambda: at.shows("gates", "licences ✓", "style ✗", "backend/test"))


def test_it_asks_before_it_deploys_and_no_is_no(project: SampleProject, terminal: Callable[..., Terminal]) -> None:
    at = terminal("deploy")
    with print_screen_on_failure(at):
        eventually(lambda: at.shows("[y/N]"))
        at.type("n\n")
        eventually(lambda: at.process.poll() is not None)
        assert at.process.returncode == 1
        assert "nothing has been deployed" in project.run("status", "--env", "local").stdout


@pytest.mark.exhaustive
def test_ctrl_c_asks_whether_to_go_on_leave_or_turn_back(
    project: SampleProject, terminal: Callable[..., Terminal]
) -> None:
    project.deploy()
    project.config["environments"]["local"]["settle"] = "5s"

    def interrupt(answer: str) -> tuple[Terminal, str]:
        """Deploy a commit, and answer so once all users have it."""
        new = project.commit()
        at = terminal("deploy", "--yes")
        with print_screen_on_failure(at):
            eventually(lambda: project.served_commits()["backend"] == new)
            eventually(lambda: project.latest_deployment()["chapter"] == "watch")
            at.type(CTRL_C)
            eventually(lambda: at.shows("[t]urn back, [l]eave it to be resumed, or [g]o on?"))
            at.type(f"{answer}\n")
            eventually(lambda: at.process.poll() is not None)
        return at, new

    at, second = interrupt("g")
    assert at.process.returncode == 0
    assert (project.status()["release"], project.served_commits()["backend"]) == ("v2", second)

    at, third = interrupt("l")
    assert at.process.returncode == 4
    left = project.latest_deployment()
    assert at.shows(f"abreast resume {left['id']}")
    assert left["state"] == "running"
    project.run("resume", left["id"])
    assert (project.status()["release"], project.served_commits()["backend"]) == ("v3", third)

    at, _ = interrupt("t")
    assert at.process.returncode == 1
    assert (project.status()["release"], project.served_commits()["backend"]) == ("v3", third)


def test_ctrl_d_is_no_answer_and_sigterm_asks_nobody(project: SampleProject, terminal: Callable[..., Terminal]) -> None:
    first = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    at = terminal("deploy", "--yes")
    with print_screen_on_failure(at):
        eventually(lambda: project.latest_deployment()["chapter"] == "watch")
        for _ in range(2):
            at.type(CTRL_C)
            eventually(lambda: at.lines[-1].endswith("[g]o on?"))
            at.type(CTRL_D)
            eventually(lambda: not at.lines[-1].endswith("[g]o on?"))
            assert at.process.poll() is None
        at.process.send_signal(signal.SIGTERM)
        eventually(lambda: at.process.poll() is not None)
    latest = project.latest_deployment()
    assert latest["state"] == "cancelled"
    assert "stopped by SIGTERM" in json.dumps(latest["events"])
    assert project.served_commits()["backend"] == first
