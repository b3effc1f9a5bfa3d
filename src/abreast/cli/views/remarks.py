"""What was found, one line or a few for each."""

from collections.abc import Iterator, Sequence

from abreast.core.remarks import Remark


def lines(remarks: Sequence[Remark]) -> Iterator[str]:
    """Yield each remark with what was needed and the next command below it."""
    wide = max((len(one.about) for one in remarks), default=0)
    for one in remarks:
        first, *more = one.what.splitlines()
        yield f"  {one.level:<7}  {one.about:<{wide}}  {first}"
        needs = [f"needed: {one.need}"] if one.need else []
        then = [f"next:   {one.next}"] if one.next else []
        for line in (*more, *needs, *then):
            yield f"  {'':<7}  {'':<{wide}}    {line.strip()}"
