"""The doctor: looks at all that a deployment needs, and changes nothing."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from abreast.cli.hiding import hide
from abreast.cli.views.remarks import lines
from abreast.config.blueprint import blueprints, compared
from abreast.core.codec import dump
from abreast.core.errors import AbreastError, ConfigError
from abreast.core.remarks import Level, Remark
from abreast.deploy import examine
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Place

PROJECT = "project"
BAD = frozenset({Level.FAULT, Level.UNKNOWN})

Findings = dict[str, list[Remark]]
"""Remarks by the environment that they are of, or PROJECT."""


def doctor(here: Path, name: str | None, *, as_json: bool) -> int:
    """Print what was found; exits 1 where something is wrong or could not be looked at."""
    place = Place.at(here, os.environ)
    found = _found(place, name)
    if as_json:
        told = {where: [dump(one, Remark) for one in remarks] for where, remarks in found.items()}
        print(hide(json.dumps(told, indent=2)))
    else:
        for line in _lines(found):
            print(hide(line))
    return 1 if any(one.level in BAD for remarks in found.values() for one in remarks) else 0


def _found(place: Place, name: str | None) -> Findings:
    try:
        project = place.project()
    except ConfigError as error:
        return {PROJECT: _faults(error)}
    if name is not None and name not in project.environments:
        project.environment(name)
    known = f"{len(project.environments)} environments: {', '.join(project.environments)}"
    drift = [Remark(Level.WARNING, "abreast.yml", one, "the same in both") for one in project.resolver.drift()]
    found: Findings = {PROJECT: [Remark(Level.OK, "abreast.yml", known), *drift]}
    try:
        ledger = place.ledger()
    except AbreastError as error:
        found[PROJECT].append(Remark.of("record", error))
        return found
    with ledger:
        found[PROJECT].append(_trail(ledger))
        asyncio.run(_look(place, ledger, [name] if name else project.environments, found))
    return found


def _trail(ledger: SqliteLedger) -> Remark:
    broken = ledger.verify()
    if broken:
        return Remark(
            Level.FAULT, "record", f"the audit trail is broken at event {broken.seq}", "a trail that is whole"
        )
    return Remark(Level.OK, "record", "the audit trail is whole")


async def _look(place: Place, ledger: SqliteLedger, names: Sequence[str], found: Findings) -> None:
    project = place.project()
    found[PROJECT] += await examine.repository(place.ports(names[0], ledger))
    for name in names:
        try:
            described = project.environment(name)
        except ConfigError as error:
            found[name] = _faults(error)
            continue
        found[name] = [*_locked(place, name), *compared(described, blueprints(place.root))]
        found[name] += await examine.environment(place.ports(name, ledger), described)


def _locked(place: Place, name: str) -> Iterator[Remark]:
    if operator := place.lock(name).operator():
        what = f"locked by {operator.get('by') or '?'} since {operator.get('since')}: {operator.get('reason')}"
        yield Remark(Level.WARNING, "lock", what, next=f"abreast unlock --env {name}")


def _faults(error: ConfigError) -> list[Remark]:
    return [Remark(Level.FAULT, "abreast.yml", str(fault), next=error.next) for fault in error.faults]


def _lines(found: Mapping[str, Sequence[Remark]]) -> Iterator[str]:
    for where, remarks in found.items():
        yield where
        yield from lines(remarks)
    count = Counter(one.level for remarks in found.values() for one in remarks if one.level is not Level.OK)
    if not count:
        yield "nothing is wrong. next: abreast plan"
        return
    yield ", ".join(f"{number} {level}{'s' if number > 1 else ''}" for level, number in sorted(count.items()))
