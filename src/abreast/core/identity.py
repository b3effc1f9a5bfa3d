"""Who acts: a person, a run of a CI system that a person started, or an agent that acts for one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from abreast.core.frozen_dataclass import dataclass


class Evidence(StrEnum):
    """Who vouches for an identity, when it is recorded."""

    KERNEL = "kernel"
    """The kernel: the process has this user id."""
    ENVIRONMENT = "environment"
    """Nobody: the variables of the process claim it. ``url`` shows what its CI system says."""
    ID_TOKEN = "id token"  # noqa: S105 (how it is recorded)
    """The CI system: it signed that this account started this run."""
    LINK = "signed link"
    """A link that the project's key signed for this person. Whoever had it could use it."""
    NOBODY = "nobody"
    """Nobody: only a name is known."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """What the ID token of a run says, whose signature by ``issuer`` was verified. "" is what it does not say.

    Ids stay when names change. ``id`` is the token's own. ``actor`` is the account that started the run: of GitHub, its
    first attempt. ``workflow`` is the file that says what the job does, with its ref.
    """

    issuer: str
    subject: str
    id: str = ""
    repository_id: str = ""
    owner_id: str = ""
    actor: str = ""
    actor_id: str = ""
    run_id: str = ""
    run_attempt: str = ""
    job_id: str = ""
    workflow: str = ""
    environment: str = ""
    ref: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts. ``kind`` is ``local``, a CI system's name, ``signed-link`` or ``unknown``.

    ``id`` stays when a ``name`` changes: the user id of this machine, or the account's at the CI system, "" if that
    does not tell it. ``host`` is the machine, of a local user. ``url`` is the run of a CI system. ``login`` is who
    logged in, if a local user became another one since. ``agent`` names the agent that acts for this person, "" if
    the person does. ``token`` is the ID token of the run, None without one. It vouches for the person only if that is
    the ``evidence``: another person may have started this attempt.
    """

    kind: str
    name: str
    id: str = ""
    host: str = ""
    url: str = ""
    login: str = ""
    agent: str = ""
    evidence: Evidence = Evidence.NOBODY
    token: IdToken | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Identity":
        """Return the identity of ``dataclasses.asdict``, also one of an earlier version."""
        token = IdToken(**data["token"]) if data.get("token") else None
        return cls(**{**data, "evidence": Evidence(data["evidence"]), "token": token})

    @property
    def person(self) -> str:
        """What tells this person from others: two identities with the same text are the same account."""
        where = f"@{self.host}" if self.host else ""
        return f"{self.kind}:{self.login or self.id or self.name}{where}"

    def __str__(self) -> str:
        name = self.name or self.id or "somebody"
        agent = f"{self.agent}, an agent, for " if self.agent else ""
        return f"{agent}{name}{f' (logged in as {self.login})' if self.login else ''}"


def id_token_refusal(identity: Identity) -> str:
    """Return why no ID token proves who acts, "" if one does."""
    if identity.evidence is Evidence.ID_TOKEN:
        return ""
    if identity.token:
        return f"the ID token of this run does not say that {identity} started this attempt of it"
    return f"no ID token proves that this is {identity}: the evidence is {identity.evidence}"


def holder(person: str) -> Identity:
    """Return the identity of somebody who used a link that was made for a person."""
    return Identity("signed-link", person, evidence=Evidence.LINK)


def unknown(name: str = "") -> Identity:
    """Return the identity of somebody of whom no more than a name is known."""
    return Identity("unknown", name)
