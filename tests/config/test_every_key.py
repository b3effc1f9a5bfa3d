"""Every key of abreast.yml: a value of the wrong kind is told with the key, what was expected, and what was found."""

import copy
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from abreast.config import environment_schema, schema
from abreast.config.fault_messages import _nested_models
from abreast.config.load import load_config
from abreast.core.errors import ConfigError
from abreast.wiring.assembly import PLUGIN_SETTINGS

KeyPath = tuple[str | int, ...]

SMALLEST: dict[str, Any] = {
    "project": "shop",
    "services": {"web": {"build": {"output": "public"}}, "api": {"run": "serve"}},
    "environments": {"local": {}},
}
MESSAGE = re.compile(
    r"[\w.\[\]\"-]+: (expected .+, found .+|unknown key.*expected .+|required key is missing|neither a .+|only a .+)"
)


def key_paths(model: type[BaseModel], prefix: KeyPath) -> Iterator[KeyPath]:
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        kind = str(field.annotation)
        inner: KeyPath = ("EXAMPLE",) if "dict[" in kind else (0,) if "list[" in kind else ()
        for nested in dict.fromkeys(_nested_models(field.annotation)):
            if nested not in {schema.Service, environment_schema.Environment}:
                yield from key_paths(nested, (*prefix, name, *inner))


def all_key_paths() -> list[KeyPath]:
    service, override = ("services", "api"), ("environments", "local", "api")
    paths = [
        *key_paths(schema.Project, ()),
        *key_paths(schema.Service, service),
        *key_paths(environment_schema.Environment, override[:-1]),
        *key_paths(schema.ServiceOverride, override),
    ]
    for platform, settings in PLUGIN_SETTINGS.platforms.items():
        paths += key_paths(settings, (*override, platform))
    return list(dict.fromkeys(paths))


def with_value(path: KeyPath, value: object) -> dict[str, Any]:
    """Return the smallest configuration with a value at a key path."""
    config = copy.deepcopy(SMALLEST)
    parent: Any = config
    for part, following in pairwise(path):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(parent, list):
            parent.append(empty)
            parent = empty
        else:
            parent = parent.setdefault(part, empty)
    if isinstance(parent, list):
        parent.append(value)
    else:
        parent[path[-1]] = value
    return config


FREE_TEXTS = {"passphrase", "value"}
"""Keys that take any text, and numbers as text."""


def faults(tmp_path: Path, config: object) -> list[str]:
    file = tmp_path / "abreast.yml"
    file.write_text(yaml.safe_dump(config))
    try:
        load_config(file, {}, PLUGIN_SETTINGS)
    except ConfigError as error:
        return [fault.message for fault in error.faults]
    return []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "values",
    [
        ([[]], {"x": {"y": 1}}),
        pytest.param((5.5, "!?", True, None, ""), marks=pytest.mark.exhaustive),
    ],
    ids=["wrong kinds", "wrong values"],
)
def test_a_wrong_value_of_any_key_is_told_with_key_expectation_and_finding(
    tmp_path: Path, values: tuple[object, ...]
) -> None:
    paths = all_key_paths()
    assert len(paths) > 150
    for path in paths:
        found = [message for value in values for message in faults(tmp_path, with_value(path, value))]
        assert found or path[-1] in FREE_TEXTS, f"{path} takes anything"
        assert [message for message in found if not MESSAGE.match(message)] == [], path


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("port", "unknown key, expected the port for users in environments.local.api.local.port; the process itself listens on $PORT"),
        ("command", "unknown key (did you mean 'run'?)"),
        ("depends_on", "unknown key (did you mean 'needs'?)"),
        ("replicas", "unknown key (did you mean 'instances'?)"),
        ("environment", "unknown key (did you mean 'env'?)"),
    ],
)  # fmt: skip
def test_words_of_other_tools_lead_to_the_key(tmp_path: Path, key: str, expected: str) -> None:
    (fault,) = faults(tmp_path, with_value(("services", "api", key), 8000))
    assert fault.startswith(f"services.api.{key}: {expected}")
