"""Small repositories, one for each framework or declaration, and what `init` is to write for them."""

import json
from dataclasses import dataclass
from typing import Any

Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A repository by its files, and the keys of its services that must be written as they stand here."""

    name: str
    files: Files
    services: dict[str, dict[str, Any]]


def package(scripts: dict[str, str] | None = None, *names: str, **more: object) -> str:
    return json.dumps({"scripts": scripts or {}, "dependencies": dict.fromkeys(names, "^1"), **more})


def node(
    name: str, scripts: dict[str, str], packages: tuple[str, ...], service: dict[str, Any], files: Files | None = None
) -> Example:
    """A package at the root with a lock file of npm."""
    found = {"package.json": package(scripts, *packages), "package-lock.json": "{}", **(files or {})}
    kind = "backend" if "run" in service else "frontend"
    servers = {"next", "nuxt", "@sveltejs/kit", "@remix-run/dev", "@react-router/dev", "astro"}
    return Example(name, found, {"web" if "run" in service and servers & set(packages) else kind: service})


BUILD = {"install": "npm ci", "run": "npm run build"}
VITE = {"build": "vite build", "dev": "vite"}
HELLO = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef home(): ...\n"
MANAGE = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')  # django"
SQLITE_SETTINGS = "import dj_database_url\nDATABASES = {'default': dj_database_url.config(default='sqlite:///db')}\nSTATIC_ROOT = 'static'\n"

NODE = (
    node("vite", VITE, ("vite", "react"), {"build": {**BUILD, "output": "dist"}}, {"index.html": "<html>"}),
    node("vite-outdir", VITE, ("vite",), {"build": {**BUILD, "output": "www"}}, {"index.html": "", "vite.config.ts": "build: { outDir: 'www' }"}),
    node("next", {"build": "next build", "start": "next start", "dev": "next dev"}, ("next",), {"build": BUILD, "run": "npm run start"}),
    node("next-fixed-port", {"build": "next build", "start": "next start -p 4000"}, ("next",), {"run": "npx next start -p $PORT"}),
    node("next-dev-only", {"build": "next build", "start": "next dev"}, ("next",), {"run": "npx next start -H 127.0.0.1 -p $PORT"}),
    node("next-export", {"build": "next build"}, ("next",), {"build": {**BUILD, "output": "out"}}, {"next.config.js": "output: 'export'"}),
    node("nuxt", {"build": "nuxt build"}, ("nuxt",), {"build": BUILD, "run": "node .output/server/index.mjs"}),
    node("nuxt-static", {"build": "nuxt generate"}, ("nuxt",), {"build": {**BUILD, "output": ".output/public"}}),
    node("remix", {"build": "remix vite:build", "start": "remix-serve ./build/server/index.js"}, ("@remix-run/dev", "@remix-run/serve"), {"run": "npm run start"}),
    node("react-router", {"build": "react-router build"}, ("@react-router/dev", "@react-router/serve"), {"run": "npx react-router-serve ./build/server/index.js"}),
    node("react-router-spa", {"build": "react-router build"}, ("@react-router/dev",), {"build": {**BUILD, "output": "build/client"}},
         {"react-router.config.ts": "ssr: false"}),
    node("sveltekit-static", VITE, ("@sveltejs/kit", "@sveltejs/adapter-static", "vite"), {"build": {**BUILD, "output": "build"}}),
    node("sveltekit-node", VITE, ("@sveltejs/kit", "@sveltejs/adapter-node", "vite"), {"build": BUILD, "run": "node build"}),
    node("sveltekit-other", VITE, ("@sveltejs/kit", "@sveltejs/adapter-auto", "vite"), {"run": "npx vite preview --host 127.0.0.1 --port $PORT"}),
    node("astro", {"build": "astro build", "start": "astro dev"}, ("astro",), {"build": {**BUILD, "output": "dist"}}),
    node("astro-node", {"build": "astro build"}, ("astro", "@astrojs/node"), {"run": "HOST=127.0.0.1 node dist/server/entry.mjs"},
         {"astro.config.mjs": "import node from '@astrojs/node'"}),
    node("angular", {"build": "ng build", "start": "ng serve"}, ("@angular/core", "@angular/cli"), {"build": {**BUILD, "output": "dist/shop/browser"}},
         {"angular.json": json.dumps({"projects": {"shop": {"projectType": "application", "architect": {"build": {
             "builder": "@angular/build:application", "options": {"outputPath": "dist/shop"}}}}}})}),
    node("create-react-app", {"build": "react-scripts build", "start": "react-scripts start"}, ("react-scripts",), {"build": {**BUILD, "output": "build"}}),
    node("gatsby", {"build": "gatsby build", "start": "gatsby develop"}, ("gatsby",), {"build": {**BUILD, "output": "public"}}),
    node("eleventy", {"build": "eleventy"}, ("@11ty/eleventy",), {"build": {**BUILD, "output": "site"}}, {"eleventy.config.js": "dir: { output: 'site' }"}),
    node("express", {"start": "node server.js"}, ("express",), {"build": {"install": "npm ci"}, "run": "node server.js"},
         {"server.js": "app.get('/healthz', ok)\napp.listen(process.env.PORT)"}),
    node("express-without-start", {"dev": "nodemon app.js"}, ("express",), {"run": "node app.js"}, {"app.js": "app.listen(process.env.PORT)"}),
    node("express-pm2", {"start": "pm2 start --name api server.js"}, ("express",), {"run": "node server.js"}, {"server.js": "app.listen(process.env.PORT)"}),
    node("express-pm2-file", {"start": "pm2 start ecosystem.config.json --no-daemon"}, ("express",), {"run": "node src/index.js"},
         {"ecosystem.config.json": '{"apps": [{"script": "src/index.js"}]}', "src/index.js": "app.listen(process.env.PORT)"}),
    node("nest", {"build": "nest build", "start": "nest start", "start:prod": "node dist/main"}, ("@nestjs/core",), {"build": BUILD, "run": "node dist/main"}),
    node("fastify", {"start": "npm run build && node dist/app.js", "build": "tsc"}, ("fastify",), {"build": BUILD, "run": "node dist/app.js"}),
    node("hono", {"start": "node src/index.js"}, ("hono", "@hono/node-server"), {"run": "node src/index.js"}, {"src/index.js": "serve(app)"}),
)  # fmt: skip

PYTHON = (
    Example("fastapi", {"requirements.txt": "fastapi[standard]==0.1\n", "main.py": HELLO, ".python-version": "3.12"}, {
        "backend": {"python": "3.12", "build": {"install": "pip install -r requirements.txt"}, "run": "uvicorn main:app --host 127.0.0.1 --port $PORT"}}),
    Example("fastapi-without-server", {"requirements.txt": "fastapi\n", "app/main.py": HELLO}, {
        "backend": {"build": {"install": "pip install -r requirements.txt uvicorn"}, "run": "uvicorn app.main:app --host 127.0.0.1 --port $PORT"}}),
    Example("flask-uv", {"pyproject.toml": "[project]\nname='x'\nrequires-python='>=3.10'\ndependencies=['flask', 'gunicorn']\n", "uv.lock": "",
                         "wsgi.py": "app = Flask(__name__)"}, {
        "backend": {"build": {"install": "uv sync --frozen"}, "run": "gunicorn wsgi:app --bind 127.0.0.1:$PORT"}}),
    Example("flask-factory-poetry", {"pyproject.toml": "[tool.poetry.dependencies]\npython='~3.11'\nflask='*'\ngunicorn='*'\n", "poetry.lock": "",
                                     "shop/__init__.py": "def create_app(config=None):\n    ..."}, {
        "backend": {"python": "3.11", "build": {"install": "uvx poetry install --no-root"},
                    "run": "gunicorn 'shop:create_app()' --bind 127.0.0.1:$PORT"}}),
    Example("django", {"requirements.txt": "django\ngunicorn\ndj-database-url\n", "manage.py": MANAGE, "shop/settings.py": SQLITE_SETTINGS,
                       "shop/urls.py": "path('healthz', ok)", "shop/wsgi.py": ""}, {
        "backend": {"run": "gunicorn shop.wsgi --bind 127.0.0.1:$PORT", "health": "/healthz",
                    "build": {"install": "pip install -r requirements.txt", "run": "python manage.py collectstatic --noinput"},
                    "database": {"url": "${DATABASE_URL:-sqlite:///app.db}", "command": "python manage.py migrate --noinput",
                                 "status": "python manage.py migrate --check"}}}),
    Example("starlette-pdm", {"pyproject.toml": "[project]\nname='x'\ndependencies=['starlette','uvicorn']\n", "pdm.lock": "", "asgi.py": "app = Starlette()"}, {
        "backend": {"build": {"install": "uvx 'pdm[locked]' sync --no-self"}, "run": "uvicorn asgi:app --host 127.0.0.1 --port $PORT"}}),
    Example("litestar-pipenv", {"Pipfile": "[packages]\nlitestar='*'\nuvicorn='*'\n", "Pipfile.lock": "{}", "app.py": "app = Litestar([])"}, {
        "backend": {"build": {"install": "uvx pipenv sync"}, "run": "uvicorn app:app --host 127.0.0.1 --port $PORT"}}),
    Example("streamlit", {"requirements.txt": "streamlit\n", "app.py": "import streamlit as st"}, {
        "backend": {"run": "streamlit run app.py --server.address 127.0.0.1 --server.port $PORT --server.headless true", "instances": 1,
                    "health": "/_stcore/health"}}),
    Example("gradio", {"requirements.txt": "gradio\n", "app.py": "import gradio as gr"}, {
        "backend": {"run": "GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$PORT python app.py", "instances": 1}}),
    Example("src-layout", {"pyproject.toml": "[project]\nname='x'\ndependencies=['fastapi','uvicorn']\n[build-system]\nrequires=['hatchling']\n",
                           "src/shop/main.py": HELLO}, {
        "backend": {"build": {"install": "pip install ."}, "run": "uvicorn shop.main:app --host 127.0.0.1 --port $PORT --app-dir src"}}),
    Example("src-package", {"requirements.txt": "fastapi==0.1\nuvicorn==0.1\n", "src/__init__.py": "", "src/shop.py": "from src.prices import total\n" + HELLO}, {
        "backend": {"run": "uvicorn src.shop:app --host 127.0.0.1 --port $PORT"}}),
)  # fmt: skip

OTHERS = (
    Example("go", {"go.mod": "module example.com/shop/v2\n", "main.go": 'package main\nfunc main() { http.ListenAndServe(":"+os.Getenv("PORT"), nil) }'}, {
        "backend": {"build": {"run": "go build -o bin/shop ."}, "run": "./bin/shop"}}),
    Example("go-cmd", {"go.mod": "module shop\n", "cmd/api/main.go": 'package main\nfunc main() { r.GET("/healthz", ok); r.Run(os.Getenv("PORT")) }',
                       "cmd/tool/main.go": "package main\nfunc main() {}"}, {
        "backend": {"build": {"run": "go build -o bin/api ./cmd/api"}, "run": "./bin/api", "health": "/healthz"}}),
    Example("rust", {"Cargo.toml": "[package]\nname='shop'\n[dependencies]\naxum='1'\n", "Cargo.lock": "", "src/main.rs": '.route("/", get(PORT))'}, {
        "backend": {"build": {"run": "cargo build --release --locked --bin shop"}, "run": "./target/release/shop"}}),
    Example("rails", {"Gemfile": "gem 'rails'\ngem 'pg'\ngem 'propshaft'\n", "Gemfile.lock": "", "config/routes.rb": 'get "up" => "rails/health#show"',
                      "config/puma.rb": "", "db/schema.rb": "", "config/database.yml": "adapter: postgresql"}, {
        "backend": {"run": "bundle exec puma -C config/puma.rb", "health": "/up",
                    "database": {"url": "${DATABASE_URL:-postgresql:///app}", "command": "bundle exec rails db:migrate", "status": "bundle exec rails db:abort_if_pending_migrations"}}}),
    Example("laravel", {"composer.json": '{"require": {"laravel/framework": "12"}}', "artisan": "", "bootstrap/app.php": "health: '/up',",
                        "package.json": package({"build": "vite build"}, "vite", "laravel-vite-plugin"), "package-lock.json": "{}"}, {
        "backend": {"build": {"install": "composer install --no-interaction --prefer-dist && npm ci", "run": "npm run build"},
                    "run": "php artisan serve --host 127.0.0.1 --port $PORT", "release": "php artisan migrate --force", "health": "/up"}}),
    Example("spring", {"pom.xml": "<project><artifactId>shop</artifactId><version>1.0</version><dependencies>spring-boot-starter-actuator</dependencies></project>",
                       "mvnw": ""}, {
        "backend": {"build": {"run": "./mvnw -B -DskipTests package"}, "health": "/actuator/health",
                    "run": "java -jar target/shop-1.0.jar --server.address=127.0.0.1 --server.port=$PORT"}}),
    Example("dotnet", {"Shop.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web">', "Program.cs": 'app.MapHealthChecks("/health")'}, {
        "backend": {"build": {"run": "dotnet publish Shop.csproj -c Release -o out"}, "run": "dotnet out/Shop.dll --urls http://127.0.0.1:$PORT",
                    "health": "/health"}}),
    Example("pages", {"site/index.html": "hello"}, {"site": {"folder": "site", "build": {"output": "."}}}),
    Example("mkdocs", {"mkdocs.yml": "site_name: x\ntheme:\n  name: material\n", ".python-version": "3.12"}, {
        "frontend": {"python": "3.12", "build": {"install": "pip install mkdocs-material", "run": "mkdocs build", "output": "site"}}}),
    Example("mkdocs-listed", {"mkdocs.yml": "theme: readthedocs", "docs/requirements.txt": "mkdocs==1.6\n"}, {
        "frontend": {"build": {"install": "pip install -r docs/requirements.txt", "run": "mkdocs build", "output": "site"}}}),
    Example("hugo", {"hugo.toml": ""}, {"frontend": {"build": {"run": "hugo --minify", "output": "public"}}}),
)  # fmt: skip

EXPRESS = package({"start": "node server.js"}, "express")
SERVER = "app.get('/', ok)\napp.listen(process.env.PORT)"
NODE_API = {"api/package.json": EXPRESS, "api/package-lock.json": "{}", "api/server.js": SERVER}
VITE_WEB = {"web/package.json": package(VITE, "vite"), "web/package-lock.json": "{}", "web/index.html": ""}

LAYOUTS = (
    Example("side-by-side", {**NODE_API, **VITE_WEB, "web/vite.config.ts": "proxy: { '/api': 'http://localhost:3000' }"}, {
        "api": {"folder": "api", "run": "node server.js"}, "web": {"folder": "web", "routes": {"/api": "api"}, "build": {**BUILD, "output": "dist"}}}),
    Example("two-levels-down", {f"apps/{path}": text for path, text in NODE_API.items()}, {"api": {"folder": "apps/api", "run": "node server.js"}}),
    Example("pnpm-turbo", {"package.json": package(private=True, packageManager="pnpm@10.1.0"), "pnpm-workspace.yaml": "packages: ['apps/*', 'packages/*']",
                           "pnpm-lock.yaml": "", "turbo.json": "{}", "packages/ui/package.json": package({"build": "tsc"}, name="ui"),
                           "apps/web/package.json": package({"build": "next build", "start": "next start"}, "next", "ui", name="@acme/web")}, {
        "web": {"folder": "apps/web", "run": "pnpm run start",
                "build": {"install": "pnpm install --frozen-lockfile", "run": "(cd ../.. && pnpm exec turbo run build --filter=@acme/web)"}}}),
    Example("yarn-berry", {"package.json": package({"start": "node index.js"}, "express", packageManager="yarn@4.1.0"), "yarn.lock": "", "index.js": SERVER}, {
        "backend": {"build": {"install": "yarn install --immutable"}, "run": "node index.js"}}),
    Example("bun-workspace", {"package.json": package(workspaces=["web"]), "bun.lock": "", "web/package.json": package(VITE, "vite"), "web/index.html": ""}, {
        "web": {"build": {"install": "bun install --frozen-lockfile", "run": "bun run build", "output": "dist"}}}),
    Example("uv-workspace", {"pyproject.toml": "[tool.uv.workspace]\nmembers=['api']\n", "uv.lock": "", "api/main.py": HELLO,
                             "api/pyproject.toml": "[project]\nname='api'\ndependencies=['fastapi','uvicorn']\n"}, {
        "api": {"folder": "api", "build": {"install": "uv sync --frozen"}, "run": "uvicorn main:app --host 127.0.0.1 --port $PORT"}}),
    Example("built-into-the-backend", {"backend/requirements.txt": "fastapi\nuvicorn\n", "backend/main.py": HELLO, "frontend/index.html": "",
                                       "frontend/package.json": package(VITE, "vite"), "frontend/package-lock.json": "{}",
                                       "frontend/vite.config.ts": 'outDir: "../backend/static"'}, {
        "backend": {"watch": ["backend/**", "frontend/**"],
                    "build": {"install": "pip install -r requirements.txt", "run": "(cd ../frontend && npm ci && npm run build)"}}}),
    Example("django-with-pages-of-its-own", {"requirements.txt": "django\ngunicorn\n", "manage.py": MANAGE, "shop/settings.py": "", "shop/wsgi.py": "",
                                             **{path.replace("web/", "ui/"): text for path, text in VITE_WEB.items()}}, {
        "backend": {"watch": ["**", "!ui/**"], "run": "gunicorn shop.wsgi --bind 127.0.0.1:$PORT"}, "ui": {"folder": "ui"}}),
)  # fmt: skip

RENDER = """
services:
- {type: web, name: shop-api, runtime: python, rootDir: api, buildCommand: ./build.sh, startCommand: gunicorn app:app, healthCheckPath: healthz,
   preDeployCommand: ./seed, numInstances: 3, envVars: [{key: COLOUR, value: blue}, {key: API_TOKEN, sync: false}, {key: PRIVATE_MODE, value: on}, {key: PORT, value: 1}]}
- {type: worker, name: queue, runtime: python, rootDir: api, startCommand: rq worker}
- {type: cron, name: nightly, runtime: python, rootDir: api, schedule: "0 3 * * *", startCommand: python report.py}
- {type: web, name: shop-web, runtime: static, rootDir: web, buildCommand: npm ci && npm run build, staticPublishPath: ./dist,
   routes: [{type: rewrite, source: /api/*, destination: "https://api.example.com/api/*"}]}
- {type: keyvalue, name: cache}
databases: [{name: shop-db}]
"""
FLASK = {
    "api/requirements.txt": "flask\ngunicorn\nrq\n",
    "api/app.py": "app = Flask(__name__)\n@app.route('/healthz')\ndef ok(): ...",
}

DECLARATIONS = (
    Example("procfile", {"Procfile": "release: ./migrate\nweb: gunicorn app:app\nworker: celery -A app worker\ncss: npm run watch\n",
                         "requirements.txt": "flask\ngunicorn\ncelery\n", "app.py": "app = Flask(__name__)"}, {
        "backend": {"run": "gunicorn app:app --bind 127.0.0.1:$PORT", "release": "./migrate"},
        "worker": {"type": "worker", "run": "celery -A app worker", "build": {"install": "pip install -r requirements.txt"}}}),
    Example("procfile-go", {"Procfile": "web: shop --fast", "go.mod": "module shop\n", "main.go": "package main\nfunc main() { http.ListenAndServe(PORT) }"}, {
        "backend": {"run": "./bin/shop --fast"}}),
    Example("procfile-in-a-folder", {"Procfile": "web: cd api && gunicorn app:app", **FLASK}, {"api": {"folder": "api", "run": "gunicorn app:app --bind 127.0.0.1:$PORT"}}),
    Example("procfile-alone", {"Procfile": "web: exec ./serve\n"}, {"backend": {"run": "./serve"}}),
    Example("render", {"render.yaml": RENDER, "api/build.sh": "#!/bin/bash\nset -e\npip install -r requirements.txt\n./assets\n", **FLASK, **VITE_WEB}, {
        "shop-api": {"folder": "api", "run": "gunicorn app:app --bind 127.0.0.1:$PORT", "health": "/healthz", "release": "./seed", "instances": 3,
                     "build": {"install": "pip install -r requirements.txt", "run": "./assets"},
                     "env": {"COLOUR": "blue", "API_TOKEN": "${API_TOKEN}", "PRIVATE_MODE": "${PRIVATE_MODE:-true}"}},
        "queue": {"type": "worker", "folder": "api", "run": "rq worker"},
        "nightly": {"schedule": "0 3 * * *", "folder": "api", "run": "python report.py"},
        "shop-web": {"folder": "web", "build": {**BUILD, "output": "dist"}, "routes": {"/api": "shop-api"}}}),
    Example("compose", {"compose.yml": "services:\n  api:\n    build: ./api\n    ports: ['80:80']\n    healthcheck: {test: [CMD, curl, 'http://localhost:80/live']}\n"
                                       "  jobs:\n    build: ./api\n    command: rq worker\n  db: {image: 'postgres:18'}\n", **FLASK}, {
        "api": {"folder": "api", "health": "/live"}, "jobs": {"type": "worker", "folder": "api", "run": "rq worker"}}),
    Example("compose-proxy", {"compose.yml": "services:\n  app: {build: .}\n  web: {image: 'nginx:1', ports: ['80:80'], depends_on: [app]}\n",
                              "Dockerfile": 'FROM python:3.12\nCMD ["gunicorn", "--config", "gunicorn-cfg.py", "app:app"]\n', "gunicorn-cfg.py": "bind = '0.0.0.0:5005'\n",
                              "render.yaml": "services:\n  - {type: web, name: shop, env: python, buildCommand: ./build.sh, startCommand: 'gunicorn app:app'}\n",
                              "build.sh": "pip install -r requirements.txt\n",
                              "requirements.txt": "flask==3.1.0\ngunicorn==23.0.0\n", "app.py": "app = Flask(__name__)"}, {
        "shop": {"run": "gunicorn app:app --bind 127.0.0.1:$PORT"}}),
    Example("dockerfile", {"Dockerfile": "FROM python:3.10-slim AS base\nFROM base\nEXPOSE 5000\nHEALTHCHECK CMD curl http://localhost:5000/alive\n"
                                         'CMD ["gunicorn", "-b", "0.0.0.0:5000", "-w", "4", "app:app"]\n',
                           "requirements.txt": "flask\ngunicorn\n", "app.py": "app = Flask(__name__)"}, {
        "backend": {"python": "3.10", "run": "gunicorn -b 0.0.0.0:$PORT -w 4 app:app", "health": "/alive"}}),
    Example("netlify", {"netlify.toml": '[build]\nbase="web"\npublish="dist/site"\n[[redirects]]\nfrom="/api/*"\nto="https://x.onrender.com/api/:splat"\nstatus=200\n',
                        **VITE_WEB, **NODE_API}, {"web": {"build": {**BUILD, "output": "dist/site"}, "routes": {"/api": "api"}}, "api": {}}),
    Example("vercel", {"vercel.json": '{"outputDirectory": "public", "buildCommand": "make site"}', "package.json": package(VITE, "vite"), "index.html": ""}, {
        "frontend": {"build": {"install": "npm install", "run": "make site", "output": "public"}}}),
    Example("fly", {"fly.toml": '[deploy]\nrelease_command="./seed"\n[http_service]\n[[http_service.checks]]\npath="/fit"\n', "package.json": EXPRESS,
                    "package-lock.json": "{}", "server.js": SERVER}, {"backend": {"health": "/fit", "release": "./seed"}}),
    Example("railway", {"railway.json": '{"deploy": {"startCommand": "node server.js --prod", "healthcheckPath": "/fit"}}', "package.json": EXPRESS,
                        "package-lock.json": "{}", "server.js": SERVER}, {"backend": {"health": "/fit", "run": "node server.js --prod"}}),
    Example("app-json", {"app.json": '{"env": {"API_TOKEN": {"generator": "secret"}, "REGION": "eu", "EXTRA": {"required": false}}}', "package.json": EXPRESS,
                         "package-lock.json": "{}", "server.js": SERVER}, {
        "backend": {"env": {"API_TOKEN": {"generate": True}, "REGION": "${REGION:-eu}", "EXTRA": {"required": False}}}}),
    Example("space", {"README.md": "---\nsdk: gradio\napp_file: demo.py\npython_version: 3.11\n---\n", "requirements.txt": "gradio\n",
                      "demo.py": "import gradio", "other.py": "import gradio"}, {
        "backend": {"python": "3.11", "run": "GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$PORT python demo.py"}}),
    Example("kubernetes", {"k8s/api.yml": "readinessProbe:\n  httpGet:\n    path: /fit\n    port: 80\n", "package.json": EXPRESS, "package-lock.json": "{}",
                           "server.js": SERVER}, {"backend": {"health": "/fit"}}),
)  # fmt: skip

EXAMPLES = (*NODE, *PYTHON, *OTHERS, *LAYOUTS, *DECLARATIONS)
