"""The picture of the live view in the README is what the command draws today."""

import html
import re
from pathlib import Path

import pytest

import fork_server
import live_view

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "live-view.svg"


def shown_text(svg: str) -> str:
    """Return the text of a picture, without what differs each time: ids, commits and durations."""
    lines = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    text = " ".join(html.unescape(line).replace("\xa0", " ") for line in lines)
    text = re.sub(r"\b01[0-9A-Z]{24}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{7}\b", "COMMIT", text)
    return re.sub(r"\s+", " ", re.sub(r"\d+\.\d+", "N", text))


def test_the_pages_show_it() -> None:
    assert "(docs/live-view.svg)" in (ROOT / "README.md").read_text()
    assert "(live-view.svg)" in (ROOT / "docs" / "tutorial.md").read_text()
    text = shown_text(PICTURE.read_text())
    for word in (
        "storefront → local v2",
        "frontend",
        "backend",
        "build backup rehearse migrate stage check",
        "watch …",
    ):
        assert word in text


@pytest.mark.exhaustive
@pytest.mark.timeout(180)
def test_it_is_drawn_so_today() -> None:
    assert shown_text(PICTURE.read_text()) == shown_text(live_view.make_picture(fork_server.run_command))
