"""The packages of Python code that no file lists: those that it imports, where their names are certain."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from abreast.detection.ecosystems.python_syntax import parse_module
from abreast.detection.repository import Repository, relative_to

_SAME_NAME = (
    "altair bottle chainlit dash django fastapi flask gradio gunicorn httpx jinja2 litestar markdown matplotlib numpy "
    "openai pandas plotly pydantic quart requests scipy seaborn sqlalchemy starlette streamlit uvicorn werkzeug "
    "whitenoise wtforms environs"
)
_OTHER_NAME = {
    "PIL": "pillow", "allauth": "django-allauth", "bs4": "beautifulsoup4", "corsheaders": "django-cors-headers",
    "crispy_bootstrap4": "crispy-bootstrap4", "crispy_bootstrap5": "crispy-bootstrap5",
    "crispy_forms": "django-crispy-forms", "debug_toolbar": "django-debug-toolbar", "decouple": "python-decouple",
    "dj_database_url": "dj-database-url", "django_filters": "django-filter", "dotenv": "python-dotenv",
    "fasthtml": "python-fasthtml", "flask_cors": "flask-cors", "flask_login": "flask-login",
    "flask_migrate": "flask-migrate", "flask_sqlalchemy": "flask-sqlalchemy", "flask_wtf": "flask-wtf",
    "psycopg2": "psycopg2-binary", "rest_framework": "djangorestframework", "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}  # fmt: skip
_PACKAGES = {name: name for name in _SAME_NAME.split()} | _OTHER_NAME
"""The package on PyPI by the module that it brings."""

_IMPLIED = {
    r"\bmodels\.ImageField\(": "pillow", r"\bJinja2Templates\(": "jinja2", r"\bEmailStr\b": "email-validator",
    r"\b(?:UploadFile|OAuth2PasswordRequestForm)\b|=\s*Form\(": "python-multipart",
    r"django\.db\.backends\.postgresql": "psycopg2-binary",
}  # fmt: skip
"""Packages that frameworks import only if their users use a part of them."""

_APPS = re.compile(r"^(?:INSTALLED_APPS|MIDDLEWARE)\s*\+?=\s*[\[(]([^\])]*)", re.MULTILINE)
_LIST_OF_PACKAGES = re.compile(r"(require|reqs|environment|conda).*\.(txt|ya?ml|in)$|^setup\.cfg$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImportedPackages:
    """The packages that code imports, sorted, and the modules of which nothing says what brings them."""

    packages: tuple[str, ...]
    unknown: tuple[str, ...]


def imported_packages(repository: Repository, folder: str) -> ImportedPackages:
    """Return the packages that the code of a folder imports, and that are neither Python's nor its own."""
    files = repository.sources(folder, ".py")
    own = {part.removesuffix(".py") for file in files for part in file.split("/")}
    texts = [repository.text(file) for file in files]
    modules = {module for text in texts for module in _modules(text)} - own - sys.stdlib_module_names
    implied = {package for pattern, package in _IMPLIED.items() if any(re.search(pattern, text) for text in texts)}
    found = {_PACKAGES[module] for module in modules if module in _PACKAGES} | (implied if modules else set())
    return ImportedPackages(tuple(sorted(found)), tuple(sorted(modules - _PACKAGES.keys())))


def list_of_packages(repository: Repository, folder: str) -> str:
    """Return the name of a file that lists packages in a way that `init` does not read, "" if there is none."""
    return next((name for name in repository.names(folder) if _LIST_OF_PACKAGES.search(name)), "")


def imports_framework(repository: Repository, folder: str, packages: frozenset[str]) -> bool:
    """Whether a file of a folder, or of a Python package directly in it, imports one of the packages.

    A folder that is a package itself is part of the one above.
    """
    if "__init__.py" in repository.names(folder):
        return False
    homes = {folder, *(file.rpartition("/")[0] for file in repository.below(folder, "/__init__.py"))}
    nearest = [
        file
        for file in repository.sources(folder, ".py")
        if relative_to(file, folder).count("/") < 2 and file.rpartition("/")[0] in homes
    ]
    modules = {module for file in nearest for module in _modules(repository.text(file))}
    return not packages.isdisjoint(_PACKAGES[module] for module in modules & _PACKAGES.keys())


def _modules(text: str) -> Iterator[str]:
    """Yield the top modules that a text imports, and Django's apps. What it tries to import may be missing."""
    tree = parse_module(text)
    nodes: list[ast.AST] = [tree] if tree else []
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif not isinstance(node, ast.Try) and not (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            nodes.extend(ast.iter_child_nodes(node))
    for apps in _APPS.findall(text):
        yield from re.findall(r"^\s*['\"](\w+)", apps, re.MULTILINE)
