"""The card of a Space: the YAML header of its README."""

import re
from typing import Any

import yaml

SDKS = ("gradio", "docker", "static", "streamlit")
DEFAULT_PORT = 7860
_HEADER = re.compile(rb"\A---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)


def parse_card(readme: bytes) -> dict[str, Any]:
    """Return the settings of a README's header, none without one. Raises ValueError for YAML that is none."""
    header = _HEADER.match(readme)
    if header is None:
        return {}
    try:
        settings = yaml.safe_load(header[1])
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(settings, dict):
        raise ValueError("the header is no mapping")  # noqa: TRY004 (the same fault to those who wrote the file)
    return settings


def card_faults(readme: bytes) -> list[str]:
    """Return why the Hub would refuse a Space's README."""
    try:
        settings = parse_card(readme)
    except ValueError as error:
        return [str(error)]
    sdk = settings.get("sdk")
    return [f'"sdk" must be one of {", ".join(SDKS)}'] if settings and sdk not in SDKS else []
