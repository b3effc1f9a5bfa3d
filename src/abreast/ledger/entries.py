"""Entries of the ledger: the only truth. Every table beside them is made from them, and can be made again."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from abreast.core.frozen_dataclass import dataclass


class EntryKind(StrEnum):
    """What an entry records, and what its subject and key are."""

    RELEASE = "release"
    """A release was numbered. Subject: the project; key: the version."""
    PART = "part"
    """A service was built for a release. Subject: the version; key: the service."""
    PLAN = "plan"
    """A deployment was planned. Subject: the deployment."""
    EVENT = "event"
    """Something happened in a deployment. Subject: the deployment; key: the event's."""
    STEP = "step"
    """A step of a workflow ended. Subject: the workflow; key: the step."""
    LIVE = "live"
    """Other versions are live now. Subject: the environment; key: a number."""
    REQUEST = "request"
    """Somebody asked for something. Subject: the deployment; key: what was asked for."""
    SECRETS = "secrets"
    """Secrets have new values. Subject: the environment; key: a number."""
    OUTPUT = "output"
    """What the commands of a deployment printed on one machine. Subject: the deployment; key: a number."""
    NOTIFICATION = "notification"
    """Somebody was told of a deployment. Subject: the deployment; key: who, and of what."""
    LEASE = "lease"
    """A process took an environment, or gave it back. Subject: the environment; key: the number of the lease."""
    LOCK = "lock"
    """An operator locked or unlocked an environment. Subject: the environment; key: a number."""
    IDENTITY = "identity"
    """Who acts, once for each person or run. Subject: the kind of identity; key: a digest of the data."""
    PROPOSAL = "proposal"
    """A plan was proposed. Subject: the environment; key: the plan's digest and a number, with "/end" how it ended."""
    ACT = "act"
    """Somebody did what no other entry shows, or was refused. Subject: the environment, "" for none; key: an id."""
    MAINTENANCE = "maintenance"
    """Which services are in maintenance from now on. Subject: the environment; key: the act and a number."""
    CHECKPOINT = "checkpoint"
    """The chain was signed as it was. Subject: the key; key: the number of the last entry that is signed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``key`` is unique for its kind and subject, so recording it again has no effect.

    ``at`` is when it was recorded, in ISO 8601; nothing is ordered by it. ``fence`` names the lease under which it was
    recorded, ``environment/number``, where a lease is needed. ``by`` is the key of the identity of the process that
    recorded it, "" if that is unknown.
    """

    kind: EntryKind
    subject: str
    key: str
    data: Mapping[str, Any]
    at: str = ""
    fence: str = ""
    by: str = ""

    @property
    def text(self) -> str:
        """The entry as JSON, of which the hash chain is made."""
        fields = {
            "kind": self.kind, "subject": self.subject, "key": self.key, "data": self.data, "at": self.at,
            "fence": self.fence, "by": self.by,
        }  # fmt: skip
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """Return the entry that ``text`` came from. Raises ValueError for other text."""
        fields = json.loads(text)
        try:
            return cls(**{**fields, "kind": EntryKind(fields["kind"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not an entry of a ledger: {text[:80]}") from error


def describe(text: str) -> str:
    """Return what an entry is, in a few words, as far as its text can be read."""
    try:
        entry = json.loads(text)
        return f"{entry['kind']} of {entry['subject'] or 'the project'}, {entry['at']}"
    except (ValueError, TypeError, KeyError):
        return "not readable"
