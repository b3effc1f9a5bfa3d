"""Topological order of services by ``needs``."""

from collections.abc import Mapping, Sequence


def dependency_waves(needs: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Group names into waves, each after all its dependencies. Names that are not keys count as met.

    Raises ValueError with the cycle, such as ``a → b → a``.
    """
    remaining = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
    groups: list[tuple[str, ...]] = []
    while remaining:
        ready = tuple(sorted(name for name, wanted in remaining.items() if not wanted))
        if not ready:
            raise ValueError(" → ".join(_find_cycle(remaining)))
        groups.append(ready)
        remaining = {name: wanted.difference(ready) for name, wanted in remaining.items() if name not in ready}
    return tuple(groups)


def _find_cycle(remaining: Mapping[str, set[str]]) -> list[str]:
    path = [min(remaining)]
    while path[-1] not in path[:-1]:
        path.append(min(remaining[path[-1]]))
    return path[path.index(path[-1]) :]
