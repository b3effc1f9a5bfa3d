"""A project for benchmarks: n small services in a repository."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import yaml

APP_SOURCE = (
    "import os,socket\n"
    "s=socket.create_server(('127.0.0.1',int(os.environ['PORT'])),backlog=128)\n"
    "while True:\n"
    "    c,_=s.accept()\n"
    "    c.recv(65536)\n"
    "    c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n"
    "    c.close()\n"
)


class BenchProject:
    """``count`` services from ``first_port`` on; ``build``, ``hold`` and ``settle`` are seconds."""

    command = f"exec {sys.executable} -S -E app.py"

    def __init__(self, folder: Path, count: int, first_port: int, build: float, hold: float, settle: float) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(APP_SOURCE)
        names = [f"s{number:03}" for number in range(count)]
        config: dict[str, Any] = {
            "project": "bench",
            "services": {
                name: {
                    "build": f"sleep {build}",
                    "run": self.command,
                    "instances": 1,
                    "health": {"hold": f"{int(hold * 1000)}ms"},
                }
                for name in names
            },
            "environments": {
                "local": {
                    "settle": f"{int(settle * 1000)}ms",
                    **{name: {"local": {"port": first_port + number}} for number, name in enumerate(names)},
                }
            },
        }
        (folder / "abreast.yml").write_text(yaml.safe_dump(config))
        self.git("init", "-q")
        self.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what was deployed, also after an interrupt."""
        self.timed_abreast("down", "--yes")

    def set_gates(self, commands: dict[str, str]) -> None:
        """Set gates by name; ``test`` becomes each service's test."""
        config = yaml.safe_load((self.folder / "abreast.yml").read_text())
        test = commands.pop("test", None)
        for service in config["services"].values():
            service["test"] = test
        config["gates"] = commands
        (self.folder / "abreast.yml").write_text(yaml.safe_dump(config))

    def commit(self) -> None:
        """Commit all files and a new change."""
        (self.folder / "change").write_text(str(time.time_ns()))
        self.git("add", "-A")
        self.git("-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-qm", "Change")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True)

    def timed_abreast(self, *arguments: str) -> float:
        """Run a command; return its seconds. Raises RuntimeError, with its output, where it fails."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "abreast", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return time.monotonic() - began

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the latest deployment, as ``show --json`` prints them."""
        shown = subprocess.run(
            [sys.executable, "-m", "abreast", "show", "--json"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return list(json.loads(shown.stdout)["events"])
