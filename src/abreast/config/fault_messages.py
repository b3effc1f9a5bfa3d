"""Messages for what pydantic rejects: ``services.api.run: expected a command (text), found a list``."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from abreast.config.field_types import PATTERN_MEANINGS
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.errors import Fault
from abreast.core.redaction.redactor import Redactor
from abreast.core.secrets import looks_secret

MAX_SHOWN_LENGTH = 60
"""Length of the longest value that a message shows."""

_CONFIDENTIAL_KEYS = frozenset({"url", "scratch", "passphrase", "recipients"})
"""Keys whose values are never shown."""


_OTHER_WORDS = {
    "command": "run", "start": "run", "cmd": "run", "environment": "env", "depends_on": "needs", "tests": "test",
    "replicas": "instances", "scale": "instances", "healthcheck": "health", "health_check": "health",
}  # fmt: skip
"""What other tools call keys of a service."""


def validation_faults(
    document: Document, model: type[BaseModel], path: KeyPath, error: ValidationError, extra_keys: Iterable[str]
) -> list[Fault]:
    """Return the faults of a model that was validated at ``path``. ``extra_keys`` are allowed there too."""
    errors = [dict(entry) for entry in error.errors()]
    relevant = [entry for entry in errors if not _is_other_branch(entry)] or errors
    return [_fault(document, model, path, entry, tuple(extra_keys)) for entry in relevant]


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return `` (did you mean …?)`` for a misspelt name, "" if no choice is close."""
    import difflib  # noqa: PLC0415 (slow, and only faults need it)

    matches = difflib.get_close_matches(name, list(choices), 1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def found_text(path: KeyPath, value: object) -> str:
    """Return how a message names a value: its type, or the value itself if it is short and cannot be a secret."""
    kind, plain = _kind_of(value), isinstance(value, str | int | float)
    if not plain or value == "" or _is_confidential(path, str(value)):
        return kind
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= MAX_SHOWN_LENGTH and text.isprintable() else kind


def _kind_of(value: object) -> str:
    if value is None or value == "":
        return "nothing" if value is None else "an empty text"
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"), (int, "a number"), (float, "a number"), (str, "a text"), (list, "a list"),
    )  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "a mapping")


def _is_confidential(path: KeyPath, value: str) -> bool:
    keys = [part for part in path if isinstance(part, str)]
    if (
        _is_variable_value(keys)
        or not _CONFIDENTIAL_KEYS.isdisjoint(keys)
        or any(looks_secret(key, value) for key in (*keys, ""))
    ):
        return True
    return Redactor().redact_text(value) != value


def _is_variable_value(keys: Sequence[str]) -> bool:
    """Whether a key path is that of a variable or its ``value``, rather than of another setting of it."""
    below = keys[keys.index("env") + 1 :] if "env" in keys else ()
    return bool(below) and (len(below) == 1 or below[-1] == "value")


def _fault(
    document: Document, model: type[BaseModel], path: KeyPath, error: Mapping[str, Any], extra_keys: tuple[str, ...]
) -> Fault:
    loc: tuple[Any, ...] = error["loc"]
    if error["type"] == "extra_forbidden":
        keys = (*_known_keys(model, loc[:-1]), *extra_keys)
        where = (*path, *_file_path(loc[:-1]), str(loc[-1]))
        return document.fault(where, _unknown_key(document, where, keys), at_key=True)
    where = (*path, *_file_path(loc))
    return document.fault(where, _message(where, error), at_key=loc[-1:] == ("[key]",))


def _unknown_key(document: Document, path: KeyPath, keys: Sequence[str]) -> str:
    *parents, key = path
    if parents[:1] == ["services"] and len(parents) == 2:
        if key in {"port", "ports"}:
            place = f"environments.{_example_environment(document)}.{parents[1]}.local.port"
            return f"unknown key, expected the port for users in {place}; the process itself listens on $PORT"
        key = _OTHER_WORDS.get(str(key), key)
    hint = f" (did you mean {key!r}?)" if key in keys else suggestion(str(key), keys)
    return f"unknown key{hint}, expected one of: {', '.join(keys)}"


def _example_environment(document: Document) -> str:
    environments = document.value.get("environments") if isinstance(document.value, dict) else None
    names = list(environments) if isinstance(environments, dict) else []
    return "local" if "local" in names or not names else names[0]


def _message(path: KeyPath, error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "required key is missing"
    if expected := _EXPECTED.get(error["type"]):
        return f"expected {expected(error)}, found {found_text(path, error['input'])}"
    text = str(error["msg"]).removeprefix("Value error, ")
    if text.startswith("needed"):
        text = "expected" + text.removeprefix("needed:").removeprefix("needed")
    is_of_whole_model = not error["loc"]
    if text.startswith("expected") and not is_of_whole_model:
        return f"{text}, found {found_text(path, error['input'])}"
    if text.startswith("expected") and ", found " not in text and isinstance(error["input"], dict):
        return f"{text}, found {', '.join(map(str, error['input'])) or 'nothing'}"
    return text[0].lower() + text[1:]


def _pattern_meaning(error: Mapping[str, Any]) -> str:
    pattern = error["ctx"]["pattern"]
    return PATTERN_MEANINGS.get(pattern, f"a text matching {pattern}")


_EXPECTED: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "string_type": lambda _: "a text",
    "int_type": lambda _: "a whole number",
    "bool_type": lambda _: "true or false",
    "list_type": lambda _: "a list",
    "dict_type": lambda _: "a mapping",
    "model_type": lambda _: "a mapping",
    "model_attributes_type": lambda _: "a mapping",
    "too_short": lambda _: "at least one entry",
    "string_too_short": lambda _: "a text that is not empty",
    "literal_error": lambda error: error["ctx"]["expected"],
    "string_pattern_mismatch": _pattern_meaning,
    "greater_than_equal": lambda error: f"{error['ctx']['ge']} or more",
    "less_than_equal": lambda error: f"{error['ctx']['le']} or less",
}
"""What was expected, by pydantic's error type."""


def _file_path(loc: Iterable[Any]) -> KeyPath:
    return tuple(part for part in loc if not _is_union_branch(part))


def _is_union_branch(part: object) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key of the file."""
    return isinstance(part, str) and (part in {"[key]", "str", "Variable"} or "[" in part)


def _is_other_branch(error: Mapping[str, Any]) -> bool:
    """Whether an error is of the union branch that was not meant: a variable is a mapping, or else a text."""
    last = error["loc"][-1:]
    if last == ("[key]",) or not any(map(_is_union_branch, last)):
        return False
    if error["type"] in {"model_type", "model_attributes_type"}:
        return bool(last == ("Variable",))
    return bool(error["type"] == "string_type" and isinstance(error["input"], dict))


def _known_keys(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the keys of the model at ``loc``, by its annotations."""
    current: Any = model
    for part in loc:
        fields = getattr(current, "model_fields", {})
        annotation = fields[part].annotation if part in fields else None
        current = next(iter(_nested_models(annotation)), current)
    return tuple(current.model_fields)


def _nested_models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 (a type form)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in (*getattr(annotation, "__args__", ()), getattr(annotation, "__origin__", None)):
        if inner is not None and inner is not annotation:
            yield from _nested_models(inner)
