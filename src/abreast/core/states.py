"""States of a deployment and their transitions."""

from enum import StrEnum

from abreast.core.errors import StateError


class DeploymentState(StrEnum):
    """The state of a deployment."""

    WAITING = "waiting"
    RUNNING = "running"
    APPROVING = "approving"
    TURNING_BACK = "turning-back"
    SUCCEEDED = "succeeded"
    TURNED_BACK = "turned-back"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    STUCK = "stuck"

    @property
    def is_final(self) -> bool:
        """Whether the deployment is over. A stuck one is not: it can be resumed."""
        return not _TRANSITIONS[self]

    @property
    def exit_code(self) -> int:
        """The exit code of a command that followed the deployment to this state."""
        if self in {DeploymentState.SUCCEEDED, DeploymentState.SUPERSEDED, DeploymentState.APPROVING}:
            return 0
        return 1 if self in {DeploymentState.TURNED_BACK, DeploymentState.CANCELLED} else 4


_TRANSITIONS: dict[DeploymentState, frozenset[DeploymentState]] = {
    DeploymentState.WAITING: frozenset(
        {DeploymentState.RUNNING, DeploymentState.CANCELLED, DeploymentState.SUPERSEDED}
    ),
    DeploymentState.RUNNING: frozenset(
        {DeploymentState.APPROVING, DeploymentState.TURNING_BACK, DeploymentState.SUCCEEDED}
    ),
    DeploymentState.APPROVING: frozenset(
        {DeploymentState.RUNNING, DeploymentState.TURNING_BACK, DeploymentState.SUPERSEDED}
    ),
    DeploymentState.TURNING_BACK: frozenset(
        {DeploymentState.TURNED_BACK, DeploymentState.CANCELLED, DeploymentState.STUCK}
    ),
    DeploymentState.STUCK: frozenset({DeploymentState.TURNING_BACK}),
    DeploymentState.SUCCEEDED: frozenset(),
    DeploymentState.TURNED_BACK: frozenset(),
    DeploymentState.CANCELLED: frozenset(),
    DeploymentState.SUPERSEDED: frozenset(),
}


def transition(current: DeploymentState, target: DeploymentState) -> DeploymentState:
    """Return ``target`` if the transition is allowed. Staying is allowed. Raises StateError otherwise."""
    if target is not current and target not in _TRANSITIONS[current]:
        raise StateError(f"a deployment that is {current} cannot become {target}", next="abreast history")
    return target
