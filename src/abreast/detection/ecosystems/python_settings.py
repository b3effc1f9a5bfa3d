"""The variables that a Python module reads as soon as it is imported, and does not start without."""

import ast
import re
from collections.abc import Iterable, Iterator

from abreast.detection.ecosystems.python_syntax import parse_module

_TRACES = re.compile(r"\b(environ|getenv|decouple|environs)\b")
_READERS = frozenset({"os.getenv", "os.environ.get", "environ.get", "getenv"})
_CONVERSIONS = frozenset({"int", "float", "create_engine", "create_async_engine", "Database", "AsyncEngine"})
"""Functions that fail on None: numbers, and connections to a database."""


def needed_at_import(text: str) -> list[str]:
    """Return the variables without which an import of a module fails, in their order. [] for code that does not parse.

    Only what every import evaluates counts: no functions, no branches. Known readers are ``os.getenv`` where None does
    no good, python-decouple, django-environ and environs.
    """
    module = parse_module(text) if _TRACES.search(text) else None
    return list(dict.fromkeys(_Reader(text).read(module))) if module else []


def asked_only_with_another(text: str) -> set[str]:
    """Return the variables that a module reads only where another variable is set."""
    module = parse_module(text)
    if module is None:
        return set()
    branches = (part for part in ast.walk(module) if isinstance(part, ast.If) and _asks_whether_set(part.test))
    inside = {part for branch in branches for statement in branch.body for part in ast.walk(statement)}
    return set(_subscripts(inside)) - set(_subscripts(part for part in ast.walk(module) if part not in inside))


def _asks_whether_set(test: ast.expr) -> bool:
    """Whether a condition holds where variables are set, such as ``"TOKEN" in os.environ``."""
    parts = list(ast.walk(test))
    is_negated = any(isinstance(part, ast.Not | ast.NotIn | ast.Is | ast.Eq | ast.NotEq) for part in parts)
    return not is_negated and bool(re.search(r"\b(environ|getenv)\b", ast.unparse(test)))


def _subscripts(parts: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the variables of ``os.environ["NAME"]``."""
    for part in parts:
        if isinstance(part, ast.Subscript) and ast.unparse(part.value) == "os.environ":
            yield str(getattr(part.slice, "value", ""))


class _Reader:
    """Reads a module. It knows which names of the module stand for a variable that may be missing."""

    def __init__(self, text: str) -> None:
        self._is_django = "INSTALLED_APPS" in text
        self._has_decouple = bool(re.search(r"^from decouple import\b.*\bconfig\b", text, re.MULTILINE))
        self._has_env = bool(re.search(r"\b(environ\.Env|FileAwareEnv|Env)\(", text))
        self._defaults = set(re.findall(r"\b([A-Z][A-Z0-9_]+)\s*=\s*\(\s*\w+\s*,", text)) if self._has_env else set()
        self._named: dict[str, str] = {}

    def read(self, module: ast.Module) -> Iterator[str]:
        """Yield the variables that a module needs."""
        for statement in _always_run(module.body):
            yield from self._remember(statement)
            for node in _always_evaluated(statement):
                yield from self._needs_of(node)

    def _remember(self, statement: ast.stmt) -> Iterator[str]:
        """Keep what an assignment reads; yield it if that is Django's secret, which must not be empty."""
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            return
        name, variable = statement.targets[0].id, _optional(statement.value)
        self._named.pop(name, "")
        if variable:
            self._named[name] = variable
            if name == "SECRET_KEY" and self._is_django:
                yield variable

    def _needs_of(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Attribute | ast.Subscript) and (variable := self._missing(node.value)):
            yield variable
        if not isinstance(node, ast.Call):
            return
        function = ast.unparse(node.func)
        if function.rpartition(".")[2] in _CONVERSIONS and node.args and (variable := self._missing(node.args[0])):
            yield variable
        if self._reads_strictly(function) and (variable := _only_argument(node)) and variable not in self._defaults:
            yield variable

    def _missing(self, value: ast.expr) -> str:
        """Return the variable whose value an expression is, with None where it is not set."""
        return _optional(value) or (self._named.get(value.id, "") if isinstance(value, ast.Name) else "")

    def _reads_strictly(self, function: str) -> bool:
        return (self._has_decouple and function == "config") or (
            self._has_env and bool(re.fullmatch(r"env(\.(str|bool|int|float|list|url|json|path))?", function))
        )


def _optional(value: ast.expr) -> str:
    """Return the variable that ``os.getenv("NAME")`` reads, "" for everything else."""
    return _only_argument(value) if isinstance(value, ast.Call) and ast.unparse(value.func) in _READERS else ""


def _only_argument(call: ast.Call) -> str:
    """Return the name that a reader is given without a default, "" if there is one."""
    if len(call.args) != 1 or {keyword.arg for keyword in call.keywords} - {"cast", "subcast"}:
        return ""
    name = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
    return name if isinstance(name, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name) else ""


def _always_run(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that every import runs, those of classes and ``with`` blocks among them."""
    for statement in statements:
        if isinstance(statement, ast.ClassDef | ast.With):
            yield from _always_run(statement.body)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            yield statement


def _always_evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a statement that are evaluated whatever its values are."""
    yield node
    parts: list[ast.AST]
    if isinstance(node, ast.IfExp):
        parts = [node.test]
    elif isinstance(node, ast.BoolOp):
        parts = [node.values[0]]
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        parts = [node.generators[0].iter]
    elif isinstance(node, ast.Lambda):
        parts = []
    else:
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        yield from _always_evaluated(part)
