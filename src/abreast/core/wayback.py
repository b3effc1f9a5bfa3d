"""The way back: which services turn back after a failure, decided as data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from abreast.core.model import Failure, OnFailure


@dataclass(frozen=True, slots=True)
class WayBack:
    """Names of the services that go back to what they were, and of those that stay on the new version."""

    back: tuple[str, ...]
    stay: tuple[str, ...] = ()


def way_back(
    names: Sequence[str],
    failures: Sequence[Failure],
    on_failure: OnFailure,
    leads: Mapping[str, Collection[str]] | None = None,
) -> WayBack:
    """Decide who of ``names``, that all have users on the new version, goes back.

    All, or with ``alone`` only those that failed and those whose users go with theirs, which ``leads`` says: by
    service, whom it leads them to. A failure that names no service is everybody's.
    """
    guilty = {failure.service for failure in failures}
    if on_failure is OnFailure.TOGETHER or None in guilty:
        return WayBack(back=tuple(names))
    bound = [{name, *others} for name, others in (leads or {}).items() if others]
    while more := {name for group in bound if group & guilty for name in group} - guilty:
        guilty |= more
    return WayBack(
        back=tuple(name for name in names if name in guilty),
        stay=tuple(name for name in names if name not in guilty),
    )
