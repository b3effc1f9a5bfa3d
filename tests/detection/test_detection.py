"""What `init` writes for small repositories: every framework, layout and declaration that it knows."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.config.load import load_config
from abreast.detection.connection_variables import connection_variables
from abreast.detection.declarations import compose
from abreast.detection.detect import draft_config
from abreast.detection.draft import Draft
from abreast.detection.repository import Repository
from abreast.detection.yaml_text import write_yaml
from abreast.wiring.assembly import PLUGIN_SETTINGS
from detection_examples import (
    EXAMPLES,
    EXPRESS,
    HELLO,
    MANAGE,
    NODE_API,
    SERVER,
    VITE,
    VITE_WEB,
    Example,
    Files,
    package,
)


def write_files(folder: Path, files: Files) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def drafted(folder: Path, files: Files) -> Draft:
    return draft_config(write_files(folder, files))


def services(folder: Path, files: Files) -> dict[str, Any]:
    return dict(yaml.safe_load(write_yaml(drafted(folder, files)))["services"])


def notes(draft: Draft) -> str:
    return "\n".join(f"{note.text}\n{note.line}" for note in draft.notes)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_what_is_there_is_written_and_valid(example: Example, tmp_path: Path) -> None:
    text = write_yaml(drafted(tmp_path, example.files))
    written = yaml.safe_load(text)["services"]
    assert set(written) == set(example.services), text
    for name, expected in example.services.items():
        for key, value in expected.items():
            assert written[name].get(key) == value, text
    (tmp_path / "abreast.yml").write_text(text)
    variables = {
        "DATABASE_URL": "postgresql://localhost/shop",
        "API_TOKEN": "x",
        "SECRET_KEY_BASE": "x",
        "APP_KEY": "x",
    }
    assert load_config(tmp_path / "abreast.yml", variables, PLUGIN_SETTINGS).environment("local").services


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_value_says_where_it_comes_from(example: Example, tmp_path: Path) -> None:
    lines = write_yaml(drafted(tmp_path, example.files)).split("environments:")[0].splitlines()[2:]
    values = [
        line
        for line in lines
        if not line.rstrip().endswith(":") and not line.lstrip().startswith(("#", "folder:", "type:"))
    ]
    assert values
    assert [line for line in values if "  # " not in line] == []


# ── what the code says ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("app.get('/api/v1/x/:id', f)\napp.get('/ready', ok)\n", "/ready"),
        ("app.get('/', home)\napp.get('/healthz', ok)\n", "/healthz"),
        ("app.get('/', home)\napp.get('/orders', ok)\n", None),
        ("app.get('/orders', ok)\n", "/orders"),
        ("app.use(express.static('dist'))\napp.get('/orders', ok)\n", None),
        ("app.use(express.static(__dirname + '/public'))\napp.get('/orders', ok)\n", "/orders"),
        ("app.route(createRoute({ tags: ['x'], method: 'get', path: '/' }))\napp.get('/orders', ok)\n", None),
    ],
)
def test_the_health_path_is_a_route_of_the_code(code: str, path: str | None, tmp_path: Path) -> None:
    files = {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": f"{code}app.listen(process.env.PORT)"}
    assert services(tmp_path, files)["backend"].get("health") == path


def test_a_route_whose_prefix_is_not_known_is_not_asked(tmp_path: Path) -> None:
    router = "router = APIRouter()\n@router.get('/health')\ndef ok(): ...\n"
    main = "app = FastAPI()\napp.include_router(router, prefix='/v1')\n"
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": main, "items.py": router}
    assert services(tmp_path, files)["backend"]["health"] == "/docs"


@pytest.mark.parametrize(
    ("files", "database"),
    [
        ({"prisma/schema.prisma": 'datasource db { provider = "postgresql" url = env("PG_URL") }', "prisma/migrations/1_a/migration.sql": ""},
         {"url": "${PG_URL:-postgresql:///app}", "variable": "PG_URL", "command": "npx prisma migrate deploy", "status": "npx prisma migrate status"}),
        ({"drizzle.config.ts": "out: './drizzle'", "drizzle/0000_a.sql": "", ".env.example": "DATABASE_URL=postgres://x"},
         {"url": "${DATABASE_URL:-postgresql:///app}", "command": "npx drizzle-kit migrate"}),
        ({"knexfile.js": "process.env.DATABASE_URL"}, {"url": "${DATABASE_URL:-postgresql:///app}", "command": "npx knex migrate:latest"}),
        ({"db/migrations/001_orders.sql": "", "db.js": "process.env.DATABASE_URL"}, {"url": "${DATABASE_URL:-postgresql:///app}", "migrations": "db/migrations"}),
        ({"db/migrations/20260101000000_orders.sql": "-- +goose Up", ".env.example": "DATABASE_URL="}, {"url": "${DATABASE_URL:-postgresql:///app}", "migrations": "db/migrations"}),
    ],
    ids=["prisma", "drizzle", "knex", "sql", "goose"],
)  # fmt: skip
def test_migrations_of_node(files: Files, database: dict[str, str], tmp_path: Path) -> None:
    manifest = package({"start": "node server.js"}, "express", "pg")
    found = services(tmp_path, {"package.json": manifest, "package-lock.json": "{}", "server.js": SERVER, **files})
    assert found["backend"]["database"] == database


@pytest.mark.parametrize(
    ("app", "path"),
    [
        ("FastAPI()", "/docs"),
        ("FastAPI(docs_url='/')", None),
        ("FastAPI(title='x', docs_url='/api/docs')", "/api/docs"),
        ("FastAPI(docs_url=None)", "/openapi.json"),
    ],
)
def test_fastapi_is_asked_where_its_documentation_is(app: str, path: str | None, tmp_path: Path) -> None:
    items = "router = APIRouter()\n@router.get('/')\ndef items(): ...\n"
    main = f"app = {app}\n@app.get('/orders')\ndef orders(): ...\napp.include_router(router, prefix='/items')\n"
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": main, "items.py": items}
    assert services(tmp_path, files)["backend"].get("health") == path


def test_django_without_a_page_of_its_own_is_asked_for_a_login(tmp_path: Path) -> None:
    urls = "urlpatterns = [path('admin/', admin.site.urls), path('api/', include('shop.api'))]"
    files = {
        "requirements.txt": "django\ngunicorn\n",
        "manage.py": MANAGE,
        "shop/settings.py": "",
        "shop/wsgi.py": "",
        "shop/urls.py": urls,
    }
    assert services(tmp_path, files)["backend"]["health"] == "/admin/login/"


def test_migrations_of_python(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "fastapi\nuvicorn\nalembic\nasyncpg\n",
        "main.py": HELLO + "os.environ['DATABASE_URL']",
        "alembic.ini": "",
    }
    assert services(tmp_path, files)["backend"]["database"] == {
        "url": "${DATABASE_URL:-postgresql:///app}",
        "command": "alembic upgrade head",
    }


def test_a_program_that_migrates_itself_is_not_migrated_twice(tmp_path: Path) -> None:
    files = {"Cargo.toml": "[package]\nname='x'\n[dependencies]\naxum='1'\nsqlx='1'\n", "migrations/1_a.sql": "",
             "src/main.rs": "sqlx::migrate!().run(&db)"}  # fmt: skip
    draft = drafted(tmp_path, files)
    assert not draft.services[0].chosen("database.migrations")
    assert "migrates its database itself" in notes(draft)


def test_migrations_leave_the_start_command(tmp_path: Path) -> None:
    files = {"Procfile": "web: flask db upgrade; gunicorn app:app", "requirements.txt": "flask\ngunicorn\nflask-migrate\n",
             "migrations/alembic.ini": "", "app.py": "app = Flask(__name__)\nURL = 'sqlite://'\nos.environ.get('DATABASE_URL')", "config.py": "'sqlite:///' or 'DATABASE_URL'"}  # fmt: skip
    backend = services(tmp_path, files)["backend"]
    assert backend["run"] == "gunicorn app:app --bind 127.0.0.1:$PORT"
    assert "flask db upgrade" in str(backend)


@pytest.mark.parametrize(
    ("manifest", "test"),
    [
        (package({"test": "vitest", "start": "node server.js"}, "express"), "npx vitest run --reporter=default --reporter=junit --outputFile=junit.xml"),
        (package({"test": "jest", "start": "node server.js"}, "express"), "npx jest --ci"),
        (package({"test": "mocha --exit", "start": "node server.js"}, "express"), "npm run test"),
        (package({"test": 'echo "Error: no test specified" && exit 1', "start": "node server.js"}, "express"), None),
    ],
    ids=["vitest", "jest", "mocha", "none"],
)  # fmt: skip
def test_tests_of_node_end_and_report(manifest: str, test: str | None, tmp_path: Path) -> None:
    files = {"package.json": manifest, "package-lock.json": "{}", "server.js": SERVER, "src/App.test.js": ""}
    assert services(tmp_path, files)["backend"].get("test") == test


def test_tests_of_python_report(tmp_path: Path) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "requirements-dev.txt": "-r requirements.txt\npytest\npytest-cov\n",
             "main.py": HELLO, "tests/test_main.py": ""}  # fmt: skip
    expected = "pip install -r requirements-dev.txt && python -m pytest --junitxml=junit.xml --cov --cov-report=xml"
    assert services(tmp_path, files)["backend"]["test"] == expected


@pytest.mark.parametrize(
    ("script", "packages", "reason"),
    [("playwright test", ("express",), "browser"), ("mocha", ("express", "mongoose"), "MongoDB")],
)
def test_tests_that_need_more_are_told_and_left_out(
    script: str, packages: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    manifest = package({"test": script, "start": "node server.js"}, *packages)
    draft = drafted(tmp_path, {"package.json": manifest, "package-lock.json": "{}", "server.js": SERVER})
    assert not draft.services[0].chosen("test")
    assert reason in notes(draft)
    assert "backend: {test: npm run test}" in notes(draft)


def test_variables_of_an_example(tmp_path: Path) -> None:
    example = "PORT=3000\nREGION=eu\nSECRET_KEY=dev\nSTRIPE_API_KEY=sk_x\nMAIL_HOST=localhost\nEMPTY=\nQUOTED='two words' # why\n"
    files = {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": SERVER, ".env.example": example}
    assert services(tmp_path, files)["backend"]["env"] == {
        "REGION": "${REGION:-eu}", "SECRET_KEY": {"generate": True}, "STRIPE_API_KEY": {"required": False},
        "MAIL_HOST": {"required": False}, "EMPTY": {"required": False}, "QUOTED": "${QUOTED:-two words}",
    }  # fmt: skip


def test_variables_that_code_cannot_do_without(tmp_path: Path) -> None:
    code = (
        HELLO
        + "A = os.environ['NEEDED']\nB = os.environ.get('OPTIONAL')\nos.environ['SET'] = '1'\nC = os.environ['KNOWN'] if 'KNOWN' in os.environ else ''\n"
    )
    found = services(tmp_path, {"requirements.txt": "fastapi\nuvicorn\n", "main.py": code})
    assert found["backend"]["env"] == {"NEEDED": "${NEEDED}"}


def test_versions_are_read_where_they_are_written(tmp_path: Path) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO}
    for name, text in {
        "runtime.txt": "python-3.10.1",
        ".tool-versions": "python 3.9.1\n",
        ".python-version": "3.13\n",
    }.items():
        folder = tmp_path / name.strip(".")
        assert services(folder, {**files, name: text})["backend"]["python"] in text
    node = {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": SERVER, ".nvmrc": "v22\n"}
    assert services(tmp_path / "node", node)["backend"]["node"] == "22"


@pytest.mark.parametrize(
    ("second", "variables"),
    [
        ("DATABASE_ASYNC_URL=postgresql+asyncpg://app:app@localhost/app", {"DATABASE_ASYNC_URL": "postgresql+asyncpg"}),
        ("DIRECT_URL=postgresql://app:app@localhost/app", {"DIRECT_URL": "connectionString"}),
        ("OTHER_URL=postgresql://app:app@localhost/other", None),
        ("TEST_DATABASE_URL=postgresql://app:app@localhost/app", None),
    ],
)
def test_a_second_url_of_a_database_follows_the_first(
    second: str, variables: dict[str, str] | None, tmp_path: Path
) -> None:
    settings = "class Settings(BaseSettings):\n    DATABASE_URL: PostgresDsn\n"
    name = second.partition("=")[0]
    files = {
        "requirements.txt": "fastapi\nuvicorn\nasyncpg\npydantic-settings\n",
        "main.py": HELLO,
        "config.py": f"{settings}    {name}: PostgresDsn\n",
        ".env.example": f"DATABASE_URL=postgresql://app:app@localhost/app\n{second}\n",
    }
    service = services(tmp_path, files)["backend"]
    assert service["database"].get("variables") == variables
    assert (name in service.get("env", {})) is (variables is None and name == "OTHER_URL")


# ── what is left out, and what is asked ─────────────────────────────────────────────────────────


def test_a_port_in_the_code_is_declared_for_this_machine(tmp_path: Path) -> None:
    code = "const db = {port: 5432}\napp.listen(3000)"
    draft = drafted(tmp_path, {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": code})
    written = write_yaml(draft)
    assert yaml.safe_load(written)["environments"]["local"] == {"backend": {"local": {"app_port": 3000}}}
    assert "# server.js listens there" in written


def test_what_compose_starts_and_abreast_does_not(tmp_path: Path) -> None:
    compose = "services:\n  db: {image: 'postgres:18'}\n  app:\n    build: .\n"
    draft = drafted(tmp_path, {"compose.yml": compose, "Dockerfile": 'FROM elixir:1\nCMD ["mix", "phx.server"]'})
    assert draft.services == []
    assert "db (postgres:18) is not deployed" in notes(draft)
    assert "export DATABASE_URL=postgresql://…" in notes(draft)
    assert "runs no containers" in notes(draft)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("ports: ['5433:5432'], environment: {POSTGRES_USER: ada, POSTGRES_PASSWORD: s3cret, POSTGRES_DB: shop}", "ada:…@localhost:5433/shop"),
        ("ports: ['127.0.0.1:5432:5432'], environment: [POSTGRES_PASSWORD=s3cret]", "postgres:…@localhost:5432/postgres"),
        ("ports: [{target: 5432, published: 5434}]", "postgres:…@localhost:5434/postgres"),
        ("ports: ['5432:5432'], environment: {POSTGRES_USER: '${DB_USER}'}", "…"),
        ("ports: ['5432']", "…"),
    ],
    ids=["all", "a list", "long", "from elsewhere", "any port"],
)  # fmt: skip
def test_where_a_database_of_compose_is(settings: str, line: str, tmp_path: Path) -> None:
    files = {
        **NODE_API,
        "compose.yml": f"services:\n  db: {{image: 'postgres:18', {settings}}}\n  c: {{image: 'valkey:9', ports: ['6379:6379']}}",
    }
    told = notes(drafted(tmp_path, files))
    assert f"export DATABASE_URL=postgresql://{line}\n" in told
    assert "export REDIS_URL=redis://localhost:6379" in told
    assert "s3cret" not in told


def test_examples_apps_and_libraries_are_no_services(tmp_path: Path) -> None:
    files = {
        **NODE_API, **{f"examples/{path}": text for path, text in VITE_WEB.items()},
        "mobile/package.json": package({"start": "expo start"}, "expo"), "lib/package.json": package({"build": "tsup"}, "tsup", "vite"),
        "node_modules/x/package.json": EXPRESS, "node_modules/x/server.js": SERVER,
    }  # fmt: skip
    draft = drafted(tmp_path, files)
    assert [service.name for service in draft.services] == ["api"]
    assert "examples/web: looks like an example" in notes(draft)
    assert "mobile/package.json: a mobile or desktop application" in notes(draft)


def test_a_development_server_never_runs(tmp_path: Path) -> None:
    for number, command in enumerate(
        ("flask run", "python manage.py runserver", "uvicorn app:app --reload", "make run")
    ):
        files = {
            "Procfile": f"web: {command}",
            "requirements.txt": "flask\ngunicorn\n",
            "app.py": "app = Flask(__name__)",
        }
        assert services(tmp_path / str(number), files)["backend"]["run"] == "gunicorn app:app --bind 127.0.0.1:$PORT"


def test_sources_that_disagree_equally_are_a_question(tmp_path: Path) -> None:
    draft = drafted(tmp_path, {**{path.removeprefix("api/"): text for path, text in NODE_API.items()}, "yarn.lock": ""})
    (question,) = draft.questions()
    assert (question.service, question.key) == ("backend", "build.install")
    assert [choice.value for choice in question.choices] == ["npm ci", "yarn install --frozen-lockfile"]
    assert "or yarn install --frozen-lockfile (yarn.lock)" in write_yaml(draft)
    draft.answer(question, question.choices[1])
    assert draft.services[0].text("build.install") == "yarn install --frozen-lockfile"
    assert not list(draft.questions())


def test_the_source_that_deploys_today_wins_and_the_other_is_told(tmp_path: Path) -> None:
    files = {"Procfile": "web: gunicorn --threads 8 app:app", "Dockerfile": "FROM python:3.12\nCMD gunicorn app:app",
             "requirements.txt": "flask\ngunicorn\n", "app.py": "app = Flask(__name__)"}  # fmt: skip
    text = write_yaml(drafted(tmp_path, files))
    assert (
        "run: gunicorn --threads 8 app:app --bind 127.0.0.1:$PORT  # Procfile: web; Dockerfile: CMD says gunicorn app:app"
        in text
    )


def test_no_more_is_read_than_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = Repository._read

    def record(repository: Repository, path: str) -> str:
        reads.append(path)
        return read(repository, path)

    monkeypatch.setattr(Repository, "_read", record)
    files = {**NODE_API, **VITE_WEB, **{f"data/{number % 50}/{number}.txt": "" for number in range(3000)}}
    assert set(services(tmp_path, files)) == {"api", "web"}
    assert len(reads) == len(set(reads)) < 20


@pytest.mark.parametrize("content", ["[]", "{", '{"scripts": []}', '{"dependencies": {"next": 1}}', "\ufeff{}", "\0"])
def test_broken_files_do_no_harm(content: str, tmp_path: Path) -> None:
    names = ("package.json", "pyproject.toml", "Pipfile", "compose.yml", "render.yaml", "netlify.toml", "vercel.json", "fly.toml", "app.json",
             "railway.json", "go.mod", "Cargo.toml", "pom.xml", "composer.json", "angular.json", "project.json", "Dockerfile", "Procfile",
             "turbo.json", "pnpm-workspace.yaml", "README.md", "k8s/x.yml")  # fmt: skip
    assert drafted(tmp_path / "shop", dict.fromkeys(names, content)).project == "shop"


@pytest.mark.parametrize(
    ("waits", "kind"),
    [
        ("depends_on: [app]", "web"), ("depends_on: {app: {condition: service_started}}", "web"), ("links: ['app:backend']", "web"),
        ("depends_on: app", "worker"), ("depends_on: 1", "worker"), ("depends_on: [[app]]", "worker"), ("links: [application]", "worker"),
    ],
)  # fmt: skip
def test_what_a_proxy_of_compose_waits_for_has_users(waits: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(f"services:\n  app: {{build: .}}\n  front: {{image: 'nginx:1', {waits}}}\n")
    found, _ = compose.declare(Repository(tmp_path))
    assert [(service.name, service.kind) for service in found] == [("app", kind)]


def test_a_route_that_may_ask_who_is_there_is_no_health_check(tmp_path: Path) -> None:
    server = "app.use(passport.authenticate('jwt'))\napp.get('/orders', list)\napp.listen(process.env.PORT)"
    draft = drafted(tmp_path, {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": server})
    assert draft.services[0].chosen("health") is None
    assert "# health: /orders (server.js: /orders) may ask who is there, so / is asked" in write_yaml(draft)


def test_prisma_keeps_its_file_where_it_outlives_a_release(tmp_path: Path) -> None:
    schema = 'datasource db { provider = "sqlite" url = env("DATABASE_URL") }'
    files = {"package.json": package({"start": "node server.js"}, "express"), "package-lock.json": "{}", "server.js": SERVER,
             "prisma/schema.prisma": schema, "prisma/migrations/1_a/migration.sql": "", ".env.example": "DATABASE_URL=file:./dev.db"}  # fmt: skip
    backend = services(tmp_path, files)["backend"]
    assert backend["run"] == "DATABASE_URL=file:$ABREAST_DATA/app.db node server.js"
    assert backend["release"] == "DATABASE_URL=file:$ABREAST_DATA/app.db npx prisma migrate deploy"
    assert "env" not in backend
    assert "database" not in backend


def test_of_several_services_one_migrates_the_database(tmp_path: Path) -> None:
    app = package({"build": "next build", "start": "next start"}, "next", "db")
    files = {"package.json": package(workspaces=["apps/*", "packages/*"]), "package-lock.json": "{}",
             "apps/admin/package.json": app, "apps/shop/package.json": app, "packages/db/package.json": package(name="db"),
             "packages/db/prisma/schema.prisma": 'datasource db { provider = "postgresql" url = env("DATABASE_URL") }',
             "packages/db/prisma/migrations/1_a/migration.sql": "", "apps/shop/fly.toml": "[http_service]\n[[http_service.checks]]\npath='/fit'"}  # fmt: skip
    written = services(tmp_path, files)
    assert "--schema ../../packages/db/prisma/schema.prisma" in written["shop"]["database"]["command"]
    assert written["admin"]["database"] == {"url": "${DATABASE_URL:-postgresql:///apps_shop}"}
    assert "env" not in written["admin"]


def test_a_worker_needs_the_database_of_the_service_whose_code_it_runs(tmp_path: Path) -> None:
    files = {
        "Procfile": "web: uvicorn main:app\nworker: rq worker\n",
        "requirements.txt": "fastapi\nuvicorn\nrq\nalembic\nasyncpg\n",
        "main.py": HELLO + "os.environ['DATABASE_URL']",
        "alembic.ini": "",
        ".env.example": "DATABASE_URL=postgresql://localhost/shop\n",
    }
    found = services(tmp_path, files)
    assert found["backend"]["database"]["url"] == "${DATABASE_URL:-postgresql:///app}"
    assert "env" not in found["backend"]
    assert found["worker"]["database"] == {"url": "${DATABASE_URL:-postgresql:///app}"}
    assert "env" not in found["worker"]


def test_a_container_that_migrates_is_no_worker(tmp_path: Path) -> None:
    compose = "services:\n  api: {build: ., ports: ['80:80']}\n  migrator: {build: ., command: alembic upgrade head}\n"
    files = {
        "compose.yml": compose,
        "Dockerfile": "FROM python:3.12",
        "requirements.txt": "fastapi\nuvicorn\n",
        "main.py": HELLO,
    }
    assert set(services(tmp_path, files)) == {"backend"}


def test_packages_below_src_are_named_from_there(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": "[project]\nname='x'\ndependencies=['fastapi','uvicorn']\n",
        "src/py/shop/__init__.py": "",
        "src/py/shop/main.py": HELLO,
    }
    assert (
        services(tmp_path, files)["backend"]["run"]
        == "uvicorn shop.main:app --host 127.0.0.1 --port $PORT --app-dir src/py"
    )


def test_a_package_that_only_extends_a_framework_is_no_service(tmp_path: Path) -> None:
    files = {"package.json": package(workspaces=["apps/*", "packages/*"]), "package-lock.json": "{}",
             "packages/ui/package.json": package({"build": "rollup -c", "lint": "eslint ."}, "next", name="ui"),
             "apps/web/package.json": package({"build": "next build", "start": "next start"}, "next", "ui")}  # fmt: skip
    assert set(services(tmp_path, files)) == {"web"}


@pytest.mark.parametrize(
    "files",
    [
        {"netlify.toml": '[build]\nbase="web"\n[[redirects]]\nfrom="/api/*"\nto="https://x.onrender.com/:splat"\nstatus=200\n'},
        {"web/vite.config.ts": "proxy: { '/api': { target: 'http://localhost:3000', rewrite: (path) => path.slice(4) } }"},
    ],
    ids=["netlify", "vite"],
)  # fmt: skip
def test_a_path_that_is_cut_off_on_the_way_is_no_route(files: Files, tmp_path: Path) -> None:
    draft = drafted(tmp_path, {**NODE_API, **VITE_WEB, **files})
    assert not any(service.chosen("routes") for service in draft.services)
    assert "web expects /api on its own origin, and the backend without that path" in notes(draft)


@pytest.mark.parametrize(
    ("dependencies", "files", "is_said"),
    [
        (("vite", "react-router-dom"), {}, True),
        (("vite", "react-router-dom"), {"web/public/_redirects": "/* /index.html 200\n"}, False),
        (("vite", "react"), {}, False),
        (("gatsby", "react-router-dom"), {}, False),
    ],
    ids=["no rule", "a rule", "no router", "a page for each path"],
)
def test_paths_that_only_a_router_in_the_browser_knows_are_said(
    dependencies: tuple[str, ...], files: Files, is_said: bool, tmp_path: Path
) -> None:
    web = {
        "web/package.json": package({"build": "build"}, *dependencies),
        "web/package-lock.json": "{}",
        "web/index.html": "",
    }
    (service,) = drafted(tmp_path, {**web, **files}).services
    assert any("/* /index.html 200" in remark for remark in service.remarks) == is_said


# ── what other people's repositories taught ─────────────────────────────────────────────────────


def test_a_package_of_a_workspace_without_a_page_is_a_library(tmp_path: Path) -> None:
    library = package({"build": "tsc", "test": "vitest"}, "vite", "vitest")
    files = {
        "package.json": package(workspaces=["apps/*", "packages/*"]), "yarn.lock": "", "packages/ui/package.json": library,
        "packages/ui/src/index.ts": "", "packages/ui/.storybook/index.html": "",
        **{f"apps/{path}": text for path, text in VITE_WEB.items()},
    }  # fmt: skip
    assert set(services(tmp_path, files)) == {"web"}


LINKED = {
    "apps/web/package.json": package(VITE, "vite", "ui"),
    "apps/web/index.html": "",
    "apps/other/package.json": package({"build": "vite build"}, "vite"),
    "packages/ui/package.json": package({"build": "tsc"}, "tokens", "plain", name="ui"),
    "packages/tokens/package.json": package({"build": "tsc"}, "ui", name="tokens"),
    "packages/plain/package.json": package(name="plain"),
}


def test_npm_installs_the_tools_that_a_workspace_shares(tmp_path: Path) -> None:
    files = {"package.json": package(workspaces=["apps/*", "packages/*"]), **LINKED}
    assert services(tmp_path, files)["web"]["build"]["install"] == "npm install --prefix ../.."
    build = services(tmp_path, {**files, "package-lock.json": "{}"})["web"]["build"]
    assert build["install"] == "npm ci --prefix ../.."
    lacking = '{"packages": {"node_modules/a": {"peerDependencies": {"b": "1"}}}}'
    build = services(tmp_path, {**files, "package-lock.json": lacking})["web"]["build"]
    assert build["install"] == "npm ci --prefix ../.. --legacy-peer-deps"


@pytest.mark.parametrize(
    ("lock", "manager"), [("package-lock.json", "npm"), ("yarn.lock", "yarn"), ("bun.lock", "bun")]
)
def test_packages_of_the_workspace_are_built_in_the_order_of_their_needs(
    lock: str, manager: str, tmp_path: Path
) -> None:
    files = {"package.json": package(workspaces=["apps/*", "packages/*"]), lock: "{}", **LINKED}
    build = f"{manager} run build"
    expected = f"(cd ../../packages/tokens && {build}) && (cd ../../packages/ui && {build}) && {build}"
    assert services(tmp_path, files)["web"]["build"]["run"] == expected


@pytest.mark.parametrize(
    ("turbo", "test"),
    [
        ({"tasks": {"test": {"dependsOn": ["^build"]}}}, "(cd ../.. && npx turbo run test --filter=web)"),
        ({"pipeline": {"test": {"dependsOn": ["build"]}}}, "(cd ../.. && npx turbo run test --filter=web)"),
        ({"tasks": {"test": {"dependsOn": ["lint"]}}}, "npx jest --ci"),
        ({"tasks": {"build": {}}}, "npx jest --ci"),
    ],
)
def test_tests_that_need_packages_of_the_workspace_are_run_by_turbo(
    turbo: dict[str, Any], test: str, tmp_path: Path
) -> None:
    web = package({**VITE, "test": "jest"}, "vite", "jest", name="web")
    files = {"package.json": package(workspaces=["apps/*"]), "package-lock.json": "{}", "turbo.json": json.dumps(turbo),
             "apps/web/package.json": web, "apps/web/index.html": "", "apps/web/src/app.test.ts": ""}  # fmt: skip
    assert services(tmp_path, files)["web"]["test"] == test


def test_vite_without_a_page_builds_assets(tmp_path: Path) -> None:
    assets = {"theme/package.json": package(VITE, "vite"), "theme/src/main.ts": ""}
    assert set(services(tmp_path, {**NODE_API, **assets})) == {"api"}


def test_a_server_that_serves_what_vite_builds_is_one_service(tmp_path: Path) -> None:
    scripts = {
        "build": "vite build",
        "start": "npm run start-server",
        "start-server": "node server/server.js",
        "dev": "vite",
    }
    files = {"package.json": package(scripts, "express", "vite"), "package-lock.json": "{}", "index.html": "<html>",
             "server/server.js": "app.use(express.static('dist'))\napp.listen(process.env.PORT)"}  # fmt: skip
    assert services(tmp_path, files) == {
        "backend": {"build": {"install": "npm ci", "run": "npm run build"}, "run": "npm run start"}
    }


def test_the_page_that_a_framework_builds_from_is_no_site_of_its_own(tmp_path: Path) -> None:
    angular = {
        "package.json": package({"build": "ng build"}, "@angular/core", "@angular/cli"),
        "package-lock.json": "{}",
    }
    assert set(services(tmp_path, {**angular, "src/index.html": "<app-root>"})) == {"frontend"}


def test_a_manual_beside_services_is_told_and_left_out(tmp_path: Path) -> None:
    draft = drafted(tmp_path, {**NODE_API, "mkdocs.yml": ""})
    assert [service.name for service in draft.services] == ["api"]
    assert "mkdocs.yml: looks like documentation" in notes(draft)
    assert "docs: {build: {run: mkdocs build, output: site}}" in notes(draft)
    assert set(services(tmp_path / "alone", {"mkdocs.yml": ""})) == {"frontend"}


def test_what_builds_functions_of_another_platform_does_not_build_a_server(tmp_path: Path) -> None:
    vercel = '{"buildCommand": "python -m venv venv && alembic upgrade head", "outputDirectory": "api"}'
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO, "vercel.json": vercel}
    assert services(tmp_path, files)["backend"]["build"] == {"install": "pip install -r requirements.txt"}


def test_a_container_says_how_a_program_without_a_start_script_runs(tmp_path: Path) -> None:
    dockerfile = 'FROM oven/bun\nENTRYPOINT ["/usr/bin/dumb-init", "--"]\nCMD ["bun", "dist/index.js"]'
    files = {"package.json": package({"build": "bun build index.ts"}, "hono"), "bun.lock": "", "Dockerfile": dockerfile,
             "index.ts": "app.get('/health', ok)"}  # fmt: skip
    backend = services(tmp_path, files)["backend"]
    assert (backend["run"], backend["health"]) == ("bun dist/index.js", "/health")


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("docker/Dockerfile", "FROM python:3.13-slim", "3.13"),
        ("Pipfile", "[packages]\nfastapi = '*'\n[requires]\npython_version = '3.10'", "3.10"),
    ],
)
def test_python_is_what_a_pipfile_or_a_container_aside_says(name: str, text: str, version: str, tmp_path: Path) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": HELLO, name: text}
    assert services(tmp_path, files)["backend"]["python"] == version


def test_comments_in_a_file_with_a_version_are_no_version(tmp_path: Path) -> None:
    files = {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": SERVER, ".nvmrc": "# the latest\nlts/*\n"}
    assert "# Node lts/* (.nvmrc)" in write_yaml(drafted(tmp_path, files))


SQLITE = "DATABASES = {\n  'default': {\n    'ENGINE': 'django.db.backends.sqlite3',\n  }\n}\nSTATIC_ROOT = 'static'\n"
POSTGRES = "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n"


@pytest.mark.parametrize(
    "settings",
    [
        SQLITE + "# " + POSTGRES,
        SQLITE + "if os.getenv('DB') == 'postgres':\n    " + POSTGRES,
    ],
    ids=["comment", "choice"],
)
def test_a_file_in_the_checkout_is_made_by_the_build(settings: str, tmp_path: Path) -> None:
    files = {"requirements.txt": "django\ngunicorn\npsycopg\n", "manage.py": MANAGE, "shop/settings.py": settings, "shop/wsgi.py": "",
             "shop/tests.py": "def test_x(): ..."}  # fmt: skip
    draft = drafted(tmp_path, files)
    backend = yaml.safe_load(write_yaml(draft))["services"]["backend"]
    assert backend["build"]["run"] == "python manage.py collectstatic --noinput && python manage.py migrate --noinput"
    assert "release" not in backend
    assert "database" not in backend
    assert backend["test"] == "python manage.py test", "no server is needed"
    assert "each release starts with an empty one" in write_yaml(draft)


def test_tests_of_pages_have_the_manifest_of_their_static_files(tmp_path: Path) -> None:
    settings = (
        SQLITE + "STORAGES = {'staticfiles': {'BACKEND': 'whitenoise.storage.CompressedManifestStaticFilesStorage'}}\n"
    )
    files = {"requirements.txt": "django\ngunicorn\n", "manage.py": MANAGE, "shop/settings.py": settings, "shop/wsgi.py": "",
             "shop/tests.py": "def test_x(): ..."}  # fmt: skip
    expected = "python manage.py collectstatic --noinput && python manage.py test"
    assert services(tmp_path, files)["backend"]["test"] == expected


def test_a_library_that_wants_a_file_url_keeps_its_file(tmp_path: Path) -> None:
    files = {"package.json": package({"start": "node server.js"}, "express", "@libsql/client"), "package-lock.json": "{}", "server.js": SERVER,
             "drizzle.config.ts": "out: './drizzle'", "drizzle/0000_a.sql": "", ".env.example": "DATABASE_URL=file:dev.db"}  # fmt: skip
    backend = services(tmp_path, files)["backend"]
    assert backend["run"] == "DATABASE_URL=file:$ABREAST_DATA/app.db node server.js"
    assert backend["release"] == "DATABASE_URL=file:$ABREAST_DATA/app.db npx drizzle-kit migrate"


@pytest.mark.parametrize(
    ("scripts", "packages", "test"),
    [
        ({"test": "npm run test:unit", "test:unit": "echo none"}, (), None),
        ({"test": "npm run test-unit", "test-unit": "vitest run"}, (), "npx vitest run --reporter=default --reporter=junit --outputFile=junit.xml"),
        ({"test": "npm run test-api && npm run test-web", "test-api": "mocha", "test-web": "playwright test"}, (), None),
        ({"test": "ng test"}, ("karma",), None),
        ({"test": "jest --watch"}, (), "npx jest --ci"),
        ({"test": "npx vitest watch"}, (), "npx vitest run --reporter=default --reporter=junit --outputFile=junit.xml"),
        ({"test": "NODE_ENV=test mocha --watch src"}, (), "NODE_ENV=test npx mocha src"),
        ({"test": "jest --watchAll=false --silent"}, (), "npm run test"),
        ({"test": "react-scripts test"}, (), "npm run test"),
        ({"test": "tsc && jest --watchAll"}, (), None),
    ],
    ids=["nothing", "another script", "a browser", "a browser of Angular", "jest watches", "vitest watches", "mocha watches",
         "watches not", "watches outside of CI", "watches after another command"],
)  # fmt: skip
def test_tests_are_what_their_script_calls(
    scripts: dict[str, str], packages: tuple[str, ...], test: str | None, tmp_path: Path
) -> None:
    manifest = package({**scripts, "start": "node server.js"}, "express", *packages)
    files = {"package.json": manifest, "package-lock.json": "{}", "server.js": SERVER, "src/App.test.js": ""}
    assert services(tmp_path, files)["backend"].get("test") == test


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("src/setupTests.js", None),
        ("src/latest.js", None),
        ("jest.config.ts", None),
        ("src/App.spec.tsx", "npm run test"),
        ("src/__tests__/app.js", "npm run test"),
        ("test/app.mjs", "npm run test"),
    ],
)
def test_a_runner_of_tests_without_a_test_is_none(file: str, test: str | None, tmp_path: Path) -> None:
    manifest = package({"test": "react-scripts test", "start": "node server.js"}, "express")
    files = {"package.json": manifest, "package-lock.json": "{}", "server.js": SERVER, file: ""}
    assert services(tmp_path, files)["backend"].get("test") == test


@pytest.mark.parametrize(
    ("needing", "others", "install"),
    [
        ({"peerDependencies": {"typescript": "*"}}, (), "npm ci --legacy-peer-deps"),
        ({"peerDependencies": {"typescript": "*"}}, ("node_modules/typescript",), "npm ci"),
        ({"peerDependencies": {"typescript": "*"}}, ("node_modules/a/node_modules/typescript",), "npm ci"),
        ({"peerDependencies": {"typescript": "*"}, "peerDependenciesMeta": {"typescript": {"optional": True}}}, (), "npm ci"),
    ],
    ids=["missing", "there", "there, deeper", "optional"],
)  # fmt: skip
def test_a_lock_file_without_its_peers_is_installed_without_them(
    needing: dict[str, Any], others: tuple[str, ...], install: str, tmp_path: Path
) -> None:
    many = {f"node_modules/package-{number}": {"integrity": "x" * 90} for number in range(5000)}
    locked = ("node_modules/express", *others)
    packages = {"": {}, **many, "node_modules/tsutils": needing, **{name: {} for name in locked}}
    files = {"package.json": package({"start": "node server.js"}, "express"), "server.js": SERVER,
             "package-lock.json": json.dumps({"lockfileVersion": 2, "packages": packages})}  # fmt: skip
    assert services(tmp_path, files)["backend"]["build"]["install"] == install


# ── variables of this machine ───────────────────────────────────────────────────────────────────


def local_variables(folder: Path, files: Files) -> dict[str, str]:
    text = write_yaml(drafted(folder, files))
    (folder / "abreast.yml").write_text(text)
    environment = load_config(folder / "abreast.yml", {}, PLUGIN_SETTINGS).environment("local")
    local = yaml.safe_load(text)["environments"]["local"]
    assert environment.services, "nothing more has to be set"
    return dict(local["backend"]["env"])


@pytest.mark.parametrize(
    ("name", "text", "secret"),
    [
        (".env.example", "SECRET_KEY=\nSTRIPE_SECRET_KEY=sk_x\n", "SECRET_KEY"),
        ("render.yaml", "services: [{type: web, runtime: node, startCommand: node server.js, envVars: [{key: SALT, generateValue: true}]}]", "SALT"),
        ("app.json", '{"env": {"SALT": {"generator": "secret"}}}', "SALT"),
    ],
)  # fmt: skip
def test_a_secret_that_the_application_makes_up_needs_no_value_on_this_machine(
    name: str, text: str, secret: str, tmp_path: Path
) -> None:
    files = {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": SERVER, name: text}
    assert services(tmp_path, files)["backend"]["env"][secret] == {"generate": True}
    text = write_yaml(drafted(tmp_path, files))
    (tmp_path / "abreast.yml").write_text(text)
    (service,) = load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS).environment("local").services
    assert service.generated == (secret,)


def test_a_secret_of_a_certain_form_is_not_made_up(tmp_path: Path) -> None:
    files = {
        "package.json": EXPRESS,
        "package-lock.json": "{}",
        "server.js": SERVER,
        ".env.example": "ENCRYPTION_KEY=\n",
    }
    written = yaml.safe_load(write_yaml(drafted(tmp_path, files)))
    assert written["services"]["backend"]["env"] == {"ENCRYPTION_KEY": "${ENCRYPTION_KEY}"}
    assert written["environments"] == {"local": {}}


def test_settings_without_a_default_are_needed(tmp_path: Path) -> None:
    settings = (
        "class Settings(BaseSettings):\n    SITE: str\n    access_secret_key: SecretStr\n    Region: str = 'eu'\n"
        "    MAIL: str | None = None\n    ORIGINS: list[str]  # of CORS\n    KNOWN: str\n    nested: Nested\n    model_config = {}\n"
    )
    example = 'SITE=http://localhost:3000\nORIGINS=["*"]\nMAIL=\n'
    files = {
        "requirements.txt": "fastapi\nuvicorn\n",
        "main.py": HELLO,
        "config.py": settings,
        ".env.example": example,
        ".env": "KNOWN=1\n",
    }
    assert services(tmp_path, files)["backend"]["env"] == {
        "SITE": "${SITE}", "ACCESS_SECRET_KEY": {"generate": True}, "ORIGINS": '${ORIGINS:-["*"]}', "MAIL": {"required": False},
    }  # fmt: skip
    assert local_variables(tmp_path, files)["SITE"] == "${SITE:-http://localhost:3000}"


@pytest.mark.parametrize("schema", ["z.object({", "createEnv({ server: {"])
def test_a_schema_of_the_environment_says_what_is_needed(schema: str, tmp_path: Path) -> None:
    text = (
        f"const schema = {schema}\n  LOG_LEVEL: z.enum(['info', 'debug']),\n  SITE: z\n    .string()\n    .url(),\n"
        "  REGION: z.string().default('eu'),\n  TOKEN: z\n    .string()\n    .optional(),\n})\nschema.parse(process.env)\n"
    )
    files = {
        "package.json": EXPRESS,
        "package-lock.json": "{}",
        "server.js": SERVER,
        "env.ts": text,
        ".env.example": "LOG_LEVEL=debug\n",
    }
    assert services(tmp_path, files)["backend"]["env"] == {"LOG_LEVEL": "${LOG_LEVEL:-debug}", "SITE": "${SITE}"}


def test_a_port_in_the_configuration_of_gunicorn_is_overruled(tmp_path: Path) -> None:
    files = {"requirements.txt": "flask\ngunicorn\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n"}
    files |= {"Procfile": "web: gunicorn --config conf.py app:app\n", "conf.py": 'bind = "0.0.0.0:8080"\nworkers = 2\n'}
    run = "gunicorn --config conf.py app:app"
    assert services(tmp_path / "fixed", files)["backend"]["run"] == f"{run} --bind 127.0.0.1:$PORT"
    files["conf.py"] = 'import os\nbind = "0.0.0.0:" + os.environ["PORT"]\n'
    assert services(tmp_path / "read", files)["backend"]["run"] == run


@pytest.mark.parametrize(
    ("model", "local"), [("import os", True), ("from django.contrib.postgres.fields import ArrayField", False)]
)
def test_django_with_a_database_by_url_has_a_file_on_this_machine(model: str, local: bool, tmp_path: Path) -> None:
    settings = (
        "import dj_database_url\nDATABASES = {'default': dj_database_url.config(default='postgresql://localhost/x')}"
    )
    files = {
        "requirements.txt": "django\ndj-database-url\npsycopg2-binary\n",
        "manage.py": "import django, os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
        "mysite/settings.py": settings + "\nWSGI_APPLICATION = 'mysite.wsgi.application'\n",
        "mysite/wsgi.py": "application = get_wsgi_application()",
        "shop/models.py": model,
    }
    text = write_yaml(drafted(tmp_path, files))
    (tmp_path / "abreast.yml").write_text(text)
    written = yaml.safe_load(text)
    everywhere = written["services"]["backend"]["database"]["url"]
    assert everywhere == ("${DATABASE_URL}" if local else "${DATABASE_URL:-postgresql:///app}"), "required elsewhere"
    assert ("database" in (written["environments"]["local"] or {}).get("backend", {})) == local
    (service,) = load_config(tmp_path / "abreast.yml", {}, PLUGIN_SETTINGS).environment("local").services
    assert service.database
    assert service.database.url == ("${DATABASE_URL:-sqlite:///app.db}" if local else everywhere)
    assert service.database.command == "python manage.py migrate --noinput"


def test_what_the_build_has_done_is_not_done_by_each_process(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "django\ngunicorn\n",
        "manage.py": "import django, os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
        "mysite/settings.py": "STATIC_ROOT = 'static'\n",
        "Procfile": "web: python manage.py collectstatic --no-input && gunicorn mysite.wsgi\n",
    }
    backend = services(tmp_path, files)["backend"]
    assert backend["build"]["run"] == "python manage.py collectstatic --noinput"
    assert backend["run"] == "gunicorn mysite.wsgi --bind 127.0.0.1:$PORT"


def test_code_that_looks_whether_it_is_on_render_finds_what_it_looks_for(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "flask\ngunicorn\n",
        "app.py": "import os\nfrom flask import Flask\napp = Flask(__name__)\nDEBUG = 'RENDER' not in os.environ\n",
    }
    declared = "services: [{type: web, name: shop, runtime: python, startCommand: gunicorn app:app}]"
    text = write_yaml(drafted(tmp_path / "render", {**files, "render.yaml": declared}))
    assert yaml.safe_load(text)["environments"]["local"] == {"shop": {"env": {"RENDER": "true"}}}
    assert yaml.safe_load(write_yaml(drafted(tmp_path / "none", files)))["environments"]["local"] == {}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE",
         {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "database"}),
        ("DATABASE_HOST DATABASE_NAME DATABASE_USERNAME DATABASE_PASSWORD DATABASE_TYPE DB_LOG",
         {"DATABASE_HOST": "host", "DATABASE_USERNAME": "user", "DATABASE_PASSWORD": "password", "DATABASE_NAME": "database"}),
        ("APP_POSTGRES_SERVER APP_POSTGRES_DB APP_POSTGRES_PASSWORD REDIS_HOST",
         {"APP_POSTGRES_SERVER": "host", "APP_POSTGRES_PASSWORD": "password", "APP_POSTGRES_DB": "database"}),
        ("DB_HOST DB_NAME", {}), ("MYSQL_HOST MYSQL_PASSWORD MYSQL_DATABASE", {}),
        ("TEST_DB_HOST TEST_DB_PASSWORD TEST_DB_NAME", {}), ("SMTP_HOST SMTP_PASSWORD USER_NAME", {}),
    ],
)  # fmt: skip
def test_variables_from_which_an_address_is_put_together(names: str, parts: dict[str, str]) -> None:
    assert connection_variables(names.split()) == parts


def test_code_that_reads_no_url_gets_the_parts_of_one(tmp_path: Path) -> None:
    """As railwayapp-templates/django has it: settings that know the variables of libpq only."""
    names = {"NAME": "PGDATABASE", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "HOST": "PGHOST", "PORT": "PGPORT"}
    settings = "\n".join(f"'{key}': os.environ['{name}']," for key, name in names.items())
    files = {
        "requirements.txt": "django\npsycopg2\n",
        "manage.py": "import django, os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
        "mysite/settings.py": f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql', {settings} }}}}",
        "mysite/wsgi.py": "application = get_wsgi_application()",
    }
    found = services(tmp_path, files)["backend"]
    assert found["database"] == {
        "url": "${DATABASE_URL:-postgresql:///app}",
        "variables": {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "database"},
        "command": "python manage.py migrate --noinput",
        "status": "python manage.py migrate --check",
    }  # fmt: skip
    assert "env" not in found
    assert "release" not in found


def test_parts_that_render_passes_are_those_of_the_database(tmp_path: Path) -> None:
    origin = "{key: %s, fromDatabase: {name: shop, property: %s}}"
    passed = {"STORE_AT": "host", "STORE_SECRET": "password", "DATABASE_URL": "connectionString"}
    variables = ", ".join(origin % pair for pair in passed.items())
    files = {
        "requirements.txt": "fastapi\nuvicorn\nasyncpg\n",
        "main.py": HELLO + "import os\nos.environ['DATABASE_URL']",
        "render.yaml": f"services: [{{type: web, name: api, env: python, envVars: [{variables}]}}]",
    }
    assert services(tmp_path, files)["api"]["database"] == {
        "url": "${DATABASE_URL:-postgresql:///app}", "variables": {"STORE_AT": "host", "STORE_SECRET": "password"},
    }  # fmt: skip


def test_what_class_validator_asks_for_is_needed_and_an_example_of_containers_says_the_rest(tmp_path: Path) -> None:
    """As brocoders/nestjs-boilerplate has it."""
    validated = """import { IsString, IsOptional, ValidateIf } from 'class-validator';
class EnvironmentVariablesValidator {
  @IsString()
  MAIL_HOST: string;
  @IsEnum(FileDriver)
  FILE_DRIVER: FileDriver;
  @IsString()
  AUTH_REFRESH_SECRET: string;
  @IsString()
  AUTH_TOKEN_EXPIRES_IN: string;
  @IsInt()
  @IsOptional()
  MAX_FILES: number;
  @ValidateIf((envValues) => envValues.FILE_DRIVER === 's3')
  @IsString()
  BUCKET: string;
}
validateConfig(process.env, EnvironmentVariablesValidator);
"""
    example = {
        "MAIL_HOST": "maildev", "MAIL_SECURE": "false", "FILE_DRIVER": "local", "AUTH_REFRESH_SECRET": "secret",
        "AUTH_TOKEN_EXPIRES_IN": "15m", "DATABASE_HOST": "postgres", "DATABASE_TYPE": "postgres", "DATABASE_NAME": "api",
        "DATABASE_PASSWORD": "secret", "BUCKET": "",
    }  # fmt: skip
    files = {
        "package.json": package({"start": "node dist/main", "migrate": "typeorm migration:run"}, "@nestjs/core", "pg"),
        "package-lock.json": "{}",
        "src/config.ts": validated,
        ".env.example": "\n".join(f"{name}={value}" for name, value in example.items()),
    }
    draft = drafted(tmp_path, files)
    written = yaml.safe_load(write_yaml(draft))
    found = written["services"]["backend"]
    assert found["database"]["variables"] == {
        "DATABASE_HOST": "host", "DATABASE_PASSWORD": "password", "DATABASE_NAME": "database",
    }  # fmt: skip
    assert found["env"] == {
        "MAIL_HOST": "${MAIL_HOST}", "MAIL_SECURE": "${MAIL_SECURE:-false}", "FILE_DRIVER": "${FILE_DRIVER}",
        "AUTH_REFRESH_SECRET": {"generate": True}, "AUTH_TOKEN_EXPIRES_IN": "${AUTH_TOKEN_EXPIRES_IN:-15m}",
        "DATABASE_TYPE": "${DATABASE_TYPE:-postgres}", "BUCKET": {"required": False},
    }  # fmt: skip
    assert written["environments"]["local"]["backend"]["env"] == {
        "FILE_DRIVER": "${FILE_DRIVER:-local}", "MAIL_HOST": "${MAIL_HOST:-localhost}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ini", "env", "expected"),
    [
        ("[alembic]\nscript_location = app/alembic\n", "from app.models import Base\n", "PYTHONPATH=. alembic upgrade head"),
        ("[alembic]\nscript_location = app/alembic\nprepend_sys_path = .\n", "from app.models import Base\n", "alembic upgrade head"),
        ("[alembic]\nscript_location = %(here)s/app/alembic\n", "import sys\nsys.path.append('.')\nfrom app import Base\n", "alembic upgrade head"),
        ("[alembic]\nscript_location = app/alembic\n", "import os\nfrom sqlalchemy import pool\n", "alembic upgrade head"),
    ],
)  # fmt: skip
def test_old_files_of_alembic_do_not_find_the_modules_of_the_project(
    ini: str, env: str, expected: str, tmp_path: Path
) -> None:
    """As Buuntu/fastapi-react has it, whose container sets PYTHONPATH."""
    files = {
        "requirements.txt": "fastapi\nuvicorn\nalembic\nasyncpg\n",
        "main.py": HELLO + "import os\nos.environ['DATABASE_URL']",
        "alembic.ini": ini,
        "app/alembic/env.py": env,
    }
    assert services(tmp_path, files)["backend"]["database"]["command"] == expected
