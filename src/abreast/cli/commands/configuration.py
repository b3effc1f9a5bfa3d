"""``abreast config``: what an environment is set to, and where two of them differ."""

import json
from collections.abc import Iterator, Sequence

from abreast.cli.selection import choose_environment, locate_workspace
from abreast.config.effective import Difference, Setting, compare_settings, effective_settings
from abreast.config.load import ProjectConfig
from abreast.core.codec import dump
from abreast.wiring.assembly import Assembly

NOTHING = "-"


def show(environment: str | None, *, as_json: bool) -> int:
    """Print the settings of an environment, each with its source."""
    project = Assembly(locate_workspace()).project
    name = choose_environment(project.environments, environment)
    settings = _settings(project, name)
    if as_json:
        print(json.dumps({"environment": name, "settings": [dump(setting) for setting in settings]}, indent=2))
    else:
        _print_table([(setting.key, _text(setting), setting.source) for setting in settings])
    return 0


def diff(first: str, second: str, *, as_json: bool) -> int:
    """Print the settings that differ between two environments."""
    project = Assembly(locate_workspace()).project
    differences = compare_settings(_settings(project, first), _settings(project, second))
    if as_json:
        print(json.dumps([dump(difference) for difference in differences], indent=2))
    elif differences:
        _print_table([("", first, second), *(tuple(_row(difference)) for difference in differences)])
    else:
        print(f"{first} and {second} have the same settings")
    return 0


def _settings(project: ProjectConfig, environment: str) -> list[Setting]:
    project.require_environment(environment)
    return effective_settings(project.resolver, environment)


def _row(difference: Difference) -> Iterator[str]:
    yield difference.key
    for setting in (difference.first, difference.second):
        yield f"{_text(setting)}  ({setting.source})" if setting else NOTHING


def _text(setting: Setting) -> str:
    """Return a value as abreast.yml would have it."""
    value = setting.value
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, value, source in rows:
        print(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}".rstrip())
