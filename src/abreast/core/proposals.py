"""Proposals: plans with a hash. An agent makes one, and a person who approves the hash deploys what it stands for."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from abreast.core.codec import dump
from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import DeploymentKind, Plan

LIFETIME = 24 * 3600.0
"""Seconds after which nobody can approve a proposal any more."""

HASH_LENGTH = 12
"""How many hexadecimal digits of the digest people see and type."""

MAX_CHANGES = 8
"""How many differences between two plans are told one by one."""

MAX_VALUE = 60
"""Maximum length of a value in a difference."""


class ProposalState(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ProposalEnd:
    """How a proposal ended: ``state`` is approved or rejected, ``deployment`` is what carries out an approved one."""

    state: ProposalState
    by: str
    reason: str
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that waits for a person's word, in an environment.

    ``plan`` is the canonical plan, ``digest`` its SHA-256 in hexadecimal. ``command`` is deploy, promote or rollback,
    ``options`` what it was given. ``by`` is who proposed it, in words; ``person`` is the person that an agent acts for.
    Times are ISO 8601 in UTC. ``number`` tells proposals of the same plan apart; the ledger gives it.
    """

    environment: str
    digest: str
    command: str
    options: Mapping[str, Any]
    plan: Mapping[str, Any]
    summary: str
    reason: str
    by: str
    person: str
    expires: str
    number: int = 0
    at: str = ""
    end: ProposalEnd | None = None

    @property
    def hash(self) -> str:
        """What people see and type of the digest."""
        return self.digest[:HASH_LENGTH]

    @property
    def key(self) -> str:
        """What tells it from all others of its environment."""
        return f"{self.digest}/{self.number}"

    @property
    def command_line(self) -> str:
        """What a person types to do the same without it."""
        option = "--to" if self.command == "promote" else "--env"
        words = ["abreast", self.command, option, self.environment]
        for service in self.options.get("services", ()):
            words += ["--service", service]
        for name, flag in _FLAGS[self.command].items():
            value = self.options.get(name)
            words += [flag, str(value)] if isinstance(value, str) else [flag] if value else []
        return " ".join(words)

    def state(self, now: str) -> ProposalState:
        """Return what became of it."""
        if self.end:
            return self.end.state
        return ProposalState.EXPIRED if now >= self.expires else ProposalState.OPEN

    def __str__(self) -> str:
        return f"{self.by} ({self.hash})"


_FLAGS = {
    "deploy": {"since": "--since", "release": "--release", "force": "--force"},
    "promote": {"source": "--from", "release": "--release", "deployment": "--deployment"},
    "rollback": {"release": "--to"},
}
"""The options of each command that can be proposed, as it spells them."""


def comparable(plan: Plan) -> Plan:
    """Return the plan without who deploys it, and why, and without its risk, of which the clock is part.

    If two are the same then, they do the same.
    """
    return replace(plan, deployment="", author="", run_url="", authors=(), reason="", proposed_by="", risk=None)


def canonical(plan: Plan) -> dict[str, Any]:
    """Return what a plan does, as JSON values. What only explains it is left out."""
    parts = (replace(part, why="", notes=(), changed_files=(), attestation=None) for part in plan.services)
    document: dict[str, Any] = dump(replace(comparable(plan), services=tuple(parts), notes=()))
    return document


def digest_of(plan: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a canonical plan, in hexadecimal."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def summarize(plan: Plan) -> str:
    """Return what a plan does, in one line."""
    what = f"roll back to {plan.release}" if plan.kind is DeploymentKind.ROLLBACK else f"deploy {plan.commit[:7]}"
    if plan.kind is DeploymentKind.DEPLOY and plan.release:
        what = f"deploy {plan.release}"
    removed = [f"without {part.name}" for part in plan.removals]
    return f"{what} to {plan.environment}: {', '.join([*(part.name for part in plan.rollouts), *removed])}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is different in a canonical plan, the first differences one by one."""
    found = list(_differences(before, now, ""))
    more = len(found) - MAX_CHANGES
    return (*found[:MAX_CHANGES], *([f"and {more} more"] if more > 0 else []))


def _differences(before: Any, now: Any, path: str) -> Iterator[str]:  # noqa: ANN401 (JSON has no better type)
    if before == now:
        return
    before, now = _by_name(before), _by_name(now)
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    else:
        yield f"{path}: {_shown(before)} → {_shown(now)}"


def _by_name(value: Any) -> Any:  # noqa: ANN401 (as above)
    """Return a list of what has names as a mapping of them."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return {_name(each, number): each for number, each in enumerate(value)}
    return value


def _name(value: Mapping[str, Any], number: int) -> str:
    service = value.get("service")
    names = [service["name"] if isinstance(service, dict) else service, value.get("name")]
    return "/".join(filter(None, names)) or str(number)


def _shown(value: object) -> str:
    if value in (None, "", [], {}):
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"
