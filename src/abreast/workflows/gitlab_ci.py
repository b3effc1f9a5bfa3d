"""A pipeline for GitLab: gates of merge requests, deployments, rollbacks by hand, backups on a schedule."""

from collections.abc import Mapping

from abreast.core.rollback import RollbackCause
from abreast.workflows.interface import DeployTarget, Pipeline, fill

FILE = ".gitlab-ci.yml"

_PIPELINE = """# Written by `abreast init --gitlab` from abreast.yml. It is yours: change it, and keep your changes.
# https://docs.gitlab.com/ci/yaml/

stages: [check, deploy, rollback, backup]

workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    @branch_rules@

variables:
  ABREAST_STATE: git # allow it: Settings → CI/CD → Job token permissions → Git push requests
  GIT_DEPTH: "0" # the history tells what changed
  UV_CACHE_DIR: .cache/uv
  @clean_flags@

# GitLab gives a job all variables of its environment, and those of all environments (*) to each job.
# @signing_secrets@ signs the record: make it a masked and protected variable of @environments@, never of (*).

.abreast:
  image: python:3.13 # or another one with git, Python 3.11 or newer, and what your builds need, such as Node
  before_script:
    - pip install --quiet uv
    - uv tool install --quiet "@requirement@"
    - export PATH="$HOME/.local/bin:$PATH"
  cache: {key: abreast-@short_commit@, paths: [.cache/uv]}
  timeout: 1h
  artifacts:
    when: on_failure
    paths: [.abreast/logs/deployments]
    expire_in: 2 weeks

.acting:
  extends: .abreast
  id_tokens:
    ABREAST_ID_TOKEN: {aud: abreast} # who acts, in the record: GitLab vouches for this job

gates:
  extends: .abreast
  stage: check
  interruptible: true
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  script:
    - abreast gates --env @checked@

@jobs@
"""

_JOBS = """deploy-@name@:
  extends: .acting
  stage: deploy
  interruptible: false
  resource_group: @name@
  environment: @name@ # variables of this environment only
  @machine@
  rules:
    @deploy_rules@
  script:
    - abreast deploy --env @name@ --yes

rollback-@name@: # by hand, with these variables
  extends: .acting
  stage: rollback
  interruptible: false
  resource_group: @name@-rollback # it turns back the deployment that is running, and does not wait for it
  environment: @name@
  @machine@
  variables:
    RELEASE: "" # such as v41; empty for the last good one
    SERVICE: "" # @services@; empty for all
    REASON: "" # @reasons@
  rules:
    - if: $CI_PIPELINE_SOURCE != "merge_request_event" && $CI_PIPELINE_SOURCE != "schedule"
      when: manual
      allow_failure: true
  script:
    - >-
      abreast rollback --env @name@ --yes ${RELEASE:+"--to=$RELEASE"} ${SERVICE:+"--service=$SERVICE"}
      "--reason=${REASON:?}"
"""

_BACKUP_JOB = """
backup-@name@: # a schedule of pipelines with the variable ABREAST_RUN: `db backup` nightly, `db drill` weekly
  extends: .acting
  stage: backup
  interruptible: false
  resource_group: @name@-backup
  environment: @name@
  @machine@
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule" && $ABREAST_RUN == "db backup"
    - if: $CI_PIPELINE_SOURCE == "schedule" && $ABREAST_RUN == "db drill"
  script:
    - abreast $ABREAST_RUN --env @name@
"""

_PREVIEW_JOBS = """
preview-@name@: # not of a fork, which gets no variables
  extends: .acting
  stage: deploy
  interruptible: false
  resource_group: @name@-pr-$CI_MERGE_REQUEST_IID
  environment: {name: @name@-pr-$CI_MERGE_REQUEST_IID, on_stop: remove-preview-@name@} # its variables: @name@-pr-*
  @machine@
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event" && $CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID
  script:
    - abreast deploy --env "@name@-pr-$CI_MERGE_REQUEST_IID" --yes

remove-preview-@name@: # also by itself, when the merge request is merged or closed
  extends: .acting
  stage: deploy
  interruptible: false
  resource_group: @name@-pr-$CI_MERGE_REQUEST_IID
  environment: {name: @name@-pr-$CI_MERGE_REQUEST_IID, action: stop}
  @machine@
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event" && $CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID
      when: manual
      allow_failure: true
  script:
    - abreast down --env "@name@-pr-$CI_MERGE_REQUEST_IID" --yes

expired-previews-@name@: # a schedule of pipelines with the variable ABREAST_RUN: `down --expired` daily
  extends: .acting
  stage: deploy
  interruptible: false
  environment: {name: @name@-pr-0, action: prepare} # for its variables; 0 is no merge request
  @machine@
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule" && $ABREAST_RUN == "down --expired"
  script:
    - abreast down --expired --env @name@ --yes
"""

_MACHINE = "tags: [@name@] # a runner on that machine, with the shell executor"


def write_workflows(pipeline: Pipeline) -> Mapping[str, str]:
    """Return the text of the pipeline by its path."""
    extras = f"[{','.join(pipeline.extras)}]" if pipeline.extras else ""
    source = f"git+https://github.com/{pipeline.source.repository}@{pipeline.source.commit}"
    own_machine = any(target.is_own_machine for target in pipeline.targets)
    return {
        FILE: fill(
            _PIPELINE,
            branch_rules="\n".join(f'- if: $CI_COMMIT_BRANCH == "{branch}"' for branch in pipeline.branches),
            clean_flags="GIT_CLEAN_FLAGS: none # .abreast is what runs on a machine of your own" if own_machine else "",
            signing_secrets=", ".join(pipeline.signing_secrets),
            environments=", ".join(target.name for target in pipeline.targets),
            requirement=f"abreast{extras} @ {source}",
            short_commit=pipeline.source.commit[:12],
            checked=pipeline.pushed_targets[0].name,
            jobs="\n".join(_jobs(pipeline, target) for target in pipeline.targets).rstrip(),
        )
    }


def _jobs(pipeline: Pipeline, target: DeployTarget) -> str:
    """Return the jobs of one environment."""
    return fill(
        _JOBS + (_BACKUP_JOB if target.has_backups else "") + (_PREVIEW_JOBS if target.has_previews else ""),
        name=target.name,
        machine=fill(_MACHINE, name=target.name).rstrip() if target.is_own_machine else "",
        services=", ".join(pipeline.services),
        reasons=", ".join(RollbackCause),
        deploy_rules=_deploy_rules(pipeline, target),
    )


def _deploy_rules(pipeline: Pipeline, target: DeployTarget) -> str:
    """Return when an environment is deployed: by a push to its branch, or else by hand."""
    branch = target.branch or pipeline.branches[0]
    pushed = f'- if: $CI_COMMIT_BRANCH == "{branch}" && $CI_PIPELINE_SOURCE != "schedule"'
    return pushed if target.branch else f"{pushed}\n  when: manual\n  allow_failure: true"
