"""What ordinary repositories leave to their platform: variables, tables, a site inside a server, a `.env` of nobody."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.config.environment_resolver import FIRST_PORT
from abreast.config.load import load_config
from abreast.detection import own_address
from abreast.detection.detect import draft_config
from abreast.detection.ecosystems.python_settings import needed_at_import
from abreast.detection.yaml_text import write_yaml
from abreast.wiring.assembly import PLUGIN_SETTINGS
from detection_examples import HELLO, MANAGE, NODE_API, SERVER, VITE, VITE_WEB, Files, package


def written(folder: Path, files: Files) -> dict[str, Any]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    text = write_yaml(draft_config(folder))
    (folder / "abreast.yml").write_text(text)
    return dict(yaml.safe_load(text))


def backend(folder: Path, files: Files) -> dict[str, Any]:
    (service,) = written(folder, files)["services"].values()
    return dict(service)


# ── variables ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("HOSTS = os.environ.get('HOSTS').split(' ')", ["HOSTS"]),
        ("HOSTS = os.environ.get('HOSTS', '').split(' ')", []),
        ("PORT = int(os.getenv('MAIL_PORT'))", ["MAIL_PORT"]),
        ("URL = os.getenv('DB_URL')\nengine = create_engine(URL)", ["DB_URL"]),
        ("URL = os.getenv('DB_URL')\nURL = 'sqlite://'\nengine = create_engine(URL)", []),
        ("URL = os.getenv('DB_URL') or 'sqlite://'\nengine = create_engine(URL)", []),
        ("def send():\n    os.getenv('HOSTS').split()", []),
        ("if DEBUG:\n    HOSTS = os.getenv('HOSTS').split()", []),
        ("HOSTS = os.getenv('HOSTS').split() if DEBUG else []", []),
        ("class Config:\n    HOSTS = os.getenv('HOSTS').split()", ["HOSTS"]),
        ("SECRET_KEY = os.getenv('KEY')", []),
        ("SECRET_KEY = os.getenv('KEY')\nINSTALLED_APPS = []", ["KEY"]),
        ("from decouple import config\nDB = {'a': {'HOST': config('DB_HOST'), 'PORT': config('DB_PORT', default=1, cast=int)}}", ["DB_HOST"]),
        ("from decouple import config\nON = config('ON', cast=bool)", ["ON"]),
        ("import environ, os\nenv = environ.Env(ON=(bool, False))\nON = env('ON')\nKEY = env.str('KEY')\nX = env('X', default='')", ["KEY"]),
        ("config('DB_HOST')\nenv('X')  # environ", []),
        ("os.getenv('X').split(  # not finished", []),
    ],
)  # fmt: skip
def test_what_an_import_does_not_do_without(code: str, needed: list[str]) -> None:
    assert needed_at_import(code) == needed


@pytest.mark.parametrize(
    "deep", ["x = " + "+".join(["1"] * 3000), "x = a" + ".b" * 900, "x = " + "-" * 20_000 + "1", "x = " + "[" * 150]
)
def test_code_that_is_nested_too_deeply_to_walk_is_not_read(deep: str, tmp_path: Path) -> None:
    code = f"import os\nKEY = os.environ['KEY']\ndb.create_all()\n{deep}\n"
    assert needed_at_import(code) == []
    files = {
        "requirements.txt": "flask==3.1.0\ngunicorn==23.0.0\n",
        "app.py": "app = Flask(__name__)",
        "models.py": code,
    }
    assert backend(tmp_path, files)["run"].startswith("gunicorn app:app")


def test_what_python_remarks_on_code_of_others_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert needed_at_import(r"HOSTS = os.getenv('HOSTS').split('\d')") == ["HOSTS"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "env"),
    [
        ("if 'TOKEN' in os.environ:\n    C = {'zone': os.environ['ZONE']}\n", None),
        ("if os.getenv('TOKEN'):\n    C = os.environ['ZONE']\n", None),
        ("if os.getenv('TOKEN'):\n    pass\nelse:\n    C = os.environ['ZONE']\n", {"ZONE": "${ZONE}"}),
        ("if os.getenv('STAGE') == 'production':\n    C = os.environ['ZONE']\n", {"ZONE": "${ZONE}"}),
        ("if os.getenv('TOKEN'):\n    C = os.environ['ZONE']\nD = os.environ['ZONE']\n", {"ZONE": "${ZONE}"}),
        ("if DEBUG:\n    pass\nelse:\n    C = os.environ['ZONE']\n", {"ZONE": "${ZONE}"}),
    ],
    ids=["another is there", "another is set", "another is not", "another says so", "also without", "a setting"],
)
def test_what_is_read_with_another_variable_only_is_not_needed(
    code: str, env: dict[str, str] | None, tmp_path: Path
) -> None:
    assert backend(tmp_path, {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO + code}).get("env") == env


def test_a_switch_of_debugging_that_is_needed_is_off(tmp_path: Path) -> None:
    code = HELLO + "from decouple import config\nDEBUG = config('DEBUG', cast=bool)\n"
    files = {"requirements.txt": "fastapi\nuvicorn\npython-decouple\n", "main.py": code}
    assert backend(tmp_path, files)["env"] == {"DEBUG": "${DEBUG:-0}"}


SQLITE = "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n"
DJANGO = {
    "requirements.txt": "django\ngunicorn\n",
    "manage.py": MANAGE,
    "shop/wsgi.py": "",
    "shop/settings.py": "HOSTS = os.environ.get('HOSTS').split()\nKEY = os.getenv('KEY')\n",
}


@pytest.mark.parametrize(
    ("files", "local"),
    [
        ({".env.dev-sample": "HOSTS=localhost 127.0.0.1\n", ".env.prod-sample": "HOSTS=shop.example\n"}, "localhost 127.0.0.1"),
        ({"env-example-a": "HOSTS=localhost\n", "env-example-b": "HOSTS=127.0.0.1\n"}, "localhost"),
        ({"env-example-a": "HOSTS=localhost\n", "env-example-b": "HOSTS=127.0.0.1\n", "Dockerfile": "FROM python\nRUN cp env-example-b .env"}, "127.0.0.1"),
        ({".env.example": "HOSTS=localhost\n", ".env.dev-sample": "HOSTS=127.0.0.1\n"}, "localhost"),
    ],
    ids=["for development", "the first", "what a Dockerfile copies", "the usual name"],
)  # fmt: skip
def test_an_example_of_variables_has_many_names(files: Files, local: str, tmp_path: Path) -> None:
    found = written(tmp_path, {**DJANGO, **files})
    assert found["services"]["backend"]["env"]["HOSTS"] == "${HOSTS}"
    assert found["environments"]["local"]["backend"]["env"] == {"HOSTS": f"${{HOSTS:-{local}}}"}


def test_code_that_looks_like_an_example_is_none(tmp_path: Path) -> None:
    assert "env" not in backend(tmp_path, {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO,
                                           "env.example.ts": "REGION=eu\n"})  # fmt: skip


@pytest.mark.parametrize(
    ("code", "run"),
    [
        ("app.listen(process.env.APP_PORT)", "APP_PORT=$PORT node server.js"),
        ("app.listen(process.env['SERVER_PORT'] || 3000)", "SERVER_PORT=$PORT node server.js"),
        ("app.listen(process.env.APP_PORT || process.env.PORT)", "node server.js"),
        ("connect(process.env.MAIL_PORT)\napp.listen(3000)", "node server.js"),
    ],
)
def test_a_port_of_another_name_is_that_of_the_platform(code: str, run: str, tmp_path: Path) -> None:
    files = {"package.json": package({"start": "node server.js"}, "express"), "server.js": code,
             ".env.example": "APP_PORT=3001\n"}  # fmt: skip
    found = backend(tmp_path, files)
    assert found["run"] == run
    assert found["env"] == {"APP_PORT": {"required": False}}


def test_containers_are_no_hosts_for_others(tmp_path: Path) -> None:
    example = "DB_ENGINE=postgres\nDB_HOST=db\nDB_PORT=5432\nQUEUE_URL=redis://:x@queue:6379/1\nMAIL_HOST=smtp.example.org\nMAIL_PORT=25\n"
    files = {
        "package.json": package({"start": "node server.js"}, "express"),
        "server.js": SERVER,
        ".env.example": example,
    }
    names = ("DB_ENGINE", "DB_HOST", "DB_PORT", "QUEUE_URL")
    assert backend(tmp_path, files)["env"] == {
        **{name: {"required": False} for name in names},
        "MAIL_HOST": "${MAIL_HOST:-smtp.example.org}", "MAIL_PORT": "${MAIL_PORT:-25}",
    }  # fmt: skip


def test_a_service_knows_its_own_address_on_this_machine(tmp_path: Path) -> None:
    flask = "import os\nfrom flask import Flask\napp = Flask(__name__)\nSERVER_NAME = os.environ['SERVER_NAME']\n"
    api = {"api/requirements.txt": "flask\ngunicorn\n", "api/app.py": flask + "H = os.environ['ALLOWED_HOSTS']\n"}
    found = written(tmp_path, {**VITE_WEB, **api})
    assert found["services"]["api"]["env"]["SERVER_NAME"] == "${SERVER_NAME}", "elsewhere nobody knows it"
    environment = load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS).environment("local")
    service = next(service for service in environment.services if service.name == "api")
    assert found["environments"]["local"]["api"]["env"] == {
        "ALLOWED_HOSTS": "${ALLOWED_HOSTS:-127.0.0.1}",
        "SERVER_NAME": f"${{SERVER_NAME:-127.0.0.1:{service.settings['port']}}}",
    }
    assert own_address.FIRST_PORT == FIRST_PORT


def test_a_container_chooses_the_configuration_of_flask(tmp_path: Path) -> None:
    dockerfile = "FROM python:3.12\nENV FLASK_APP shop.py\nENV FLASK_CONFIG=production\nENV PATH=/venv/bin:$PATH\n"
    files = {"requirements.txt": "flask\ngunicorn\n", "shop.py": "app = Flask(__name__)", "Dockerfile": dockerfile}
    assert backend(tmp_path, files)["env"] == {"FLASK_APP": "shop.py", "FLASK_CONFIG": "production"}


@pytest.mark.parametrize(
    ("start", "run"),
    [
        ("node --env-file=.env src/index.js", "node src/index.js"),
        ("node --env-file .env src/index.js", "node src/index.js"),
        ("node --env-file=there.env src/index.js", "node --env-file=there.env src/index.js"),
        ("node --env-file-if-exists=.env src/index.js", "node --env-file-if-exists=.env src/index.js"),
        ("tsx --env-file=.env src/index.js", "npx tsx src/index.js"),
    ],
)
def test_a_file_of_variables_in_no_commit_is_not_read(start: str, run: str, tmp_path: Path) -> None:
    files = {"package.json": package({"start": start}, "express"), "src/index.js": SERVER, "there.env": ""}
    assert backend(tmp_path, files)["run"] == run


# ── tests of what needs variables ───────────────────────────────────────────────────────────────


def test_tests_get_what_the_code_cannot_be_imported_without(tmp_path: Path) -> None:
    settings = DJANGO["shop/settings.py"] + "SECRET_KEY = os.getenv('SECRET_KEY')\nINSTALLED_APPS = []\n"
    settings += "DATABASES = {'default': dj_database_url.parse(os.getenv('DATABASE_URL'))}\n"
    files = {**DJANGO, "shop/settings.py": settings, "shop/tests.py": "def test_x(): ...",
             "requirements.txt": "django\ngunicorn\ndj-database-url\npsycopg\n",
             ".env.example": "HOSTS=localhost [::1]\n"}  # fmt: skip
    assert backend(tmp_path, files)["test"] == {
        "run": "python manage.py test",
        "env": {"DATABASE_URL": "sqlite:///test.db", "HOSTS": "localhost [::1]", "SECRET_KEY": "only-for-tests"},
    }
    (service,) = load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS).environment("local").services
    assert service.name == "backend"


def test_settings_that_look_whether_there_is_a_url_need_none(tmp_path: Path) -> None:
    settings = SQLITE + "if 'DATABASE_URL' in os.environ:\n    DATABASES['default'] = dj_database_url.config()\n"
    files = {**DJANGO, "shop/settings.py": settings, "shop/tests.py": "def test_x(): ...",
             "requirements.txt": "django\ngunicorn\ndj-database-url\npsycopg\n"}  # fmt: skip
    assert backend(tmp_path, files)["test"] == "python manage.py test"


def test_tests_that_need_what_nobody_can_make_up_are_told(tmp_path: Path) -> None:
    files = {**DJANGO, "shop/tests.py": "def test_x(): ..."}
    assert "test" not in backend(tmp_path, files)
    assert "they need HOSTS" in (tmp_path / "abreast.yml").read_text()


UNITTEST = "import unittest\nclass Test(unittest.TestCase): ...\n"


@pytest.mark.parametrize(
    ("tests", "command"),
    [
        (UNITTEST, "python -m unittest discover"),
        (UNITTEST + "from faker import Faker\n", "pip install -r requirements-dev.txt && python -m unittest discover"),
        (UNITTEST + "from selenium import webdriver\n", None),
    ],
    ids=["none", "a package for development", "a browser"],
)
def test_what_tests_of_python_import(tests: str, command: str | None, tmp_path: Path) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "requirements-dev.txt": "faker\nselenium\n", "main.py": HELLO,
             "test_main.py": tests}  # fmt: skip
    assert backend(tmp_path, files).get("test") == command
    assert command or "they seem to need a browser" in (tmp_path / "abreast.yml").read_text()


def test_pages_in_a_folder_that_begins_with_an_underscore_are_no_site(tmp_path: Path) -> None:
    site = {path.removeprefix("web/"): text for path, text in VITE_WEB.items()}
    assert set(written(tmp_path, {**site, "_theme/index.html": "<html>"})["services"]) == {"frontend"}


# ── tables without migrations ───────────────────────────────────────────────────────────────────

APP = "from flask import Flask\napp = Flask(__name__)\napp.config['URI'] = 'sqlite:///' + path\n"
INITDB = "@app.cli.command()\n@click.option('--drop', is_flag=True)\ndef init_tables(drop):\n    if drop:\n        db.drop_all()\n    db.create_all()\n    click.echo('done')\n"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"commands.py": INITDB}, "flask init-tables"),
        ({"commands.py": INITDB.replace("command()", "command('initdb')")}, "flask initdb"),
        ({"commands.py": INITDB.replace("    if drop:\n        db", "    db")}, ""),
        ({"commands.py": INITDB.replace("    click", "    db.session.add(user)\n    click")}, ""),
        ({"commands.py": INITDB.replace("option('--drop', is_flag=True)", "argument('drop')")}, ""),
        ({"create_db.py": "from app import app, db\nwith app.app_context():\n    db.create_all()\n    db.session.commit()\n"}, "python create_db.py"),
        ({"create_db.py": "from app import db\ndb.drop_all()\ndb.create_all()\n"}, ""),
        ({"helpers.py": "from app import db\ndb.create_all()\n"}, ""),
    ],
    ids=["a command", "a named one", "one that drops tables", "one that adds rows", "one with arguments", "a script", "a script that drops", "another file"],
)  # fmt: skip
def test_a_build_makes_the_tables_of_a_file_in_the_checkout(files: Files, command: str, tmp_path: Path) -> None:
    found = backend(tmp_path, {"requirements.txt": "flask\ngunicorn\n", "shop.py": APP, **files})
    assert found["build"].get("run", "") == command
    assert found.get("env", {}) == ({"FLASK_APP": "shop.py"} if command.startswith("flask") else {})


def test_tables_of_a_database_by_url_are_made_there(tmp_path: Path) -> None:
    app = APP.replace("'sqlite:///' + path", "os.getenv('DATABASE_URL', f'sqlite:///{path}')")
    files = {"requirements.txt": "flask\ngunicorn\npsycopg2\npytest\n", "app.py": app, "commands.py": INITDB,
             "test_app.py": ""}  # fmt: skip
    found = backend(tmp_path, files)
    assert found["database"] == {"url": "${DATABASE_URL:-sqlite:///app.db}", "command": "flask init-tables"}
    assert found["test"] == "python -m pytest --junitxml=junit.xml", "no server is needed"


# ── JavaScript ──────────────────────────────────────────────────────────────────────────────────

CLIENT = {path.replace("web/", "client/"): text for path, text in VITE_WEB.items()}
SENDS = "app.use(express.static('client/dist'))\napp.listen(process.env.PORT)"


@pytest.mark.parametrize(
    ("scripts", "code", "more", "build"),
    [
        ({"build": "cd client && npm install && npm run build"}, SENDS, {}, "npm run build"),
        ({"build": "npm run web", "web": "npm --prefix ./client run build"}, SENDS, {}, "npm run build"),
        ({"build": "cd client-old && npm run build"}, SENDS, {}, None),
        ({"build": "cd client && npm run build"}, SERVER, {}, None),
        ({"heroku-postbuild": "npm run build --prefix client"}, SENDS, {"Procfile": "web: npm start"}, "npm run heroku-postbuild"),
        ({"heroku-postbuild": "npm run build --prefix client"}, SENDS, {}, None),
    ],
    ids=["cd", "prefix", "another folder", "a server that sends no files", "Heroku", "not for Heroku"],
)  # fmt: skip
def test_a_site_that_a_server_builds_and_sends_is_part_of_it(
    scripts: dict[str, str], code: str, more: Files, build: str | None, tmp_path: Path
) -> None:
    manifest = package({**scripts, "start": "node server.js"}, "express")
    services = written(tmp_path, {"package.json": manifest, "server.js": code, **CLIENT, **more})["services"]
    assert set(services) == ({"backend"} if build else {"backend", "client"})
    assert not build or services["backend"]["build"]["run"] == build


def test_a_server_that_sends_its_site_in_production_only_runs_for_production(tmp_path: Path) -> None:
    code = f"if (process.env.NODE_ENV === 'production') {{ {SENDS} }}"
    client = {**CLIENT, "client/package.json": package(VITE, dependencies={"react-scripts": "^2.1.8"}),
              "client/public/index.html": ""}  # fmt: skip
    manifest = package({"build": "cd client && npm run build", "start": "node server.js"}, "express")
    found = backend(tmp_path, {"package.json": manifest, "server.js": code, **client})
    assert found["run"] == "NODE_ENV=production node server.js"
    assert found["build"]["run"] == "NODE_OPTIONS=--openssl-legacy-provider npm run build"


@pytest.mark.parametrize(
    ("scripts", "tool", "run"),
    [
        ({"dev": "ts-node-dev src/main.ts"}, "ts-node", "npx ts-node src/main.ts"),
        ({"dev": "tsx watch src/main.ts"}, "tsx", "npx tsx src/main.ts"),
        ({"dev": "tsx watch src/main.ts", "build": "tsc"}, "tsx", "node dist/main.js"),
    ],
)
def test_typescript_that_nothing_compiles_runs_as_it_is(
    scripts: dict[str, str], tool: str, run: str, tmp_path: Path
) -> None:
    files = {"package.json": package(scripts, "express", tool), "src/main.ts": SERVER, "tsconfig.json": "{}"}
    assert backend(tmp_path, files)["run"] == run


def test_sveltekit_before_its_first_version_has_a_preview_of_its_own(tmp_path: Path) -> None:
    scripts = {"build": "svelte-kit build", "preview": "svelte-kit preview"}
    found = backend(tmp_path, {"package.json": package(scripts, "@sveltejs/kit", "@sveltejs/adapter-vercel")})
    assert found["run"] == "npx svelte-kit preview --host 127.0.0.1 --port $PORT"


def test_services_side_by_side_stay_side_by_side(tmp_path: Path) -> None:
    assert set(written(tmp_path, {**NODE_API, **CLIENT})["services"]) == {"api", "client"}


# ── words of a build script ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "packages", "files", "expected"),
    [
        ("nuxt build ./app", ("nuxt",), {"app/pages/index.vue": ""}, ("run", "node app/.output/server/index.mjs")),
        ("nuxt build", ("nuxt",), {"app/pages/index.vue": ""}, ("run", "node .output/server/index.mjs")),
        ("nuxt generate app/", ("nuxt",), {"app/pages/index.vue": ""}, ("output", "app/.output/public")),
        ("next build ./web", ("next",), {"web/pages/index.js": ""}, ("run", "npx next start web -H 127.0.0.1 -p $PORT")),
        ("next build web", ("next",), {"web/next.config.js": "output: 'export'"}, ("output", "web/out")),
        ("next build && next export -o pages", ("next",), {}, ("output", "pages")),
        ("next build && npm run export", ("next",), {}, ("output", "out")),
        ("tsc && vite build client", ("vite",), {"client/index.html": ""}, ("output", "client/dist")),
        ("vite build client --outDir ../www", ("vite",), {"client/index.html": ""}, ("output", "www")),
        ("NODE_ENV=production npx vite build --outDir=www", ("vite",), {"index.html": ""}, ("output", "www")),
        ("vite build --mode staging", ("vite",), {"index.html": ""}, ("output", "dist")),
        ("vitepress build docs", ("vitepress",), {"docs/index.md": ""}, ("output", "docs/.vitepress/dist")),
        ("parcel build index.html -d www", ("parcel",), {"index.html": ""}, ("output", "www")),
        ("eleventy --output=www", ("@11ty/eleventy",), {"eleventy.config.js": "output: 'site'"}, ("output", "www")),
        ("vite build", ("vite",), {"src/index.html": "", "vite.config.js": "root: 'src'"}, ("output", "src/dist")),
        ("vite build", ("vite",), {"index.html": "", "vite.config.js": "test: { root: './src' }"}, ("output", "dist")),
        ("vite build", ("vite",), {"src/index.html": "", "vite.config.js": "root: 'src', build: {outDir: '../www'}"}, ("output", "www")),
        ("vite build", ("vite",), {"src/index.html": "", "vite.config.js": "root: path.resolve(__dirname, 'src'), build: {outDir: path.resolve(__dirname, 'dist', \"public\"), emptyOutDir: true}"},
         ("output", "dist/public")),
    ],
)  # fmt: skip
def test_words_of_the_build_script_name_folders(
    script: str, packages: tuple[str, ...], files: Files, expected: tuple[str, str], tmp_path: Path
) -> None:
    manifest = package({"build": script, "export": "next export"}, *packages)
    (found,) = written(tmp_path, {"package.json": manifest, "package-lock.json": "{}", **files})["services"].values()
    assert {**found["build"], "run": found.get("run")}[expected[0]] == expected[1]


def test_the_adapter_of_sveltekit_is_the_one_that_its_configuration_imports(tmp_path: Path) -> None:
    scripts = {**VITE, "start": "svelte-kit start"}
    manifest = package(scripts, "@sveltejs/kit", "@sveltejs/adapter-node", "@sveltejs/adapter-static", "vite")
    files = {"package.json": manifest, "package-lock.json": "{}"}
    config = "// import adapter from '@sveltejs/adapter-static';\nimport adapter from '@sveltejs/adapter-node';"
    assert backend(tmp_path, {**files, "svelte.config.js": config})["run"] == "node build"


@pytest.mark.parametrize("itself", ["./", "."])
def test_a_workspace_may_name_itself(itself: str, tmp_path: Path) -> None:
    files = {"pnpm-workspace.yaml": f"packages: ['docs/', '{itself}']", "pnpm-lock.yaml": "",
             "package.json": package({"build": "nuxt build"}, "nuxt"), "pages/index.vue": ""}  # fmt: skip
    assert backend(tmp_path, files)["build"]["install"] == "pnpm install --frozen-lockfile"


def test_a_site_that_is_built_into_the_folder_of_no_service_is_taken_from_there(tmp_path: Path) -> None:
    files = {**{path.replace("web/", "apps/web/"): text for path, text in VITE_WEB.items()},
             "apps/web/vite.config.ts": "build: { outDir: '../api/public' }",
             "apps/api/wrangler.toml": "main = 'src/app.ts'", "apps/api/package.json": package({}, "hono")}  # fmt: skip
    found = written(tmp_path, files)["services"]
    assert found["web"]["build"]["run"] == "npm run build && rm -rf dist && cp -R ../api/public dist"
    assert found["web"]["build"]["output"] == "dist"
    load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS)
    assert "# - apps/api/wrangler.toml: a Worker of Cloudflare" in (tmp_path / "abreast.yml").read_text()


# ── lock files ──────────────────────────────────────────────────────────────────────────────────

PNPM_LOCK = """lockfileVersion: '9.0'

settings:
  autoInstallPeers: true

importers:

  .:
    dependencies:
      express:
        specifier: ^1
        version: 1.0.0
    devDependencies:
      '@types/node': {specifier: ^2, version: 2.0.0}

  .demo: {}

packages:
"""
EARLY_PNPM_LOCK = (
    "lockfileVersion: 5.4\n\nspecifiers:\n  '@types/node': ^2\n  express: ^1\n\ndependencies:\n  express: 1.0.0\n"
)
YARN_LOCK = (
    '# yarn lockfile v1\n\n\n"@types/node@^2":\n  version "2.0.0"\n\nexpress@^1, express@^1.1:\n  version "1.1.0"\n'
)
BUN_LOCK = '{"workspaces": {"": {"dependencies": {"express": "^1",}, "devDependencies": {"@types/node": "^2",},},},}'


def npm_lock(*names: str) -> str:
    return json.dumps({"lockfileVersion": 3, "packages": {"": {}, **{f"node_modules/{name}": {} for name in names}}})


@pytest.mark.parametrize(
    ("lock", "text", "changed", "frozen", "otherwise"),
    [
        ("package-lock.json", npm_lock("express", "@types/node"), "koa", "npm ci", "npm install"),
        ("package-lock.json", '{"dependencies": {"express": {}, "@types/node": {}}}', "koa", "npm ci", "npm install"),
        ("pnpm-lock.yaml", PNPM_LOCK, "express", "pnpm install --frozen-lockfile", "pnpm install --no-frozen-lockfile"),
        ("pnpm-lock.yaml", EARLY_PNPM_LOCK, "koa", "pnpm install --frozen-lockfile", "pnpm install --no-frozen-lockfile"),
        ("yarn.lock", YARN_LOCK, "express", "yarn install --frozen-lockfile", "yarn install"),
        ("bun.lock", BUN_LOCK, "express", "bun install --frozen-lockfile", "bun install"),
    ],
)  # fmt: skip
def test_a_lock_file_that_lacks_what_is_wanted_is_brought_up_to_date(
    lock: str, text: str, changed: str, frozen: str, otherwise: str, tmp_path: Path
) -> None:
    manifest = {"scripts": {"start": "node server.js"}, "dependencies": {"express": "^1"}, "devDependencies": {"@types/node": "^2"}}  # fmt: skip
    files = {lock: text, "server.js": SERVER}
    build = backend(tmp_path, {**files, "package.json": json.dumps(manifest)})["build"]
    assert build["install"] == frozen
    manifest["dependencies"] = {"express": "^1", changed: "^3"}
    build = backend(tmp_path, {**files, "package.json": json.dumps(manifest)})["build"]
    assert build["install"] == otherwise
    assert f"# {lock}: lacks {changed}" in (tmp_path / "abreast.yml").read_text()


def test_overrides_of_pnpm_change_ranges(tmp_path: Path) -> None:
    lock = PNPM_LOCK.replace("importers:", "overrides:\n  express: 1.2.3\n\nimporters:").replace("^1", "1.2.3")
    files = {
        "package.json": package({"start": "node server.js"}, "express"),
        "pnpm-lock.yaml": lock,
        "server.js": SERVER,
    }
    assert backend(tmp_path, files)["build"]["install"] == "pnpm install --frozen-lockfile"


def test_a_lock_file_that_has_everything_is_taken_before_one_that_has_not(tmp_path: Path) -> None:
    files = {"package.json": package({"start": "node server.js"}, "express"), "server.js": SERVER,
             "package-lock.json": npm_lock("koa"), "yarn.lock": YARN_LOCK}  # fmt: skip
    assert backend(tmp_path, files)["build"]["install"] == "yarn install --frozen-lockfile"


def test_flags_that_an_example_switches_on_for_development_stay_off(tmp_path: Path) -> None:
    example = "VITE_DEV_MODE=true\nSHOP_DEBUG=1\nDATABASE_ECHO=on\nCACHE_DEBUG=false\nFEATURE=true\n"
    files = {"requirements.txt": "fastapi==0.1\nuvicorn==0.1\n", "main.py": HELLO, ".env.example": example}
    env = backend(tmp_path, files)["env"]
    assert env["VITE_DEV_MODE"] == env["SHOP_DEBUG"] == env["DATABASE_ECHO"] == {"required": False}
    assert env["CACHE_DEBUG"] == "${CACHE_DEBUG:-false}"
    assert env["FEATURE"] == "${FEATURE:-true}"


# ── what only looks like a server, or a test ────────────────────────────────────────────────────


def test_a_script_for_development_is_no_start_command_of_a_container(tmp_path: Path) -> None:
    scripts = {"start": "nodemon src/index.js", "watch": "npm run start"}
    files = {"api/package.json": package(scripts, "express"), "api/package-lock.json": "{}", "api/src/index.js": SERVER,
             "api/Dockerfile": "FROM node:20\n",
             "compose.yml": "services:\n  api: {build: ./api, command: npm run watch, ports: ['80:80']}\n"}  # fmt: skip
    assert backend(tmp_path, files)["run"] == "node src/index.js"


@pytest.mark.parametrize(
    ("script", "config"),
    [
        ("vitest run --browser.headless", ""),
        ("vitest", "test: {\n  silent: true,\n  browser: {\n    provider: playwright(),\n    enabled: true\n  }\n}"),
    ],
)
def test_tests_of_vitest_in_a_browser_are_left_out(script: str, config: str, tmp_path: Path) -> None:
    files = {"package.json": package({**VITE, "test": script}, "vite", "vitest"), "package-lock.json": "{}", "index.html": "",
             "src/app.test.ts": "", "vite.config.ts": config}  # fmt: skip
    assert "test" not in backend(tmp_path, files)
    assert "tests, but they seem to need a browser" in (tmp_path / "abreast.yml").read_text()


def test_a_package_that_only_lends_its_framework_is_no_service(tmp_path: Path) -> None:
    app = package({"build": "next build", "start": "next start"}, "next")
    files = {
        "package.json": package({"start": "next start"}, "next"),
        "shop/package.json": app,
        "shop/pages/index.js": "",
    }
    assert set(written(tmp_path, files)["services"]) == {"shop"}


# ── how the URL of a database begins ────────────────────────────────────────────────────────────

TORTOISE = "fastapi==0.1\nuvicorn==0.1\ntortoise-orm==0.19\nasyncpg==0.27\naerich==0.7\n"
ALCHEMY = "fastapi==0.1\nuvicorn==0.1\nsqlalchemy==2\nasyncpg==0.27\nalembic==1\n"


@pytest.mark.parametrize(
    ("files", "scheme"),
    [
        ({".env.example": "DATABASE_URL=postgresql+asyncpg://shop@db/shop"}, "postgresql+asyncpg"),
        ({".env.example": "TEST_DATABASE_URL=postgres://shop@db/shop"}, "postgresql"),
        ({"compose.yml": "services:\n  web:\n    environment:\n      DATABASE_URL: postgres://shop@db/shop\n"}, "postgres"),
        ({"compose.yml": "services:\n  web:\n    environment:\n    - DATABASE_URL=postgresql+psycopg://db/shop\n"}, "postgresql+psycopg"),
        ({"settings.py": "URL = os.getenv('DATABASE_URL', 'postgresql+asyncpg://localhost/shop')"}, "postgresql+asyncpg"),
        ({"settings.py": "class Settings(BaseSettings):\n    DATABASE_URL: PostgresDsn = 'postgresql+asyncpg://localhost/shop'"}, "postgresql+asyncpg"),
        ({"settings.py": "URL = os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+asyncpg://')"}, "postgresql"),
    ],
)  # fmt: skip
def test_the_url_of_a_database_begins_as_in_the_example(files: Files, scheme: str, tmp_path: Path) -> None:
    code = {"requirements.txt": ALCHEMY, "alembic.ini": "", "main.py": HELLO + "os.environ['DATABASE_URL']"}
    url = backend(tmp_path, {**code, **files})["database"]["url"]
    assert url == f"${{DATABASE_URL:-{scheme}:///app}}"
    load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS)


def test_tortoise_takes_postgres_as_a_scheme_and_aerich_migrates_it(tmp_path: Path) -> None:
    files = {"requirements.txt": TORTOISE, "pyproject.toml": "[tool.aerich]\nlocation = './migrations'\n",
             "main.py": HELLO + "ORM = {'connections': {'default': os.environ.get('DATABASE_URL')}}"}  # fmt: skip
    assert backend(tmp_path, files)["database"] == {
        "url": "${DATABASE_URL:-postgres:///app}", "command": "aerich upgrade",
    }  # fmt: skip


# ── tables that a program makes when it starts ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "is_alone"),
    [
        ("Base.metadata.create_all(bind=engine)", True),
        ("with app.app_context():\n    db.create_all()", True),
        ("@app.on_event('startup')\ndef begin():\n    Base.metadata.create_all(engine)", True),
        (
            "@asynccontextmanager\nasync def lifespan(app):\n    await c.run_sync(Base.metadata.create_all)\n    yield",
            True,
        ),
        ("def create_app():\n    db.create_all()", True),
        ("def reset():\n    db.create_all()", False),
        ("@app.cli.command()\ndef init_db():\n    db.drop_all()\n    db.create_all()", False),
        ("if __name__ == '__main__':\n    db.create_all()", False),
    ],
)
def test_a_program_that_makes_its_tables_starts_alone(code: str, is_alone: bool, tmp_path: Path) -> None:
    files = {"requirements.txt": "fastapi==0.1\nuvicorn==0.1\nsqlalchemy==2\n", "main.py": HELLO + code}
    assert backend(tmp_path, files).get("instances") == (1 if is_alone else None)
