"""What starters and templates leave unsaid: who serves an export, whose health check it is, what a folder of pages is for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.detection.detect import draft_config
from abreast.detection.yaml_text import write_yaml
from detection_examples import HELLO, VITE, Files, package


def services(folder: Path, files: Files) -> dict[str, dict[str, Any]]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return dict(yaml.safe_load(write_yaml(draft_config(folder)))["services"] or {})


def backend(folder: Path, files: Files) -> dict[str, Any]:
    (service,) = services(folder, files).values()
    return service


# ── Bun ─────────────────────────────────────────────────────────────────────────────────────────

HONO = "import { Hono } from 'hono'\nconst app = new Hono()\napp.get('/', ok)\n"
WATCHED = {"dev": "bun --watch run src/index.ts", "build": "tsc"}


@pytest.mark.parametrize(
    ("scripts", "files", "run"),
    [
        (WATCHED, {"src/index.ts": f"{HONO}export default app\n"}, "bun src/index.ts"),
        ({}, {"index.ts": f"{HONO}export default {{ port: 3000, fetch: app.fetch }}\n"}, "bun index.ts"),
        (WATCHED, {"src/index.ts": "new Elysia().listen(process.env.PORT)"}, "bun src/index.ts"),
        ({"dev": "bun run --hot src/api.ts"}, {"src/api.ts": f"{HONO}export default app\n"}, "bun src/api.ts"),
    ],
    ids=["an application", "an object with fetch", "one that listens", "a file of another name"],
)
def test_bun_serves_what_a_file_exports(scripts: dict[str, str], files: Files, run: str, tmp_path: Path) -> None:
    found = backend(tmp_path, {"package.json": package(scripts, "hono", "elysia"), "bun.lock": "", **files})
    assert found["run"] == run
    assert found["build"]["install"] == "bun install --frozen-lockfile"


@pytest.mark.parametrize(
    ("lock", "names"),
    [("package-lock.json", ("hono",)), ("bun.lock", ("hono", "wrangler"))],
    ids=["Node", "Cloudflare"],
)
def test_an_export_that_another_runtime_serves_is_no_service_of_bun(
    lock: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    manifest = package({"dev": "wrangler dev"}, *names)
    assert services(tmp_path, {"package.json": manifest, lock: "{}", "src/index.ts": f"{HONO}export default app"}) == {}


def test_a_package_that_only_exports_functions_is_no_server(tmp_path: Path) -> None:
    files = {"package.json": package({}, "hono"), "bun.lock": "", "src/index.ts": "export default function add() {}"}
    assert services(tmp_path, files) == {}


# ── health ──────────────────────────────────────────────────────────────────────────────────────

APPLICATION = {"package.json": package({"start": "node server.js"}, "express", name="shop"), "package-lock.json": "{}",
               "server.js": "app.get('/', ok)\napp.listen(process.env.PORT)"}  # fmt: skip
CHECK = "healthcheck: {test: curl --fail http://localhost:8080/healthy}"


@pytest.mark.parametrize(
    ("image", "health"), [("hasura/graphql-engine:v2", None), ("", None), ("ghcr.io/acme/shop:latest", "/healthy")]
)
def test_a_health_check_of_compose_is_that_of_its_own_image(image: str, health: str | None, tmp_path: Path) -> None:
    compose = f"services:\n  other:\n    image: {image}\n    ports: ['8080:8080']\n    {CHECK}\n"
    assert backend(tmp_path, {**APPLICATION, "compose.yml": compose}).get("health") == health


@pytest.mark.parametrize(
    ("arguments", "health"),
    [
        ("dependencies=[Depends(token)]", "/docs"),
        ("dependencies=[Depends(get('x'))], docs_url='/api'", "/api"),
        ("", None),
    ],
)
def test_routes_that_all_ask_for_a_token_are_no_health_check(
    arguments: str, health: str | None, tmp_path: Path
) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO.replace("FastAPI()", f"FastAPI({arguments})")}
    assert backend(tmp_path, files).get("health") == health


@pytest.mark.parametrize(
    ("files", "health"),
    [
        ({"requirements.txt": "streamlit==1.12.0\n"}, "/healthz"),
        ({"requirements.txt": "streamlit==1.40.1\n"}, "/_stcore/health"),
        ({"requirements.txt": "streamlit\n"}, "/_stcore/health"),
        ({"Pipfile": "[packages]\nstreamlit = '*'\n",
          "Pipfile.lock": '{"default": {"streamlit": {"hashes": ["sha256:1"], "version": "==0.80.0"}}}'}, "/healthz"),
        ({"pyproject.toml": "[project]\ndependencies = ['streamlit']\n",
          "uv.lock": '[[package]]\nname = "streamlit"\nversion = "1.17.0"\n'}, "/healthz"),
    ],
)  # fmt: skip
def test_streamlit_is_asked_where_its_version_answers(files: Files, health: str, tmp_path: Path) -> None:
    procfile = "web: sh setup.sh && streamlit run app.py\n"
    found = backend(tmp_path, {**files, "app.py": "import streamlit as st\n", "Procfile": procfile})
    assert found["health"] == health


def test_a_route_may_have_types(tmp_path: Path) -> None:
    code = "app.get<object, Message>('/healthz', ok)\napp.listen(process.env.PORT)"
    assert backend(tmp_path, {**APPLICATION, "server.js": code})["health"] == "/healthz"


# ── pages ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("generator", "names"), [("@11ty/eleventy", {"frontend"}), ("vite", {"frontend", "admin"})])
def test_a_page_that_a_generator_copies_is_a_part_of_its_site(generator: str, names: set[str], tmp_path: Path) -> None:
    manifest = package(VITE, generator)
    files = {"package.json": manifest, "package-lock.json": "{}", "index.html": "", "admin/index.html": ""}
    assert set(services(tmp_path, files)) == names


# ── Django with settings for several places ─────────────────────────────────────────────────────


def settings_module(name: str) -> str:
    return f"import django, os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', '{name}')\n"


SPLIT = {
    "requirements/production.txt": "django==4.1\ngunicorn\n", "requirements/tests.txt": "factory-boy\n",
    "requirements/dev.txt": "-r tests.txt\nipython\n", "manage.py": settings_module("shop.settings.local"),
    "shop/settings/local.py": "from .base import *", "shop/settings/production.py": "from .base import *",
    "shop/settings/base.py": "INSTALLED_APPS = []\nSTATIC_ROOT = 'static'",
}  # fmt: skip


@pytest.mark.parametrize("server", ["shop.settings.production", "shop.settings.local"])
def test_all_commands_of_django_have_the_settings_of_its_server(server: str, tmp_path: Path) -> None:
    found = backend(tmp_path, {**SPLIT, "shop/wsgi.py": settings_module(server)})
    expected = {} if server.endswith("local") else {"DJANGO_SETTINGS_MODULE": server}
    assert found.get("env", {}) == expected
    assert found["build"]["run"] == "python manage.py collectstatic --noinput"


@pytest.mark.parametrize(
    ("settings", "option"),
    [("shop/settings/tests.py", " --settings=shop.settings.tests"), ("shop/settings/ci.py", "")],
)
def test_django_is_tested_with_its_settings_for_tests(settings: str, option: str, tmp_path: Path) -> None:
    files = {
        settings: "from .base import *", "shop/cart/tests/test_views.py": "def test_it(): ...",
        "shop/cart/tests/factories.py": "import factory",
    }  # fmt: skip
    found = backend(tmp_path, {**SPLIT, **files})
    assert found["test"] == f"pip install -r requirements/tests.txt && python manage.py test{option}"


def test_tests_get_a_file_where_the_default_is_a_server(tmp_path: Path) -> None:
    default = "import dj_database_url\nDATABASES = {'default': dj_database_url.config(default=config('DATABASE_URL', default='postgres://me@localhost/shop'))}"
    files = {**SPLIT, "shop/settings/base.py": default, "shop/tests.py": "def test_it(): ..."}
    assert backend(tmp_path, {**files, "requirements/production.txt": "django==4.1\npsycopg2\n"})["test"]["env"] == {
        "DATABASE_URL": "sqlite:///test.db"
    }


@pytest.mark.parametrize(
    ("base", "production"),
    [
        ("from decouple import Csv, config\n", "from .base import *\nMAIL = config('MAIL')\n"),
        ("import environ\nenv = environ.Env(\n    DEBUG=(bool, False)\n)\n", "from .base import *\nMAIL = env('MAIL')\n"),
        ("env = environ.Env()\n", "from .base import INSTALLED_APPS, env\nMAIL = env('MAIL')\n"),
    ],
)  # fmt: skip
def test_settings_need_what_they_read_with_what_they_import(base: str, production: str, tmp_path: Path) -> None:
    files = {
        **SPLIT, "shop/wsgi.py": settings_module("shop.settings.production"), "shop/settings/base.py": base,
        "shop/settings/production.py": production, "shop/settings/local.py": production.replace("MAIL", "DEVELOPERS_MAIL"),
    }  # fmt: skip
    found = backend(
        tmp_path, {**files, "shop/settings/test.py": "from .base import *", "shop/tests.py": "def test_it(): ..."}
    )
    assert found["env"] == {"DJANGO_SETTINGS_MODULE": "shop.settings.production", "MAIL": "${MAIL}"}
    assert found["test"] == "python manage.py test --settings=shop.settings.test"
    found = backend(tmp_path, {".env.example": "MAIL=smtp.example.org\n"})
    assert found["env"]["MAIL"] == "${MAIL:-smtp.example.org}"
    assert found["test"] == "python manage.py test --settings=shop.settings.test"


# ── compose ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("command", "is_told"), [("rq worker", True), ("flask run --reload", False), ("", False)])
def test_what_a_profile_of_compose_runs_is_told(command: str, is_told: bool, tmp_path: Path) -> None:
    compose = f"services:\n  jobs:\n    build: .\n    profiles: [jobs]\n    command: {command}\n"
    backend(tmp_path, {**APPLICATION, "compose.yml": compose})
    told = write_yaml(draft_config(tmp_path))
    assert ("compose.yml: jobs belongs to a profile, so it is not deployed" in told) is is_told
    assert ("jobs: {type: worker, run: rq worker}" in told) is is_told


# ── variables ───────────────────────────────────────────────────────────────────────────────────


def test_variables_of_containers_beside_a_service_are_not_its_own(tmp_path: Path) -> None:
    compose = "services:\n  hasura: {image: 'hasura:2', environment: [HASURA_DATABASE, API_REGION, LIMIT]}\n"
    example = "HASURA_DATABASE=x\nAPI_REGION=eu\nLIMIT=10\nMAIL_FROM=a@b.c\nDOCKER_BUILDKIT=1\nWEB_RELOAD=true\n"
    code = f"{HELLO}class Settings(BaseSettings):\n    region: str = 'us'\nLIMIT = os.getenv('LIMIT')\n"
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": code, "compose.yml": compose, ".env.example": example}
    assert set(backend(tmp_path, files)["env"]) == {"API_REGION", "LIMIT", "MAIL_FROM"}


def test_keys_that_a_package_reads_by_itself_are_asked_for_before_anything_is_built(tmp_path: Path) -> None:
    example = "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=\nCLERK_SECRET_KEY=\nNEXT_PUBLIC_CLERK_SIGN_IN_URL=/sign-in\n"
    manifest = package({"build": "next build", "start": "next start"}, "next", "@clerk/nextjs")
    found = backend(tmp_path, {"package.json": manifest, "package-lock.json": "{}", ".env.example": example})
    assert found["env"] == {
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "${NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY}", "CLERK_SECRET_KEY": "${CLERK_SECRET_KEY}",
        "NEXT_PUBLIC_CLERK_SIGN_IN_URL": "${NEXT_PUBLIC_CLERK_SIGN_IN_URL:-/sign-in}",
    }  # fmt: skip


def test_settings_that_inherit_from_settings_of_the_project_are_needed(tmp_path: Path) -> None:
    config = (
        "from pydantic_settings import BaseSettings\nclass CustomBaseSettings(BaseSettings):\n    model_config = {}\n\n"
        "class Config(CustomBaseSettings):\n    MAIL: str\n    REGION: str = 'eu'\n"
    )
    files = {"requirements.txt": "fastapi\nuvicorn\npydantic-settings\n", "main.py": HELLO, "config.py": config}
    assert backend(tmp_path, files)["env"] == {"MAIL": "${MAIL}"}


FLASK = {"requirements.txt": "flask\ngunicorn\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n"}


@pytest.mark.parametrize(
    ("code", "env"),
    [
        ("SECRET_KEY = os.getenv('SECRET_KEY', 'dev key')", {"SECRET_KEY": {"generate": True}}),
        ("SECRET_KEY = config('DJANGO_SECRET_KEY', default='insecure')", {"DJANGO_SECRET_KEY": {"generate": True}}),
        ("SECRET_KEY = os.getenv('SECRET_KEY', '') or secrets.token_hex()", {}),
        ("API_KEY = os.getenv('STRIPE_API_KEY', 'sk_test')", {}),
    ],
)
def test_a_secret_that_everybody_can_read_is_made_up_instead(code: str, env: dict[str, Any], tmp_path: Path) -> None:
    assert backend(tmp_path, {**FLASK, "settings.py": code}).get("env", {}) == env


def test_a_secret_of_javascript_that_everybody_can_read_is_made_up_instead(tmp_path: Path) -> None:
    files = {**APPLICATION, "auth.ts": "const secret = process.env.COOKIE_SECRET || 'default'"}
    assert backend(tmp_path, files)["env"] == {"COOKIE_SECRET": {"generate": True}}
    assert "env" not in backend(tmp_path, {**files, ".env": "COOKIE_SECRET=committed\n"})


# ── Flask ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("named", "env"), [("shop", {"FLASK_APP": "wsgi"}), ("wsgi:app", {}), ("wsgi", {})])
def test_commands_of_flask_have_the_application_that_runs(named: str, env: dict[str, str], tmp_path: Path) -> None:
    files = {
        "requirements.txt": "flask\nflask-migrate\nflask-sqlalchemy\ngunicorn\n", ".flaskenv": f"FLASK_APP={named}\n",
        "Procfile": "web: gunicorn wsgi:app\n", "wsgi.py": "from shop import create_app\napp = create_app('production')\n",
        "shop/__init__.py": "def create_app(name='development'):\n    URL = os.getenv('DATABASE_URL', 'sqlite:///shop.db')",
        "migrations/alembic.ini": "", "migrations/env.py": "",
    }  # fmt: skip
    found = backend(tmp_path, files)
    assert found["database"]["command"] == "flask db upgrade"
    assert found.get("env", {}) == env


# ── a frontend and its backend ──────────────────────────────────────────────────────────────────

SHOP = {
    "client/package.json": package(VITE, "vite"), "client/index.html": "", "client/package-lock.json": "{}",
    "server/package.json": package({"start": "node server.js"}, "express"), "server/package-lock.json": "{}",
    "server/server.js": "app.get('/', ok)\napp.listen(process.env.PORT)",
}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "local"),
    [
        ({"client/src/main.ts": "const url = import.meta.env.VITE_SERVER_URL || 'http://localhost:3000/v1'"},
         {"client": {"env": {"VITE_SERVER_URL": "${VITE_SERVER_URL:-http://127.0.0.1:8081/v1}"}}}),
        ({"client/.env.example": "VITE_API_URL=http://localhost:5000/api\n"},
         {"client": {"env": {"VITE_API_URL": "${VITE_API_URL:-http://127.0.0.1:8081/api}"}}}),
        ({"server/.env.example": "CORS_ORIGIN=http://localhost:5173\n"},
         {"server": {"env": {"CORS_ORIGIN": "${CORS_ORIGIN:-http://127.0.0.1:8080}"}}}),
        ({"client/.env.example": "VITE_API_URL=https://api.example.com\nVITE_SITE_URL=http://localhost:5173\n"}, {}),
        ({"client/.env.example": "VITE_API_URL=http://localhost:5000\n", "jobs/package-lock.json": "{}",
          **{path.replace("server/", "jobs/"): text for path, text in SHOP.items() if path.startswith("server/")}}, {}),
    ],
    ids=["a default in code", "an example", "the way back", "other addresses", "two backends"],
)  # fmt: skip
def test_on_this_machine_a_frontend_finds_its_backend(files: Files, local: dict[str, Any], tmp_path: Path) -> None:
    services(tmp_path, {**SHOP, **files})
    written = yaml.safe_load(write_yaml(draft_config(tmp_path)))
    assert written["environments"]["local"] == local
    for service, values in local.items():
        assert written["services"][service]["env"] == {key: {"required": False} for key in values["env"]}


# ── tests ───────────────────────────────────────────────────────────────────────────────────────

PIPENV = {
    "Pipfile": "[packages]\nflask = '*'\ngunicorn = '*'\n[dev-packages]\nfaker = '*'\npytest = '*'\n",
    "Pipfile.lock": "{}", "app.py": "from flask import Flask\napp = Flask(__name__)\n",
}  # fmt: skip


def test_tests_have_the_packages_that_pipenv_installs_for_development_only(tmp_path: Path) -> None:
    found = backend(tmp_path, {**PIPENV, "tests/test_app.py": "import pytest"})
    assert found["build"]["install"] == "uvx pipenv sync"
    assert found["test"] == "uvx pipenv sync --dev && python -m pytest --junitxml=junit.xml"


def test_pipenv_without_packages_for_development_leaves_them_to_a_list(tmp_path: Path) -> None:
    files = {**PIPENV, "Pipfile": PIPENV["Pipfile"].partition("[dev")[0], "requirements-dev.txt": "pytest\n"}
    found = backend(tmp_path, {**files, "tests/test_app.py": "import pytest"})
    assert found["test"] == "pip install -r requirements-dev.txt && python -m pytest --junitxml=junit.xml"


def test_a_server_that_only_a_lock_of_pipenv_has_is_not_added(tmp_path: Path) -> None:
    pipfile, lock = "[packages]\nflask = '*'\n", '{"default": {"gunicorn": {"version": "==23.0.0"}}}'
    found = backend(tmp_path, {**PIPENV, "Pipfile": pipfile, "Pipfile.lock": lock})
    assert found["build"]["install"] == "uvx pipenv sync"


@pytest.mark.parametrize(
    ("code", "install"), [("", ""), ("    from faker import Faker\n", "uvx pipenv sync --dev && ")]
)
def test_tests_of_unittest_are_known_by_what_they_share(code: str, install: str, tmp_path: Path) -> None:
    files = {
        **PIPENV, "Pipfile": PIPENV["Pipfile"].replace("pytest = '*'\n", ""), "requirements.txt": "flask\nfaker\n", "fakes.py": f"def fake():\n{code}    ...",
        "tests/__init__.py": "", "tests/base.py": "import unittest", "tests/test_app.py": "from tests.base import Case",
    }  # fmt: skip
    assert backend(tmp_path, files)["test"] == f"{install}python -m unittest discover"


@pytest.mark.parametrize(("script", "has_tests"), [("vitest run --browser.headless", False), ("vitest run", True)])
def test_tests_of_vitest_that_drive_a_browser_are_left_out(script: str, has_tests: bool, tmp_path: Path) -> None:
    manifest = package({**VITE, "test": script}, "vite", "vitest")
    files = {"package.json": manifest, "package-lock.json": "{}", "index.html": "", "src/app.test.ts": "test('it', ok)"}
    assert ("test" in backend(tmp_path, files)) is has_tests
