"""Find abreast.yml, and read the names of its environments. Imports no models, so that it is quick."""

from pathlib import Path

from abreast.config.yaml_document import parse_document
from abreast.core.errors import ConfigError, Fault

CONFIG_FILE = "abreast.yml"


def find_config_file(start: Path) -> Path:
    """Return the abreast.yml in ``start`` or its nearest parent folder. Raises ConfigError if there is none."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    raise ConfigError([Fault(CONFIG_FILE, 1, 1, f"not found in {start} or any folder above")], next="abreast init")


def read_config_file(file: Path) -> bytes:
    """Return the content of an abreast.yml. Raises ConfigError if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(file.name, 1, 1, f"cannot be read: {error.strerror}")]) from error


def environment_names(file: Path) -> tuple[str, ...]:
    """Return the names of the environments in an abreast.yml; nothing else in it needs to be valid.

    Raises ConfigError if it cannot be read or is not YAML.
    """
    value = parse_document(file.name, read_config_file(file)).value
    environments = value.get("environments") if isinstance(value, dict) else None
    return tuple(environments) if isinstance(environments, dict) else ()
