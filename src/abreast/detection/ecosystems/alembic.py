"""Alembic, which migrates databases of SQLAlchemy."""

import re

from abreast.detection.repository import Repository, path_in

_PREPENDS = re.compile(r"^prepend_sys_path\s*=", re.MULTILINE)
_LOCATION = re.compile(r"^script_location\s*=\s*(?:%\(here\)s/)?(?:\./)?([\w./-]+)", re.MULTILINE)
_IMPORTS_OTHERS = re.compile(
    r"^(?:from|import) (?!(?:alembic|sqlalchemy|logging|os|sys|asyncio|typing|pathlib|__future__)\b)", re.MULTILINE
)


def alembic_command(repository: Repository, config: str) -> str:
    """Return how to start alembic in the service's folder, so that its env.py finds the project's own modules.

    Files of alembic 1.5.5 and newer say that themselves (``prepend_sys_path``).
    """
    text = repository.text(config)
    location = _LOCATION.search(text)
    env = repository.text(path_in(config.rpartition("/")[0], f"{location[1] if location else 'alembic'}/env.py"))
    is_found = _PREPENDS.search(text) or "sys.path" in env
    return "PYTHONPATH=. alembic" if _IMPORTS_OTHERS.search(env) and not is_found else "alembic"
