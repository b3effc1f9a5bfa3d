"""Build the page: hash the assets, stamp the version in, compress, write dist/."""

import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path

HERE = Path(__file__).parent
DIST = HERE / "dist"
VERSION = {
    "release": os.environ.get("ABREAST_RELEASE", "dev"),
    "commit": os.environ.get("ABREAST_COMMIT", "dev"),
}


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    (DIST / "assets").mkdir(parents=True)
    page = (HERE / "src" / "index.html").read_text()
    for name in ("app.js", "style.css"):
        page = page.replace(name, hashed(HERE / "src" / name))
    page = page.replace("{release}", VERSION["release"]).replace("{commit}", VERSION["commit"][:7])
    write(DIST / "index.html", page.encode())
    write(DIST / "version.json", json.dumps(VERSION).encode())
    print(f"built {VERSION['release']}: {sum(1 for path in DIST.rglob('*') if path.is_file())} files")


def hashed(source: Path) -> str:
    """Write an asset under a name that changes with its content, and return that name."""
    content = source.read_bytes()
    name = f"assets/{source.stem}.{hashlib.sha256(content).hexdigest()[:8]}{source.suffix}"
    write(DIST / name, content)
    return name


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main()
