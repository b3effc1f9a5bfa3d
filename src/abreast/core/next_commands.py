"""The commands that lead out of each state of a deployment."""

from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState

_AGAIN = {
    DeploymentKind.DEPLOY: ("fix it, commit, then: abreast deploy",),
    DeploymentKind.ROLLBACK: ("fix it, then: abreast rollback", "commit a fix, then: abreast deploy"),
    DeploymentKind.MIGRATE: ("fix it, commit, then: abreast db migrate",),
    DeploymentKind.REHEARSE: ("fix it, commit, then: abreast db rehearse",),
    DeploymentKind.RESTORE: ("abreast db list shows what can be restored; then: abreast db restore BACKUP",),
    DeploymentKind.DRILL: ("fix it, then: abreast db drill",),
}
"""What to do after a deployment that changed nothing; each is followed by the environment."""

_WITH_LOGS = frozenset({DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK})
"""The kinds of deployments whose builds and candidates have output."""


def next_commands(state: DeploymentState, kind: DeploymentKind, id: str, environment: str) -> tuple[str, ...]:
    """Return the commands that lead out of a state, the usual one first. Empty if there is nothing to do.

    A deployment that is not final can be in its state without a process: after a kill, or a power failure.
    """
    if state is DeploymentState.STUCK:
        return f"abreast resume {id}", f"abreast resume {id} --accept-as-it-is --reason …"
    if state is DeploymentState.APPROVING:
        return f"abreast approve {id}", f"abreast reject {id} --reason …", f"abreast resume {id}"
    if not state.is_final:
        return f"abreast resume {id}", f"abreast cancel {id}"
    if state is DeploymentState.TURNED_BACK:
        logs = (f"abreast logs {id}",) if kind in _WITH_LOGS else ()
        return (*logs, *(f"{command} --env {environment}" for command in _AGAIN[kind]))
    return ()
