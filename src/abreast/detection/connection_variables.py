"""The variables from which code puts the address of its database together: host, port, user, password, name."""

import re
from collections import defaultdict
from collections.abc import Iterable

from abreast.detection.draft import Authority, ServiceDraft
from abreast.detection.env_examples import example_variables
from abreast.detection.needed_variables import needed_in_code
from abreast.detection.repository import Repository

_PARTS = {
    "host": "HOST|HOSTNAME|SERVER", "port": "PORT", "user": "USER|USERNAME", "password": "PASSWORD|PASSWD|PASS|PWD",
    "database": "DATABASE|DB|DBNAME|NAME",
}  # fmt: skip
"""The ends of names by the part of a URL that they stand for, as ``database: {variables: …}`` names it."""

PART_OF_DATABASE = re.compile(
    r"((?:[A-Z0-9]+_)*(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|SQL|RDS))_?"
    rf"(?:{'|'.join(f'(?P<{part}>{ends})' for part, ends in _PARTS.items())})"
)
_URL = re.compile(r"(postgres(?:ql)?(?:\+[A-Za-z][\w.-]*)?)://([^$\s]+)")
_IN_CODE = re.compile(
    r"(?:environ(?:\.get)?|getenv|ENV(?:\.fetch)?|process\.env)\s*[(\[]\s*['\"]([A-Z][A-Z0-9_]+)['\"]"
    r"|process\.env\.([A-Z][A-Z0-9_]+)"
)
_SUFFIXES = {"python": (".py",), "node": (".ts", ".js", ".mjs", ".cjs"), "ruby": (".rb", ".yml"), "go": (".go",)}


def propose_connection_variables(repository: Repository, draft: ServiceDraft) -> str:
    """Propose ``database.variables``, as the code or render.yaml has them. Returns what says so, "" for none."""
    if declared := draft.chosen("database.variables"):
        return declared.source
    needed = dict(needed_in_code(repository, draft))
    examples = {name: file for name, _, file in example_variables(repository, draft)}
    sources = {**_read_in_code(repository, draft), **examples, **needed}
    found = connection_variables(sources)
    if not found:
        return ""
    source = sources[next(iter(found))].removesuffix(" cannot do without it")
    draft.propose("database.variables", dict(found), source, Authority.PROJECT)
    return source


def other_urls(repository: Repository, draft: ServiceDraft, variable: str, scheme: str) -> dict[str, str]:
    """Return the variables that have a database's URL as ``variable`` has it in an example, by their schemes.

    ``connectionString`` stands for the scheme that the URL has anyway.
    """
    urls = {
        name: (found[1], found[2])
        for name, value, _ in example_variables(repository, draft)
        if (found := _URL.fullmatch(value))
    }
    _, place = urls.get(variable, ("", ""))
    same = {name: own for name, (own, other) in urls.items() if place and other == place and name != variable}
    return {
        name: "connectionString" if own == scheme else own for name, own in same.items() if not name.startswith("TEST_")
    }


def connection_variables(names: Iterable[str]) -> dict[str, str]:
    """Return which of the variables stand for which part of a URL; none, unless they say where and which database.

    Of several groups, it is the one that says most.
    """
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        if (match := PART_OF_DATABASE.fullmatch(name)) and not name.startswith("TEST_"):
            part = next(part for part, text in match.groupdict().items() if text)
            groups[match[1]].setdefault(part, name)
    whole = [group for group in groups.values() if group.keys() >= {"host", "password", "database"}]
    best = max(whole, key=len, default={})
    return {best[part]: part for part in _PARTS if part in best}


def _read_in_code(repository: Repository, draft: ServiceDraft) -> dict[str, str]:
    """Return the variables that the code reads, with the first file that does."""
    found: dict[str, str] = {}
    for file in repository.sources(draft.folder, *_SUFFIXES.get(draft.ecosystem, (".none",))):
        for names in _IN_CODE.findall(repository.text(file)):
            found.setdefault(next(filter(None, names)), file)
    return found
