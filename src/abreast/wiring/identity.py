"""Who runs this process. What a CI system's variables say is a claim: whoever sets them can say anything.

What the system signed is more: it vouches for the run, and at times for who started it (``run_identity.py``).
"""

import os
import pwd
from collections.abc import Mapping
from typing import TYPE_CHECKING

from abreast.core.identity import Evidence, Identity
from abreast.machine.kernel import PROCESSES

if TYPE_CHECKING:
    from abreast.ci.id_tokens.run_verification import RunVerification
    from abreast.ci.interface import CiRun

AGENT_VARIABLE = "ABREAST_AGENT"
"""The name of the agent that runs commands for a person."""


def current_identity(
    variables: Mapping[str, str], run: "CiRun | None", verification: "RunVerification | None" = None
) -> Identity:
    """Return who started the run of a CI system, or else who this process belongs to. Asks nobody."""
    agent = variables.get(AGENT_VARIABLE, "")
    if run:
        token = verification.token if verification else None
        actor_id, evidence = run.actor_id, Evidence.ENVIRONMENT
        if token and verification and verification.names_person:
            actor_id, evidence = token.actor_id, Evidence.ID_TOKEN
        return Identity(run.provider, run.actor, actor_id, url=run.url, agent=agent, evidence=evidence, token=token)
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
