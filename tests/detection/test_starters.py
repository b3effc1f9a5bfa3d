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


# ── pages ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("generator", "names"), [("@11ty/eleventy", {"frontend"}), ("vite", {"frontend", "admin"})])
def test_a_page_that_a_generator_copies_is_a_part_of_its_site(generator: str, names: set[str], tmp_path: Path) -> None:
    manifest = package(VITE, generator)
    files = {"package.json": manifest, "package-lock.json": "{}", "index.html": "", "admin/index.html": ""}
    assert set(services(tmp_path, files)) == names
