"""Who runs this process. What a CI system's variables say is a claim: whoever sets them can say anything.

No identity token is asked for: the process that would check it is the one that could lie, so a token proves no more to
a reader of the record than the run's URL, which the CI system itself answers for.
"""

import os
import pwd
from collections.abc import Mapping
from typing import TYPE_CHECKING

from abreast.core.identity import Evidence, Identity
from abreast.machine.kernel import PROCESSES

if TYPE_CHECKING:
    from abreast.ci.interface import CiRun

AGENT_VARIABLE = "ABREAST_AGENT"
"""The name of the agent that runs commands for a person."""


def current_identity(variables: Mapping[str, str], run: "CiRun | None") -> Identity:
    """Return who started the run of a CI system, or else who this process belongs to. Asks nobody."""
    agent = variables.get(AGENT_VARIABLE, "")
    if run:
        return Identity(run.provider, run.actor, run.actor_id, url=run.url, agent=agent, evidence=Evidence.ENVIRONMENT)
    uid = os.getuid()
    return Identity(
        "local", _user_name(uid), str(uid), os.uname().nodename, login=_other_login(uid), agent=agent,
        evidence=Evidence.KERNEL,
    )  # fmt: skip


def _other_login(uid: int) -> str:
    """Return who logged in, if that is another user, "" if not."""
    login = PROCESSES.login()
    return _user_name(login) if login is not None and login != uid else ""


def _user_name(uid: int) -> str:
    """Return the name of a user; one of a container has none, but a number. Variables are not asked."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
