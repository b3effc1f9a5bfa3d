"""Workflows for GitHub Actions: checks of pull requests, deployments, rollbacks and backups.

Inputs reach abreast through the action's ``with``, never as text of a script. Each job gets the secrets of its own
environment only.
"""

from collections.abc import Iterable, Mapping

from abreast.workflows.interface import ROLLBACK_REASONS, DeployTarget, Pipeline, fill

FOLDER = ".github/workflows"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
CACHE = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae # v5.0.5"
SETUP_NODE = "actions/setup-node@820762786026740c76f36085b0efc47a31fe5020 # v7.0.0"
RUNNER = "ubuntu-24.04"
ATTEST_EXTRA = "attest"
"""What jobs that build need of abreast to sign."""

_HEADER = """# Written by `abreast init --github` from abreast.yml. It is yours: change it, and keep your changes.
# https://docs.github.com/actions/reference/workflow-syntax-for-github-actions"""

_CI = """@header@
name: CI

on:
  pull_request:
  merge_group:

permissions: {}

concurrency:
  group: ci-${{ github.ref }}
  cancel-in-progress: true # of the same pull request only; a deployment is never cancelled

jobs:
  gates: # make this check required
    name: gates
    runs-on: @runner@
    timeout-minutes: 30
    permissions:
      contents: read
    steps:
      @checkout@
      @tools@
      - uses: @abreast@
        with:
          command: gates
          environment: @environment@
          @extras@

  plan: # as a comment; of a fork, whose token may not write one, in the summary of the run
    name: plan
    if: github.event_name == 'pull_request'
    runs-on: @runner@
    timeout-minutes: 10
    continue-on-error: ${{ github.event.pull_request.head.repo.fork }} # which gets no secrets
    permissions:
      contents: read
      pull-requests: write # the comment
    environment: {name: pull-request, deployment: false} # its secrets need to read only
    steps:
      @checkout@
      @plans@
"""

_PLAN_STEP = """- uses: @abreast@
  with:
    command: plan --comment
    environment: @environment@
    @extras@
  @env@"""

_DEPLOY = """@header@
name: Deploy

on:
  push:
    branches: [@branches@]
  workflow_dispatch:
    inputs:
      environment:
        description: Where to deploy
        type: choice
        required: true
        options: [@environments@]
      @service@
      force:
        description: Also what did not change
        type: boolean
        default: false
      allow-older:
        description: Although a newer commit is live, or it was rolled back; needs a reason
        type: boolean
        default: false
      @skip_gate@
      reason:
        description: Why, for the record
        type: string

permissions: {}

jobs:
  @jobs@
"""

_SERVICE_INPUT = """service:
  description: Which service
  type: choice
  default: all
  options: [all, @services@]"""

_SKIP_GATE_INPUT = """skip-gate:
  description: Skip a gate that the environment allows to skip; needs a reason
  type: choice
  default: none
  options: [none, @gates@]"""

_DEPLOY_JOB = """@name@:
  name: deploy to @name@
  if: @condition@
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # what is live, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment on the commit's pull request
    id-token: write # who signs what is built: this workflow
    attestations: write # the signatures, kept by GitHub
    artifact-metadata: write # what runs where, in an organization
  environment: {name: @name@, deployment: false} # abreast reports its own deployments, one of each service
  concurrency: {group: abreast-@name@, queue: max, cancel-in-progress: false}
  steps:
    @checkout@
    @tools@
    - uses: @abreast@ # nothing if nothing changed
      with:
        command: deploy
        environment: @name@
        service: ${{ inputs.service }}
        force: ${{ inputs.force }}
        allow-older: ${{ inputs.allow-older }}
        @skip_gate@
        reason: ${{ inputs.reason }}
        @signing_extras@
      @env@
"""

_ROLLBACK = """@header@
name: Roll back

on:
  workflow_dispatch:
    inputs:
      environment:
        description: Where
        type: choice
        required: true
        options: [@environments@]
      release:
        description: Which release to return to, such as v41; empty for the last good one
        type: string
      @service@
      reason:
        description: Why
        type: choice
        required: true
        options: [@reasons@]
      details:
        description: More about it, for the record
        type: string

permissions: {}

jobs:
  @jobs@
"""

_ROLLBACK_JOB = """@name@:
  name: roll back @name@
  if: inputs.environment == '@name@'
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # what is live, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment on the commit's pull request
    id-token: write # who signs what is built: this workflow
    attestations: write # the signatures, kept by GitHub
    artifact-metadata: write # what runs where, in an organization
  environment: {name: @name@, deployment: false}
  # not in the queue of deployments: it turns back the one that is running
  concurrency: {group: abreast-@name@-rollback, queue: max, cancel-in-progress: false}
  steps:
    @checkout@
    - uses: @abreast@
      with:
        command: rollback
        environment: @name@
        service: ${{ inputs.service }}
        to: ${{ inputs.release }}
        reason: "${{ inputs.reason }}${{ inputs.details && ': ' }}${{ inputs.details }}"
        @signing_extras@
      @env@
"""

_BACKUP = """@header@
name: Back up

on:
  schedule:
    - cron: "@backup@" # a backup, verified by restoring it into a copy
      timezone: "@timezone@"
    - cron: "@drill@" # a drill: a recovery on a copy, with its duration
      timezone: "@timezone@"
  workflow_dispatch:
    inputs:
      command:
        description: What to do
        type: choice
        default: backup
        options: [backup, drill]

permissions: {}

jobs:
  @jobs@
"""

_BACKUP_JOB = """@name@:
  name: back up @name@
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of backups is a ref of this repository
  environment: {name: @name@, deployment: false}
  concurrency: {group: abreast-@name@-backup, queue: max, cancel-in-progress: false}
  steps:
    @checkout@
    - uses: @abreast@
      with:
        command: ${{ (github.event.schedule == '@drill@' || inputs.command == 'drill') && 'db drill' || 'db backup' }}
        environment: @name@
        @extras@
      @env@
"""

_CHECKOUT = f"""- uses: {CHECKOUT}
  with: {{fetch-depth: 0, persist-credentials: false}} # the history tells what changed"""

_CHECKOUT_HERE = f"""- uses: {CHECKOUT}
  with: {{fetch-depth: 0, persist-credentials: false, clean: false}} # .abreast is what runs on this machine"""

_CACHE = f"""- uses: {CACHE}
  with:
    path: |
      @folders@
    key: packages-${{{{ runner.os }}}}-${{{{ hashFiles(@globs@) }}}}
    restore-keys: packages-${{{{ runner.os }}}}-"""


def write_workflows(pipeline: Pipeline) -> Mapping[str, str]:
    """Return the text of each workflow by its path. ``backup.yml`` only if a database has backups."""
    files = {"ci.yml": _ci(pipeline), "deploy.yml": _deploy(pipeline), "rollback.yml": _rollback(pipeline)}
    if any(target.has_backups for target in pipeline.targets):
        files["backup.yml"] = _backup(pipeline)
    return {f"{FOLDER}/{name}": text for name, text in files.items()}


def _ci(pipeline: Pipeline) -> str:
    """Return the checks. They run on a machine of GitHub: what a pull request says is nobody's yet.

    The gates run its code, and get no secret. The plan runs none, and gets those that are meant for it.
    """
    plans = [
        fill(_PLAN_STEP, environment=target.name, env=_variables(target), **_common(pipeline)).rstrip()
        for target in pipeline.pushed_targets
    ]
    return fill(
        _CI,
        runner=RUNNER,
        environment=pipeline.pushed_targets[0].name,
        checkout=_CHECKOUT,
        tools=_tools(pipeline),
        plans="\n".join(plans),
        **_common(pipeline),
    )


def _deploy(pipeline: Pipeline) -> str:
    gates = tuple(dict.fromkeys(gate for target in pipeline.targets for gate in target.skippable_gates))
    return fill(
        _DEPLOY,
        branches=_flow(pipeline.branches),
        environments=_environments(pipeline),
        service=_service_input(pipeline),
        skip_gate=fill(_SKIP_GATE_INPUT, gates=_flow(gates)).rstrip() if gates else "",
        jobs=_jobs(_DEPLOY_JOB, pipeline, pipeline.targets),
        **_common(pipeline),
    )


def _rollback(pipeline: Pipeline) -> str:
    return fill(
        _ROLLBACK,
        environments=_environments(pipeline),
        service=_service_input(pipeline),
        reasons=_flow(ROLLBACK_REASONS),
        jobs=_jobs(_ROLLBACK_JOB, pipeline, pipeline.targets),
        **_common(pipeline),
    )


def _backup(pipeline: Pipeline) -> str:
    schedule = pipeline.schedule
    return fill(
        fill(_BACKUP, jobs=_jobs(_BACKUP_JOB, pipeline, [target for target in pipeline.targets if target.has_backups])),
        backup=schedule.backup,
        drill=schedule.drill,
        timezone=schedule.timezone,
        **_common(pipeline),
    )


def _jobs(template: str, pipeline: Pipeline, targets: Iterable[DeployTarget]) -> str:
    """Return one job for each environment, since each has secrets of its own."""
    own_machines = sum(target.is_own_machine for target in pipeline.targets)
    return "\n".join(
        fill(
            template,
            name=target.name,
            condition=_condition(pipeline, target),
            runner=_runner(target, is_one_of_several=own_machines > 1),
            checkout=_CHECKOUT_HERE if target.is_own_machine else _CHECKOUT,
            tools="" if target.is_own_machine else _tools(pipeline),
            skip_gate="skip-gate: ${{ inputs.skip-gate }}" if target.skippable_gates else "",
            env=_variables(target),
            **_common(pipeline),
        )
        for target in targets
    ).rstrip()


def _common(pipeline: Pipeline) -> dict[str, str]:
    return {
        "header": _HEADER,
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


def _variables(target: DeployTarget) -> str:
    """Return the variables of an environment, each by its name: never all that GitHub has."""
    lines = [f"  {name}: ${{{{ secrets.{name} }}}}" for name in target.secrets]
    lines += [f"  {name}: ${{{{ vars.{name} }}}}" for name in target.settings]
    return "\n".join(["env:", *lines]) if lines else ""


def _tools(pipeline: Pipeline) -> str:
    """Return the steps that builds and tests need: the project's Node, and what package managers downloaded before."""
    steps = []
    if pipeline.node_version_file:
        settings = f"{{node-version-file: {pipeline.node_version_file}, package-manager-cache: false}}"
        steps.append(f"- uses: {SETUP_NODE}\n  with: {settings}")
    if pipeline.caches:
        globs = ", ".join(f"'{glob}'" for glob in dict.fromkeys(pipeline.caches.values()))
        steps.append(fill(_CACHE, folders="\n".join(pipeline.caches), globs=globs).rstrip())
    return "\n".join(steps)


def _environments(pipeline: Pipeline) -> str:
    return _flow(target.name for target in pipeline.targets)


def _service_input(pipeline: Pipeline) -> str:
    return fill(_SERVICE_INPUT, services=_flow(pipeline.services)).rstrip()


def _flow(names: Iterable[str]) -> str:
    return ", ".join(names)
