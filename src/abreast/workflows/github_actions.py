"""Workflows for GitHub Actions: checks and previews of pull requests, deployments, rollbacks and backups.

Inputs reach abreast through the action's ``with``, never as text of a script. Each job gets the secrets of its own
environment only.
"""

from collections.abc import Iterable, Mapping

from abreast.core.rollback import RollbackCause
from abreast.workflows.github_templates import (
    ATTEST_EXTRA,
    BACKUP,
    BACKUP_JOB,
    CACHE_STEP,
    CHECKOUT_HERE_STEP,
    CHECKOUT_STEP,
    CI,
    DEFAULT_BRANCH,
    DEPLOY,
    DEPLOY_JOB,
    FOLDER,
    HEAD,
    HEADER,
    PLAN_STEP,
    PREVIEW,
    PREVIEW_JOBS,
    PROMOTE,
    PROMOTE_JOB,
    ROLLBACK,
    ROLLBACK_JOB,
    RUNNER,
    SERVICE_INPUT,
    SETUP_NODE_ACTION,
    SKIP_GATE_INPUT,
)
from abreast.workflows.interface import SWEEP, DeployTarget, Pipeline, fill


def write_workflows(pipeline: Pipeline) -> Mapping[str, str]:
    """Return the text of each workflow by its path. Some only if there is something."""
    files = {"ci.yml": _ci(pipeline), "deploy.yml": _deploy(pipeline), "rollback.yml": _rollback(pipeline)}
    if any(target.has_backups for target in pipeline.targets):
        files["backup.yml"] = _backup(pipeline)
    if any(target.has_previews for target in pipeline.targets):
        files["preview.yml"] = _preview(pipeline)
    if any(target.is_promoted_to for target in pipeline.targets):
        files["promote.yml"] = _promote(pipeline)
    return {f"{FOLDER}/{name}": text for name, text in files.items()}


def _ci(pipeline: Pipeline) -> str:
    """Return the checks. They run on a machine of GitHub: what a pull request says is nobody's yet.

    The gates run its code, and get no secret. The plan runs none, and gets those that are meant for it.
    """
    plans = [
        fill(PLAN_STEP, environment=target.name, env=_variables(target), **_common(pipeline)).rstrip()
        for target in pipeline.pushed_targets
    ]
    return fill(
        CI,
        runner=RUNNER,
        environment=pipeline.pushed_targets[0].name,
        checkout=CHECKOUT_STEP,
        tools=_tools(pipeline),
        plans="\n".join(plans),
        **_common(pipeline),
    )


def _deploy(pipeline: Pipeline) -> str:
    targets = [target for target in pipeline.targets if not target.is_promoted_to]
    gates = tuple(dict.fromkeys(gate for target in targets for gate in target.skippable_gates))
    return fill(
        DEPLOY,
        branches=_flow(pipeline.branches),
        environments=_environments(targets),
        service=_service_input(pipeline),
        skip_gate=fill(SKIP_GATE_INPUT, gates=_flow(gates)).rstrip() if gates else "",
        jobs=_jobs(DEPLOY_JOB, pipeline, targets),
        **_common(pipeline),
    )


def _promote(pipeline: Pipeline) -> str:
    targets = [target for target in pipeline.targets if target.is_promoted_to]
    jobs = _jobs(PROMOTE_JOB, pipeline, targets)
    return fill(PROMOTE, environments=_environments(targets), jobs=jobs, **_common(pipeline))


def _rollback(pipeline: Pipeline) -> str:
    return fill(
        ROLLBACK,
        environments=_environments(pipeline.targets),
        service=_service_input(pipeline),
        reasons=_flow(RollbackCause),
        jobs=_jobs(ROLLBACK_JOB, pipeline, pipeline.targets),
        **_common(pipeline),
    )


def _backup(pipeline: Pipeline) -> str:
    schedule = pipeline.schedule
    return fill(
        fill(BACKUP, jobs=_jobs(BACKUP_JOB, pipeline, [target for target in pipeline.targets if target.has_backups])),
        backup=schedule.backup,
        drill=schedule.drill,
        timezone=schedule.timezone,
        **_common(pipeline),
    )


def _preview(pipeline: Pipeline) -> str:
    targets = [target for target in pipeline.targets if target.has_previews]
    return fill(PREVIEW, sweep=SWEEP, jobs=_jobs(PREVIEW_JOBS, pipeline, targets), **_common(pipeline))


def _jobs(template: str, pipeline: Pipeline, targets: Iterable[DeployTarget]) -> str:
    """Return one job for each environment, since each has secrets of its own."""
    own_machines = sum(target.is_own_machine for target in pipeline.targets)
    return "\n".join(
        fill(
            template,
            name=target.name,
            condition=_condition(pipeline, target),
            runner=_runner(target, is_one_of_several=own_machines > 1),
            checkout=_checkout(target),
            head_checkout=_checkout(target, HEAD),
            default_checkout=_checkout(target, DEFAULT_BRANCH),
            tools="" if target.is_own_machine else _tools(pipeline),
            skip_gate="skip-gate: ${{ inputs.skip-gate }}" if target.skippable_gates else "",
            reviews="actions: read # who approved this run" if target.needs_approval else "",
            env=_variables(target),
            signing_env=_variables(target, pipeline.signing_secrets),
            **_common(pipeline),
        )
        for target in targets
    ).rstrip()


def _checkout(target: DeployTarget, ref: str = "") -> str:
    """Return the step that checks out what the run is of, or what an expression of GitHub names."""
    step = CHECKOUT_HERE_STEP if target.is_own_machine else CHECKOUT_STEP
    return step.replace("{", f'{{ref: "${{{{ {ref} }}}}", ', 1) if ref else step


def _common(pipeline: Pipeline) -> dict[str, str]:
    return {
        "header": HEADER,
        "abreast": f"{pipeline.source.repository}@{pipeline.source.commit}",
        "extras": f"extras: {','.join(pipeline.extras)}" if pipeline.extras else "",
        "signing_extras": f"extras: {','.join((*pipeline.extras, ATTEST_EXTRA))}",
    }


def _runner(target: DeployTarget, *, is_one_of_several: bool) -> str:
    if not target.is_own_machine:
        return RUNNER
    return f"[self-hosted, {target.name}]" if is_one_of_several else "self-hosted"


def _condition(pipeline: Pipeline, target: DeployTarget) -> str:
    """Return when a job deploys: a push to its branch, or a person who chose it."""
    chosen = f"inputs.environment == '{target.name}'"
    if target.branch is None:
        return chosen
    pushed = "github.event_name == 'push'"
    if len(pipeline.branches) > 1:
        pushed += f" && github.ref_name == '{target.branch}'"
    return f"{pushed} || {chosen}"


def _variables(target: DeployTarget, further_secrets: tuple[str, ...] = ()) -> str:
    """Return the variables of an environment, each by its name: never all that GitHub has."""
    lines = [f"  {name}: ${{{{ secrets.{name} }}}}" for name in (*target.secrets, *further_secrets)]
    lines += [f"  {name}: ${{{{ vars.{name} }}}}" for name in target.settings]
    return "\n".join(["env:", *lines]) if lines else ""


def _tools(pipeline: Pipeline) -> str:
    """Return the steps that builds and tests need: the project's Node, and what package managers downloaded before."""
    steps = []
    if pipeline.node_version_file:
        settings = f"{{node-version-file: {pipeline.node_version_file}, package-manager-cache: false}}"
        steps.append(f"- uses: {SETUP_NODE_ACTION}\n  with: {settings}")
    if pipeline.caches:
        globs = ", ".join(f"'{glob}'" for glob in dict.fromkeys(pipeline.caches.values()))
        steps.append(fill(CACHE_STEP, folders="\n".join(pipeline.caches), globs=globs).rstrip())
    return "\n".join(steps)


def _environments(targets: Iterable[DeployTarget]) -> str:
    return _flow(target.name for target in targets)


def _service_input(pipeline: Pipeline) -> str:
    return fill(SERVICE_INPUT, services=_flow(pipeline.services)).rstrip()


def _flow(names: Iterable[str]) -> str:
    return ", ".join(names)
