"""Commands that change what is live: they parse, ask, show, and hand over to the story."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import click

from abreast.cli.actions import masks
from abreast.cli.choosing import choose_deployment, choose_environment
from abreast.cli.hiding import know
from abreast.cli.interrupt import Interrupts
from abreast.cli.screen import Screen, out_for
from abreast.cli.views import data
from abreast.cli.views.past import next_command
from abreast.cli.views.plan import as_json as plan_json
from abreast.cli.views.plan import lines as plan_lines
from abreast.core.errors import AbreastError, DatabaseError, StateError, StuckError, UsageError
from abreast.core.model import Kind, Plan
from abreast.core.states import State
from abreast.deploy import session
from abreast.deploy.planning import Request, propose
from abreast.deploy.ports import Ports
from abreast.deploy.restore import loss
from abreast.deploy.run import secrets_of
from abreast.deploy.session import Desk
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Place


def request(
    *, services: tuple[str, ...] = (), since: str | None = None, release: str | None = None,
    reason: str = "", back: bool = False, force: bool = False, skip: tuple[str, ...] = (),
) -> Request:  # fmt: skip
    """Return what the options ask for; raises UsageError where a gate is skipped without a reason."""
    if skip and not reason.strip():
        raise UsageError(f"--skip-gate {skip[0]} without a reason", need="--reason: it stands in the ledger")
    return Request(Kind.ROLLBACK if back else Kind.DEPLOY, services, since, release, reason, force, skip)


def plan(here: Path, name: str | None, wanted: Request, *, as_json: bool) -> int:
    """Print the plan."""
    place = Place.at(here, os.environ)
    project = place.project()
    environment = project.environment(choose_environment(project.environments, name))
    know(place.secrets(environment))
    with place.ledger() as ledger:
        ports = place.ports(environment.name, ledger)
        proposed = asyncio.run(propose(ports, project.name, environment, wanted))
    _print_plan(proposed, as_json=as_json)
    return 0


def deploy(here: Path, name: str | None, wanted: Request, *, yes: bool, allow_dirty: bool, as_json: bool) -> int:
    """Plan, ask, deploy; exits 0 also when there is nothing to do."""
    place = Place.at(here, os.environ)
    project = place.project()
    environment = project.environment(choose_environment(project.environments, name))
    know(place.secrets(environment))
    with place.ledger() as ledger:
        desk = CommandDesk(place, environment.name, ledger, as_json=as_json)
        if not wanted.release:
            desk.clean(allow_dirty=allow_dirty)
        proposed = asyncio.run(propose(desk.ports(), project.name, environment, wanted))
        desk.ask(proposed, yes=yes)
        return desk.run(lambda on: session.deploy(on, project.name, environment, wanted))


def rollback(here: Path, name: str | None, wanted: Request, *, restore_data: bool, yes: bool, as_json: bool) -> int:
    """Go back: turn back what is under way, or deploy an older release."""
    place = Place.at(here, os.environ)
    project = place.project()
    environment = project.environment(choose_environment(project.environments, name))
    know(place.secrets(environment))
    with place.ledger() as ledger:
        desk = CommandDesk(place, environment.name, ledger, as_json=as_json)
        under_way = [one for one in ledger.deployments(environment.name, 1) if one.state is State.RUNNING]
        if under_way and not wanted.release:
            desk.say(f"deployment {under_way[0].id} is under way: turning it back")
            return desk.run(lambda on: session.cancel(on, under_way[0], wanted.reason), good=State.CANCELLED)
        proposed = asyncio.run(propose(desk.ports(), project.name, environment, wanted))
        if not restore_data:
            desk.ask(proposed, yes=yes)
            return desk.run(lambda on: session.deploy(on, project.name, environment, wanted))
        names = tuple(part.name for part in proposed.rollouts if part.service.database)
        back = Request(Kind.RESTORE, names, reason=wanted.reason, backup=proposed.release)
        restoring = asyncio.run(propose(desk.ports(), project.name, environment, back)) if names else None
        desk.ask(proposed, yes=yes)
        if restoring is None:
            raise UsageError(f"no service that goes back to {proposed.release} has a database")
        desk.ask_loss(restoring, yes=yes)
        services = replace(wanted, backup=proposed.release)
        code = desk.run(lambda on: session.deploy(on, project.name, environment, services))
        return code or desk.run(lambda on: session.deploy(on, project.name, environment, back))


def resume(here: Path, id: str | None, *, as_json: bool) -> int:
    """Go on with a deployment."""
    place = Place.at(here, os.environ)
    with place.ledger() as ledger:
        deployment = choose_deployment(ledger, id, unfinished=True)
        desk = CommandDesk(place, deployment.environment, ledger, as_json=as_json)
        return desk.run(lambda on: session.resume(on, deployment))


def cancel(here: Path, id: str | None, reason: str, *, as_json: bool) -> int:
    """Turn a deployment back."""
    place = Place.at(here, os.environ)
    with place.ledger() as ledger:
        deployment = choose_deployment(ledger, id, unfinished=True)
        desk = CommandDesk(place, deployment.environment, ledger, as_json=as_json)
        return desk.run(lambda on: session.cancel(on, deployment, reason), good=State.CANCELLED)


class CommandDesk:
    """One deploying command: its screen, its questions and its end."""

    def __init__(self, place: Place, environment: str, ledger: SqliteLedger, *, as_json: bool) -> None:
        self._place = place
        self._environment = environment
        self._ledger = ledger
        self.as_json = as_json
        self._screen = Screen(ledger, out_for(json=as_json))
        self._shown: Plan | None = None
        self.turned_back = False
        """Whether an interrupt turned it back."""

    def say(self, line: str) -> None:
        """Tell one line."""
        self._screen.say(line)

    def ports(self) -> Ports:
        """Return the seams of the environment."""
        return self._place.ports(self._environment, self._ledger)

    def clean(self, *, allow_dirty: bool) -> None:
        """Refuse a tree with uncommitted changes, or say what they mean."""
        changed = self.ports().source.uncommitted()
        if not changed:
            return
        listed = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        if not allow_dirty:
            raise UsageError(
                f"not committed: {listed}",
                need="a clean tree: what is deployed is what was committed",
                next="git commit, or abreast deploy --allow-dirty to leave these changes out",
            )
        self.say(f"not committed, so not deployed: {listed}")
        if any(Path(name).name == "abreast.yml" for name in changed):
            self.say("abreast.yml is used as it stands on disk, with its uncommitted changes")

    def ask(self, proposed: Plan, *, yes: bool) -> None:
        """Show the plan and, where it does something, ask whether to go on."""
        for line in plan_lines(proposed):
            self.say(line)
        if yes or not (proposed.changes or proposed.data):
            return
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes to this plan", next="the same with --yes")
        click.confirm("Go on?", abort=True, err=self.as_json)

    def ask_loss(self, proposed: Plan, *, yes: bool) -> None:
        """Say which rows and minutes a restore would lose, and ask whether to go on."""
        ports = self.ports()
        for part in proposed.data:
            assert part.data
            chosen = ports.vault.one(proposed.environment, part.name, part.data.restore)
            if not chosen.verified:
                raise DatabaseError(f"the backup {chosen.name} was never verified", next="abreast db list")
            for line in data.loss(part.name, chosen, loss(ports, part.service, chosen)):
                self.say(line)
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes to this loss", next="the same with --yes")
        click.confirm("Put it in place of what is there?", abort=True, err=self.as_json)

    def run(self, act: Callable[[Desk], Awaitable[State | None]], good: State = State.SUCCEEDED) -> int:
        """Carry out, show, and return the exit code; ``good`` is the state that was wanted."""
        state = asyncio.run(self._act(act))
        if (
            self._shown
            and state is not good
            and (hint := next_command(self._ledger.deployment(self._shown.deployment)))
        ):
            self.say(f"next: {hint}")
        if self.as_json:
            print(
                json.dumps(
                    {
                        "state": state.value if state else None,
                        "deployment": self._shown and self._shown.deployment,
                    }
                )
            )
        if state is None:
            return 0
        if state is good or self._shown is None:
            return 0
        return self._ledger.deployment(self._shown.deployment).exit_code

    async def _act(self, act: Callable[[Desk], Awaitable[State | None]]) -> State | None:
        desk = self._place.desk(self._environment, self._ledger, self.say, self._begin)
        with Interrupts(self._screen, self._ledger, lambda: self._shown) as interrupts:
            try:
                state = await act(desk)
            except StateError as error:
                raise self._left(error) from error
            await self._screen.finish()
        self.turned_back = interrupts.turned_back
        if state is None and self._shown is None:
            self.say("nothing to do: what is live is what was asked for")
        return state

    def _left(self, error: StateError) -> AbreastError:
        """Say of a deployment that could not be recorded any more that it stands where it stood."""
        if self._shown is None:
            return error
        return StuckError(error.what, need=error.need, next=f"mend that, then: abreast resume {self._shown.deployment}")

    def _begin(self, plan: Plan) -> None:
        self._shown = plan
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in masks(secrets_of(plan, self.ports())):
                print(line, file=sys.stderr, flush=True)
        self._screen.begin(plan)


def _print_plan(proposed: Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan_json(proposed), indent=2))
        return
    for line in plan_lines(proposed):
        print(line)
