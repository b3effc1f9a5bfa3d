"""Where a Python project's application object is."""

import re
from dataclasses import dataclass

from abreast.detection.repository import Repository, path_in, relative_to

_OBJECT = re.compile(
    r"^(\w+)\s*(?::\s*[\w.\[\]]+\s*)?=\s*(?:\w+\.)?(FastAPI|Flask|Starlette|Litestar|Quart|Sanic|Dash|APIFlask|FastHTML|Bottle|Robyn)\(",
    re.MULTILINE,
)
_FACTORY_CALL = re.compile(
    r"^(app|application)\s*(?::[^=]+)?=\s*(?:\w+\.)?(create_\w*app\w*|get_app\w*|make_app|get_application|build_app)\(",
    re.MULTILINE,
)
_FACTORY = re.compile(r"^def (create_app|make_app|get_app|create_application|get_application)\((.*)$", re.MULTILINE)
_IMPORTS_SRC = re.compile(r"^\s*(?:from|import)\s+src\b", re.MULTILINE)
"""Code for which ``src`` is a package like any other, and runs from the folder above."""
_BEST_NAMES = ("main", "app", "wsgi", "asgi", "server", "application", "api", "run", "index", "__init__")


@dataclass(frozen=True, slots=True)
class Application:
    """An application object as servers name it, such as ``app.main:app``. ``directory``: where modules are found."""

    module: str
    name: str
    file: str
    framework: str = ""
    directory: str = ""
    is_factory: bool = False

    @property
    def path(self) -> str:
        """Return ``module:name``."""
        return f"{self.module}:{self.name}"


def find_applications(repository: Repository, folder: str, framework: str = "") -> list[Application]:
    """Return the application objects of a folder, the most likely one first. Several only if as likely."""
    found: list[tuple[tuple[int, int, int], Application]] = []
    for file in repository.sources(folder, ".py"):
        text = repository.text(file)
        for pattern, level in ((_OBJECT, 0), (_FACTORY_CALL, 0), (_FACTORY, 2)):
            for match in pattern.finditer(text):
                if pattern is _OBJECT and framework and framework.lower() != match[2].lower():
                    continue
                if pattern is _FACTORY and not _takes_nothing(match[2]):
                    continue
                app = _application(
                    repository, file, folder, match[1], match[2] if level == 0 else "", is_factory=level == 2
                )
                found.append(((level, *_rank(file, folder)), app))
    found.sort(key=lambda each: each[0])
    return [app for rank, app in found if rank == found[0][0]]


def _takes_nothing(parameters: str) -> bool:
    required = [part for part in parameters.rpartition(")")[0].split(",") if part.strip() and "=" not in part]
    return ")" in parameters and not required


def _rank(file: str, folder: str) -> tuple[int, int]:
    stem = file.rpartition("/")[2].removesuffix(".py")
    depth = relative_to(file, folder).count("/")
    return (_BEST_NAMES.index(stem) if stem in _BEST_NAMES else len(_BEST_NAMES), depth)


def _application(
    repository: Repository, file: str, folder: str, name: str, framework: str, *, is_factory: bool
) -> Application:
    path = relative_to(file, folder).removesuffix(".py").removesuffix("/__init__")
    directory = "" if _IMPORTS_SRC.search(repository.text(file)) else _source_directory(repository, path, folder)
    module = path.removeprefix(f"{directory}/" if directory else "").replace("/", ".")
    return Application(module, name, file, framework, directory, is_factory)


def _source_directory(repository: Repository, path: str, folder: str) -> str:
    """Return the folder below ``src`` in which packages begin, "" for a project without ``src``."""
    parts = path.split("/")[:-1]
    if parts[:1] != ["src"]:
        return ""
    for count in range(1, len(parts)):
        if repository.has(path_in(folder, "/".join([*parts[: count + 1], "__init__.py"]))):
            return "/".join(parts[:count])
    return "src"
