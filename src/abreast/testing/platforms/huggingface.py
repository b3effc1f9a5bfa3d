"""The Hub's API for Docker Spaces, emulated: repositories, what is built of them, and the Spaces themselves."""

import asyncio
import base64
import hashlib
import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from abreast.testing.platforms.common import now
from abreast.testing.platforms.faults import Faults
from abreast.testing.platforms.running import Running, passed_on

TOKEN, READ_TOKEN = "hf_write", "hf_read"
LARGE = 10 * 1024 * 1024
"""From this size on, a file is uploaded apart from its commit."""

PAGE = 1000
"""Entries of a tree that one answer holds."""

CARD = b"---\ntitle: Emulated\nsdk: docker\napp_port: 7860\n---\n"


@dataclass(frozen=True)
class File:
    """A file of a tree: its content's name in git, and its SHA-256 where it is a large one."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass(frozen=True)
class Commit:
    """A commit: its whole tree."""

    id: str
    title: str
    tree: dict[str, File]
    parents: tuple[str, ...]
    date: str


@dataclass
class Space:
    """A Space: its branches, what it runs (``running`` of commit ``sha``), and how the next gets on."""

    id: str
    private: bool = False
    sdk: str = "docker"
    branches: dict[str, list[str]] = field(default_factory=dict)
    stage: str = "NO_APP_FILE"
    sha: str | None = None
    running: Running | None = None
    coming: Running | None = None
    building: str | None = None
    looks: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    log: list[str] = field(default_factory=list)
    starts: int = 0
    factory: bool = False
    due: float = 0.0


class HuggingFaceEmulator:
    """Use ``app`` with ``Served``; ``spaces``, ``commits`` and ``faults.planned`` can be read and changed.

    A Space gets on each time that its runtime is asked for, so that tests need not wait; for ``lag`` looks after
    a commit it still speaks of what it ran before. Of its Dockerfile it runs each ``RUN``, and the ``CMD`` (in
    the form of a list) as a process, in the tree. ``stuck``: a Space stays in this stage.
    ``takes`` gives the seconds that a build takes at least.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spaces: dict[str, Space] = {}
        self.commits: dict[str, Commit] = {}
        self.blobs: dict[str, bytes] = {}
        self.lag = 1
        self.stuck: str | None = None
        self.takes: Callable[[], float] = float
        self._one_at_a_time = asyncio.Lock()
        api = "/api/spaces/{owner}/{name}"
        git = "/spaces/{owner}/{name}"
        self.faults = Faults(Starlette(routes=[
            Route("/api/whoami-v2", self._whoami),
            Route("/api/repos/create", self._create, methods=["POST"]),
            Route("/api/validate-yaml", self._validate, methods=["POST"]),
            Route(api, self._get),
            Route(f"{api}/revision/{{revision}}", self._get),
            Route(f"{api}/tree/{{revision}}", self._tree),
            Route(f"{api}/commits/{{revision}}", self._commits),
            Route(f"{api}/branch/{{branch:path}}", self._branch, methods=["POST", "DELETE"]),
            Route(f"{api}/preupload/{{revision}}", self._preupload, methods=["POST"]),
            Route(f"{api}/paths-info/{{revision}}", self._paths, methods=["POST"]),
            Route(f"{api}/commit/{{revision}}", self._commit, methods=["POST"]),
            Route(f"{api}/runtime", self._runtime),
            Route(f"{api}/restart", self._restart, methods=["POST"]),
            Route(f"{api}/pause", self._pause, methods=["POST"]),
            Route(f"{api}/hardware", self._hardware, methods=["POST"]),
            Route(f"{api}/variables", self._variables, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/secrets", self._secrets, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/logs/{{kind}}", self._logs),
            Route(f"{git}/resolve/{{revision}}/{{path:path}}", self._resolve),
            Route("/spaces/{owner}/{name}.git/info/lfs/objects/batch", self._batch, methods=["POST"]),
            Route("/lfs/{oid}", self._large, methods=["PUT"]),
            Route("/lfs/{oid}/verify", self._verify, methods=["POST"]),
            Route("/h/{owner}/{name}/{path:path}", self._serve),
        ], exception_handlers={KeyError: _not_found, PermissionError: _refused}))  # fmt: skip
        self.app = self.faults

    def add_space(self, id: str) -> Space:
        """Make a Space with a card and nothing else."""
        space = Space(id)
        self.spaces[id] = space
        first = self._made("initial commit", {"README.md": self._kept(CARD)}, ())
        space.branches["main"] = [first.id]
        return space

    def close(self) -> None:
        """End every process."""
        for space in self.spaces.values():
            for one in (space.running, space.coming):
                if one:
                    one.end()

    def head(self, id: str) -> Commit:
        """Return what the main branch of a Space has."""
        return self.commits[self.spaces[id].branches["main"][-1]]

    # ── accounts and repositories ──────────────────────────────────────────────────────────────

    async def _whoami(self, request: Request) -> Response:
        role = "write" if _allowed(request) else "read"
        token = {"displayName": "token", "role": role}
        return JSONResponse(
            {"type": "user", "id": "1", "name": "owner", "auth": {"type": "access_token", "accessToken": token}}
        )

    async def _create(self, request: Request) -> Response:
        _must_write(request)
        body = await request.json()
        id_ = f"{body.get('organization') or 'owner'}/{body['name']}"
        if id_ in self.spaces:
            return JSONResponse({"error": "You already created this space repo", "url": _url(request, id_)}, 409)
        space = self.add_space(id_)
        space.sdk, space.private = body.get("sdk", "docker"), bool(body.get("private"))
        return JSONResponse({"url": _url(request, id_), "name": id_, "id": "1"})

    async def _validate(self, request: Request) -> Response:
        _allowed(request)
        return JSONResponse({"errors": [], "warnings": []})

    async def _get(self, request: Request) -> Response:
        space = self._asked(request)
        commit = self._at(space, request.path_params.get("revision", "main"))
        return JSONResponse({
            "id": space.id, "author": space.id.split("/")[0], "sha": commit.id, "private": space.private,
            "sdk": space.sdk, "lastModified": commit.date, "createdAt": commit.date, "likes": 0, "tags": [],
            "subdomain": space.id.replace("/", "-"), "host": f"{_base(request)}/h/{space.id}",
            "runtime": _of_runtime(space), "siblings": [{"rfilename": path} for path in commit.tree],
        })  # fmt: skip

    async def _tree(self, request: Request) -> Response:
        commit = self._at(self._asked(request), request.path_params["revision"])
        start = int(request.query_params.get("cursor", 0))
        entries = [_of_entry(path, file) for path, file in sorted(commit.tree.items())]
        more = request.url.include_query_params(cursor=start + PAGE)
        headers = {"Link": f'<{more}>; rel="next"'} if start + PAGE < len(entries) else {}
        return JSONResponse(entries[start : start + PAGE], headers=headers)

    async def _paths(self, request: Request) -> Response:
        commit = self._at(self._asked(request), request.path_params["revision"])
        asked = parse_qs((await request.body()).decode())["paths"]
        return JSONResponse([_of_entry(path, commit.tree[path]) for path in asked if path in commit.tree])

    async def _commits(self, request: Request) -> Response:
        found = [self._at(self._asked(request), request.path_params["revision"])]
        while found[-1].parents:
            found.append(self.commits[found[-1].parents[0]])
        told = [{"id": one.id, "title": one.title, "message": "", "date": one.date, "authors": []} for one in found]
        return JSONResponse(told[:50])

    async def _branch(self, request: Request) -> Response:
        _must_write(request)
        space, name = self._asked(request), request.path_params["branch"]
        if request.method == "DELETE":
            del space.branches[name]
            return Response(status_code=204)
        if name in space.branches:
            return JSONResponse({"error": "Reference already exists"}, 409)
        start = (await request.json()).get("startingPoint", "main")
        space.branches[name] = [self._at(space, start).id]
        return Response(status_code=201)

    async def _resolve(self, request: Request) -> Response:
        commit = self._at(self._asked(request), request.path_params["revision"])
        file = commit.tree[request.path_params["path"]]
        return Response(self.blobs[file.lfs or file.oid])

    # ── commits ────────────────────────────────────────────────────────────────────────────────

    async def _preupload(self, request: Request) -> Response:
        _must_write(request)
        commit = self._at(self._asked(request), request.path_params["revision"])
        told = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                "shouldIgnore": False,
                "oid": commit.tree[file["path"]].oid if file["path"] in commit.tree else None,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": told})

    async def _batch(self, request: Request) -> Response:
        _must_write(request)
        self._asked(request)
        told = []
        for one in (await request.json())["objects"]:
            href = f"{_base(request)}/lfs/{one['oid']}"
            actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}
            there = one["oid"] in self.blobs
            told.append({**one, "authenticated": True, **({} if there else {"actions": actions})})
        return JSONResponse({"transfer": "basic", "objects": told})

    async def _large(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            return JSONResponse({"error": "the content is not what was announced"}, 400)
        self.blobs[request.path_params["oid"]] = content
        return Response()

    async def _verify(self, request: Request) -> Response:
        return JSONResponse(
            {"oid": request.path_params["oid"]}, 200 if request.path_params["oid"] in self.blobs else 404
        )

    async def _commit(self, request: Request) -> Response:
        _must_write(request)
        space, branch = self._asked(request), request.path_params["revision"]
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
        header = lines[0]["value"]
        parent = self._at(space, branch)
        if header.get("parentCommit", parent.id) != parent.id:
            return JSONResponse({"error": "A commit has happened since. Please refresh and try again."}, 412)
        tree = dict(parent.tree)
        for line in lines[1:]:
            self._change(tree, line["key"], line["value"])
        commit = self._made(header["summary"], tree, (parent.id,))
        space.branches[branch].append(commit.id)
        if branch == "main":
            self._build(space, commit)
        return JSONResponse({
            "success": True, "commitOid": commit.id, "commitUrl": f"{_url(request, space.id)}/commit/{commit.id}",
            "hookOutput": "",
        })  # fmt: skip

    def _change(self, tree: dict[str, File], kind: str, value: dict[str, Any]) -> None:
        if kind == "file":
            tree[value["path"]] = self._kept(base64.b64decode(value["content"]))
        elif kind == "lfsFile":
            if value["oid"] not in self.blobs:
                raise KeyError(value["oid"])
            size = len(self.blobs[value["oid"]])
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {size}\n"
            tree[value["path"]] = File(_git_oid(pointer.encode()), size, value["oid"])
        elif kind == "deletedFile":
            del tree[value["path"]]
        else:
            for path in [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]:
                del tree[path]

    # ── what runs ──────────────────────────────────────────────────────────────────────────────

    async def _runtime(self, request: Request) -> Response:
        space = self._asked(request)
        async with self._one_at_a_time:
            before = ""
            while space.stage != before:
                before = space.stage
                await self._go_on(space)
                if self.takes is float:
                    break
        return JSONResponse(_of_runtime(space))

    async def _restart(self, request: Request) -> Response:
        _must_write(request)
        space = self._asked(request)
        space.factory = bool(request.query_params.get("factory"))
        self._build(space, self.head(space.id))
        return JSONResponse(_of_runtime(space))

    async def _pause(self, request: Request) -> Response:
        _must_write(request)
        space = self._asked(request)
        self._stop(space)
        space.stage = "PAUSED"
        return JSONResponse(_of_runtime(space))

    async def _hardware(self, request: Request) -> Response:
        _must_write(request)
        space = self._asked(request)
        space.hardware = (await request.json())["flavor"]
        return JSONResponse(_of_runtime(space))

    async def _variables(self, request: Request) -> Response:
        return await self._kept_variables(request, self._asked(request).variables, lambda value: {"value": value})

    async def _secrets(self, request: Request) -> Response:
        return await self._kept_variables(request, self._asked(request).secrets, lambda _: {})

    async def _kept_variables(
        self, request: Request, kept: dict[str, str], shown: Callable[[str], dict[str, str]]
    ) -> Response:
        if request.method != "GET":
            _must_write(request)
            body = await request.json()
            if request.method == "POST":
                kept[body["key"]] = body["value"]
            else:
                kept.pop(body["key"], None)
        return JSONResponse({name: {"key": name, "updatedAt": now(), **shown(value)} for name, value in kept.items()})

    async def _logs(self, request: Request) -> Response:
        space = self._asked(request)
        lines, written = list(space.log), self.head(space.id).date

        async def events() -> AsyncIterator[str]:
            for line in lines:
                yield f"data: {json.dumps({'data': line + chr(10), 'timestamp': written})}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _serve(self, request: Request) -> Response:
        return await passed_on(request, self._of(request).running)

    # ── how a Space gets on ────────────────────────────────────────────────────────────────────

    def _build(self, space: Space, commit: Commit) -> None:
        space.building, space.looks, space.due = commit.id, 0, time.monotonic() + self.takes()
        if space.coming:
            space.coming.end()
            space.coming = None
        if "BUILDING" in space.stage or "STARTING" in space.stage:
            space.stage = "RUNNING" if space.running else "STOPPED"

    async def _go_on(self, space: Space) -> None:
        if space.building is None or space.stage == self.stuck:
            return
        space.looks += 1
        if space.looks <= self.lag:
            return
        running = space.running is not None
        if "BUILDING" not in space.stage and "STARTING" not in space.stage:
            space.stage = "RUNNING_BUILDING" if running else "BUILDING"
            space.log = [f"===== Build of {space.building} =====", "COPY . ."]
        elif "BUILDING" in space.stage and time.monotonic() >= space.due:
            self._built(space, self.commits[space.building])
        elif space.coming:
            await self._started(space, space.coming)

    def _built(self, space: Space, commit: Commit) -> None:
        """Make a folder of the tree, and start it."""
        dockerfile = commit.tree.get("Dockerfile")
        if dockerfile is None:
            self._ended(space, "NO_APP_FILE")
            return
        room = Path(tempfile.mkdtemp(dir=self._folder))
        for path, file in commit.tree.items():
            (room / path).parent.mkdir(parents=True, exist_ok=True)
            (room / path).write_bytes(self.blobs[file.lfs or file.oid])
        lines = self.blobs[dockerfile.oid].decode().splitlines()
        for command in (line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")):
            done = subprocess.run(["/bin/sh", "-c", command], cwd=room, capture_output=True, text=True, check=False)
            space.log += [f"RUN {command}", *done.stdout.splitlines(), *done.stderr.splitlines()]
            if done.returncode:
                self._ended(space, "BUILD_ERROR")
                return
        (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
        env = {"SPACE_ID": space.id, **space.variables, **space.secrets}
        space.coming = Running.start(json.loads(command), room, env, room / ".log")
        space.starts += 1
        space.stage = "RUNNING_APP_STARTING" if space.running else "APP_STARTING"

    async def _started(self, space: Space, coming: Running) -> None:
        listens = await coming.listens()
        if space.coming is not coming:  # another commit came meanwhile, and ended it
            return
        if not listens:
            space.log += coming.log.read_text().splitlines()
            space.coming = None
            coming.end()
            self._ended(space, "RUNTIME_ERROR")
            return
        self._stop(space)
        space.running, space.coming = coming, None
        self._ended(space, "RUNNING")

    def _ended(self, space: Space, stage: str) -> None:
        if stage != "RUNNING":
            self._stop(space)
        space.stage, space.sha, space.building = stage, space.building, None

    def _stop(self, space: Space) -> None:
        if space.running:
            space.running.end()
            space.running = None

    # ── parts ──────────────────────────────────────────────────────────────────────────────────

    def _of(self, request: Request) -> Space:
        return self.spaces[f"{request.path_params['owner']}/{request.path_params['name']}"]

    def _asked(self, request: Request) -> Space:
        _allowed(request)
        return self._of(request)

    def _at(self, space: Space, revision: str) -> Commit:
        return self.commits[space.branches[revision][-1] if revision in space.branches else revision]

    def _kept(self, content: bytes) -> File:
        oid = _git_oid(content)
        self.blobs[oid] = content
        return File(oid, len(content))

    def _made(self, title: str, tree: dict[str, File], parents: tuple[str, ...]) -> Commit:
        commit = Commit(secrets.token_hex(20), title, tree, parents, now())
        self.commits[commit.id] = commit
        return commit


def _allowed(request: Request) -> bool:
    """Whether the token may write; raises PermissionError for one that is not known."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in {TOKEN, READ_TOKEN}:
        raise PermissionError(401)
    return token == TOKEN


def _must_write(request: Request) -> None:
    if not _allowed(request):
        raise PermissionError(403)


def _of_entry(path: str, file: File) -> dict[str, Any]:
    lfs = {"lfs": {"oid": file.lfs, "size": file.size, "pointerSize": 134}} if file.lfs else {}
    return {"type": "file", "oid": file.oid, "size": file.size, "path": path, **lfs}


def _of_runtime(space: Space) -> dict[str, Any]:
    return {
        "stage": space.stage, "sha": space.sha, "hardware": {"current": space.hardware, "requested": space.hardware},
        "storage": None, "gcTimeout": 172800, "replicas": {"current": 1, "requested": 1},
    }  # fmt: skip


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _url(request: Request, id: str) -> str:
    return f"{_base(request)}/spaces/{id}"


async def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})


async def _refused(_: Request, error: Exception) -> Response:
    status = int(error.args[0])
    message = "Invalid credentials in Authorization header" if status == 401 else "You need write access to this repo"
    return JSONResponse({"error": message}, status)
