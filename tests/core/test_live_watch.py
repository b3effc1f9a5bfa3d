"""When what is live counts as degraded, and when as recovered."""

from itertools import pairwise

from abreast.core.live_watch import LiveWatch, describe_change

BOTH = frozenset({"api", "web"})
SICK = {"api": "status 503"}


def changes(*looks: dict[str, str], services: frozenset[str] = BOTH) -> list[str]:
    """Return what is told after each look."""
    watches = [LiveWatch()]
    for faults in looks:
        watches.append(watches[-1].with_look(faults, services))
    return [describe_change(before, after) for before, after in pairwise(watches)]


def test_three_looks_in_a_row_change_sides() -> None:
    assert changes(SICK, SICK, SICK, SICK) == ["", "", "api: status 503", ""]
    assert changes(SICK, SICK, {}, SICK, SICK, {}) == [""] * 6, "what comes and goes alarms nobody"
    assert changes(SICK, SICK, SICK, {}, {}, {}, {}) == ["", "", "api: status 503", "", "", "api answers again", ""]


def test_each_service_is_watched_on_its_own() -> None:
    both = {**SICK, "web": "no answer"}
    assert changes(SICK, SICK, both, both, both) == ["", "", "api: status 503", "", "web: no answer"]


def test_a_service_that_is_gone_is_not_degraded_any_more() -> None:
    watch = LiveWatch({"api": "status 503"})
    assert watch.with_look({}, frozenset({"web"})).degraded == {}
