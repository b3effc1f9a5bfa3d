"""XML of test runners, which print what tests print, whether XML allows it or not."""

import re
from xml.etree import ElementTree as Xml

_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"'](?!utf-?8)[^\"']+[\"']", re.IGNORECASE)
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_REFERENCE = re.compile(rb"&#(?:x([0-9a-fA-F]+)|([0-9]+));")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_REPLACEMENT = b"?"
_ALLOWED = (
    range(0x9, 0xB), range(0xD, 0xE), range(0x20, 0xD800), range(0xE000, 0xFFFE), range(0x10000, 0x110000),
)  # fmt: skip
"""Characters that a reference may name."""


def parse_xml(content: bytes) -> Xml.Element:
    """Return the root of a document. Characters that XML forbids are replaced by ``?``.

    Raises ParseError for other faults. See https://www.w3.org/TR/xml/#charsets.
    """
    try:
        return Xml.fromstring(content)  # noqa: S314 (of the project's own tests; expat bounds entities)
    except Xml.ParseError:
        if content.startswith(_BYTE_ORDER_MARKS):
            raise
        if not _ENCODING.match(content):
            content = content.decode(errors="replace").encode()
        allowed = _REFERENCE.sub(_allowed_reference, _FORBIDDEN.sub(_REPLACEMENT, content))
        return Xml.fromstring(allowed)  # noqa: S314 (as above)


def _allowed_reference(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16) if found[1] else int(found[2])
    return found[0] if any(code in allowed for allowed in _ALLOWED) else _REPLACEMENT
