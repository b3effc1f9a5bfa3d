"""A one-line change of a project with Vite and FastAPI: from the command until users have it."""

import json
import operator
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self

import yaml

RUNS = 5
GOAL = 3.0
"""Seconds by which a deployment may take longer than `npm run build`."""
COMPONENTS = 300
WEB_PORT, API_PORT, BARE_PORT = 12700, 12701, 12702
VITE = "7.1.12"
PACKAGE = {
    "name": "web",
    "private": True,
    "type": "module",
    "scripts": {"build": "vite build"},
    "dependencies": {"react": "19.2.0", "react-dom": "19.2.0"},
    "devDependencies": {"vite": VITE, "@vitejs/plugin-react": "5.1.0"},
}
PAGE = '<!doctype html><title>bench</title><div id="root"></div><script type="module" src="/src/main.jsx"></script>\n'
VITE_CONFIG = """import {defineConfig} from "vite";
import react from "@vitejs/plugin-react";
export default defineConfig({plugins: [react()], server: {proxy: {"/api": "http://localhost:8000"}}});
"""
COMPONENT = """import {{useState}} from "react";
export function Part{number}() {{
  const [count, setCount] = useState({number});
  return <button onClick={{() => setCount(count + 1)}}>part {number}: {{count}}</button>;
}}
"""
REQUIREMENTS = "fastapi==0.121.0\nuvicorn==0.38.0\n"
API = """import fastapi

app = fastapi.FastAPI()


@app.get("/api/health")
def health():
    return {"line": "LINE"}
"""


def run() -> str:
    """Return a table of medians: deployments of a change of either service, each after its bare command."""
    bare: dict[str, list[float]] = {"frontend": [], "backend": []}
    deployed: dict[str, list[float]] = {"frontend": [], "backend": []}
    with tempfile.TemporaryDirectory() as folder, OneLineProject(Path(folder)) as project:
        project.abreast("deploy", "--yes")
        for number in range(RUNS):
            line = f"line {number}"
            project.change_web(line)
            bare["frontend"].append(project.timed_build())
            deployed["frontend"].append(project.deploy_until(_page_script, line))
            project.change_api(line)
            bare["backend"].append(project.timed_start())
            deployed["backend"].append(project.deploy_until(_api_answer, line))
    rows = [
        f"| {name} | {command} | {statistics.median(bare[name]):.2f} s | {statistics.median(deployed[name]):.2f} s "
        f"| {_median_of(operator.sub, deployed[name], bare[name]):.2f} s "
        f"| {_median_of(operator.truediv, deployed[name], bare[name]):.2f} |"
        for name, command in (("frontend", "`npm run build`"), ("backend", "`uvicorn`, until it answers"))
    ]
    return f"""## One-line change

A deployed project, with the `abreast.yml` that `abreast init` writes: a frontend of {COMPONENTS} components (Vite {VITE}, React,
Node {_node_version()}) and a backend (FastAPI, pip). Medians of {RUNS} alternating runs of `abreast deploy --yes`: from the start of
the command until users get the changed line. Goal: the frontend in ≤ {GOAL:.0f} s more than its build.

| changed | bare command | bare | abreast | difference | ratio |
|---|---|---|---|---|---|
{chr(10).join(rows)}"""


def _median_of(combine: Callable[[float, float], float], ours: list[float], bare: list[float]) -> float:
    return statistics.median(map(combine, ours, bare))


def _page_script() -> str:
    """Return the script of the page that users get, by its name in the page."""
    scripts = re.findall(r'src="(/assets/[^"]+)"', _answer(WEB_PORT, "/"))
    return _answer(WEB_PORT, scripts[0]) if scripts else ""


def _api_answer() -> str:
    return _answer(API_PORT, "/api/health")


def _answer(port: int, path: str) -> str:
    """Return what a server answers, "" if it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n")


class OneLineProject:
    """A frontend in ``web`` and a backend in ``api``, as ``abreast init`` describes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {
            ".gitignore": "node_modules\ndist\n.venv\n",
            "web/package.json": json.dumps(PACKAGE, indent=2),
            "web/index.html": PAGE,
            "web/vite.config.js": VITE_CONFIG,
            "api/requirements.txt": REQUIREMENTS,
            **{f"web/src/Part{number}.jsx": COMPONENT.format(number=number) for number in range(COMPONENTS)},
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.change_web("first")
        self.change_api("first")
        self._run("npm", "install", "--no-audit", "--no-fund", folder="web")
        self._run("git", "init", "-q")
        self.abreast("init", "--yes")
        self._choose_ports()
        self.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abreast("down", "--yes")

    def _choose_ports(self) -> None:
        file = self.folder / "abreast.yml"
        config = yaml.safe_load(file.read_text())
        config["environments"]["local"] = {
            "settle": "1s",
            "web": {"local": {"port": WEB_PORT}},
            "api": {"local": {"port": API_PORT}},
        }
        file.write_text(yaml.safe_dump(config, sort_keys=False))

    def change_web(self, line: str) -> None:
        imports = "".join(f'import {{Part{number}}} from "./Part{number}.jsx";\n' for number in range(COMPONENTS))
        parts = "".join(f"<Part{number}/>" for number in range(COMPONENTS))
        text = f"<main><p>{line}</p>{parts}</main>"
        render = f'createRoot(document.getElementById("root")).render({text});\n'
        (self.folder / "web/src/main.jsx").write_text(
            f'import {{createRoot}} from "react-dom/client";\n{imports}{render}'
        )

    def change_api(self, line: str) -> None:
        (self.folder / "api/main.py").write_text(API.replace("LINE", line))

    def commit(self) -> None:
        self._run("git", "add", "-A")
        self._run("git", "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-qm", "Change")

    def abreast(self, *arguments: str) -> None:
        self._run(sys.executable, "-m", "abreast", *arguments)

    def timed_build(self) -> float:
        """Return the seconds that ``npm run build`` takes in the working folder."""
        began = time.monotonic()
        self._run("npm", "run", "build", folder="web")
        return time.monotonic() - began

    def timed_start(self) -> float:
        """Return the seconds from the start of the backend, in the environment that abreast made, to its first answer."""
        began = time.monotonic()
        (python, *_) = sorted((self.folder / ".abreast/installs").glob("*/python/bin/python"))
        command = [str(python), "-m", "uvicorn", "main:app", "--port", str(BARE_PORT)]
        with subprocess.Popen(command, cwd=self.folder / "api", stderr=subprocess.DEVNULL) as server:
            try:
                while "line" not in _answer(BARE_PORT, "/api/health"):
                    time.sleep(0.01)
                return time.monotonic() - began
            finally:
                server.terminate()

    def deploy_until(self, live_text: Callable[[], str], line: str) -> float:
        """Commit and deploy; return the seconds from the command's start until users had the change."""
        self.commit()
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "abreast", "deploy", "--yes"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as deploying:
            while line not in live_text() and deploying.poll() is None:
                time.sleep(0.01)
            took = time.monotonic() - began
            output = deploying.communicate()[0]
        if deploying.returncode:
            raise RuntimeError(output[-2000:])
        return took

    def _run(self, *command: str, folder: str = "") -> None:
        done = subprocess.run(command, cwd=self.folder / folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
