"""Read the names of the project, its environments and services. Imports no models, so that it is quick."""

from pathlib import Path

from abreast.config.files import read_config_file
from abreast.config.yaml_document import parse_document


def project_name(file: Path) -> str:
    """Return the name of the project in an abreast.yml, else that of its folder; nothing else needs to be valid."""
    value = parse_document(file.name, read_config_file(file)).value
    name = value.get("project") if isinstance(value, dict) else None
    return name if isinstance(name, str) else file.parent.name


def environment_names(file: Path) -> tuple[str, ...]:
    """Return the names of the environments in an abreast.yml; nothing else in it needs to be valid.

    Raises ConfigError if it cannot be read or is not YAML.
    """
    return _names(file, "environments")


def service_names(file: Path) -> tuple[str, ...]:
    """Return the names of the services in an abreast.yml, in the same way."""
    return _names(file, "services")


def _names(file: Path, section: str) -> tuple[str, ...]:
    value = parse_document(file.name, read_config_file(file)).value
    named = value.get(section) if isinstance(value, dict) else None
    return tuple(named) if isinstance(named, dict) else ()
