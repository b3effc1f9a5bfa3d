"""Packages of a few lines, made here, so that tests install real ones without a network."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path


def write_wheel(folder: Path, version: str = "1.0", word: str = "hello") -> Path:
    """Write a wheel of ``greeting``: ``greeting.word()``, and a program ``greet`` that prints it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"greeting-{version}.dist-info"
    files = {
        "greeting.py": f"def word():\n    return {word!r}\n\n\ndef main():\n    print(word())\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    wheel = folder / f"greeting-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time, so that its digest is always the same
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def write_npm_package(file: Path, version: str = "1.0.0", word: str = "hello") -> Path:
    """Write the archive of a package ``greeting``: ``require("greeting")`` is a word."""
    file.parent.mkdir(parents=True, exist_ok=True)
    manifest = {"name": "greeting", "version": version, "main": "index.js"}
    contents = {"package.json": json.dumps(manifest), "index.js": f"module.exports = {word!r};\n"}
    with gzip.GzipFile(file, "w", mtime=0) as whole, tarfile.open(fileobj=whole, mode="w") as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file
