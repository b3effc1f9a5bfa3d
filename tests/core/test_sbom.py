"""A bill of materials from lock files, valid by the standard's own schema."""

import json

import pytest

from abreast.core.reports import sbom
from sbom_validator import sbom_faults

NPM = {
    "packages": {
        "": {"name": "web", "version": "1.0.0"}, "node_modules/@a/ui": {"resolved": "packages/ui", "link": True},
        "packages/ui": {"name": "@a/ui", "version": "0.1.0"}, "node_modules/left": {"version": "1.3.0"},
        "node_modules/left/node_modules/@b/deep": {"version": "2.0.0-rc.1+x"},
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("locks", "expected"),
    [
        ({"web/package-lock.json": json.dumps(NPM)}, ["npm/%40a/ui@0.1.0", "npm/%40b/deep@2.0.0-rc.1%2Bx", "npm/left@1.3.0"]),
        ({"uv.lock": '[[package]]\nname="a"\nversion="1"\n[[package]]\nname="me"\nversion="0"\nsource={editable="."}'}, ["pypi/a@1"]),
        ({"requirements.txt": "Flask_X[async]==3.0 ; python_version > '3'\nopen>=1\n", "b/uv.lock": "["}, ["pypi/flask-x@3.0"]),
        ({}, []),
    ],
)  # fmt: skip
def test_components(locks: dict[str, str], expected: list[str]) -> None:
    found = sbom.document("web", "v7", "2026-11-21T01:02:03Z", {name: text.encode() for name, text in locks.items()})
    assert [component["purl"] for component in found["components"]] == [f"pkg:{one}" for one in expected]
    assert sbom_faults(json.dumps(found)) is None


@pytest.mark.parametrize(
    ("file", "is_one"), [("a/uv.lock", True), ("requirements-dev.txt", True), ("b/package.json", False)]
)
def test_files_that_settle_packages(file: str, is_one: bool) -> None:
    assert sbom.is_lock_file(file) is is_one
