"""What `init` knows of versions: of Node and Python that a repository needs, and of packages from its time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.detection.detect import draft_config
from abreast.detection.ecosystems.python_age import python_of_django, python_under_test
from abreast.detection.yaml_text import write_yaml
from detection_examples import HELLO, MANAGE, SERVER, Files, package

FASTAPI = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO}


def backend(folder: Path, files: Files) -> dict[str, Any]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (service,) = yaml.safe_load(write_yaml(draft_config(folder)))["services"].values()
    return dict(service)


def committed(folder: Path, files: Files, day: str) -> dict[str, Any]:
    """Return the service of a repository whose last commit is of a day."""
    backend(folder, files)
    env = {"GIT_AUTHOR_DATE": f"{day}T12:00:00Z", "GIT_COMMITTER_DATE": f"{day}T12:00:00Z", "HOME": str(folder)}
    who = ("-c", "user.name=ada", "-c", "user.email=ada@localhost")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "Start")):
        subprocess.run(["git", *command], cwd=folder, env={"PATH": "/usr/bin:/bin", **env}, check=True)
    return backend(folder, {})


FLASK = {"app.py": "app = Flask(__name__)"}


@pytest.mark.parametrize(
    ("requirements", "added"),
    [
        ("Flask==1.1.2\nWerkzeug==1.0.1\ngunicorn==23.0\n", " 'jinja2<3.1' 'markupsafe<2.1' 'itsdangerous<2.1'"),
        ("flask==2.2.5\ngunicorn==23.0\n", " 'werkzeug<3'"),
        ("flask==2.2.5\nwerkzeug==2.2.3\ngunicorn==23.0\n", ""),
        ("flask==2.3.0\ngunicorn==23.0\n", ""),
        ("flask>=1.0\ngunicorn==23.0\n", ""),
        ("flask-cors==1.0\nflask\ngunicorn==23.0\n", ""),
    ],
)
def test_an_old_flask_gets_what_it_starts_with(requirements: str, added: str, tmp_path: Path) -> None:
    build = backend(tmp_path, {"requirements.txt": requirements, **FLASK})["build"]
    assert build["install"] == f"pip install -r requirements.txt{added}"


# ── Python ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("requirements", "added"),
    [
        ("gunicorn==20.1.0\n", " 'setuptools<81'"),
        ("gunicorn==21.2.0\n", ""),
        ("gunicorn>=20\n", ""),
        ("gunicorn==20.1.0\nsetuptools==70.0\n", ""),
        ("gunicorn==21.2.0\nflask==2.0.3\nFlask_Migrate==2.5.3\n", " 'setuptools<81'"),
        ("gunicorn==21.2.0\nflask==2.0.3\n", ""),
        ("gunicorn==21.2.0\nflask==2.1.0\nflask-migrate==2.5.3\n", ""),
    ],
)
def test_an_old_gunicorn_gets_the_pkg_resources_that_it_imports(tmp_path: Path, requirements: str, added: str) -> None:
    files = {"requirements.txt": f"flask==3.0\nwerkzeug==3.0\n{requirements}", "app.py": "app = Flask(__name__)"}
    assert backend(tmp_path, files)["build"]["install"] == f"pip install -r requirements.txt{added}"


WITHOUT_MANIFEST = {
    "manage.py": MANAGE, "shop/wsgi.py": "", "shop/urls.py": "from django.urls import path\nfrom pages import views\n",
    "shop/settings.py": "INSTALLED_APPS = [\n    'django.contrib.auth',\n    'rest_framework',\n    'pages',\n]\n",
    "pages/views.py": "import os, json\n", "pages/models.py": "from . import views\na = models.ImageField()\n",
}  # fmt: skip


def test_code_without_a_manifest_gets_what_it_imports(tmp_path: Path) -> None:
    install = backend(tmp_path, WITHOUT_MANIFEST)["build"]["install"]
    assert install == "pip install django djangorestframework pillow gunicorn"
    assert "# no file lists packages: its imports; gunicorn" in write_yaml(draft_config(tmp_path))


def test_packages_of_old_code_without_a_manifest_are_of_its_time(tmp_path: Path) -> None:
    install = committed(tmp_path, {**WITHOUT_MANIFEST, ".python-version": "3.11"}, "2024-05-01")["build"]["install"]
    assert install == "uv pip install --exclude-newer 2024-05-01 django djangorestframework pillow gunicorn"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"pages/views.py": "import shap"}, "nothing says which ones have shap"),
        ({"environment.yml": "dependencies: [django]"}, "environment.yml lists packages in a way of its own"),
    ],
)
def test_what_a_missing_manifest_leaves_open_is_said(more: Files, why: str, tmp_path: Path) -> None:
    assert "install" not in backend(tmp_path, {**WITHOUT_MANIFEST, **more}).get("build", {})
    written = " ".join(write_yaml(draft_config(tmp_path)).replace("\n#  ", "").split())
    assert "the root: no install, since" in written
    assert why in written


def test_an_application_without_a_manifest_is_a_service(tmp_path: Path) -> None:
    found = backend(
        tmp_path / "one", {"back/main.py": "import uvicorn\n", "back/app/__init__.py": "", "back/app/api.py": HELLO}
    )
    assert found["folder"] == "back"
    assert found["run"].startswith("uvicorn app.api:app ")
    assert found["build"]["install"] == "pip install fastapi uvicorn"
    script = "import streamlit as st\ntry:\n    import faster\nexcept ImportError:\n    pass\n"
    assert backend(tmp_path / "two", {"app.py": script})["build"]["install"] == "pip install streamlit"


def test_code_beside_a_manifest_is_no_service_of_its_own(tmp_path: Path) -> None:
    files = {**FASTAPI, "tool/app.py": "from flask import Flask\napp = Flask(__name__)\n"}
    assert backend(tmp_path / "above", files)["run"].startswith("uvicorn")
    files = {
        "app.py": "from flask import Flask\napp = Flask(__name__)\n",
        **{f"api/{n}": t for n, t in FASTAPI.items()},
    }
    assert backend(tmp_path / "below", files)["folder"] == "api"


# ── Node ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "option"),
    [
        ({"react-scripts": "3.4.3", "typescript": "^4.0.2"}, " --legacy-peer-deps"),
        ({"react-scripts": "5.0.1", "typescript": "~5.2"}, " --legacy-peer-deps"),
        ({"react-scripts": "5.0.1", "typescript": "^4.9"}, ""),
        ({"react-scripts": "5.0.1", "typescript": "^4 || ^5"}, ""),
        ({"react-scripts": "5.0.1"}, ""),
        ({"react-scripts": "^4", "@material-ui/core": "^4.12.0", "react": "^18.2.0"}, " --legacy-peer-deps"),
        ({"react-scripts": "^4", "@material-ui/core": "^4.12.0", "react": "latest"}, ""),
    ],
)
def test_npm_is_told_to_take_peers_that_packages_refuse(wanted: dict[str, str], option: str, tmp_path: Path) -> None:
    manifest = package({"build": "react-scripts build"}, dependencies=wanted)
    assert backend(tmp_path, {"package.json": manifest})["build"]["install"] == f"npm install{option}"
    locked = backend(tmp_path, {"package.json": manifest, "yarn.lock": ""})["build"]["install"]
    assert "peer" not in locked, "npm alone refuses them"


@pytest.mark.parametrize(
    ("engines", "nvmrc", "oldest"),
    [
        (">=22.0.0", "", "22"),
        ("^20.19.0 || >=22.12.0", "", "20.19"),
        (">= 18 < 25", "", "18"),
        ("22.x", "", "22"),
        (">=18", "22", "18"),
        ("", "v22.11.0", "22"),
        ("", "lts/jod", "22"),
        ("", "lts/*", None),
        ("*", "", None),
        ("<22", "", None),
    ],
)
def test_the_oldest_node_is_that_of_engines_or_else_of_nvmrc(
    tmp_path: Path, engines: str, nvmrc: str, oldest: str | None
) -> None:
    manifest = package({"start": "node server.js"}, "koa", **({"engines": {"node": engines}} if engines else {}))
    files = {"package.json": manifest, "server.js": SERVER, "package-lock.json": "{}"}
    assert backend(tmp_path, files | ({".nvmrc": nvmrc} if nvmrc else {})).get("node") == oldest


@pytest.mark.parametrize(
    ("dependencies", "key", "is_old"),
    [
        ({"react-scripts": "4.0.1"}, "build", True),
        ({"react-scripts": "^5.0.0"}, "build", False),
        ({"express": "~4.12.2"}, "run", True),
        ({"express": "^4.18.0"}, "run", False),
    ],
)
def test_packages_that_hash_with_md4_get_it_from_openssl(
    tmp_path: Path, dependencies: dict[str, str], key: str, is_old: bool
) -> None:
    scripts = {"build": "react-scripts build"} if key == "build" else {"start": "node server.js"}
    files = {
        "package.json": package(scripts, dependencies=dependencies),
        "package-lock.json": "{}",
        "public/index.html": "",
    }
    found = backend(tmp_path, files | ({"server.js": SERVER} if key == "run" else {}))
    command = found["build"]["run"] if key == "build" else found["run"]
    assert command.startswith("NODE_OPTIONS=--openssl-legacy-provider ") is is_old


# ── Python ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pin", "ours", "python"),
    [
        ("Django==1.10.5", (3, 11), ">=3.5,<3.7"),
        ("Django==1.10.5", (3, 6), ""),
        ("django == 2.2.1", (3, 12), ">=3.6,<3.10"),
        ("Django==4.2.1", (3, 12), ""),
        ("Django>=1.10", (3, 11), ""),
        ("django-filter==1.0", (3, 11), ""),
    ],
)
def test_an_old_django_runs_on_an_old_python(pin: str, ours: tuple[int, int], python: str) -> None:
    assert python_of_django([pin], ours) == (python, pin if python else "")


def test_an_old_django_gets_a_python_that_it_runs_on(tmp_path: Path) -> None:
    files = {"requirements.txt": "Django==1.10.5\n", "manage.py": MANAGE}
    found = backend(tmp_path / "none", files)
    assert found["python"] == ">=3.5,<3.7"
    assert found["build"]["install"] == "pip install -r requirements.txt 'gunicorn<21'"
    assert backend(tmp_path / "named", {**files, "runtime.txt": "python-3.8.1"})["python"] == "3.8"


def test_a_list_without_versions_is_installed_as_of_the_last_commit(tmp_path: Path) -> None:
    files = {**FASTAPI, ".python-version": "3.11"}
    found = committed(tmp_path, files, "2023-05-01")
    assert found["build"]["install"] == "uv pip install --exclude-newer 2023-05-01 -r requirements.txt"
    assert "packages of the last commit, 2023-05-01" in write_yaml(draft_config(tmp_path))


def test_the_server_that_is_added_is_of_that_time_too(tmp_path: Path) -> None:
    app = "from flask import Flask\napp = Flask(__name__)\n"
    files = {"requirements.txt": "Flask==2.2.3\n", "app.py": app, ".python-version": "3.11"}
    install = "uv pip install --exclude-newer 2023-05-01 -r requirements.txt gunicorn"
    assert committed(tmp_path, files, "2023-05-01")["build"]["install"] == install


@pytest.mark.parametrize(
    ("files", "day"),
    [
        (FASTAPI | {".python-version": "3.11"}, "2099-01-01"),  # somebody works on it
        (FASTAPI | {".python-version": "3.11"}, "2019-05-28"),  # before that Python
        (FASTAPI | {".python-version": "3.11", "requirements.txt": "fastapi==0.95.1\nstarlette==0.26.1\n"}, "2023-05-01"),
    ],
    ids=["of today", "older than its Python", "a lock"],
)  # fmt: skip
def test_other_lists_get_the_packages_of_today(tmp_path: Path, files: Files, day: str) -> None:
    assert committed(tmp_path, files, day)["build"]["install"].startswith("pip install -r requirements.txt")


FLASK = {"app.py": "from flask import Flask\napp = Flask(__name__)\n"}


@pytest.mark.parametrize(
    ("texts", "version"),
    [
        (["python-version: 3.9"], "3.9"),
        (["        python-version: ['3.8', '3.10']"], "3.10"),
        (["python-version: ['3.8', '3.11', '3.13']"], "3.11"),
        (["python-version:\n          - '3.8'\n          - '3.9'\n    steps:"], "3.9"),
        (["python-version: ${{ matrix.python-version }}", "[tox]\nenvlist = py38,py39,lint"], "3.9"),
        (["env_list =\n    py37\n    py38\n\n[testenv]\nbasepython = python3"], "3.8"),
        (["python-version: 3.x", "node-version: 20"], ""),
        (["python-version: 3.6"], ""),
    ],
)
def test_what_workflows_test_with(texts: list[str], version: str) -> None:
    assert python_under_test(texts, "3.11") == version


def test_a_project_runs_with_the_python_that_its_workflow_tests(tmp_path: Path) -> None:
    workflow = ".github/workflows/tests.yml"
    files = {"requirements.txt": "flask\n", **FLASK, workflow: "steps:\n- with:\n    python-version: 3.9\n"}
    assert committed(tmp_path / "tested", files, "2099-01-01")["python"] == "3.9"
    assert committed(tmp_path / "said", {**files, ".python-version": "3.12"}, "2099-01-01")["python"] == "3.12"


@pytest.mark.parametrize(
    ("pins", "day", "python"),
    [
        ({"requirements.txt": "flask==1.1.2\nwerkzeug==1.0.1\n"}, "2021-08-29", "3.9"),
        ({"Pipfile": "[packages]\nflask = '*'\n", "Pipfile.lock": "{}"}, "2020-04-05", "3.8"),
        ({"requirements.txt": "flask\n"}, "2021-08-29", "3.11"),
        ({"requirements.txt": "flask==3.0.1\n"}, "2099-01-01", "3.11"),
        ({"requirements.txt": "flask==0.9\n"}, "2013-01-01", "3.11"),
    ],
    ids=["a list", "a lock", "no versions", "somebody works on it", "before all that there are"],
)
def test_old_packages_get_a_python_of_their_time(pins: Files, day: str, python: str, tmp_path: Path) -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert committed(tmp_path, {**pins, **FLASK}, day)["python"] == (python if python != "3.11" else ours)


def test_a_lock_of_pipenv_pins_an_old_gunicorn_too(tmp_path: Path) -> None:
    lock = '{"default": {"flask": {"version": "==3.0"}, "gunicorn": {"version": "==20.0.4"}}}'
    files = {"Pipfile": "[packages]\nflask = '*'\n", "Pipfile.lock": lock, **FLASK}
    assert backend(tmp_path, files)["build"]["install"] == "uvx pipenv sync && pip install 'setuptools<81'"
