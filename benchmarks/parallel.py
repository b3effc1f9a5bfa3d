"""A release of a site at Netlify and a backend in two Spaces: time until both candidates are ready."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import yaml

from abreast.testing.platforms import huggingface, netlify
from abreast.testing.platforms.threaded_server import ThreadedServer
from benchmarks.polling import SERVER_COMMAND

SITE_SECONDS, BACKEND_SECONDS = 60.0, 90.0
"""Processing time of each platform, in seconds."""

CONFIG = {
    "project": "bench",
    "services": {"site": {"build": {"output": "site"}, "routes": {"/api": "api"}}, "api": {"run": "x", "health": {"hold": "0s"}}},
    "environments": {
        "production": {
            "settle": "1s", "drain": "0s",
            "site": {"netlify": {"site": "shop"}},
            "api": {"huggingface": {"space": "o/a", "standby": "o/b"}},
        }
    },
}  # fmt: skip


def run() -> str:
    """Return a table: time from the start of the first stage to the end of the last, against sequential stages."""
    at_netlify = netlify.NetlifyEmulator(netlify.UNLIMITED)
    with tempfile.TemporaryDirectory() as folder:
        at_hub = huggingface.HuggingFaceEmulator(Path(folder))
        at_netlify.add_site("shop")
        for space in ("o/a", "o/b"):
            at_hub.add_space(space)
        at_netlify.work_seconds, at_hub.work_seconds = _constant(SITE_SECONDS), _constant(BACKEND_SECONDS)
        with ThreadedServer(at_netlify.app) as one, ThreadedServer(at_hub.app) as two:
            took, total = _deploy_timings(Path(folder) / "shop", one.url, two.url)
        at_hub.close()
    return "\n".join([
        "## Parallel", "",
        f"One `abreast deploy`. Netlify processes the draft for {SITE_SECONDS:g} s, Hugging Face builds the Space for {BACKEND_SECONDS:g} s. Goal: staged in ≤ 92 s.", "",
        "| | |", "|---|---|",
        f"| from the start of the first stage to the end of the last | {took:.1f} s |",
        f"| the whole deployment | {total:.1f} s |",
        f"| one after the other, platform time only | {SITE_SECONDS + BACKEND_SECONDS:.1f} s |",
    ])  # fmt: skip


def _constant(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def _deploy_timings(folder: Path, at_netlify: str, at_hub: str) -> tuple[float, float]:
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("hello")
    (folder / "Dockerfile").write_text(f"FROM x\nENV PORT=7860\nCOPY . .\nCMD {json.dumps(SERVER_COMMAND)}\n")
    (folder / "abreast.yml").write_text(yaml.safe_dump(CONFIG))
    for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@localhost commit -qm Start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    variables = {
        "PATH": "/usr/bin:/bin",
        "NETLIFY_API_URL": at_netlify, "NETLIFY_AUTH_TOKEN": netlify.TOKEN,
        "HF_ENDPOINT": at_hub, "HF_TOKEN": huggingface.TOKEN,
    }  # fmt: skip
    abreast = [sys.executable, "-m", "abreast"]
    began = time.monotonic()
    done = subprocess.run([*abreast, "deploy", "--yes"], cwd=folder, env=variables, capture_output=True, text=True)  # noqa: PLW1510
    total = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    output = subprocess.run([*abreast, "show", "--json"], cwd=folder, env=variables, capture_output=True, check=True)
    stages = [
        datetime.fromisoformat(event["at"])
        for event in json.loads(output.stdout)["events"]
        if event["chapter"] == "stage"
    ]
    return (max(stages) - min(stages)).total_seconds(), total
