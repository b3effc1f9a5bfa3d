"""GitHub's own client for JavaScript and its check of webhooks' signatures, as a program that is told one call a line."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npm import install_packages

REST, WEBHOOKS = "22.0.1", "6.0.0"
PROGRAM = Path(__file__).with_name("octokit.mjs")


@dataclass
class Octokit:
    """The client."""

    process: "subprocess.Popen[str]"

    def request(self, call: str, **params: object) -> tuple[int, Any]:
        """Make a call such as ``repos.get`` and return its status and its data, or its status and the message."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps({'call': call, 'params': params})}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["data"]

    def call(self, call: str, **params: object) -> Any:  # noqa: ANN401 (JSON)
        """Make a call on ``octo/shop`` that must succeed and return its data."""
        status, data = self.request(call, owner="octo", repo="shop", **params)
        assert 200 <= status < 300, (call, status, data)
        return data


@contextmanager
def octokit(url: str, token: str) -> Iterator[Octokit]:
    """Start the client for an emulator."""
    packages = install_packages("octokit", f"@octokit/rest@{REST}", f"@octokit/webhooks-methods@{WEBHOOKS}").parent
    libraries = [
        str(packages / "@octokit/rest/dist-src/index.js"),
        str(packages / "@octokit/webhooks-methods/dist-src/index.js"),
    ]
    command = ["node", str(PROGRAM), *libraries, url, token]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Octokit(process)
        assert process.stdin
        process.stdin.close()
        process.wait(30)
