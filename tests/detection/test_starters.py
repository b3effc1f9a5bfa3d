"""What starters and templates leave unsaid: who serves an export, whose health check it is, what a folder of pages is for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.detection.detect import draft_config
from abreast.detection.yaml_text import write_yaml
from detection_examples import Files, package


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
