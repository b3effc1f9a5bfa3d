"""What was found, one line or a few for each."""

from collections.abc import Iterator, Sequence

from abreast.core.diagnostics import Diagnostic


def diagnostic_lines(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """Yield each remark with what was needed and the next command below it."""
    wide = max((len(one.about) for one in diagnostics), default=0)
    for one in diagnostics:
        first, *more = one.what.splitlines()
        yield f"  {one.level:<7}  {one.about:<{wide}}  {first}"
        needs = [f"needed: {one.need}"] if one.need else []
        then = [f"next:   {one.next}"] if one.next else []
        for line in (*more, *needs, *then):
            yield f"  {'':<7}  {'':<{wide}}    {line.strip()}"
