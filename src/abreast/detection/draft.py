"""The draft of an abreast.yml: every value with where it comes from, and what lost against it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

LOCAL = "local."
"""What keys begin with that are for this machine only."""

Value = str | int | bool | tuple[str, ...] | dict[str, str | bool]


class Kind(StrEnum):
    """What a service is."""

    SITE = "site"
    WEB = "web"
    WORKER = "worker"
    CRON = "cron"


class Authority(IntEnum):
    """How far a source is to be believed on how a service is deployed. The highest one decides."""

    GUESS = 0
    CONVENTION = 1
    PROJECT = 2
    """A script or the code of the project itself."""
    CONTAINER = 3
    """A Dockerfile, a compose file, a probe of Kubernetes."""
    PLATFORM = 4
    """What a platform deploys from today."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A value for one key, and where it comes from."""

    value: Value
    source: str
    authority: Authority
    is_made_up: bool = False
    """Whether it is a secret that a platform makes up for the service today: any random text."""
    is_needed: bool = False
    """Whether it is a variable that the code does not start without."""


@dataclass(slots=True)
class ServiceDraft:
    """One service. Keys are dotted, such as ``build.run``."""

    name: str
    folder: str
    kind: Kind
    ecosystem: str = ""
    remarks: list[str] = field(default_factory=list)
    packages: frozenset[str] = frozenset()
    proposals: dict[str, list[Proposal]] = field(default_factory=dict)
    has_pages: bool = False
    """Whether its framework answers ``/`` with a page, and listens on ``$PORT`` by itself."""
    engine: str = ""
    """The engine of its database: postgresql, sqlite, "either" of them, another one by its name."""
    is_certain: bool = True
    """Whether it is a service without any declaration that says so."""

    def propose(
        self,
        key: str,
        value: Value,
        source: str,
        authority: Authority = Authority.CONVENTION,
        *,
        is_made_up: bool = False,
        is_needed: bool = False,
    ) -> None:
        """Add a value for a key. Of equal authority, the first one stays."""
        if value != "":
            self.proposals.setdefault(key, []).append(Proposal(value, source, authority, is_made_up, is_needed))

    def replace(self, key: str, value: Value) -> None:
        """Write the chosen value of a key in another way; its source stays."""
        chosen = self.chosen(key)
        assert chosen is not None
        rest = [proposal for proposal in self.proposals[key] if proposal is not chosen]
        self.proposals[key] = [replace(chosen, value=value), *rest]

    def chosen(self, key: str) -> Proposal | None:
        """Return the proposal that decides, None if there is none."""
        proposals = self.proposals.get(key)
        return max(proposals, key=lambda proposal: proposal.authority) if proposals else None

    def text(self, key: str) -> str:
        """Return the value of a key that is a text, "" if there is none."""
        chosen = self.chosen(key)
        return chosen.value if chosen and isinstance(chosen.value, str) else ""

    def rivals(self, key: str) -> list[Proposal]:
        """Return the other values of the same authority."""
        chosen = self.chosen(key)
        seen = [chosen.value] if chosen else []
        rivals = []
        for proposal in self.proposals.get(key, []):
            if chosen and proposal.authority is chosen.authority and proposal.value not in seen:
                seen.append(proposal.value)
                rivals.append(proposal)
        return rivals

    def overruled(self, key: str) -> list[Proposal]:
        """Return what other sources that deploy this service say differently."""
        chosen = self.chosen(key)
        return [
            proposal
            for proposal in self.proposals.get(key, [])
            if chosen and proposal.authority >= Authority.CONTAINER and proposal.value != chosen.value
        ]

    def take(self, other: "ServiceDraft") -> None:
        """Take over everything that another draft of this service proposes."""
        for key, proposals in other.proposals.items():
            self.proposals.setdefault(key, []).extend(proposals)
        self.remarks += [remark for remark in other.remarks if remark not in self.remarks]
        self.packages |= other.packages


@dataclass(frozen=True, slots=True)
class Note:
    """Something seen and left out, and the line that would add it ("" if none would)."""

    text: str
    line: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Two or more values of one key that are equally good. The first one is taken unless somebody chooses."""

    service: str
    key: str
    choices: tuple[Proposal, ...]


@dataclass(slots=True)
class Draft:
    """The whole file."""

    project: str
    services: list[ServiceDraft]
    notes: list[Note] = field(default_factory=list)
    gates: dict[str, tuple[Value, str]] = field(default_factory=dict)
    """Their settings and where these come from, by name."""

    def questions(self) -> Iterator[Question]:
        """Yield what only a person can decide."""
        for service in self.services:
            for key in service.proposals:
                chosen, rivals = service.chosen(key), service.rivals(key)
                if chosen and rivals and "env." not in key:
                    yield Question(service.name, key, (chosen, *rivals))

    def answer(self, question: Question, choice: Proposal) -> None:
        """Take one of a question's choices."""
        service = next(service for service in self.services if service.name == question.service)
        rest = [proposal for proposal in service.proposals[question.key] if proposal not in question.choices]
        service.proposals[question.key] = [choice, *rest]


def valid_name(text: str) -> str:
    """Return a text as a valid name for abreast.yml."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if re.match(r"[a-z]", name) else f"p-{name}")[:40].rstrip("-")
