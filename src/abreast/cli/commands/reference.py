"""Commands that print the reference of abreast.yml: docs, schema."""

import json

from abreast.config import reference
from abreast.wiring.assembly import PLUGIN_SETTINGS


def schema() -> int:
    """Print the JSON Schema of abreast.yml."""
    print(json.dumps(reference.json_schema(PLUGIN_SETTINGS.platforms, PLUGIN_SETTINGS.notifiers), indent=2))
    return 0


def docs(section: str | None) -> int:
    """Print the reference of abreast.yml, or of one section."""
    print(reference.markdown(PLUGIN_SETTINGS.platforms, PLUGIN_SETTINGS.notifiers, section), end="")
    return 0
