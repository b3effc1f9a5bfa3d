"""Resources of services on this machine, as people see them: in the plan, in a failed deployment, in the status."""

import json
import os
import subprocess

import pytest

from abreast.machine.control_groups import CPU, MEMORY, find_places
from sample_project import SampleProject, eventually, get_json

HOARDS = "    HOARD.append(bytearray(1000000) * 300)\n    return 200, {}\nHOARD = []\n"
HOARDS_WITH_USERS = (
    "    HOARD.append(bytearray(1000000) * (300 if ANSWERED > 0 else 1))\n    return 200, {}\nHOARD = []\n"
)

needs_control_groups = pytest.mark.skipif(
    not {MEMORY, CPU} <= find_places().keys(), reason="this user may make no control groups here"
)


@needs_control_groups
def test_a_candidate_that_needs_too_much_memory_gets_no_users(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    project.config["services"]["backend"]["resources"] = {"memory": "64MB", "cpu": 0.8}
    project.commit("Hoard", app_py=project.app_source(HOARDS))
    plan = project.run("plan").stdout
    assert "resources" in plan
    assert "NOT enforced" not in plan
    failed = project.deploy(code=1)
    assert "the process ended: out of memory: it needed more than its 64MB" in failed.stdout
    assert project.served_commits()["backend"] == good


@needs_control_groups
def test_the_status_of_a_live_service_says_that_its_memory_ran_out(project: SampleProject) -> None:
    project.config["services"]["backend"]["resources"] = {"memory": "64MB"}
    project.commit("Hoard later", app_py=project.app_source(HOARDS_WITH_USERS))
    project.deploy()
    get_json(project.backend_port)
    eventually(lambda: "backend-" in project.run("status", code=None).stdout and _restarted(project))
    assert _restarted(project)[0]["last_exit"] == "out of memory: it needed more than its 64MB"
    assert "out of memory: it needed more than its 64MB" in project.run("status", code=None).stdout


def _restarted(project: SampleProject) -> list[dict[str, str]]:
    told = json.loads(project.run("status", "--json", code=None).stdout)
    return list(told["environments"]["local"]["services"]["backend"].get("restarted", ()))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may take no file system away")
def test_where_no_limits_are_enforced_the_plan_and_doctor_say_so(project: SampleProject) -> None:
    project.config["services"]["backend"]["resources"] = {"memory": "64MB", "cpu": 0.8}
    project.commit("Limit")
    said = "its limit of 0.8 CPU and 64MB is NOT enforced here: abreast may make no control groups on this machine"
    assert f"note: {said}" in without_control_groups(project, "plan")
    assert said in without_control_groups(project, "doctor")
    assert "NOT enforced" not in project.run("plan").stdout
    without_control_groups(project, "deploy", "--yes")
    assert project.served_commits()["backend"]


def without_control_groups(project: SampleProject, *arguments: str) -> str:
    """Run a command that sees no hierarchy of control groups, as in a container without them."""
    command = ["unshare", "--mount", "sh", "-c", 'umount -R -l /sys/fs/cgroup && exec "$@"', "sh"]
    done = subprocess.run(
        [*command, *project.command_line(*arguments)], cwd=project.folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
