"""One deployment in this process: how its chapters are run, recorded, retried, stopped and told."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import stamina
from typing_extensions import TypeForm

from abreast.core.codec import dump, load
from abreast.core.errors import AbreastError, StateError, TransientError, UsageError
from abreast.core.events import Event, What
from abreast.core.model import Cause, Chapter, Failure, Plan, ServicePlan, Version
from abreast.core.redactor import Redactor
from abreast.core.secrets import credentials
from abreast.core.states import State
from abreast.deploy.engine import Engine, Json
from abreast.deploy.ports import Ports
from abreast.ledger.interface import Part
from abreast.machine.together import Together
from abreast.platforms.interface import Tell

T = TypeVar("T")

LOOKS = 50
"""Looks a second over all services: looking must not take the machine from what is looked at."""

_LONG = frozenset({Chapter.GATES, Chapter.STAGE, Chapter.TURN})
_STOPPABLE = frozenset(Chapter) - {Chapter.PLAN, Chapter.SETTLE, Chapter.RESTORE, Chapter.TURN_BACK}


class Halt:
    """Tells every rollout of a deployment that one failed, or that a person wants it to stop."""

    def __init__(self) -> None:
        self._first: Failure | None = None
        self._event = asyncio.Event()

    def set(self, failure: Failure) -> None:
        """Ask all to stop because of ``failure``; the first one stands."""
        self._first = self._first or failure
        self._event.set()

    def stopping(self, chapter: Chapter, service: str | None) -> Failure | None:
        """Return how a chapter ends that stops now, None while nothing asks it to."""
        first = self._first
        if first is None:
            return None
        if first.cause is Cause.CANCELLED:
            return Failure(chapter, first.what, cause=Cause.CANCELLED)
        because = f"stopped, since {first.service or 'the deployment'} failed"
        return Failure(chapter, because, service, cause=Cause.STOPPED)

    async def wait(self) -> str:
        """Wait until all should stop and return why."""
        await self._event.wait()
        return self._first.what if self._first else ""


class Run:
    """A plan being carried out; ``attempt`` tells a resumed turn-back's records from the first's."""

    def __init__(self, plan: Plan, ports: Ports, engine: Engine, attempt: str = "") -> None:
        self.plan = plan
        self.ports = ports
        self.halt = Halt()
        self.pause = max(0.25, len(plan.rollouts) / LOOKS)
        self.staged = {part.name: asyncio.Event() for part in plan.rollouts}
        self.candidates: dict[str, Version] = {}
        self.gated = asyncio.Event()
        self.built: dict[str, asyncio.Future[Part]] = {part.name: asyncio.Future() for part in plan.rollouts}
        self._passed = set[str]()
        self.passed()
        self.recalling: asyncio.Future[None] | None = None
        self.redactor = Redactor(secrets_of(plan, ports))
        self._engine = engine
        self._attempt = attempt
        self._records = Together(self._record)

    def passed(self, *gates: str) -> None:
        """Note gates that let the deployment through; when all have, ``gated`` is set."""
        self._passed.update(gates)
        if len(self._passed) == len(self.plan.gates):
            self.gated.set()

    def arrived(self, candidate: Version) -> None:
        """Note a candidate that is ready for users, for those that wait for it."""
        self.candidates[candidate.service] = candidate
        self.staged[candidate.service].set()

    def commit_of(self, part: ServicePlan) -> str:
        """Return the commit that a candidate is of: an earlier one, where it was made before from the same."""
        made = self.made(part)
        return made.commit if made else part.commit

    def made(self, part: ServicePlan) -> Part | None:
        """Return what was built of a service for this deployment, None where that is not known here."""
        built = self.built.get(part.name)
        return built.result() if built and built.done() else None

    async def tell(self, key: str, what: What, text: str = "", **more: Any) -> None:  # noqa: ANN401 (Event's fields)
        """Record an event of this deployment, once; no secret in it."""
        shown = {**more, "data": self.redactor.value(more["data"])} if more.get("data") else more
        text = self.redactor.text(text)
        await self._records.do(Event(self.plan.deployment, self._attempt + key, what, text, **shown))

    async def _record(self, events: Sequence[Event]) -> list[Exception | None]:
        await asyncio.to_thread(self.ports.ledger.record, *events)
        return [None] * len(events)

    def teller(self, chapter: Chapter) -> Tell:
        """Return what a platform tells by how it gets on in a chapter."""

        async def tell(service: str, text: str) -> None:
            await self.tell(f"{service}/{chapter}/note/{text}", What.NOTE, text, service=service, chapter=chapter)

        return tell

    async def enter(self, state: State, text: str = "", chapter: Chapter | None = None, **data: object) -> None:
        """Move the deployment to a state, and to the chapter that brought it there, where that is not the last."""
        await self.tell(f"state/{state}", What.STATE, text, state=state, chapter=chapter, data=data)

    async def chapter(
        self,
        chapter: Chapter,
        work: Callable[[], Awaitable[T | Failure]],
        kind: TypeForm[T] | None = None,
        service: str | None = None,
        turn: str = "",
    ) -> T | Failure:
        """Run one chapter (of one service, or of all) as one recorded step.

        What it returns is recorded; a failure stops the others where they can still be stopped. ``turn``
        tells repeated chapters apart.
        """
        key = "/".join(filter(None, (service, chapter, turn)))
        label = turn if chapter is Chapter.GATES else ""

        async def step() -> Json:
            if chapter in _STOPPABLE and (stopping := self.halt.stopping(chapter, service)):
                return {"failure": dump(stopping)}
            await self.tell(f"{key}/started", What.STARTED, label, service=service, chapter=chapter)
            outcome = self._without_secrets(await self._attempt_it(chapter, key, work, service))
            await self._tell_end(key, chapter, service, outcome, label)
            if isinstance(outcome, Failure):
                return {"failure": dump(outcome)}
            return {"result": dump(outcome, kind) if kind else None}

        answer = await self._engine.step(key, step)
        if "failure" in answer:
            failure = load(Failure, answer["failure"])
            self.halt.set(failure)
            return failure
        return cast("T", load(kind, answer["result"]) if kind else None)

    def _without_secrets(self, outcome: T | Failure) -> T | Failure:
        """Return failures with what a platform or a program said in them redacted: they are recorded."""
        if isinstance(outcome, Failure):
            return load(Failure, self.redactor.value(dump(outcome)))
        if isinstance(outcome, list) and only_failures(outcome):
            return cast("T", [self._without_secrets(one) for one in outcome])
        return outcome

    async def _tell_end(self, key: str, chapter: Chapter, service: str | None, outcome: object, label: str) -> None:
        for failure in only_failures(outcome if isinstance(outcome, list) else [outcome]):
            what = What.FAILED if failure.cause in {Cause.FAULT, Cause.REFUSED} else What.STOPPED
            whose = failure.service or service
            data = {"log": list(failure.log)}
            end = f"{key}/{whose}/failed"
            await self.tell(end, what, failure.what, service=whose, chapter=chapter, data=data)
        if not isinstance(outcome, Failure):
            await self.tell(f"{key}/ended", What.FINISHED, label, service=service, chapter=chapter)

    async def _attempt_it(
        self, chapter: Chapter, key: str, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        try:
            return await self._retrying(chapter, key, work, service)
        except StateError:
            raise
        except AbreastError as error:
            return Failure(chapter, str(error), service)
        except Exception as error:  # noqa: BLE001 (whatever goes wrong in a chapter turns back, it never escapes)
            return Failure(chapter, f"unexpected: {type(error).__name__}: {error}", service)

    async def _retrying(
        self, chapter: Chapter, key: str, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        async for attempt in stamina.retry_context(TransientError, attempts=3, wait_initial=0.2, wait_max=5.0):
            with attempt:
                if attempt.num > 1:
                    again = f"again, attempt {attempt.num} of 3"
                    await self.tell(f"{key}/retry-{attempt.num}", What.RETRY, again, service=service, chapter=chapter)
                return await self._unless_stopped(chapter, work, service)
        raise AssertionError("the last attempt returns or raises")

    async def _unless_stopped(
        self, chapter: Chapter, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        """Let go of what a platform takes its time for once the deployment stops; its verbs may be cut off anywhere."""
        doing, halted = asyncio.ensure_future(work()), asyncio.ensure_future(self.halt.wait())
        try:
            await asyncio.wait([doing, halted] if chapter in _LONG else [doing], return_when=asyncio.FIRST_COMPLETED)
            stopping = None if doing.done() else self.halt.stopping(chapter, service)
            return stopping or await doing
        finally:
            for task in (doing, halted):
                task.cancel()
            await asyncio.wait([doing, halted])


def secrets_of(plan: Plan, ports: Ports) -> Iterator[str]:
    """Yield all secrets that could be told in this deployment: those of its services, and those of abreast itself."""
    yield from ports.known
    for part in plan.changes:
        with suppress(UsageError):
            yield from (secret.reveal() for secret in ports.reveal(part.service).values())
    for part in plan.services:
        if part.service.database is None:
            continue
        with suppress(AbreastError):
            yield from credentials(ports.database(part.service).address())


def only_failures(outcomes: Sequence[object]) -> list[Failure]:
    """Return the failures among outcomes, those that stopped the others first."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    return sorted(failures, key=lambda failure: failure.cause is Cause.STOPPED)
