"""The port that every platform fills: stage, turn, retire, look."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from abreast.core.model import Live, Service, Version
from abreast.core.remarks import Remark

Tell = Callable[[str, str], Awaitable[None]]
"""Records a line about a service, given by its name: how the platform gets on."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a platform can do with a service; ``notes`` are printed in the plan.

    ``candidates``: a new version can be up without users. ``together``: all services move in one step.
    ``empties``: users can be taken off a service, so that there is no version of it any more. ``moves``: each
    version has an address of its own, which users are led to by the services that route there. ``leads_to``: the
    services to which this one leads its users. ``along``: files beside a build's output that go along with it.
    """

    candidates: bool
    together: bool
    empties: bool = True
    moves: bool = False
    leads_to: tuple[str, ...] = ()
    along: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What to bring up, of ``commit``: ``env`` is what it asks for; ``secrets`` names what of it is never shown.

    ``addresses``: where other services answer once this version has users. ``place``: what ``place`` answered.
    """

    version: str
    service: Service
    commit: str
    artifact: Path
    digest: str
    previous: Live | None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    addresses: Mapping[str, str] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Users of ``service`` go to ``to``; None takes them off the service (it had no version before).

    ``env`` is what the version asks for, for a platform that starts it in the turn; ``secrets`` as in an Order.
    ``before``: what users reached when the deployment was planned, where they go to something new.
    """

    service: Service
    to: Version | None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    before: Version | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A version by its id; it may be half-way there, or gone. ``handle`` is its Version's, where there is one."""

    service: Service
    id: str
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a version looks like from its platform: ``log`` holds the last lines it printed.

    ``restarts`` counts crashes since it came up; ``exit`` says how it last ended. ``waiting`` says what is
    yet to come before it can be asked anything.
    """

    present: bool
    waiting: str = ""
    restarts: int = 0
    exit: str = ""
    log: tuple[str, ...] = ()


class Platform(ABC):
    """Every verb is safe to repeat: it looks before it creates, and a second call changes nothing.

    Raises PlatformError, or TransientError where a repeat a moment later may succeed.
    """

    name: str

    @abstractmethod
    def abilities(self, service: Service) -> Abilities:
        """Tell what can be done with ``service``; no I/O, but after ``present`` it may know more."""

    async def present(self, service: Service) -> Version | None:  # noqa: ARG002 (for those that others can change)
        """Return what users of the service reach now if others than abreast could have put it there.

        Of a version that ``stage`` returned, its handle has at least what that one's has.
        """
        return None

    async def place(self, service: Service, previous: Live | None) -> str:  # noqa: ARG002 (for those that have a choice)
        """Settle where the service's next version will answer, where each has an address of its own; else ""."""
        return ""

    async def examine(self, service: Service) -> Sequence[Remark]:
        """Tell how the service stands there, for a person; what would keep a deployment from it is a fault.

        Asks for all that a deployment will, and changes nothing. Their ``about`` is for the caller to fill in.
        """
        await self.present(service)
        return ()

    @abstractmethod
    async def stage(self, order: Order, tell: Tell) -> Version:
        """Bring the version up without users; it need not be healthy yet."""

    @abstractmethod
    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """Move users as told, all services in one step; turning back is the same verb."""

    @abstractmethod
    async def retire(self, versions: Sequence[Named], drain: float) -> None:
        """Let what is in flight finish (``drain`` seconds at most) and take the versions away.

        Takes away what ``stage`` left, also half-way; unknown ids are fine.
        """

    @abstractmethod
    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell how each version stands, by its id."""

    @abstractmethod
    async def down(self) -> None:
        """Stop everything that this platform runs for the environment; its data stays."""
