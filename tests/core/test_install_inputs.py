"""What an install command reads, and when its result depends on lock files alone."""

from collections.abc import Mapping, Sequence

import pytest

from abreast.core.changes.install_inputs import (
    ReadFiles,
    default_python_install,
    find_install_inputs,
    foreign_lock_file,
    requested_python,
)


def reader(files: Mapping[str, str]) -> ReadFiles:
    def read(names: Sequence[str]) -> Mapping[str, bytes]:
        return {name: files[name].encode() for name in names if name in files}

    return read


NODE = {"web/package.json": "{}", "web/package-lock.json": "{}", "web/src/app.js": "", "api/package-lock.json": "{}"}
WORKSPACE = {
    "package.json": '{"workspaces": ["web", "ui"]}', "pnpm-lock.yaml": "", "pnpm-workspace.yaml": "", ".npmrc": "",
    "web/package.json": "{}", "ui/package.json": "{}", "ui/button.js": "", "patches/left-pad.patch": "",
}  # fmt: skip
PIP = {
    "api/requirements.txt": "-r deps/base.txt\nflask==3.0\n", "api/deps/base.txt": "-c pins.txt\nsix\n",
    "api/deps/pins.txt": "six==1.17\n", "api/app.py": "", ".python-version": "3.12\n", "requirements.txt": "other\n",
}  # fmt: skip
UV = {"pyproject.toml": "", "uv.lock": 'source = { virtual = "." }\n', "api/pyproject.toml": "", "api/app.py": ""}


@pytest.mark.parametrize(
    ("command", "folder", "files", "expected"),
    [
        ("npm ci", "web", NODE, ["web/package-lock.json", "web/package.json"]),
        ("npm ci --omit=dev", "web", NODE, ["web/package-lock.json", "web/package.json"]),
        ("pnpm install --frozen-lockfile", "web", WORKSPACE, sorted({*WORKSPACE} - {"ui/button.js"})),
        ("pip install -r requirements.txt", "api", PIP, [
            ".python-version", "api/deps/base.txt", "api/deps/pins.txt", "api/requirements.txt"]),
        ("python -m pip install --requirement=requirements.txt", "api", PIP, [
            ".python-version", "api/deps/base.txt", "api/deps/pins.txt", "api/requirements.txt"]),
        ("pip install --find-links ../wheels -r r.txt", "api", {"api/r.txt": "", "wheels/six.whl": "", "api/a.py": ""}, [
            "api/r.txt", "wheels/six.whl"]),
        ("uv sync --frozen", "api", UV, ["api/pyproject.toml", "pyproject.toml", "uv.lock"]),
        ("uvx poetry install --no-root", "", {"poetry.lock": "", "pyproject.toml": "", "a.py": ""}, ["poetry.lock", "pyproject.toml"]),
        ("make deps", "", {"yarn.lock": "", "Makefile": ""}, ["yarn.lock"]),
    ],
)  # fmt: skip
def test_it_depends_on_these_files_alone(
    command: str, folder: str, files: Mapping[str, str], expected: list[str]
) -> None:
    found = find_install_inputs(command, folder, files, reader(files))
    assert (list(found.files), found.unlocked, found.own_code) == (expected, "", "")


@pytest.mark.parametrize(
    ("command", "files", "why"),
    [
        ("npm install", {"package.json": "{}"}, "the commit has no package-lock.json for `npm install`"),
        ("npm ci && pnpm i", {"package-lock.json": "{}"}, "the commit has no pnpm-lock.yaml for `npm ci && pnpm i`"),
        ("pip install flask", {"requirements.txt": ""}, "`pip install flask` names no requirements file of the commit"),
        ("uv pip install -r missing.txt", {}, "`uv pip install -r missing.txt` names no requirements file of the commit"),
        ("uv sync", {"pyproject.toml": ""}, "the commit has no uv.lock for `uv sync`"),
        ("make deps", {"Makefile": ""}, "the commit has no lock file for `make deps`"),
    ],
)  # fmt: skip
def test_without_a_lock_file_another_day_gives_another_result(command: str, files: Mapping[str, str], why: str) -> None:
    assert find_install_inputs(command, "", files, reader(files)).unlocked == why


@pytest.mark.parametrize(
    ("command", "files", "why"),
    [
        ("pip install -r requirements.txt .", {"requirements.txt": "six"}, "it installs code of this repository (.)"),
        ("pip install -r r.txt", {"r.txt": "six\n-e ./lib\n"}, "it installs code of this repository (-e ./lib)"),
        ("pip install -r ./r.txt", {"r.txt": "six\n"}, ""),
        ("pip install -r r.txt --find-links ./wheels", {"r.txt": "six\n"}, ""),
        ("pip install -r r.txt --find-links=./wheels ./lib", {"r.txt": "six\n"}, "it installs code of this repository (./lib)"),
        ("uv sync", {"uv.lock": 'source = { editable = "." }'}, "it installs packages of this repository (uv.lock)"),
        ("uv sync --no-install-project", {"uv.lock": 'source = { editable = "." }'}, ""),
        ("npm ci", {"package-lock.json": "{}", "package.json": '{"scripts": {"postinstall": "prisma generate"}}'},
            "package.json has a script postinstall, which may read any file"),
        ("npm ci --ignore-scripts", {"package-lock.json": "{}", "package.json": '{"scripts": {"postinstall": "x"}}'}, ""),
        ("npm ci", {"package-lock.json": "{}", "package.json": '{"scripts": {"prepare": "husky", "build": "vite"}}'}, ""),
        ("npm ci", {"package-lock.json": "{}", "package.json": "not JSON"}, ""),
    ],
)  # fmt: skip
def test_an_install_of_the_services_own_code_depends_on_that(command: str, files: Mapping[str, str], why: str) -> None:
    assert find_install_inputs(command, "", files, reader(files)).own_code == why


@pytest.mark.parametrize(
    ("files", "command", "foreign"),
    [
        (["api/requirements.txt", "uv.lock"], "uv sync --frozen", ""),
        (["api/pylock.toml", "api/requirements.txt"], "uv pip sync pylock.toml", ""),
        (["api/requirements.txt"], "uv pip install -r requirements.txt", ""),
        (["requirements.txt"], None, ""),
        (["api/poetry.lock"], None, "poetry.lock"),
        (["api/Pipfile.lock"], None, "Pipfile.lock"),
        (["api/pdm.lock", "api/requirements.txt"], "uv pip install -r requirements.txt", "pdm.lock"),
    ],
)
def test_the_lock_file_says_how_python_is_installed(files: list[str], command: str | None, foreign: str) -> None:
    assert default_python_install("api", files) == command
    assert foreign_lock_file("api", files) == foreign


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"api/.python-version": "# ours\n3.12\n", ".python-version": "3.11\n"}, "3.12"),
        ({".python-version": "3.11\n", "api/pyproject.toml": '[project]\nrequires-python = ">=3.13"\n'}, "3.11"),
        ({"api/pyproject.toml": '[project]\nrequires-python = ">=3.11,<3.14"\n'}, ">=3.11,<3.14"),
        ({"api/pyproject.toml": "[tool.x]\n", "pyproject.toml": '[project]\nrequires-python = "~=3.12"\n'}, "~=3.12"),
        ({"api/Pipfile": '[requires]\npython_version = "3.10"\n'}, "3.10"),
        ({"api/pyproject.toml": "not TOML ["}, ""),
        ({}, ""),
    ],
)
def test_auto_is_what_the_commit_asks_for(files: Mapping[str, str], expected: str) -> None:
    assert requested_python("api", files, reader(files)) == expected


@pytest.mark.parametrize(
    ("command", "configuration", "has_own_cache"),
    [
        ("yarn install --immutable", "", True),
        ("yarn install --immutable", "nodeLinker: pnp\n", True),
        ("yarn install --immutable", 'yarnPath: yarn.cjs\nnodeLinker: "node-modules"\n', False),
        ("yarn install --immutable", "nodeLinker: pnpm\n", False),
        ("npm ci", "", False),
    ],
)
def test_yarn_keeps_the_packages_of_plug_and_play_in_the_checkout(
    command: str, configuration: str, has_own_cache: bool
) -> None:
    files = {"web/yarn.lock": "", "web/.yarnrc.yml": configuration}
    found = find_install_inputs(command, "web", files, reader(files))
    assert found.variables.get("YARN_ENABLE_GLOBAL_CACHE") == ("false" if has_own_cache else None)


@pytest.mark.parametrize(("command", "value"), [("npm ci", "0"), ("pnpm install", "0"), ("uv sync --frozen", None)])
def test_an_install_sets_up_no_hooks_of_git(command: str, value: str | None) -> None:
    files = {"web/package-lock.json": "", "web/uv.lock": ""}
    assert find_install_inputs(command, "web", files, reader(files)).variables.get("HUSKY") == value
