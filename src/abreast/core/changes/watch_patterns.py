"""Match changed files against a service's patterns, like GitHub's paths-filter action."""

from collections.abc import Sequence
from functools import lru_cache

from abreast.core.changes.glob import Glob

EVERYTHING = "**"


def match_files(
    patterns: Sequence[str], files: Sequence[str], extra_patterns: Sequence[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return the matching files in order, each with the first pattern that matched.

    A file matches if one of ``patterns`` or ``extra_patterns`` does and no pattern with ``!`` excludes it. Without
    positive patterns, all files match that are not excluded.
    """
    wanted = [pattern for pattern in patterns if not _is_negated(pattern)] or [EVERYTHING]
    ordered = sorted(files)
    matched: dict[str, str] = {}
    for pattern in (*wanted, *extra_patterns):
        for file in _cached_glob(pattern).filter_sorted(ordered):
            matched.setdefault(file, pattern)
    for pattern in patterns:
        if _is_negated(pattern) and matched:
            for file in list(_cached_glob(pattern[1:]).filter_sorted(sorted(matched))):
                del matched[file]
    return tuple(sorted(matched.items()))


def validate_pattern(pattern: str) -> str:
    """Return the pattern. Raises ValueError if it is not a valid glob."""
    glob = pattern.removeprefix("!") if _is_negated(pattern) else pattern
    if _is_negated(glob):
        raise ValueError("not a glob: it is negated twice")
    try:
        _ = Glob(glob).match_path
    except ValueError as error:
        raise ValueError(f"not a glob: {error}") from None
    return pattern


def _is_negated(pattern: str) -> bool:
    return pattern.startswith("!") and not pattern.startswith("!(")


_cached_glob = lru_cache(maxsize=4096)(Glob)
