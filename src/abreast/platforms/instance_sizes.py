"""Sizes that a provider has instances of, where ``resources`` of a service choose one."""

from collections.abc import Sequence

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Resources


@dataclass(frozen=True, slots=True)
class InstanceSize:
    """A size by the provider's name of it."""

    name: str
    resources: Resources

    def __str__(self) -> str:
        return f"{self.name} ({self.resources})"


def size_of(sizes: Sequence[InstanceSize], wanted: Resources) -> InstanceSize | None:
    """Return the size that has exactly what is wanted, None if there is none. ``sizes`` begin with the smallest."""
    return next((size for size in sizes if _is_exactly(size.resources, wanted)), None)


def require_size(provider: str, sizes: Sequence[InstanceSize], wanted: Resources) -> None:
    """Raise ValueError that names the nearest size, if none has exactly what is wanted.

    A larger one would cost more than abreast.yml says.
    """
    if size_of(sizes, wanted) is None:
        larger = next((size for size in sizes if _has_room(size.resources, wanted)), None)
        nearest = f"the nearest that has as much is {larger}" if larger else f"the largest is {sizes[-1]}"
        raise ValueError(f"{provider} has no instances of {wanted}; {nearest}")


def _is_exactly(has: Resources, wanted: Resources) -> bool:
    return wanted.cpu in {None, has.cpu} and wanted.memory in {None, has.memory}


def _has_room(has: Resources, wanted: Resources) -> bool:
    return (wanted.cpu or 0) <= (has.cpu or 0) and (wanted.memory or 0) <= (has.memory or 0)
