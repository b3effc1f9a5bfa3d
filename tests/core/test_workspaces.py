"""What a service is made from beside what it watches, by the manifests in its repository."""

import json

import pytest

from abreast.core.changes.workspaces import dependency_patterns, parse_packages, unlocked_manifests

NPM = {
    "package.json": json.dumps({"name": "root", "workspaces": ["packages/*", "!packages/old"]}),
    "package-lock.json": "",
    "packages/web/package.json": json.dumps({"name": "@a/web", "dependencies": {"@a/ui": "*", "react": "19"}}),
    "packages/ui/package.json": json.dumps({"name": "@a/ui", "devDependencies": {"@a/theme": "workspace:^"}}),
    "packages/theme/package.json": json.dumps({"name": "@a/theme", "peerDependencies": {"@a/ui": "*"}}),
    "packages/old/package.json": json.dumps({"name": "@a/old"}),
    "packages/admin/package.json": json.dumps({"name": "@a/admin", "dependencies": {"left": "file:../old"}}),
}
PNPM = {
    "package.json": json.dumps({"name": "root"}),
    "pnpm-workspace.yaml": "packages: [apps/*, libs/**]",
    "pnpm-lock.yaml": "",
    "apps/web/package.json": json.dumps({"name": "web", "dependencies": {"ui": "workspace:*"}}),
    "libs/deep/ui/package.json": json.dumps({"name": "ui"}),
}
UV = {
    "pyproject.toml": '[project]\nname = "root"\n[tool.uv.workspace]\nmembers = ["services/*", "libs/*"]\n'
    'exclude = ["libs/none"]',
    "uv.lock": "",
    "services/api/pyproject.toml": '[project]\nname = "api"\ndependencies = ["Shared_Code>=1", "httpx"]\n'
    "[tool.uv.sources]\nshared-code = {workspace = true}",
    "libs/shared/pyproject.toml": '[project]\nname = "shared-code"\n[tool.uv.sources]\nx = {path = "../../vendor/x"}',
    "vendor/x/pyproject.toml": '[project]\nname = "x"',
    "web/package.json": json.dumps({"name": "web"}),
    "web/package-lock.json": "",
}


@pytest.mark.parametrize(
    ("files", "watch", "expected"),
    [
        (NPM, ["packages/web/**"], "package-lock.json package.json packages/theme/** packages/ui/**"),
        (NPM, ["packages/admin/**"], "package-lock.json package.json packages/old/**"),
        (NPM, ["packages/old/**"], ""),
        (NPM, ["packages/**"], "package-lock.json package.json"),
        (NPM, ["backend/**"], "package-lock.json package.json"),
        (PNPM, ["apps/web/**"], "libs/deep/ui/** package.json pnpm-lock.yaml pnpm-workspace.yaml"),
        (UV, ["services/api/**"], "libs/shared/** pyproject.toml uv.lock vendor/x/**"),
        (UV, ["web/**"], ""),
        (UV, ["web/src/**"], "web/package-lock.json web/package.json"),
        ({"package.json": "[", "pyproject.toml": "=", "a/package.json": '{"workspaces": 3}'}, ["a/**"], ""),
    ],
)  # fmt: skip
def test_what_reaches_a_service(files: dict[str, str], watch: list[str], expected: str) -> None:
    known = parse_packages({name: text.encode() for name, text in files.items()})
    assert sorted(dependency_patterns(watch, known, files)) == expected.split()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (NPM, ""), (PNPM, ""), (UV, ""),
        ({"a/package.json": '{"dependencies": {"x": "1"}}', "b/package-lock.json": ""}, "a/package.json"),
        ({"a/package.json": "{}", "pyproject.toml": '[project]\nname="x"'}, ""),
        ({"pyproject.toml": '[project]\nname="x"\ndependencies=["y"]'}, "pyproject.toml"),
        ({"pyproject.toml": '[project]\nname="x"\ndependencies=["y"]', "requirements-prod.txt": ""}, ""),
    ],
)  # fmt: skip
def test_manifests_that_nothing_settles(files: dict[str, str], expected: str) -> None:
    known = parse_packages({name: text.encode() for name, text in files.items()})
    assert " ".join(unlocked_manifests(known, files)) == expected
