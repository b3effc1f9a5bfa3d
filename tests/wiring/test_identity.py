"""Who runs a command, by what cannot be set with a variable where there is such."""

import getpass
import os
import pwd
import subprocess
import sys

import pytest

from abreast.ci.interface import CiRun
from abreast.core.identity import Evidence, Identity
from abreast.wiring.identity import current_identity


def test_a_local_user_is_who_the_kernel_says_whatever_variables_claim() -> None:
    code = "from abreast.wiring.identity import current_identity; import os; print(current_identity(os.environ, None).name)"
    claimed = {**os.environ, "USER": "mallory", "LOGNAME": "mallory", "SUDO_USER": "mallory"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=claimed)
    told = subprocess.run([sys.executable, "-c", "import getpass; print(getpass.getuser())"], capture_output=True,
                          text=True, check=True, env=claimed)  # fmt: skip
    assert told.stdout.strip() == "mallory", getpass.__file__
    assert done.stdout.strip() == pwd.getpwuid(os.getuid()).pw_name
    who = current_identity({}, None)
    assert (who.kind, who.id, who.host, who.evidence) == (
        "local",
        str(os.getuid()),
        os.uname().nodename,
        Evidence.KERNEL,
    )


def test_a_run_is_named_as_what_its_variables_claim() -> None:
    run = CiRun("github-actions", "https://github.com/o/r/actions/runs/1/attempts/2", "bob", actor_id="7")
    who = current_identity({"ABREAST_AGENT": "robot"}, run)
    assert who == Identity("github-actions", "bob", "7", url=run.url, agent="robot", evidence=Evidence.ENVIRONMENT)
    assert str(who) == "robot, an agent, for bob"
    assert who.person == "github-actions:7"


def test_users_of_two_machines_are_two_people_and_one_who_became_root_is_still_one() -> None:
    ann, there = Identity("local", "ann", "1000", "laptop"), Identity("local", "bob", "1000", "server")
    assert ann.person != there.person
    root = Identity("local", "root", "0", "laptop", login="ann")
    assert root.person != Identity("local", "root", "0", "laptop").person
    assert str(root) == "root (logged in as ann)"


def test_who_logged_in_is_told_of_whoever_became_another_user() -> None:
    nobody = pwd.getpwnam("nobody")
    code = (
        "import os, sys; open('/proc/self/loginuid', 'w').write(sys.argv[1]); from abreast.wiring.identity import *;"
        "print(current_identity({}, None).login)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(nobody.pw_uid)], capture_output=True, text=True, check=False)
    if "OSError" in done.stderr or "PermissionError" in done.stderr:
        pytest.skip("the kernel lets this user set no login")
    assert done.stdout.strip() == "nobody", done.stderr
