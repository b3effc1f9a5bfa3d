"""``abreast promote``: the release that one environment has tried goes to the next, with the same artifacts."""

import asyncio

from abreast.cli.commands.deployments import DeployCommand
from abreast.cli.target import Target, load_target
from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.promotion import PromotionRule, promotion_refusals, soak_left
from abreast.deploy.planning import DeployRequest
from abreast.deploy.promotion import tried_release
from abreast.deploy.runtime.ports import Ports
from abreast.wiring.workspace import utc_now


def promote(
    to: str, source: str | None, release: str | None, deployment: str | None, skip_gates: tuple[str, ...], reason: str,
    *, yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Promote a release. Returns 3 if it may not be promoted yet."""
    target = load_target(to)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        request = promotion_request(target, command.ports(), source, release, deployment, reason, skip_gates)
        proposed = command.plan(target, request)
        command.confirm_plan(proposed, yes=yes)
        return command.deploy(target, request)


def promotion_request(
    target: Target, ports: Ports, source: str | None, release: str | None, deployment: str | None, reason: str,
    skip_gates: tuple[str, ...] = (),
) -> DeployRequest:  # fmt: skip
    """Return the request to deploy what was tried. Raises RefusedError if it may not be promoted yet."""
    if source is not None:
        target.project.require_environment(source)
    rule = _rule(target.environment, source)
    tried = asyncio.run(tried_release(ports, rule.source, release or "", deployment or ""))
    now = utc_now()
    if refusals := list(promotion_refusals(rule, tried, now)):
        wait = soak_left(rule, tried, now) if len(refusals) == 1 else ""
        later = f"in {wait}: abreast promote --to {target.environment.name} --release {tried.version}"
        raise RefusedError("\n".join(refusals), next=later if wait else f"abreast status --env {rule.source}")
    return DeployRequest(release=tried.version, skip_gates=skip_gates, reason=reason)


def _rule(environment: Environment, source: str | None) -> PromotionRule:
    """Return the environment's rule, or one for the source that was asked for where it has none."""
    rule = environment.promotion
    if rule is None and source is None:
        what = f"abreast.yml does not say where releases of {environment.name} come from"
        raise UsageError(what, need="--from, or `promotion: {source: …}` of the environment")
    if rule and source not in {None, rule.source}:
        raise UsageError(f"releases of {environment.name} come from {rule.source}, not from {source}")
    if source == environment.name:
        raise UsageError(f"{source} cannot be promoted to itself", need="--from with another environment")
    return rule or PromotionRule(str(source))
