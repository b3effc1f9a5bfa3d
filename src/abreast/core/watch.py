"""Which changed files count for a service: globs as the paths-filter action knows them."""

from collections.abc import Sequence

from wcmatch import glob

_FLAGS = glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE | glob.EXTGLOB | glob.FORCEUNIX
EVERYTHING = "**"


def decide(patterns: Sequence[str], files: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the files that count, each with the pattern that decided.

    A file counts when a pattern matches it and none that begins with ``!`` does. Without a pattern, or with
    negations only, every other file counts.
    """
    wanted = [pattern for pattern in patterns if not _negates(pattern)] or [EVERYTHING]
    unwanted = [pattern[1:] for pattern in patterns if _negates(pattern)]
    found = []
    for file in files:
        pattern = next((one for one in wanted if _matches(file, one)), None)
        if pattern and not any(_matches(file, one) for one in unwanted):
            found.append((file, pattern))
    return tuple(found)


def check(pattern: str) -> str:
    """Return the pattern; raises ValueError if it is no glob that could be matched."""
    try:
        _matches("any", pattern.removeprefix("!"))
    except Exception as error:  # noqa: BLE001 (the library's own has no public name)
        raise ValueError(f"not a glob that could be matched: {error}") from None
    return pattern


def _negates(pattern: str) -> bool:
    return pattern.startswith("!") and not pattern.startswith("!(")


def _matches(file: str, pattern: str) -> bool:
    return glob.globmatch(file, pattern, flags=_FLAGS)
