"""How the URL of a PostgreSQL begins that a service's code takes, such as ``postgresql+asyncpg``."""

import re
from collections.abc import Iterator

from abreast.detection.draft import ServiceDraft
from abreast.detection.env_examples import COMPOSE_FILES, EXAMPLES
from abreast.detection.repository import Repository, path_in

USUAL = "postgresql"
_SCHEME = r"(postgres(?:ql)?(?:\+[a-z]\w*)?)://"


def postgres_scheme(repository: Repository, draft: ServiceDraft, variable: str) -> str:
    """Return the scheme of the URL that an example of a variable has, or its default in the code.

    Python alone chooses a driver by it.
    """
    if draft.ecosystem != "python":
        return USUAL
    name = re.escape(variable)
    assigned = re.compile(rf"(?<!\w){name}(?!\w)['\"]?\s*(?::\s*[\w\[\] |]+\s*)?[=:]\s*f?['\"]?{_SCHEME}")
    default = re.compile(rf"['\"]{name}['\"]\s*,\s*(?:default\s*=\s*)?f?['\"]{_SCHEME}")
    for text in _texts(repository, draft):
        if found := assigned.search(text) or default.search(text):
            return found[1]
    return "postgres" if "tortoise-orm" in draft.packages else USUAL


def _texts(repository: Repository, draft: ServiceDraft) -> Iterator[str]:
    for folder in dict.fromkeys((draft.folder, "")):
        yield from (repository.text(path_in(folder, name)) for name in (*EXAMPLES, *COMPOSE_FILES))
    yield from map(repository.text, repository.sources(draft.folder, ".py"))
