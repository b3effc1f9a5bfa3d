"""Diagnostics as text."""

from collections.abc import Iterator, Sequence

from abreast.core.diagnostics import Diagnostic


def diagnostic_lines(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """Yield each diagnostic, with what is needed and the next command below it."""
    width = max((len(one.about) for one in diagnostics), default=0)
    for one in diagnostics:
        first, *more = one.what.splitlines()
        yield f"  {one.level:<7}  {one.about:<{width}}  {first}"
        needs = [f"needed: {one.need}"] if one.need else []
        next_steps = [f"next:   {one.next}"] if one.next else []
        for line in (*more, *needs, *next_steps):
            yield f"  {'':<7}  {'':<{width}}    {line.strip()}"
