"""`python` of a service: a version, a range, or auto."""

from pathlib import Path

import pytest

from abreast.config.load import load_config
from abreast.core.errors import ConfigError
from abreast.wiring.assembly import PLUGIN_SETTINGS


def python(tmp_path: Path, value: str) -> str | None:
    file = tmp_path / "abreast.yml"
    file.write_text(f"project: shop\nservices:\n  api: {{run: x, python: {value}}}\nenvironments:\n  local: {{}}\n")
    (service,) = load_config(file, {}, PLUGIN_SETTINGS).environment("local").services
    return service.python


@pytest.mark.parametrize(
    "version", ["3", "3.12", "3.12.4", ">=3.11,<3.14", ">= 3.11, < 3.14", "~=3.12", "==3.12.*", "auto"]
)
def test_versions_and_ranges(tmp_path: Path, version: str) -> None:
    assert python(tmp_path, f'"{version}"') == version


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3.10", 'expected a version in quotes such as "3.12" (text), found 3.1'),
        ('"python3"', 'a version of Python such as "3.12", a range such as ">=3.11,<3.14", or auto'),
        ('"3.12; rm"', 'a version of Python such as "3.12", a range such as ">=3.11,<3.14", or auto'),
        ('"--help"', 'a version of Python such as "3.12", a range such as ">=3.11,<3.14", or auto'),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_place(tmp_path: Path, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        python(tmp_path, value)
    (fault,) = caught.value.faults
    assert (fault.line, fault.column) == (3, 25)
    assert fault.message.startswith("services.api.python: ")
    assert expected in fault.message
