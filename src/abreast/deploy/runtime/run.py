"""One deployment in this process: it runs, records, retries and stops chapters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from typing_extensions import TypeForm

from abreast.core.codec import dump, load
from abreast.core.errors import AbreastError, StateError, TransientError, UnavailableError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Failure, FailureCause, Version
from abreast.core.plan import Plan, ServicePlan
from abreast.core.redaction.redactor import Redactor
from abreast.core.secrets import url_credentials
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.child_environment import rehearsal_secrets
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Json, ReleasePart
from abreast.machine.batching import Batcher
from abreast.machine.lazy_modules import lazy_module
from abreast.platforms.interface import Reporter

if TYPE_CHECKING:
    import stamina
else:
    stamina = lazy_module("stamina")

T = TypeVar("T")

MAX_PROBES_PER_SECOND = 50
"""Probes per second over all services, so that probing does not slow the services down."""

MAX_OUTAGE = 300.0
"""Seconds for which a chapter bears a provider that gives no usable answer; a shorter build timeout limits it."""

MAX_OUTAGE_PAUSE = 15.0

LONGEST_REQUEST = 120.0
"""Seconds within which one request to a provider that is away has failed, with all its attempts."""

_INTERRUPTIBLE = frozenset({Chapter.GATES, Chapter.STAGE, Chapter.TURN})
_STOPPABLE = frozenset(Chapter) - {Chapter.PLAN, Chapter.SETTLE, Chapter.RESTORE, Chapter.TURN_BACK}


class Halt:
    """Stops all rollouts and gates of a deployment when one failed or a user cancelled."""

    def __init__(self) -> None:
        self._first: Failure | None = None
        self._event = asyncio.Event()

    def set(self, failure: Failure) -> None:
        """Stop everything because of ``failure``. The first failure counts."""
        self._first = self._first or failure
        self._event.set()

    def stop_failure(self, chapter: Chapter, service: str | None) -> Failure | None:
        """Return the failure with which a chapter stops now, None if nothing halted the run."""
        first = self._first
        if first is None:
            return None
        if first.cause is FailureCause.CANCELLED:
            return Failure(chapter, first.message, cause=FailureCause.CANCELLED)
        message = f"because {first.service or 'the deployment'} failed"
        return Failure(chapter, message, service, cause=FailureCause.STOPPED)

    async def wait(self) -> str:
        """Wait until the run is halted, and return the reason."""
        await self._event.wait()
        return self._first.message if self._first else ""


class Run:
    """A plan that is being executed. ``attempt`` prefixes the records of a retried turn-back."""

    def __init__(self, plan: Plan, ports: Ports, engine: WorkflowEngine, attempt: str = "") -> None:
        self.plan = plan
        self.ports = ports
        self.halt = Halt()
        self.probe_interval = max(0.25, len(plan.rollouts) / MAX_PROBES_PER_SECOND)
        self.staged = {part.name: asyncio.Event() for part in plan.rollouts}
        self.candidates: dict[str, Version] = {}
        self.gates_passed = asyncio.Event()
        self.approved = asyncio.Event()
        if not plan.awaits_approval:
            self.approved.set()
        self.built: dict[str, asyncio.Future[ReleasePart]] = {part.name: asyncio.Future() for part in plan.rollouts}
        self.unsigned: dict[str, str] = {}
        """Why this process did not sign what it built, by service."""
        self._passed_gates = set[str]()
        self.mark_gates_passed()
        self.maintenance = asyncio.Lock()
        """Held by whoever changes which services are in maintenance."""
        self.restoring: asyncio.Future[None] | None = None
        self.redactor = Redactor(deployment_secrets(plan, ports))
        self._engine = engine
        self._attempt = attempt
        self._event_batcher = Batcher(self._write_events)

    def mark_gates_passed(self, *gates: str) -> None:
        """Mark gates as passed. When all have passed, ``gates_passed`` is set."""
        self._passed_gates.update(gates)
        if len(self._passed_gates) == len(self.plan.gates):
            self.gates_passed.set()

    def mark_candidate_ready(self, candidate: Version) -> None:
        """Publish a candidate that is ready for users to the rollouts that wait for it."""
        self.candidates[candidate.service] = candidate
        self.staged[candidate.service].set()

    def candidate_commit(self, part: ServicePlan) -> str:
        """Return the commit of a candidate: an earlier one if its artifact was reused."""
        built = self.built_part(part)
        return built.commit if built else part.commit

    def built_part(self, part: ServicePlan) -> ReleasePart | None:
        """Return the artifact of a service in this deployment, None if it is not built yet."""
        built = self.built.get(part.name)
        return built.result() if built and built.done() else None

    async def record(self, key: str, kind: EventKind, message: str = "", **fields: Any) -> None:  # noqa: ANN401 (Event's fields)
        """Record an event of this deployment, redacted. A second event with the same key is ignored."""
        await self._event_batcher.submit(self._event(key, kind, message, **fields))

    def _event(self, key: str, kind: EventKind, message: str, **fields: Any) -> Event:  # noqa: ANN401 (Event's fields)
        redacted = {**fields, "data": self.redactor.redact_value(fields["data"])} if fields.get("data") else fields
        message = self.redactor.redact_text(message)
        return Event(self.plan.deployment, self._attempt + key, kind, message, **redacted)

    async def publish(self, patience: float) -> str:
        """Wait up to ``patience`` seconds until others can read the record; return why they cannot, "" if they can."""
        return await asyncio.to_thread(self.ports.ledger.flush, patience)

    async def _write_events(self, events: Sequence[Event]) -> list[Exception | None]:
        await asyncio.to_thread(self.ports.ledger.append_events, *events)
        return [None] * len(events)

    def reporter(self, chapter: Chapter) -> Reporter:
        """Return the function by which platforms report progress in a chapter."""

        async def report(service: str, text: str) -> None:
            await self.record(
                f"{service}/{chapter}/note/{text}", EventKind.NOTE, text, service=service, chapter=chapter
            )

        return report

    async def enter_state(
        self, state: DeploymentState, message: str = "", chapter: Chapter | None = None, **data: object
    ) -> None:
        """Record a new state of the deployment, and its chapter if that is not the latest."""
        await self.record(f"state/{state}", EventKind.STATE, message, state=state, chapter=chapter, data=data)

    async def run_chapter(
        self,
        chapter: Chapter,
        work: Callable[[], Awaitable[T | Failure]],
        kind: TypeForm[T] | None = None,
        service: str | None = None,
        variant: str = "",
    ) -> T | Failure:
        """Run one chapter, of one service or of all, as one recorded step.

        Returns the result of ``work``, of type ``kind``. A failure halts the run. ``variant`` distinguishes
        repeated chapters.
        """
        key = "/".join(filter(None, (service, chapter, variant)))
        label = variant if chapter is Chapter.GATES else ""

        async def step() -> tuple[Json, Sequence[Event]]:
            if chapter in _STOPPABLE and (stopping := self.halt.stop_failure(chapter, service)):
                return {"failure": dump(stopping)}, ()
            await self.record(f"{key}/started", EventKind.STARTED, label, service=service, chapter=chapter)
            outcome = self._redacted(await self._run_catching_errors(chapter, key, work, service))
            events = list(self._end_events(key, chapter, service, outcome, label))
            if isinstance(outcome, Failure):
                return {"failure": dump(outcome)}, events
            return {"result": dump(outcome, kind) if kind else None}, events

        answer = await self._engine.run_step(key, step)
        if "failure" in answer:
            failure = load(Failure, answer["failure"])
            self.halt.set(failure)
            return failure
        return cast("T", load(kind, answer["result"]) if kind else None)

    def _redacted(self, outcome: T | Failure) -> T | Failure:
        """Return the outcome with its failures redacted, since they quote platforms and programs."""
        if isinstance(outcome, Failure):
            return load(Failure, self.redactor.redact_value(dump(outcome)))
        if isinstance(outcome, list) and only_failures(outcome):
            return cast("T", [self._redacted(item) for item in outcome])
        return outcome

    def _end_events(
        self, key: str, chapter: Chapter, service: str | None, outcome: object, label: str
    ) -> Iterator[Event]:
        for failure in only_failures(outcome if isinstance(outcome, list) else [outcome]):
            kind = (
                EventKind.FAILED if failure.cause in {FailureCause.FAULT, FailureCause.REFUSED} else EventKind.STOPPED
            )
            name = failure.service or service
            data = {"log": list(failure.log)}
            yield self._event(f"{key}/{name}/failed", kind, failure.message, service=name, chapter=chapter, data=data)
        if not isinstance(outcome, Failure):
            yield self._event(f"{key}/ended", EventKind.FINISHED, label, service=service, chapter=chapter)

    async def _run_catching_errors(
        self, chapter: Chapter, key: str, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        try:
            return await self._run_through_outages(chapter, key, work, service)
        except StateError:
            raise
        except AbreastError as error:
            return Failure(chapter, str(error), service)
        except Exception as error:  # noqa: BLE001 (any error in a chapter must turn the deployment back)
            return Failure(chapter, f"unexpected error: {type(error).__name__}: {error}", service)

    async def _run_through_outages(
        self, chapter: Chapter, key: str, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        """Run ``work`` again while a provider is unavailable. What it began before is found, as after a crash."""
        clock = asyncio.get_running_loop().time
        away_since, pause, patience = float("inf"), 1.0, self._patience(service)
        while True:
            began = clock()
            try:
                return await self._run_with_retries(chapter, key, work, service)
            except UnavailableError as error:
                if clock() - began > LONGEST_REQUEST:  # it answered in between: this is another outage
                    away_since, pause = float("inf"), 1.0
                away_since = min(away_since, clock())
                if clock() + pause - away_since > patience:
                    raise
                note = f"{error.what}; asking again for up to {patience:.0f} s"
                await self.record(f"{key}/outage", EventKind.RETRY, note, service=service, chapter=chapter)
            if chapter in _STOPPABLE:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.halt.wait(), pause)
                if stopping := self.halt.stop_failure(chapter, service):
                    return stopping
            else:
                await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_OUTAGE_PAUSE)

    def _patience(self, service: str | None) -> float:
        timeouts = (part.service.build.timeout for part in self.plan.services if service in {None, part.name})
        return min(MAX_OUTAGE, max(timeouts, default=MAX_OUTAGE))

    async def _run_with_retries(
        self, chapter: Chapter, key: str, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        async for attempt in stamina.retry_context(TransientError, attempts=3, wait_initial=0.2, wait_max=5.0):
            with attempt:
                if attempt.num > 1:
                    note = f"attempt {attempt.num} of 3"
                    await self.record(
                        f"{key}/retry-{attempt.num}", EventKind.RETRY, note, service=service, chapter=chapter
                    )
                return await self._run_unless_halted(chapter, work, service)
        raise AssertionError("the last attempt returns or raises")

    async def _run_unless_halted(
        self, chapter: Chapter, work: Callable[[], Awaitable[T | Failure]], service: str | None
    ) -> T | Failure:
        """Run ``work``; if the chapter is interruptible, cancel it when the run is halted."""
        working, halted = asyncio.ensure_future(work()), asyncio.ensure_future(self.halt.wait())
        try:
            await asyncio.wait(
                [working, halted] if chapter in _INTERRUPTIBLE else [working], return_when=asyncio.FIRST_COMPLETED
            )
            stopping = None if working.done() else self.halt.stop_failure(chapter, service)
            return stopping or await working
        finally:
            for task in (working, halted):
                task.cancel()
            await asyncio.wait([working, halted])


def deployment_secrets(plan: Plan, ports: Ports) -> Iterator[str]:
    """Yield every secret that this deployment could print: those of its services and those of abreast itself."""
    yield from ports.known_secrets
    for part in plan.traffic_changes:
        with suppress(UsageError):
            yield from (secret.reveal() for secret in ports.reveal_secrets(part.service).values())
            yield from (secret.reveal() for secret in rehearsal_secrets(ports, part.service).values())
    for part in plan.services:
        if part.service.database is None:
            continue
        with suppress(AbreastError):
            yield from url_credentials(ports.open_database(part.service).connection_url())


def only_failures(outcomes: Sequence[object]) -> list[Failure]:
    """Return the failures among the outcomes; those that only stopped because of another come last."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    return sorted(failures, key=lambda failure: failure.cause is FailureCause.STOPPED)
