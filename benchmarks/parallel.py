"""A release of a site at Netlify and a backend in two Spaces: how long until both candidates stand."""

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
from abreast.testing.platforms.server import Served
from benchmarks.polling import COMMAND

SITE, BACKEND = 60.0, 90.0
"""Seconds that each platform works on its part."""

CONFIG = {
    "project": "bench",
    "services": {"site": {"build": {"output": "site"}}, "api": {"run": "x", "health": {"hold": "0s"}}},
    "environments": {
        "production": {
            "settle": "1s", "drain": "0s",
            "site": {"netlify": {"site": "shop", "routes": {"/api/*": "api"}}},
            "api": {"huggingface": {"space": "o/a", "standby": "o/b"}},
        }
    },
}  # fmt: skip


def run() -> str:
    """Return the seconds from the first stage's begin to the last one's end."""
    at_netlify = netlify.NetlifyEmulator()
    with tempfile.TemporaryDirectory() as folder:
        at_hub = huggingface.HuggingFaceEmulator(Path(folder))
        at_netlify.add_site("shop")
        for space in ("o/a", "o/b"):
            at_hub.add_space(space)
        at_netlify.takes, at_hub.takes = _seconds(SITE), _seconds(BACKEND)
        with Served(at_netlify.app) as one, Served(at_hub.app) as two:
            took, whole = _deployed(Path(folder) / "shop", one.url, two.url)
        at_hub.close()
    return "\n".join([
        "## Parallel", "",
        f"One `abreast deploy`: Netlify works {SITE:g} s on the draft, Hugging Face {BACKEND:g} s on the Space. Goal: staged in ≤ 92 s.", "",
        "| | |", "|---|---|",
        f"| from the first candidate's begin to the last one's end | {took:.1f} s |",
        f"| the whole deployment | {whole:.1f} s |",
        f"| one after the other, by the platforms' time alone | {SITE + BACKEND:.1f} s |",
    ])  # fmt: skip


def _seconds(count: float) -> Callable[[], float]:
    return lambda: count


def _deployed(project: Path, at_netlify: str, at_hub: str) -> tuple[float, float]:
    (project / "site").mkdir(parents=True)
    (project / "site" / "index.html").write_text("hello")
    (project / "Dockerfile").write_text(f"FROM x\nCMD {json.dumps(COMMAND)}\n")
    (project / "abreast.yml").write_text(yaml.safe_dump(CONFIG))
    for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@localhost commit -qm Start"):
        subprocess.run(["git", *command.split()], cwd=project, check=True)
    variables = {
        "PATH": "/usr/bin:/bin",
        "NETLIFY_API_URL": at_netlify, "NETLIFY_AUTH_TOKEN": netlify.TOKEN,
        "HF_ENDPOINT": at_hub, "HF_TOKEN": huggingface.TOKEN,
    }  # fmt: skip
    abreast = [sys.executable, "-m", "abreast"]
    began = time.monotonic()
    done = subprocess.run([*abreast, "deploy", "--yes"], cwd=project, env=variables, capture_output=True, text=True)  # noqa: PLW1510
    whole = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    told = subprocess.run([*abreast, "show", "--json"], cwd=project, env=variables, capture_output=True, check=True)
    stages = [
        datetime.fromisoformat(one["at"]) for one in json.loads(told.stdout)["events"] if one["chapter"] == "stage"
    ]
    return (max(stages) - min(stages)).total_seconds(), whole
