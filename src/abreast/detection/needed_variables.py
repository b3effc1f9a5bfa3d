"""The variables that the code of a service reads and does not do without."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from abreast.detection.draft import ServiceDraft
from abreast.detection.ecosystems.python import django_settings
from abreast.detection.ecosystems.python_settings import asked_only_with_another, needed_at_import
from abreast.detection.repository import Repository, path_in

_ENVIRON = re.compile(r"os\.environ\[\s*['\"]([A-Z][A-Z0-9_]+)['\"]\s*\](?!\s*=[^=])")
_FETCH = re.compile(r"ENV\.fetch\(\s*['\"]([A-Z][A-Z0-9_]+)['\"]\s*\)(?!\s*(?:\{|do|rescue))")
_ENV_MACRO = re.compile(r"env!\(\s*\"([A-Z][A-Z0-9_]+)\"")
_SETTINGS = re.compile(r"^class \w+\([^)]*\b\w*BaseSettings\b[^)]*\):\n((?:[ \t]+[^\n]*\n|\s*\n)*)", re.MULTILINE)
_FIELD = re.compile(
    r"^(?: {4}|\t)([A-Za-z]\w*)\s*:\s*(?:str|int|float|bool|SecretStr|EmailStr|\w*Url|\w*Dsn|"
    r"(?:list|set|List|Set)\[\w+\])\s*(?:#.*)?$",
    re.MULTILINE,
)
_VALIDATED_CLASS = re.compile(r"^(?:export )?class \w+[^{]*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_VALIDATED = re.compile(r"@(?!.*@?(?:IsOptional|ValidateIf|Allow)\b).*\b([A-Z][A-Z0-9_]+)!?:\s*[\w.<>\[\]]+", re.DOTALL)
"""A property with decorators that its object does not pass without."""


_READ_BY_PACKAGES = {"@clerk/nextjs": ("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "CLERK_SECRET_KEY")}
"""What packages read by themselves. Clerk's fails the build: https://clerk.com/docs/guides/development/clerk-environment-variables"""

_FROM_SIBLING = re.compile(r"^from \.(\w+) import (?:\*|.*\b(?:env|config)\b)", re.MULTILINE)
_READER_LINES = {
    "from decouple import config\n": re.compile(r"^from decouple import\b.*\bconfig\b", re.MULTILINE),
    "env = environ.Env()\n": re.compile(r"^env\s*=\s*(?:environ\.)?(?:FileAware)?Env\(", re.MULTILINE),
}
_SCHEMA_FIELD = re.compile(r"^\s+([A-Z][A-Z0-9_]+):\s*z\b((?:(?!^\s+[A-Z][A-Z0-9_]+:|^\s*\}).*\n)+)", re.MULTILINE)


def needed_in_code(repository: Repository, draft: ServiceDraft) -> Iterator[tuple[str, str]]:
    """Yield the variables that the code of a service cannot do without, each with what says so."""
    for package in _READ_BY_PACKAGES.keys() & draft.packages:
        yield from ((name, f"{package} cannot do without it") for name in _READ_BY_PACKAGES[package])
    suffixes, read = _READERS.get(draft.ecosystem, ((), None))
    if read is None:
        return
    seen = set()
    others = _settings_of_other_places(repository, draft)
    for file in repository.sources(draft.folder, *suffixes):
        if re.search(r"(^|/)(scripts?|tools|docs|docker|\.github)/", file) or file in others:
            continue
        text = _imported_readers(repository, file) + repository.text(file)
        for name in read(text):
            if name not in seen and not _is_guarded(name, text):
                seen.add(name)
                yield name, f"{file} cannot do without it"


def _settings_of_other_places(repository: Repository, draft: ServiceDraft) -> set[str]:
    """Return the settings of Django that build on the same ones as those the server has, which it does not read."""
    if "django" not in draft.packages:
        return set()
    ours = draft.text("env.DJANGO_SETTINGS_MODULE") or django_settings(repository, draft.folder)
    file = path_in(draft.folder, f"{ours.replace('.', '/')}.py")
    beside = repository.below(file.rpartition("/")[0], ".py") if repository.has(file) else ()
    return {each for each in beside if each != file and _FROM_SIBLING.search(repository.text(each))}


def _imported_readers(repository: Repository, file: str) -> str:
    """Return the lines that define what a module of Python reads variables with, if it imports that from a sibling."""
    if not file.endswith(".py"):
        return ""
    names = _FROM_SIBLING.findall(repository.text(file))
    texts = [repository.text(path_in(file.rpartition("/")[0], f"{name}.py")) for name in names]
    return "".join(line for line, pattern in _READER_LINES.items() if any(map(pattern.search, texts)))


def _python_needs(text: str) -> Iterator[str]:
    """Yield what an import reads and fails without, and the fields of pydantic's settings that have no default."""
    if found := _ENVIRON.findall(text) if "environ" in text else []:
        left_out = asked_only_with_another(text)
        yield from (name for name in found if name not in left_out)
    yield from needed_at_import(text)
    for body in _SETTINGS.findall(text) if "BaseSettings" in text else ():
        prefix = re.search(r"env_prefix\s*=\s*['\"](\w*)", body)
        for name in _FIELD.findall(body):
            yield f"{prefix[1] if prefix else ''}{name}".upper()


def _node_needs(text: str) -> Iterator[str]:
    """Yield the variables that zod and class-validator do not do without: those of a schema for the environment."""
    if "class-validator" in text and re.search(r"plainTo|validateConfig|process\.env", text):
        for body in _VALIDATED_CLASS.findall(text):
            yield from (found[1] for part in re.split(r";\s*\n", body) if (found := _VALIDATED.fullmatch(part.strip())))
    is_schema = "process.env" in text and ("z.object(" in text or "createEnv(" in text)
    for name, rules in _SCHEMA_FIELD.findall(text) if is_schema else ():
        if not re.search(r"\.(default|optional|nullish|nullable|catch)\(", rules):
            yield name


_READERS: Mapping[str, tuple[tuple[str, ...], Callable[[str], Iterable[str]]]] = {
    "python": ((".py",), _python_needs), "node": ((".ts", ".js", ".mjs"), _node_needs),
    "ruby": ((".rb", ".yml"), _FETCH.findall), "rust": ((".rs",), _ENV_MACRO.findall),
}  # fmt: skip


def _is_guarded(name: str, text: str) -> bool:
    """Whether code looks whether a variable is set, or sets it, before it reads it."""
    return bool(re.search(rf"['\"]{name}['\"] (?:not )?in os\.environ|setdefault\(\s*['\"]{name}", text))
