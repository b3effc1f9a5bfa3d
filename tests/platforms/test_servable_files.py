"""Which files of a site users get: none that is hidden, by whatever name."""

import asyncio
import os
from pathlib import Path

import pytest

from abreast.core.model import Service
from abreast.platforms.interface import StageRequest
from abreast.platforms.servable_files import servable_files
from abreast.platforms.static_dir import StaticDirPlatform
from sample_project import require_programs


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    for name in (
        "index.html",
        "docs/index.html",
        ".well-known/a/security.txt",
        ".env",
        ".git/config",
        "docs/.hidden/x",
    ):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (tmp_path / "outside").write_text("outside")
    for link, target in {
        "home.html": "index.html", "docs/known.txt": "../.well-known/a/security.txt", "dotenv.txt": ".env",
        "docs/config": "../.git/config", "docs/x": ".hidden/x", "twice.txt": "dotenv.txt", "out": "../outside",
        "gone": "nothing", "folder": "docs", "pipe": "/dev/null", "absolute": str(made / ".env"),
    }.items():  # fmt: skip
        (made / link).symlink_to(target)
    os.mkfifo(made / "fifo")
    return made


def test_neither_hidden_files_nor_links_to_them(site: Path) -> None:
    assert sorted(servable_files(site)) == [
        ".well-known/a/security.txt", "docs/index.html", "docs/known.txt", "home.html", "index.html",
    ]  # fmt: skip


def test_a_folder_for_a_web_server_has_none_either(site: Path, tmp_path: Path) -> None:
    require_programs("rsync")
    (site / "fifo").unlink()
    (site / ".htaccess").write_text("Options None")
    service = Service("web", "static-dir", {"to": str(tmp_path / "www"), "url": "http://127.0.0.1:1"})
    asyncio.run(StaticDirPlatform().stage(StageRequest("v1", service, "c", site, "v1", None), report))
    release = tmp_path / "www" / "releases" / "v1"
    readable = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert readable == {
        ".htaccess", ".well-known/a/security.txt", "docs/index.html", "docs/known.txt", "home.html", "index.html",
    }  # fmt: skip


async def report(_: str, __: str) -> None:
    """Report to nobody."""
