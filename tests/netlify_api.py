"""Netlify's own client for JavaScript, from npm, as a program that is told one call a line."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from npm import install_packages

VERSION = "14.0.19"
PROGRAM = """
import { createInterface } from "node:readline"
const [, library, host, token] = process.argv
const { NetlifyAPI, methods } = await import(library)
const api = new NetlifyAPI(token, { scheme: "http", host, pathPrefix: "/api/v1" })
const names = (parameters) => Object.values(parameters ?? {}).filter((one) => one.required).map((one) => one.name)
console.log(JSON.stringify(methods.map(({ operationId, tags, parameters }) => ({
  name: operationId, tag: tags[0], required: [...names(parameters.path), ...names(parameters.query)],
  body: Object.keys(parameters.body ?? {}).length > 0,
}))))
for await (const line of createInterface({ input: process.stdin })) {
  const { name, params, upload } = JSON.parse(line)
  const body = upload === undefined ? {} : { body: Buffer.from(upload, "base64") }
  try {
    console.log(JSON.stringify({ status: 200, data: (await api[name]({ ...params, ...body })) ?? null }))
  } catch (error) {
    console.log(JSON.stringify({ status: error.status ?? 0, data: error.json ?? error.message }))
  }
}
"""


@dataclass(frozen=True)
class Operation:
    """An operation of the client; ``required`` names its parameters but the body, which it may have."""

    name: str
    tag: str
    required: tuple[str, ...]
    body: bool

    def example(self, known: Mapping[str, object]) -> dict[str, object]:
        """Return parameters that the client accepts, those in ``known`` where they are needed."""
        return {name: known.get(name, "x") for name in self.required} | ({"body": {}} if self.body else {})


@dataclass
class NetlifyApi:
    """The client. ``worked`` names the operations that were carried out, ``refused`` has statuses by operation."""

    process: "subprocess.Popen[str]"
    operations: Mapping[str, Operation]
    worked: set[str] = field(default_factory=set)
    refused: dict[str, set[int]] = field(default_factory=dict)

    def request(self, name: str, upload: str | None = None, /, **params: object) -> tuple[int, Any]:
        """Call an operation and return its status and its answer; 200 stands for all that succeed."""
        assert self.process.stdin
        assert self.process.stdout
        call = {"name": name, "params": params, **({} if upload is None else {"upload": upload})}
        self.process.stdin.write(f"{json.dumps(call)}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["data"]

    def call(self, name: str, upload: str | None = None, /, **params: object) -> Any:  # noqa: ANN401 (JSON)
        """Call an operation that must succeed, and return its answer."""
        status, data = self.request(name, upload, **params)
        assert status == 200, (name, status, data)
        self.worked.add(name)
        return data

    def refusal(self, name: str, upload: str | None = None, /, **params: object) -> tuple[int, str]:
        """Call an operation that must be refused, and return the status and the message."""
        status, data = self.request(name, upload, **params)
        assert status >= 400, (name, status, data)
        self.refused.setdefault(name, set()).add(status)
        return status, data["message"]


@contextmanager
def netlify_api(url: str, token: str) -> Iterator[NetlifyApi]:
    """Start the client for an emulator."""
    library = install_packages("netlify-api", f"@netlify/api@{VERSION}").parent / "@netlify/api/lib/index.js"
    command = ["node", "--input-type=module", "-e", PROGRAM, "--", str(library), url.removeprefix("http://"), token]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        operations = [
            Operation(one["name"], one["tag"], tuple(one["required"]), one["body"])
            for one in json.loads(process.stdout.readline())
        ]
        yield NetlifyApi(process, {one.name: one for one in operations})
        assert process.stdin
        process.stdin.close()
        process.wait(10)
