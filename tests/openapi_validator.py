"""Holds an emulator to the published description of what it emulates: every request and answer is checked."""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jsonschema_rs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abreast.testing.platforms.fault_injection import FaultInjector

SPECS = Path(__file__).parent / "specs"


@contextmanager
def validate_emulator(
    emulator: "Emulator", name: str, extra_keys: Collection[str] = ()
) -> Iterator["OpenApiValidator"]:
    """Check all that an emulator is asked and answers, and fail at the end where something did not fit."""
    validator = OpenApiValidator(emulator.faults.app, name, extra_keys)
    emulator.faults.app = validator
    yield validator
    assert validator.violations == [], validator.violations


class Emulator(Protocol):
    """What all emulators have."""

    faults: FaultInjector


class OpenApiValidator:
    """Middleware; ``faults`` tells what did not fit the description, ``checked`` counts what was held to it.

    ``besides`` names keys that a client of others is known to send although they are not described.
    """

    def __init__(self, app: ASGIApp, name: str, extra_keys: Collection[str] = ()) -> None:
        self._app = app
        self._extra_keys = set(extra_keys)
        spec = json.loads((SPECS / f"{name}.json").read_text())
        self._base: str = spec.get("basePath") or urlsplit(spec["servers"][0]["url"]).path
        self._paths = [(_path_pattern(path), operations) for path, operations in spec["paths"].items()]
        self._components = _to_json_schema(spec.get("components", {}))
        self._validators: dict[int, jsonschema_rs.Draft202012Validator] = {}
        self.violations: list[str] = []
        self.checked_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._base) or ".git/" in scope["path"]:
            await self._app(scope, receive, send)
            return
        where = f"{scope['method']} {scope['path']}"
        operation = self._operation(scope)
        if operation is None:
            self.violations.append(f"{where}: not described")
            await self._app(scope, receive, send)
            return
        request_body, response_body, status = bytearray(), bytearray(), 0

        async def recording_receive() -> Message:
            message = await receive()
            request_body.extend(message.get("body", b""))
            return message

        async def recording_send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            response_body.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, recording_receive, recording_send)
        self.checked_count += 1
        self._check_request(where, operation, scope, bytes(request_body))
        self._check_response(where, operation, status, bytes(response_body))

    def _operation(self, scope: Scope) -> dict[str, Any] | None:
        for pattern, operations in self._paths:
            if pattern.fullmatch(scope["path"].removeprefix(self._base)):
                found: dict[str, Any] | None = operations.get(scope["method"].lower())
                return found and {**found, "parameters": found.get("parameters", []) + operations.get("parameters", [])}
        return None

    def _check_request(self, where: str, operation: dict[str, Any], scope: Scope, body: bytes) -> None:
        known = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
        asked = {pair.split("=", maxsplit=1)[0] for pair in scope["query_string"].decode().split("&") if pair}
        if unknown := asked - known - {"page", "per_page"}:
            self.violations.append(f"{where}: query {unknown} is not described")
        schema = next((parameter["schema"] for parameter in operation["parameters"] if parameter["in"] == "body"), None)
        if "requestBody" in operation:
            schema = self._resolve(_json_schema(operation["requestBody"]))
        if not schema or not body or schema.get("type") not in {"object", "array"}:
            return
        self._validate(f"{where}: request", schema, body)
        stray = set(json.loads(body)) - set(schema["properties"]) - self._extra_keys if "properties" in schema else ()
        if stray:
            self.violations.append(f"{where}: request: {stray} is not described")

    def _resolve(self, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the schema that a reference names."""
        name = schema.get("$ref", "").rpartition("/")[2] if schema else ""
        return self._components["schemas"][name] if name else schema

    def _check_response(self, where: str, operation: dict[str, Any], status: int, answer: bytes) -> None:
        known = operation["responses"]
        if str(status) not in known and (status < 300 or "default" not in known):
            self.violations.append(f"{where}: status {status} is not described")
            return
        response = known.get(str(status), known.get("default", {}))
        schema = response.get("schema") or _json_schema(response)
        if schema:
            self._validate(f"{where}: answer {status}", schema, answer)

    def _validate(self, where: str, schema: dict[str, Any], text: bytes) -> None:
        if id(schema) not in self._validators:
            whole = {**_to_json_schema(schema), "components": self._components}
            self._validators[id(schema)] = jsonschema_rs.Draft202012Validator(whole)
        try:
            self._validators[id(schema)].validate(json.loads(text))
        except (ValueError, jsonschema_rs.ValidationError) as error:
            self.violations.append(f"{where}: {str(error).splitlines()[0]}")


def _json_schema(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of a part of OpenAPI 3."""
    found: dict[str, Any] | None = part.get("content", {}).get("application/json", {}).get("schema")
    return found


def _to_json_schema(schema: Any) -> Any:  # noqa: ANN401 (JSON has no better type)
    """Return what OpenAPI 3.0 says in JSON Schema's words; of several shapes that fit, one is enough."""
    if isinstance(schema, list):
        return [_to_json_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {("anyOf" if key == "oneOf" else key): _to_json_schema(value) for key, value in schema.items()}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def _path_pattern(path: str) -> re.Pattern[str]:
    rest = re.sub(r"\{path\}", ".+", path)
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", rest))
