"""Every change of a deployment's state, in one place."""

from enum import StrEnum

from abreast.core.errors import StateError


class State(StrEnum):
    """Where a deployment stands."""

    WAITING = "waiting"
    RUNNING = "running"
    APPROVING = "approving"
    TURNING_BACK = "turning-back"
    SUCCEEDED = "succeeded"
    TURNED_BACK = "turned-back"
    CANCELLED = "cancelled"
    STUCK = "stuck"

    @property
    def final(self) -> bool:
        """Whether the deployment is over; a stuck one is not, since it can be resumed."""
        return self in {State.SUCCEEDED, State.TURNED_BACK, State.CANCELLED}

    @property
    def exit_code(self) -> int:
        """What a command that followed the deployment to this state exits with."""
        if self is State.SUCCEEDED:
            return 0
        return 1 if self in {State.TURNED_BACK, State.CANCELLED} else 4


_ALLOWED: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.APPROVING, State.TURNING_BACK, State.SUCCEEDED}),
    State.APPROVING: frozenset({State.RUNNING, State.TURNING_BACK}),
    State.TURNING_BACK: frozenset({State.TURNED_BACK, State.CANCELLED, State.STUCK}),
    State.STUCK: frozenset({State.TURNING_BACK}),
    State.SUCCEEDED: frozenset(),
    State.TURNED_BACK: frozenset(),
    State.CANCELLED: frozenset(),
}


def advance(now: State, to: State) -> State:
    """Return ``to`` where the move is allowed (staying is); raise StateError otherwise."""
    if to is not now and to not in _ALLOWED[now]:
        raise StateError(f"a deployment that is {now} cannot become {to}", next="abreast history")
    return to
