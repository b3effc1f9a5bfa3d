"""The syntax tree of code that others wrote."""

import ast
import warnings

MAX_DEPTH = 100
"""Levels of a tree that code can walk by recursion, long before Python's limit. Code that people write has 20 or so."""


def parse_module(text: str) -> ast.Module | None:
    """Return the tree of a Python module, None for code that does not parse or is nested deeper than MAX_DEPTH."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's remarks on the project's code
        try:
            module = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two of deep nesting
            return None
    level: list[ast.AST] = [module]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return module
    return None
