"""Feature flags: named values that differ among environments, and how a service's code gets them."""

import json
from collections.abc import Iterable, Iterator, Mapping

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Service
from abreast.core.plan import Action, ServicePlan

FlagValue = bool | int | float | str

ALL_FLAGS = "ABREAST_FLAGS"
"""The variable that holds all flags, as a JSON object."""

_PREFIX = "FLAG_"


def flag_variable(name: str) -> str:
    """Return the variable that holds one flag, such as ``FLAG_NEW_CHECKOUT``."""
    return _PREFIX + name.upper()


def flag_variables(flags: Mapping[str, FlagValue]) -> dict[str, str]:
    """Return the variables by which code gets flags: one for each, and all in one. Nothing without flags."""
    if not flags:
        return {}
    each = {flag_variable(name): _text(value) for name, value in flags.items()}
    return {**each, ALL_FLAGS: json.dumps(dict(flags), separators=(",", ":"), sort_keys=True)}


def _text(value: FlagValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def built_in_flags(service: Service) -> Mapping[str, FlagValue]:
    """Return the flags that a build gets: those of a frontend.

    A service with ``run`` reads its flags when it runs, so that one artifact serves all environments.
    """
    return {} if service.run or not service.build.run else service.flags


def flag_word(value: FlagValue | None) -> str:
    """Return a value as people say it: on, off, the value itself, or ``-`` for none."""
    if value is None:
        return "-"
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class FlagChange:
    """A flag that services get another value of; None: they had none, or get none. ``services`` are by name."""

    name: str
    before: FlagValue | None
    after: FlagValue | None
    services: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {flag_word(self.before)} → {flag_word(self.after)}"


def flag_changes(parts: Iterable[ServicePlan]) -> tuple[FlagChange, ...]:
    """Return which flags a deployment changes for services that are live, by name of the flag."""
    services: dict[tuple[str, FlagValue | None, FlagValue | None], list[str]] = {}
    for part in parts:
        if part.action is Action.DEPLOY and part.previous:
            for name, before, after in differing_flags(part.previous.definition.flags, part.service.flags):
                services.setdefault((name, before, after), []).append(part.name)
    return tuple(FlagChange(*change, tuple(names)) for change, names in sorted(services.items(), key=_order))


def _order(item: tuple[tuple[str, FlagValue | None, FlagValue | None], list[str]]) -> tuple[str, list[str]]:
    (name, _, _), services = item
    return name, services


def differing_flags(
    first: Mapping[str, FlagValue], second: Mapping[str, FlagValue]
) -> Iterator[tuple[str, FlagValue | None, FlagValue | None]]:
    """Yield the flags whose values differ, each with both."""
    for name in dict.fromkeys((*first, *second)):
        if first.get(name) != second.get(name):
            yield name, first.get(name), second.get(name)
