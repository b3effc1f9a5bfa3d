"""How a project in Python without migrations makes the tables of a new database: by a command, or when it starts."""

import ast
import re
from collections.abc import Iterable, Iterator

from abreast.detection.ecosystems.python_syntax import parse_module
from abreast.detection.repository import Repository, relative_to

_MAIN = "__name__"
_COMMAND = re.compile(r"\b(cli|click)\.command\b")
_SCRIPT = re.compile(r"(^|/)(create|init|setup)_?(db|database|tables)\.py$")
_AT_START = re.compile(r"create_app|make_app|startup|lifespan|init_(db|models|database|tables)")
"""The usual names of what a program calls when it starts."""
_SAYS = frozenset({"click.echo", "print", "app.logger.info", "current_app.logger.info"})


def table_command(repository: Repository, folder: str) -> tuple[str, str]:
    """Return the command that makes tables and nothing else, and its file; ("", "") without one.

    That is a command of Flask which calls ``create_all``, or a script such as ``create_db.py``.
    """
    for file in repository.sources(folder, ".py"):
        text = repository.text(file)
        module = parse_module(text) if "create_all(" in text else None
        if module is None:
            continue
        for function in (each for each in module.body if isinstance(each, ast.FunctionDef)):
            if (name := _command_name(function)) and _makes_tables(function.body):
                return f"flask {name}", file
        if _SCRIPT.search(file) and _makes_tables([each for each in module.body if not _is_import(each)]):
            return f"python {relative_to(file, folder)}", file
    return "", ""


def makes_tables_at_start(repository: Repository, folder: str) -> str:
    """Return the file whose code makes missing tables whenever the program starts, "" without one."""
    for file in repository.sources(folder, ".py"):
        text = repository.text(file)
        module = parse_module(text) if "create_all" in text and not _SCRIPT.search(file) else None
        if module and any(_at_start(module.body)):
            return file
    return ""


def _at_start(statements: Iterable[ast.stmt]) -> Iterator[bool]:
    """Yield for each statement that runs at the start whether it names ``create_all``."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = " ".join(map(ast.unparse, statement.decorator_list))
            if _COMMAND.search(decorators) or not _AT_START.search(f"{statement.name} {decorators}"):
                continue
        elif isinstance(statement, ast.ClassDef) or (
            isinstance(statement, ast.If) and _MAIN in ast.unparse(statement.test)
        ):
            continue
        yield any(isinstance(node, ast.Attribute) and node.attr == "create_all" for node in ast.walk(statement))


def _command_name(function: ast.FunctionDef) -> str:
    """Return the name by which `flask` calls a function, "" if it does not, or only with arguments."""
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    found = next((decorator for decorator in decorators if _COMMAND.search(decorator)), "")
    if not found or any(".argument(" in decorator for decorator in decorators):
        return ""
    named = re.search(r"command\(['\"]([\w-]+)", found)
    return named[1] if named else function.name.replace("_", "-")


def _makes_tables(statements: list[ast.stmt]) -> bool:
    """Whether statements always call ``create_all``, and beside that only print, or do what a condition asks for."""
    parts = list(_flatten(statements))
    calls = [ast.unparse(part.func) for part in parts if isinstance(part, ast.Call)]
    return (
        any(call.endswith(".create_all") for call in calls)
        and all(call.endswith((".create_all", ".session.commit")) or call in _SAYS for call in calls)
        and all(isinstance(part, ast.Call | ast.Constant | ast.If) for part in parts)
    )


def _flatten(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield statements, those in ``with`` blocks among them, and of expressions their value."""
    for statement in statements:
        if isinstance(statement, ast.With):
            yield from _flatten(statement.body)
        else:
            yield statement.value if isinstance(statement, ast.Expr) else statement


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)
