"""Who acts: a person, a run of a CI system that a person started, or an agent that acts for one."""

from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass


class Evidence(StrEnum):
    """Who vouches for an identity, when it is recorded."""

    KERNEL = "kernel"
    """The kernel: the process has this user id."""
    ENVIRONMENT = "environment"
    """Nobody: the variables of the process claim it. ``url`` shows what its CI system says."""
    LINK = "signed link"
    """A link that the project's key signed for this person. Whoever had it could use it."""
    NOBODY = "nobody"
    """Nobody: only a name is known."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts. ``kind`` is ``local``, a CI system's name, ``signed-link`` or ``unknown``.

    ``id`` stays when a ``name`` changes: the user id of this machine, or the account's at the CI system, "" if that
    does not tell it. ``host`` is the machine, of a local user. ``url`` is the run of a CI system. ``login`` is who
    logged in, if a local user became another one since. ``agent`` names the agent that acts for this person, "" if
    the person does.
    """

    kind: str
    name: str
    id: str = ""
    host: str = ""
    url: str = ""
    login: str = ""
    agent: str = ""
    evidence: Evidence = Evidence.NOBODY

    @property
    def person(self) -> str:
        """What tells this person from others: two identities with the same text are the same account."""
        where = f"@{self.host}" if self.host else ""
        return f"{self.kind}:{self.login or self.id or self.name}{where}"

    def __str__(self) -> str:
        name = self.name or self.id or "somebody"
        agent = f"{self.agent}, an agent, for " if self.agent else ""
        return f"{agent}{name}{f' (logged in as {self.login})' if self.login else ''}"


def holder(person: str) -> Identity:
    """Return the identity of somebody who used a link that was made for a person."""
    return Identity("signed-link", person, evidence=Evidence.LINK)


def unknown(name: str = "") -> Identity:
    """Return the identity of somebody of whom no more than a name is known."""
    return Identity("unknown", name)
