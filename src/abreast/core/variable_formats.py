"""Formats of variables. Messages never contain the value."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit
from uuid import UUID

Validator = Callable[[str], object]


def _url(value: str) -> bool:
    parts = urlsplit(value)
    _ = parts.port
    return bool(parts.scheme and (parts.netloc or parts.path)) and not re.search(r"\s", value) and "://" in value


def _full_match(pattern: str) -> Validator:
    return re.compile(pattern, re.ASCII).fullmatch


def _base64(value: str) -> bool:
    return bool(base64.b64decode(value, validate=True))


def _json(value: str) -> bool:
    json.loads(value)
    return True


FORMATS: Mapping[str, tuple[str, Validator]] = {
    "url": ("a URL such as https://example.com or postgres://host/name", _url),
    "email": ("an e-mail address", _full_match(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")),
    "integer": ("a whole number", _full_match(r"[-+]?\d+")),
    "number": ("a number", _full_match(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")),
    "boolean": ("true or false", _full_match(r"(?i)true|false|1|0|yes|no|on|off")),
    "port": ("a port from 1 to 65535", lambda value: _full_match(r"\d{1,5}")(value) and 0 < int(value) < 65536),
    "json": ("JSON", _json),
    "base64": ("Base64", _base64),
    "uuid": ("a UUID", UUID),
    "host": ("a host name or IP address", _full_match(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")),
}
"""Name for errors and validator of each format. A validator may raise ValueError for invalid values."""


def expected_format(value: str, format_: str | None, pattern: str | None) -> str:
    """Return the format that a value should have, "" if it is valid. Never contains the value."""
    if format_ and not _is_valid(value, FORMATS[format_][1]):
        return FORMATS[format_][0]
    if pattern and not re.fullmatch(pattern, value):
        return f"a text matching {pattern}"
    return ""


def _is_valid(value: str, validator: Validator) -> bool:
    try:
        return bool(validator(value))
    except (ValueError, binascii.Error):
        return False
