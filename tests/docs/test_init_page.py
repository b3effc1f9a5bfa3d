"""The example of docs/init.md: a repository that has what its comments name is described as the page shows."""

from pathlib import Path

import pytest

import fork_server
from page_examples import page_examples

PAGE = Path(__file__).parents[2] / "docs" / "init.md"
REPOSITORY = {
    "web/package.json": '{"name": "web", "scripts": {"build": "vite build"}, "devDependencies": {"vite": "^7.0.0"}}',
    "web/package-lock.json": '{"name": "web", "lockfileVersion": 3, "packages": {}}',
    "web/vite.config.ts": 'export default {build: {outDir: "dist"}, server: {proxy: {"/api": "http://127.0.0.1:8000"}}}',
    "web/index.html": '<div id="app"></div>',
    "api/requirements.txt": "fastapi\nuvicorn\nalembic\npsycopg\n",
    "api/main.py": 'from fastapi import FastAPI\napp = FastAPI()\n@app.get("/healthz")\ndef health():\n    return {}\n',
    "api/.python-version": "3.12\n",
    "api/alembic.ini": "[alembic]\nscript_location = alembic\n",
    "api/alembic/env.py": 'import os\nurl = os.environ["DATABASE_URL"]\n',
    "api/Dockerfile": 'FROM python:3.12\nCOPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
    "compose.yml": "services:\n  db:\n    image: postgres:18\n",
}
SCAN = "gates:\n  secrets: block                              # kingfisher is installed\n"


@pytest.mark.executes("docs/init.md", 1)
def test_it_describes_the_repository(tmp_path: Path) -> None:
    (example,) = page_examples(PAGE)
    (command,) = example.commands
    folder = tmp_path / "shop"
    for file, content in REPOSITORY.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    assert command == "cd shop && abreast init"
    done = fork_server.run_command(folder, "init")
    told = (done.stdout + done.stderr).replace(SCAN, "")  # as the page says below
    assert told.splitlines() == list(example.output)
    assert done.returncode == 0
