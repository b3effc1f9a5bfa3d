"""The texts of the workflows for GitHub Actions. `github_actions.py` fills them."""

FOLDER = ".github/workflows"
CHECKOUT_ACTION = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
CACHE_ACTION = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae # v5.0.5"
SETUP_NODE_ACTION = "actions/setup-node@820762786026740c76f36085b0efc47a31fe5020 # v7.0.0"
RUNNER = "ubuntu-24.04"
ATTEST_EXTRA = "attest"
"""What jobs that build need of abreast to sign."""

HEADER = """# Written by `abreast init --github` from abreast.yml. It is yours: change it, and keep your changes.
# https://docs.github.com/actions/reference/workflow-syntax-for-github-actions"""

CI = """@header@
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

PLAN_STEP = """- uses: @abreast@
  with:
    command: plan --comment
    environment: @environment@
    @extras@
  @env@"""

DEPLOY = """@header@
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

SERVICE_INPUT = """service:
  description: Which service
  type: choice
  default: all
  options: [all, @services@]"""

SKIP_GATE_INPUT = """skip-gate:
  description: Skip a gate that the environment allows to skip; needs a reason
  type: choice
  default: none
  options: [none, @gates@]"""

DEPLOY_JOB = """@name@:
  name: deploy to @name@
  if: @condition@
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # what is live, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment on the commit's pull request
    id-token: write # who acts, in the record, and who signs what is built: GitHub vouches for this run
    attestations: write # the signatures, kept by GitHub
    artifact-metadata: write # what runs where, in an organization
    @reviews@
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
      @signing_env@
"""

ROLLBACK = """@header@
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
      emergency:
        description: Wait for no approval
        type: boolean
        default: false

permissions: {}

jobs:
  @jobs@
"""

ROLLBACK_JOB = """@name@:
  name: roll back @name@
  if: inputs.environment == '@name@'
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # what is live, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment on the commit's pull request
    id-token: write # who acts, in the record, and who signs what is built: GitHub vouches for this run
    attestations: write # the signatures, kept by GitHub
    artifact-metadata: write # what runs where, in an organization
    @reviews@
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
        emergency: ${{ inputs.emergency }}
        @signing_extras@
      @signing_env@
"""

PROMOTE = """@header@
name: Promote

on:
  workflow_dispatch:
    inputs:
      environment:
        description: Where to
        type: choice
        required: true
        options: [@environments@]
      release:
        description: Which release, such as v41; empty for what was deployed last to the environment before
        type: string
      deployment:
        description: Or the id of a deployment to the environment before
        type: string
      reason:
        description: Why, for the record
        type: string

permissions: {}

jobs:
  @jobs@
"""

PROMOTE_JOB = """@name@:
  name: promote to @name@
  if: inputs.environment == '@name@'
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # what is live, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment on the commit's pull request
    id-token: write # who acts, in the record, and who signs what is built: GitHub vouches for this run
    attestations: write # the signatures, kept by GitHub
    artifact-metadata: write # what runs where, in an organization
    @reviews@
  environment: {name: @name@, deployment: false}
  concurrency: {group: abreast-@name@, queue: max, cancel-in-progress: false}
  steps:
    @checkout@
    - uses: @abreast@ # nothing is built, but what is no longer stored
      with:
        command: promote
        environment: @name@
        release: ${{ inputs.release }}
        deployment: ${{ inputs.deployment }}
        reason: ${{ inputs.reason }}
        @signing_extras@
      @signing_env@
"""

BACKUP = """@header@
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

BACKUP_JOB = """@name@:
  name: back up @name@
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of backups is a ref of this repository
    id-token: write # who acts, in the record: GitHub vouches for this run
  environment: {name: @name@, deployment: false}
  concurrency: {group: abreast-@name@-backup, queue: max, cancel-in-progress: false}
  steps:
    @checkout@
    - uses: @abreast@
      with:
        command: ${{ (github.event.schedule == '@drill@' || inputs.command == 'drill') && 'db drill' || 'db backup' }}
        environment: @name@
        @extras@
      @signing_env@
"""

PREVIEW = """@header@
name: Preview

on:
  pull_request:
    types: [opened, synchronize, reopened, closed]
  schedule:
    - cron: "@sweep@" # previews past their time, and those of which the end was missed

permissions: {}

jobs:
  @jobs@
"""

PREVIEW_JOBS = """@name@:
  name: preview of @name@
  if: >- # not of a fork, which gets no secrets
    github.event_name == 'pull_request' && github.event.action != 'closed'
    && !github.event.pull_request.head.repo.fork
  runs-on: @runner@
  timeout-minutes: 60
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # where the preview is, shown by GitHub
    checks: write # the outcome, on the commit
    pull-requests: write # the same, as a comment
  environment: {name: @name@-preview, deployment: false} # its secrets are read by what pull requests build
  concurrency: {group: "abreast-@name@-pr-${{ github.event.number }}", queue: max, cancel-in-progress: false}
  steps:
    @head_checkout@
    @tools@
    - uses: @abreast@
      with:
        command: deploy
        environment: @name@-pr-${{ github.event.number }}
        @extras@
      @env@

@name@-removal:
  name: remove previews of @name@
  if: >-
    github.event_name == 'schedule'
    || (github.event.action == 'closed' && !github.event.pull_request.head.repo.fork)
  runs-on: @runner@
  timeout-minutes: 30
  permissions:
    contents: write # the record of deployments is a ref of this repository
    deployments: write # the preview is gone
    checks: write # the same, as a check
    pull-requests: write # which are open, and the comment
    id-token: write # who acts, in the record: GitHub vouches for this run
  environment: {name: @name@-preview, deployment: false}
  concurrency: {group: "abreast-@name@-pr-${{ github.event.number }}", queue: max, cancel-in-progress: false}
  steps:
    @default_checkout@
    - uses: @abreast@
      with:
        command: ${{ github.event_name == 'schedule' && 'down --expired' || 'down' }}
        environment: "@name@${{ github.event_name == 'pull_request' && format('-pr-{0}', github.event.number) || '' }}"
        @extras@
      @env@
"""

CHECKOUT_STEP = f"""- uses: {CHECKOUT_ACTION}
  with: {{fetch-depth: 0, persist-credentials: false}} # the history tells what changed"""

CHECKOUT_HERE_STEP = f"""- uses: {CHECKOUT_ACTION}
  with: {{fetch-depth: 0, persist-credentials: false, clean: false}} # .abreast is what runs on this machine"""

HEAD, DEFAULT_BRANCH = "github.event.pull_request.head.sha", "github.event.repository.default_branch"
"""What the jobs of a preview check out: not the merge, which is nobody's commit and ends with the pull request."""

CACHE_STEP = f"""- uses: {CACHE_ACTION}
  with:
    path: |
      @folders@
    key: packages-${{{{ runner.os }}}}-${{{{ hashFiles(@globs@) }}}}
    restore-keys: packages-${{{{ runner.os }}}}-"""
