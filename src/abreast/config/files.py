"""Find abreast.yml, and read the names of its environments and services. Imports no models, so that it is quick."""

from pathlib import Path

from abreast.config.yaml_document import parse_document
from abreast.core.errors import ConfigError, Fault

CONFIG_FILE = "abreast.yml"
OTHER_SPELLING = "abreast.yaml"


def find_config_file(start: Path) -> Path:
    """Return the abreast.yml in ``start`` or its nearest parent folder. Raises ConfigError if there is none."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
        if (folder / OTHER_SPELLING).is_file():
            message = f"expected the name {CONFIG_FILE}, found {OTHER_SPELLING} in {folder}"
            raise ConfigError([Fault(OTHER_SPELLING, 1, 1, message)], next=f"git mv {OTHER_SPELLING} {CONFIG_FILE}")
    raise ConfigError([Fault(CONFIG_FILE, 1, 1, f"not found in {start} or any folder above")], next="abreast init")


def read_config_file(file: Path) -> bytes:
    """Return the content of an abreast.yml. Raises ConfigError if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(file.name, 1, 1, f"cannot be read: {error.strerror}")]) from error


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
