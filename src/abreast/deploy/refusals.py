"""What a deployment would refuse, could not succeed with, or has no need to do: told before anything is built."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

from abreast.core.approvals.rule import too_few_people
from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import AbreastError, PlatformError, RefusedError, TransientError, UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import DEFAULT_PLATFORM, Service
from abreast.core.next_commands import next_commands
from abreast.core.plan import DeploymentKind, Plan, ServicePlan
from abreast.core.states import DeploymentState
from abreast.deploy.data.maintenance import refuse_without_maintenance
from abreast.deploy.data.plan import refuse_breaking_changes
from abreast.deploy.runtime.attestations import refuse_unattested
from abreast.deploy.runtime.freezes import refuse_frozen
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.programs import INSTALLATION_PAGES, missing_program, old_node
from abreast.deploy.runtime.release_checks import refuse_incomplete
from abreast.deploy.runtime.release_history import refuse_kept_out
from abreast.ledger.interface import Deployment, Ledger
from abreast.ledger.lock import EnvironmentLock
from abreast.platforms.interface import Diagnoses, RunsHere

LISTED_FILES = 5

MAX_AGE = 5.0
"""Seconds after which an environment that was seen to be free is looked at again."""

_UNFINISHED = frozenset({DeploymentState.RUNNING, DeploymentState.APPROVING, DeploymentState.TURNING_BACK})


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a plan can be deployed: the errors that stop it, and what else a person should know before."""

    refusals: tuple[AbreastError, ...] = ()
    warnings: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise the refusals as one error, of the kind of the first."""
        if len(self.refusals) == 1:
            raise self.refusals[0]
        if self.refusals:
            raise type(self.refusals[0])("\n".join(map(str, self.refusals)))


async def assess_readiness(ports: Ports, lock: EnvironmentLock, plan: Plan) -> Readiness:
    """Return what stops the deployment of ``plan``, as far as that can be told before it. Changes nothing.

    Uncommitted changes are not part of it: see ``uncommitted_changes``.
    """
    deployments = await asyncio.to_thread(ports.ledger.deployments, plan.environment)
    refusals: list[AbreastError] = [
        *_locked(ports.ledger, plan),
        *_stuck(deployments),
        *_breaking_changes(plan),
        *refuse_unattested(ports, plan, is_deploying=False),
        *refuse_frozen(plan, ports.now()),
        *await refuse_without_maintenance(ports, plan),
        *await asyncio.to_thread(refuse_kept_out, ports.ledger, plan),
        *await refuse_incomplete(ports, plan),
        *await asyncio.to_thread(lambda: tuple(_shared_ports(ports, plan))),
    ]
    warnings = [*_unfinished(deployments, lock, is_emergency=plan.emergency), *_approval_warnings(ports, plan)]
    is_free = lock.is_free()
    for part in plan.rollouts:
        if is_free:  # or else another command starts and stops services just now
            refusals += [error async for error in _taken_port(ports, part)]
        refusals += await asyncio.to_thread(_missing_server, ports, part)
        if program := await _missing_run_program(ports, part):
            refusals.append(program)
        if old := await _old_node(ports, part):
            refusals.append(old)
        if missing := await _missing_build_program(ports, part):
            if part.previous or plan.force_rebuild:
                warnings.append(f"{missing.what}; its build fails, unless the same files were built before")
            else:
                refusals.append(missing)
    return Readiness(tuple(refusals), tuple(warnings))


def is_settled(ledger: Ledger, lock: EnvironmentLock, plan: Plan) -> bool:
    """Return whether a plan changes nothing, and holds: its environment is free, and nothing is to be finished there.

    Whoever has the environment can turn back what the plan takes for live. Raises StateError if the home of the
    ledger does not answer.
    """
    if not plan.is_empty or not lock.is_free(MAX_AGE):
        return False
    live = ledger.live_services(plan.environment)  # after the lock: a process that lets go has recorded all it did
    unfinished = {*_UNFINISHED, DeploymentState.STUCK}
    return all(part.previous == live.get(part.name) for part in plan.services) and not any(
        deployment.state in unfinished for deployment in ledger.deployments(plan.environment)
    )


def uncommitted_changes(changed: Sequence[str]) -> UsageError:
    """Return the error for uncommitted files."""
    return UsageError(
        f"uncommitted changes: {listed_files(changed)}",
        need="a clean working tree, since abreast deploys commits",
        next="git commit, or abreast deploy --allow-dirty to leave them out",
    )


def listed_files(files: Sequence[str]) -> str:
    """Return the first files, and how many more there are."""
    more = len(files) - LISTED_FILES
    return ", ".join(files[:LISTED_FILES]) + (f" and {more} more" if more > 0 else "")


def stuck_error(deployment: Deployment) -> RefusedError:
    """Return the error for a deployment whose turn-back failed."""
    commands = next_commands(deployment.state, deployment.kind, deployment.id, deployment.environment)
    return RefusedError(
        f"deployment {deployment.id} is stuck: its turn-back must finish before the next deployment",
        next=", or: ".join(commands),
    )


def _locked(ledger: Ledger, plan: Plan) -> Iterator[AbreastError]:
    try:
        ledger.check_operator_lock(plan.environment, is_repair=plan.kind is not DeploymentKind.DEPLOY)
    except RefusedError as error:
        yield error


def _stuck(deployments: Sequence[Deployment]) -> Iterator[AbreastError]:
    for deployment in deployments:
        if deployment.state is DeploymentState.STUCK:
            yield stuck_error(deployment)


def _unfinished(deployments: Sequence[Deployment], lock: EnvironmentLock, *, is_emergency: bool) -> Iterator[str]:
    if not lock.is_free():
        running = (each for each in deployments if each.state is DeploymentState.RUNNING)
        at_once = "".join(f"; {_turning_back(each, is_emergency=is_emergency)}" for each in islice(running, 1))
        yield f"process {lock.holder_pid()} works on this environment: this command waits until it ends{at_once}"
        return
    for deployment in deployments:
        if deployment.state in {DeploymentState.RUNNING, DeploymentState.TURNING_BACK}:
            is_ended = is_emergency and deployment.kind is not DeploymentKind.ROLLBACK
            what = "this turns it back" if is_ended else "deploy finishes it"
            yield f"deployment {deployment.id} was interrupted: {what} first"
        if deployment.state is DeploymentState.APPROVING:
            yield f"deployment {deployment.id} waits for an approval: this goes on with it, or replaces it"


def _turning_back(running: Deployment, *, is_emergency: bool) -> str:
    """Return how a running deployment is turned back: by an emergency, unless it is a rollback, or by a command."""
    if is_emergency and running.kind is not DeploymentKind.ROLLBACK:
        return f"it turns deployment {running.id} back"
    return f"to turn that back at once: abreast cancel {running.id}"


def _approval_warnings(ports: Ports, plan: Plan) -> Iterator[str]:
    """Yield why nobody can approve a deployment, and why nobody is sent a link to approve it by."""
    if plan.approval and plan.awaits_approval and plan.traffic_changes:
        if why := too_few_people(plan.approval, plan.authors):
            yield f"it would wait in vain: {why}; needed: more people in `approval: {{by: …}}`, or not_author: false"
        if why := ports.links_refusal(plan.environment, plan.approval):
            yield why


def _breaking_changes(plan: Plan) -> Iterator[AbreastError]:
    try:
        refuse_breaking_changes({part.name: part.database_plan for part in plan.services if part.database_plan})
    except RefusedError as error:
        yield error


def _shared_ports(ports: Ports, plan: Plan) -> Iterator[AbreastError]:
    """Yield what would be at a port of this machine together with a service that the plan leaves as it is."""
    live = ports.ledger.live_services(plan.environment)
    staying = [part.definition for name, part in live.items() if name not in {part.name for part in plan.services}]
    for part in plan.rollouts:
        if holder := next((service for service in staying if _is_at_same_port(part.service, service)), None):
            yield PlatformError(
                f"{part.name}: port {part.service.settings['port']} is that of {holder.name}, which stays live",
                need=f"another port ({part.name}: {{local: {{port: …}}}}), or a deployment in which {holder.name} goes",
                next=f"abreast deploy --env {plan.environment}, without --service",
            )


def _is_at_same_port(service: Service, other: Service) -> bool:
    own, theirs = service.settings, other.settings
    is_here = service.platform == other.platform == DEFAULT_PLATFORM and service.name != other.name
    return is_here and "port" in own and own["port"] == theirs.get("port") and own.get("host") == theirs.get("host")


async def _taken_port(ports: Ports, part: ServicePlan) -> AsyncIterator[AbreastError]:
    """Yield what a platform that runs services on this machine would fail at, such as a port that is taken."""
    platform = ports.platforms[part.service.platform]
    if not isinstance(platform, RunsHere) or not isinstance(platform, Diagnoses):
        return
    try:
        found = await platform.diagnose(part.service)
    except TransientError:
        return
    except PlatformError as error:
        yield error
        return
    for diagnostic in found:
        if diagnostic.level is DiagnosticSeverity.FAULT:
            yield PlatformError(f"{part.name}: {diagnostic.what}", need=diagnostic.need, next=diagnostic.next)


def _missing_server(ports: Ports, part: ServicePlan) -> list[AbreastError]:
    """Return the error for a server of databases that abreast is to run here, and cannot."""
    try:
        ports.servers.check([part.service])
    except AbreastError as error:
        return [error]
    return []


async def _missing_run_program(ports: Ports, part: ServicePlan) -> UsageError | None:
    """Return the error for a program that runs the service here and is not installed. A build may install it."""
    is_built = part.artifact is None and part.service.build.run
    if part.service.platform != DEFAULT_PLATFORM or is_built or _brings_programs(part.service):
        return None
    return await _missing_program(ports, part, part.service.run)


async def _old_node(ports: Ports, part: ServicePlan) -> UsageError | None:
    """Return the error for a Node that is too old for what is built or run here."""
    is_here = part.artifact is None or part.service.platform == DEFAULT_PLATFORM
    return await old_node(part.service, ports.inherited_environment) if is_here else None


async def _missing_build_program(ports: Ports, part: ServicePlan) -> UsageError | None:
    reused = part.artifact or _brings_programs(part.service)
    return None if reused else await _missing_program(ports, part, part.service.build.run)


def _brings_programs(service: Service) -> bool:
    """Return whether its environment, or what it installs, may have a program that this machine does not have."""
    return bool(service.python or service.build.install)


async def _missing_program(ports: Ports, part: ServicePlan, command: str | None) -> UsageError | None:
    if command is None or not (program := await missing_program(command, ports.inherited_environment)):
        return None
    what = f"{part.name}: `{command}`: {program} is not installed"
    return UsageError(what, need=f"{program} on the PATH", next=INSTALLATION_PAGES.get(program, ""))
