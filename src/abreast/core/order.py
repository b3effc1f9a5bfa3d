"""The order that ``needs`` asks for."""

from collections.abc import Mapping, Sequence


def waves(needs: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Group names so that each comes after all it needs; needs outside of ``needs`` count as met.

    Raises ValueError that names the circle, if there is one.
    """
    left = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
    groups: list[tuple[str, ...]] = []
    while left:
        ready = tuple(sorted(name for name, wanted in left.items() if not wanted))
        if not ready:
            raise ValueError(" → ".join(_circle(left)))
        groups.append(ready)
        left = {name: wanted.difference(ready) for name, wanted in left.items() if name not in ready}
    return tuple(groups)


def _circle(left: Mapping[str, set[str]]) -> list[str]:
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(min(left[path[-1]]))
    return path[path.index(path[-1]) :]
