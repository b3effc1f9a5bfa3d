"""The API that creates, duplicates, moves, changes and deletes Spaces."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import (
    USER,
    HubError,
    readable_space,
    require_write,
    space_url,
    writable_space,
)
from abreast.testing.platforms.huggingface.card import SDKS
from abreast.testing.platforms.huggingface.repository import RepositoryStore
from abreast.testing.platforms.huggingface.repository_api import API
from abreast.testing.platforms.huggingface.space_runtime import Space, SpaceRuntime, Variable

CARD = "---\ntitle: Emulated\nsdk: {sdk}\n{port}---\n"

ATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in ("7z", "bin", "gz", "h5", "npy", "onnx", "parquet", "pkl", "pt", "pth", "safetensors", "tar", "zip")
)
"""The git attributes of a new repository: what belongs in LFS whatever its size."""


_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
"""The names that the Hub allows."""


class AccountApi:
    """Handlers of the requests about Spaces as a whole."""

    def __init__(self, spaces: dict[str, Space], store: RepositoryStore, runtime: SpaceRuntime) -> None:
        self._spaces = spaces
        self._store = store
        self._runtime = runtime

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route("/api/repos/create", self._create, methods=["POST"]),
            Route("/api/repos/delete", self._delete, methods=["DELETE"]),
            Route("/api/repos/move", self._move, methods=["POST"]),
            Route(f"{API}/duplicate", self._duplicate, methods=["POST"]),
            Route(f"{API}/settings", self._change_settings, methods=["PUT"]),
        ]

    def add_space(self, space_id: str, sdk: str, attributes: str = "") -> Space:
        """Add a Space whose only file is its card, or with git attributes too."""
        space = self._spaces[space_id] = Space(space_id, sdk=sdk)
        card = CARD.format(sdk=sdk, port="app_port: 7860\n" if sdk == "docker" else "")
        files = {"README.md": card, **({".gitattributes": attributes} if attributes else {})}
        tree = {path: self._store.store_blob(text.encode()) for path, text in files.items()}
        commit = self._store.store_commit("initial commit", tree, ())
        space.branches["main"], space.commit_ids = [commit.id], {commit.id}
        return space

    async def _create(self, request: Request) -> Response:
        require_write(request)
        body = _space_body(await request.json(), {"name", "organization", "type", "sdk", "visibility", "private"})
        if body.get("sdk") not in SDKS:
            raise HubError(400, f'"sdk" must be one of {", ".join(SDKS)}')
        space_id = self._free_id(request, f"{body.get('organization') or USER}/{body['name']}")
        if isinstance(space_id, Response):
            return space_id
        space = self.add_space(space_id, body["sdk"], ATTRIBUTES)
        _configure(space, body)
        return JSONResponse({"url": space_url(request, space_id), "name": space_id, "id": space_id})

    async def _duplicate(self, request: Request) -> Response:
        original = readable_space(self._spaces, request)
        require_write(request)
        body = _space_body(await request.json(), {"repository", "visibility"})
        space_id = self._free_id(request, str(body["repository"]))
        if isinstance(space_id, Response):
            return space_id
        space = self._spaces[space_id] = Space(space_id, sdk=original.sdk, private=original.private)
        space.branches["main"], space.commit_ids = [original.branches["main"][-1]], set(original.commit_ids)
        space.variables = dict(original.variables)
        _configure(space, body)
        self._runtime.queue_build(space, self._store.resolve(space.branches, "main"))
        return JSONResponse({"url": space_url(request, space_id), "filesCopyPending": False})

    async def _move(self, request: Request) -> Response:
        require_write(request)
        body = await request.json()
        if body.get("type") != "space":
            raise HubError(501, "not emulated: repositories other than Spaces")
        if body["fromRepo"] not in self._spaces:
            raise HubError(404, "Repository not found", "RepoNotFound")
        space_id = self._free_id(request, str(body["toRepo"]))
        if isinstance(space_id, Response):
            return space_id
        space = self._spaces[space_id] = self._spaces.pop(body["fromRepo"])
        space.id = space_id
        return Response()

    async def _delete(self, request: Request) -> Response:
        require_write(request)
        body = await request.json()
        if body.get("type") != "space":
            raise HubError(501, "not emulated: repositories other than Spaces")
        space = self._spaces.get(f"{body.get('organization') or USER}/{body['name']}")
        if space is None:
            raise HubError(404, "Repository not found", "RepoNotFound")
        require_write(request, space)
        del self._spaces[space.id]
        self._runtime.stop(space)
        return Response()

    async def _change_settings(self, request: Request) -> Response:
        space, body = writable_space(self._spaces, request), await request.json()
        if body.keys() - {"visibility", "private"}:
            raise HubError(501, f"not emulated: the setting {min(body)}")
        _set_visibility(space, body)
        return JSONResponse({"private": space.private})

    def _free_id(self, request: Request, space_id: str) -> str | Response:
        """Return the id for a new Space, or the refusal of one that exists.

        Raises HubError for a foreign account, and for a name that the Hub does not allow.
        """
        if not _NAME.fullmatch(space_id.partition("/")[2]):
            raise HubError(400, f"Invalid repository name: {space_id}")
        if space_id in self._spaces:
            url = space_url(request, space_id)
            return JSONResponse({"error": "You already created this space repo", "url": url}, 409)
        account = space_id.partition("/")[0]
        own = {id_.partition("/")[0] for id_, space in self._spaces.items() if not space.read_only}
        if account not in {USER, *own}:
            raise HubError(403, f"You don't have the rights to create a space under {account}")
        return space_id


def _space_body(body: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """Return a request's body. Raises HubError for what is not emulated."""
    if body.get("type", "space") != "space" or ("type" in known and "type" not in body):
        raise HubError(501, "not emulated: repositories other than Spaces")
    if unknown := body.keys() - known - {"hardware", "secrets", "variables", "sleepTimeSeconds"}:
        raise HubError(501, f"not emulated: a Space with {min(unknown)}")
    return body


def _configure(space: Space, body: dict[str, Any]) -> None:
    """Set what a request gives to a new Space."""
    _set_visibility(space, body)
    space.hardware = body.get("hardware", space.hardware)
    space.sleep_time = body.get("sleepTimeSeconds", space.sleep_time)
    for kind, variables in (("secrets", space.secrets), ("variables", space.variables)):
        variables.update({given["key"]: Variable.of(given) for given in body.get(kind, [])})


def _set_visibility(space: Space, body: dict[str, Any]) -> None:
    visibility = body.get("visibility", "private" if body.get("private", space.private) else "public")
    if visibility not in {"public", "private"}:
        raise HubError(501, f"not emulated: the visibility {visibility}")
    space.private = visibility == "private"
