"""Diagnostics as text."""

from collections.abc import Iterator, Sequence

from abreast.core.diagnostics import Diagnostic


def diagnostic_lines(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """Yield each diagnostic, with what is needed and the next command below it."""
    width = max((len(diagnostic.about) for diagnostic in diagnostics), default=0)
    for diagnostic in diagnostics:
        first, *more = diagnostic.what.splitlines()
        yield f"  {diagnostic.level:<7}  {diagnostic.about:<{width}}  {first}"
        needs = [f"needed: {diagnostic.need}"] if diagnostic.need else []
        next_steps = [f"next:   {diagnostic.next}"] if diagnostic.next else []
        for line in (*more, *needs, *next_steps):
            yield f"  {'':<7}  {'':<{width}}    {line.strip()}"
