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
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or [EVERYTHING]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    found = []
    for file in files:
        pattern = next((one for one in wanted if _matches(file, one)), None)
        if pattern and not any(_matches(file, one) for one in unwanted):
            found.append((file, pattern))
    return tuple(found)


def _matches(file: str, pattern: str) -> bool:
    return glob.globmatch(file, pattern, flags=_FLAGS)
