"""Render's emulator is at least as strict as Render's published description."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from abreast.core.errors import PlatformError
from abreast.testing.platforms.__main__ import main
from abreast.testing.platforms.render import TOKEN
from abreast.testing.platforms.service_process import proxy_to_process
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import SPECS
from render_stage import Stage, render_stage
from sample_project import SampleProject, free_ports

SPEC: dict[str, Any] = json.loads((SPECS / "render.json").read_text())
NAMES = {
    "{serviceId}": "srv-api", "{cronJobId}": "crn-report", "{envVarKey}": "COLOUR", "{secretFileName}": "a.key",
    "{jobId}": "job-x", "{deployId}": "dep-x", "{ownerId}": "tea-emulated", "{eventId}": "evt-x",
}  # fmt: skip


@pytest.fixture
def stage(project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    with render_stage(project, tmp_path) as found:
        yield found


def request(stage: Stage, method: str, path: str, body: object = None, **query: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx2.request(method, f"{stage.url}/v1{path}", headers=headers, json=body, params=query)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the method, the path and the description of every operation."""
    for path, described in SPEC["paths"].items():
        for method, operation in described.items():
            if method != "parameters":
                yield method.upper(), path, operation


def schema_of(operation: dict[str, Any]) -> dict[str, Any]:
    return resolved(operation["requestBody"]["content"]["application/json"]["schema"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return resolved(SPEC["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


def wrong_values(schema: dict[str, Any]) -> Iterator[object]:
    """Yield values that a schema does not allow: another type, a missing key, a wrong value of a key, a stray key."""
    schema = resolved(schema)
    if "oneOf" in schema:
        schema = resolved(schema["oneOf"][0])
    if schema.get("type") == "array":
        yield {}
        yield from ([value] for value in wrong_values(schema["items"]))
    elif schema.get("properties"):
        yield []
        valid = example(schema)
        for name, part in schema["properties"].items():
            if name in schema.get("required", ()):
                yield {key: value for key, value in valid.items() if key != name}
            yield from ({**valid, name: value} for value in wrong_values(part))
        yield {**valid, "stray": True}
    else:
        yield {"boolean": "yes", "integer": "1"}.get(schema["type"], 1)
        if "enum" in schema:
            yield "none of them"


def example(schema: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON has no better type)
    """Return the smallest value that a schema allows."""
    schema = resolved(schema)
    if "oneOf" in schema:
        return example(schema["oneOf"][0])
    if schema.get("properties"):
        return {name: example(schema["properties"][name]) for name in schema.get("required", ())}
    simple: dict[str, object] = {"array": [], "boolean": True, "integer": 1, "string": "x"}
    return schema.get("enum", [simple[schema["type"]]])[0]


WITH_BODY = [found for found in operations() if "requestBody" in found[2]]
LISTS = [found for found in operations() if any(each.get("name") == "limit" for each in found[2].get("parameters", ()))]


@pytest.mark.parametrize(
    ("method", "path", "operation"), WITH_BODY, ids=[found[2]["operationId"] for found in WITH_BODY]
)
def test_a_body_that_is_not_described_is_refused(
    project: SampleProject, tmp_path: Path, method: str, path: str, operation: dict[str, Any]
) -> None:
    with render_stage(project, tmp_path) as stage:
        stage.asks_wrongly = True
        group = stage.emulator.add_env_group("shared", stage.service)
        where = path
        for name, value in {**NAMES, "{envGroupId}": group.id}.items():
            where = where.replace(name, value)
        bodies = [*wrong_values(schema_of(operation))]
        assert bodies
        for body in bodies:
            assert request(stage, method, where, body).status_code in {400, 501}, body


@pytest.mark.parametrize("path", [path for _, path, _ in LISTS])
def test_a_query_that_is_not_described_is_refused(stage: Stage, path: str) -> None:
    stage.asks_wrongly = True
    where = path.replace("{serviceId}", "srv-api")
    needed = {"ownerId": "tea-emulated", "resource": "srv-api"} if path == "/logs" else {}
    assert request(stage, "GET", where, **needed).status_code == 200
    for wrong in ({"limit": "0"}, {"limit": "101"}, {"limit": "many"}, {"stray": "x"}):
        assert request(stage, "GET", where, **needed, **wrong).status_code == 400, wrong


def test_a_deploy_of_an_unknown_commit_fails_and_the_list_stays_readable(stage: Stage) -> None:
    first = stage.project.commit()
    stage.deploy(first)
    for unknown in ("0" * 40, first[:12], "main"):
        with pytest.raises(PlatformError, match="build_failed") as raised:
            stage.deploy(unknown)
        assert f"no such commit in the repository: {unknown}" in str(raised.value)
    assert first in stage.served
    stage.deploy(stage.project.commit())
    assert stage.statuses == ["deactivated", "build_failed", "build_failed", "build_failed", "live"]


ECHO = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def answer(self):
        size = int(self.headers.get("Content-Length", 0))
        body = json.dumps([self.command, self.path, self.headers.get("X-Sent"), self.rfile.read(size).decode()]).encode()
        self.send_response(200 if self.path.startswith("/health") else 418)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer
    def log_message(self, *arguments):
        pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_every_method_query_header_and_body_reaches_the_service(stage: Stage) -> None:
    stage.deploy(stage.project.commit(app_py=ECHO))
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = httpx2.request(
            method, f"{stage.url}/r/api/a%20b?q=1&q=%C3%A4", content=b"sent", headers={"X-Sent": "yes"}
        )
        assert answer.status_code == 418
        assert answer.json() == [method, "/a%20b?q=1&q=%C3%A4", "yes", "sent"]
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_service_that_is_not_there_is_unavailable() -> None:
    async def absent(request: Request) -> Response:
        return await proxy_to_process(request, None)

    with ThreadedServer(Starlette(routes=[Route("/{path:path}", absent)])) as served:
        assert httpx2.get(f"{served.url}/x").status_code == 503


def test_rate_limits_are_told_and_kept(stage: Stage) -> None:
    answer = request(stage, "GET", "/services/srv-api")
    assert (answer.headers["Ratelimit-Limit"], answer.headers["Ratelimit-Remaining"]) == ("400", "399")
    stage.emulator.rate_limits.enforced = True
    statuses = [request(stage, "POST", "/services/srv-api/suspend").status_code for _ in range(11)]
    assert statuses == [202] * 10 + [429]
    refused = request(stage, "PATCH", "/services/srv-api", {"autoDeploy": "no"})
    assert (refused.status_code, refused.headers["Ratelimit-Remaining"]) == (429, "0")
    assert 0 < int(refused.headers["Ratelimit-Reset"]) <= 60
    assert request(stage, "GET", "/services/srv-api").status_code == 200


def test_an_image_must_be_of_the_service(stage: Stage) -> None:
    stage.service.image_path = "ghcr.io/acme/api"
    stage.service.images = {"ghcr.io/acme/api:1": stage.project.commit()}
    path = "/services/srv-api/deploys"
    for image in ("ghcr.io/acme/other:1", "docker.io/acme/api:1", "ghcr.io/acme/api-2"):
        assert request(stage, "POST", path, {"imageUrl": image}).status_code == 400, image
    assert request(stage, "POST", path, {"commitId": "0" * 40}).status_code == 400
    assert request(stage, "POST", path, {"imageUrl": "ghcr.io/acme/api:1"}).status_code == 201


def test_a_type_that_is_unknown_is_named() -> None:
    done = CliRunner().invoke(main, ["--render", str(free_ports(1)[0]), "--service", "api=lambda:x"])
    assert done.exit_code == 2
    assert "expected one of web_service, private_service" in done.output
