"""Tasks that belong together."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_all(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines side by side and return their results. Raises the first error once all have ended.

    ``asyncio.gather`` raises at once and leaves the others running, which then change what is being turned back.
    """
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value]
