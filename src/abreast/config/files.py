"""Find abreast.yml."""

from pathlib import Path

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
