"""Which changed files count for a service: globs as the paths-filter action knows them."""

from collections.abc import Sequence
from functools import lru_cache

from abreast.core.changes.glob import Glob

EVERYTHING = "**"


def match_files(
    patterns: Sequence[str], files: Sequence[str], extra_patterns: Sequence[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return the files that count, each with the pattern that decided, in order of the files.

    A file counts when a pattern, or one of ``also``, matches it and none that begins with ``!`` does. Without a
    pattern, or with negations only, every other file counts.
    """
    wanted = [pattern for pattern in patterns if not _is_negated(pattern)] or [EVERYTHING]
    ordered = sorted(files)
    found: dict[str, str] = {}
    for pattern in (*wanted, *extra_patterns):
        for file in _cached_glob(pattern).filter_sorted(ordered):
            found.setdefault(file, pattern)
    for pattern in patterns:
        if _is_negated(pattern) and found:
            for file in list(_cached_glob(pattern[1:]).filter_sorted(sorted(found))):
                del found[file]
    return tuple(sorted(found.items()))


def validate_pattern(pattern: str) -> str:
    """Return the pattern; raises ValueError if it is no glob that could be matched."""
    glob = pattern.removeprefix("!") if _is_negated(pattern) else pattern
    if _is_negated(glob):
        raise ValueError("not a glob: it is negated twice")
    try:
        _ = Glob(glob).regex
    except ValueError as error:
        raise ValueError(f"not a glob: {error}") from None
    return pattern


def _is_negated(pattern: str) -> bool:
    return pattern.startswith("!") and not pattern.startswith("!(")


_cached_glob = lru_cache(maxsize=4096)(Glob)
