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

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.service_process import ServiceProcess, proxy_to_process

TOKEN, READ_TOKEN = "hf_write", "hf_read"
LFS_THRESHOLD = 10 * 1024 * 1024
"""From this size on, a file is uploaded apart from its commit."""

TREE_PAGE_SIZE = 1000
"""Entries of a tree that one answer holds."""

SPACE_CARD = b"---\ntitle: Emulated\nsdk: docker\napp_port: 7860\n---\n"


@dataclass(frozen=True)
class TreeEntry:
    """A file of a tree: its content's name in git, and its SHA-256 where it is a large one."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass(frozen=True)
class Commit:
    """A commit: its whole tree."""

    id: str
    title: str
    tree: dict[str, TreeEntry]
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
    live_process: ServiceProcess | None = None
    next_process: ServiceProcess | None = None
    building_commit: str | None = None
    poll_count: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    log: list[str] = field(default_factory=list)
    start_count: int = 0
    factory_rebuild: bool = False
    done_at: float = 0.0


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
        self.stale_polls = 1
        self.stuck_state: str | None = None
        self.work_seconds: Callable[[], float] = float
        self._advance_lock = asyncio.Lock()
        api = "/api/spaces/{owner}/{name}"
        git = "/spaces/{owner}/{name}"
        self.faults = FaultInjector(Starlette(routes=[
            Route("/api/whoami-v2", self._whoami),
            Route("/api/repos/create", self._create_space, methods=["POST"]),
            Route("/api/validate-yaml", self._validate_card, methods=["POST"]),
            Route(api, self._get_space),
            Route(f"{api}/revision/{{revision}}", self._get_space),
            Route(f"{api}/tree/{{revision}}", self._list_tree),
            Route(f"{api}/commits/{{revision}}", self._list_commits),
            Route(f"{api}/branch/{{branch:path}}", self._change_branch, methods=["POST", "DELETE"]),
            Route(f"{api}/preupload/{{revision}}", self._preupload, methods=["POST"]),
            Route(f"{api}/paths-info/{{revision}}", self._get_paths_info, methods=["POST"]),
            Route(f"{api}/commit/{{revision}}", self._create_commit, methods=["POST"]),
            Route(f"{api}/runtime", self._get_runtime),
            Route(f"{api}/restart", self._restart, methods=["POST"]),
            Route(f"{api}/pause", self._pause, methods=["POST"]),
            Route(f"{api}/hardware", self._set_hardware, methods=["POST"]),
            Route(f"{api}/variables", self._variables, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/secrets", self._secrets, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/logs/{{kind}}", self._stream_logs),
            Route(f"{git}/resolve/{{revision}}/{{path:path}}", self._download_file),
            Route("/spaces/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch, methods=["POST"]),
            Route("/lfs/{oid}", self._upload_lfs_object, methods=["PUT"]),
            Route("/lfs/{oid}/verify", self._verify_lfs_object, methods=["POST"]),
            Route("/h/{owner}/{name}/{path:path}", self._proxy),
        ], exception_handlers={KeyError: _not_found_response, PermissionError: _refused_response}))  # fmt: skip
        self.app = self.faults

    def add_space(self, space_id: str) -> Space:
        """Make a Space with a card and nothing else."""
        space = Space(space_id)
        self.spaces[space_id] = space
        first = self._store_commit("initial commit", {"README.md": self._store_blob(SPACE_CARD)}, ())
        space.branches["main"] = [first.id]
        return space

    def close(self) -> None:
        """End every process."""
        for space in self.spaces.values():
            for one in (space.live_process, space.next_process):
                if one:
                    one.stop()

    def head(self, space_id: str) -> Commit:
        """Return what the main branch of a Space has."""
        return self.commits[self.spaces[space_id].branches["main"][-1]]

    # ── accounts and repositories ──────────────────────────────────────────────────────────────

    async def _whoami(self, request: Request) -> Response:
        role = "write" if _can_write(request) else "read"
        token = {"displayName": "token", "role": role}
        return JSONResponse(
            {"type": "user", "id": "1", "name": "owner", "auth": {"type": "access_token", "accessToken": token}}
        )

    async def _create_space(self, request: Request) -> Response:
        _require_write(request)
        body = await request.json()
        id_ = f"{body.get('organization') or 'owner'}/{body['name']}"
        if id_ in self.spaces:
            return JSONResponse({"error": "You already created this space repo", "url": _space_url(request, id_)}, 409)
        space = self.add_space(id_)
        space.sdk, space.private = body.get("sdk", "docker"), bool(body.get("private"))
        return JSONResponse({"url": _space_url(request, id_), "name": id_, "id": "1"})

    async def _validate_card(self, request: Request) -> Response:
        _can_write(request)
        return JSONResponse({"errors": [], "warnings": []})

    async def _get_space(self, request: Request) -> Response:
        space = self._authorized_space(request)
        commit = self._resolve_revision(space, request.path_params.get("revision", "main"))
        return JSONResponse({
            "id": space.id, "author": space.id.split("/")[0], "sha": commit.id, "private": space.private,
            "sdk": space.sdk, "lastModified": commit.date, "createdAt": commit.date, "likes": 0, "tags": [],
            "subdomain": space.id.replace("/", "-"), "host": f"{_base_url(request)}/h/{space.id}",
            "runtime": _runtime_json(space), "siblings": [{"rfilename": path} for path in commit.tree],
        })  # fmt: skip

    async def _list_tree(self, request: Request) -> Response:
        commit = self._resolve_revision(self._authorized_space(request), request.path_params["revision"])
        start = int(request.query_params.get("cursor", 0))
        entries = [_entry_json(path, file) for path, file in sorted(commit.tree.items())]
        more = request.url.include_query_params(cursor=start + TREE_PAGE_SIZE)
        headers = {"Link": f'<{more}>; rel="next"'} if start + TREE_PAGE_SIZE < len(entries) else {}
        return JSONResponse(entries[start : start + TREE_PAGE_SIZE], headers=headers)

    async def _get_paths_info(self, request: Request) -> Response:
        commit = self._resolve_revision(self._authorized_space(request), request.path_params["revision"])
        paths = parse_qs((await request.body()).decode())["paths"]
        return JSONResponse([_entry_json(path, commit.tree[path]) for path in paths if path in commit.tree])

    async def _list_commits(self, request: Request) -> Response:
        found = [self._resolve_revision(self._authorized_space(request), request.path_params["revision"])]
        while found[-1].parents:
            found.append(self.commits[found[-1].parents[0]])
        entries = [{"id": one.id, "title": one.title, "message": "", "date": one.date, "authors": []} for one in found]
        return JSONResponse(entries[:50])

    async def _change_branch(self, request: Request) -> Response:
        _require_write(request)
        space, name = self._authorized_space(request), request.path_params["branch"]
        if request.method == "DELETE":
            del space.branches[name]
            return Response(status_code=204)
        if name in space.branches:
            return JSONResponse({"error": "Reference already exists"}, 409)
        start = (await request.json()).get("startingPoint", "main")
        space.branches[name] = [self._resolve_revision(space, start).id]
        return Response(status_code=201)

    async def _download_file(self, request: Request) -> Response:
        commit = self._resolve_revision(self._authorized_space(request), request.path_params["revision"])
        file = commit.tree[request.path_params["path"]]
        return Response(self.blobs[file.lfs or file.oid])

    # ── commits ────────────────────────────────────────────────────────────────────────────────

    async def _preupload(self, request: Request) -> Response:
        _require_write(request)
        commit = self._resolve_revision(self._authorized_space(request), request.path_params["revision"])
        entries = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LFS_THRESHOLD else "regular",
                "shouldIgnore": False,
                "oid": commit.tree[file["path"]].oid if file["path"] in commit.tree else None,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": entries})

    async def _lfs_batch(self, request: Request) -> Response:
        _require_write(request)
        self._authorized_space(request)
        entries = []
        for one in (await request.json())["objects"]:
            href = f"{_base_url(request)}/lfs/{one['oid']}"
            actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}
            is_stored = one["oid"] in self.blobs
            entries.append({**one, "authenticated": True, **({} if is_stored else {"actions": actions})})
        return JSONResponse({"transfer": "basic", "objects": entries})

    async def _upload_lfs_object(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            return JSONResponse({"error": "the content is not what was announced"}, 400)
        self.blobs[request.path_params["oid"]] = content
        return Response()

    async def _verify_lfs_object(self, request: Request) -> Response:
        return JSONResponse(
            {"oid": request.path_params["oid"]}, 200 if request.path_params["oid"] in self.blobs else 404
        )

    async def _create_commit(self, request: Request) -> Response:
        _require_write(request)
        space, branch = self._authorized_space(request), request.path_params["revision"]
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
        header = lines[0]["value"]
        parent = self._resolve_revision(space, branch)
        if header.get("parentCommit", parent.id) != parent.id:
            return JSONResponse({"error": "A commit has happened since. Please refresh and try again."}, 412)
        tree = dict(parent.tree)
        for line in lines[1:]:
            self._apply_operation(tree, line["key"], line["value"])
        commit = self._store_commit(header["summary"], tree, (parent.id,))
        space.branches[branch].append(commit.id)
        if branch == "main":
            self._queue_build(space, commit)
        return JSONResponse({
            "success": True, "commitOid": commit.id, "commitUrl": f"{_space_url(request, space.id)}/commit/{commit.id}",
            "hookOutput": "",
        })  # fmt: skip

    def _apply_operation(self, tree: dict[str, TreeEntry], kind: str, value: dict[str, Any]) -> None:
        if kind == "file":
            tree[value["path"]] = self._store_blob(base64.b64decode(value["content"]))
        elif kind == "lfsFile":
            if value["oid"] not in self.blobs:
                raise KeyError(value["oid"])
            size = len(self.blobs[value["oid"]])
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {size}\n"
            tree[value["path"]] = TreeEntry(_git_oid(pointer.encode()), size, value["oid"])
        elif kind == "deletedFile":
            del tree[value["path"]]
        else:
            for path in [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]:
                del tree[path]

    # ── what runs ──────────────────────────────────────────────────────────────────────────────

    async def _get_runtime(self, request: Request) -> Response:
        space = self._authorized_space(request)
        async with self._advance_lock:
            before = ""
            while space.stage != before:
                before = space.stage
                await self._advance(space)
                if self.work_seconds is float:
                    break
        return JSONResponse(_runtime_json(space))

    async def _restart(self, request: Request) -> Response:
        _require_write(request)
        space = self._authorized_space(request)
        space.factory_rebuild = bool(request.query_params.get("factory"))
        self._queue_build(space, self.head(space.id))
        return JSONResponse(_runtime_json(space))

    async def _pause(self, request: Request) -> Response:
        _require_write(request)
        space = self._authorized_space(request)
        self._stop_live_process(space)
        space.stage = "PAUSED"
        return JSONResponse(_runtime_json(space))

    async def _set_hardware(self, request: Request) -> Response:
        _require_write(request)
        space = self._authorized_space(request)
        space.hardware = (await request.json())["flavor"]
        return JSONResponse(_runtime_json(space))

    async def _variables(self, request: Request) -> Response:
        return await self._handle_variables(
            request, self._authorized_space(request).variables, lambda value: {"value": value}
        )

    async def _secrets(self, request: Request) -> Response:
        return await self._handle_variables(request, self._authorized_space(request).secrets, lambda _: {})

    async def _handle_variables(
        self, request: Request, variables: dict[str, str], extra_fields: Callable[[str], dict[str, str]]
    ) -> Response:
        if request.method != "GET":
            _require_write(request)
            body = await request.json()
            if request.method == "POST":
                variables[body["key"]] = body["value"]
            else:
                variables.pop(body["key"], None)
        return JSONResponse(
            {
                name: {"key": name, "updatedAt": utc_timestamp(), **extra_fields(value)}
                for name, value in variables.items()
            }
        )

    async def _stream_logs(self, request: Request) -> Response:
        space = self._authorized_space(request)
        lines, written = list(space.log), self.head(space.id).date

        async def events() -> AsyncIterator[str]:
            for line in lines:
                yield f"data: {json.dumps({'data': line + chr(10), 'timestamp': written})}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _proxy(self, request: Request) -> Response:
        return await proxy_to_process(request, self._requested_space(request).live_process)

    # ── how a Space gets on ────────────────────────────────────────────────────────────────────

    def _queue_build(self, space: Space, commit: Commit) -> None:
        space.building_commit, space.poll_count, space.done_at = commit.id, 0, time.monotonic() + self.work_seconds()
        if space.next_process:
            space.next_process.stop()
            space.next_process = None
        if "BUILDING" in space.stage or "STARTING" in space.stage:
            space.stage = "RUNNING" if space.live_process else "STOPPED"

    async def _advance(self, space: Space) -> None:
        if space.building_commit is None or space.stage == self.stuck_state:
            return
        space.poll_count += 1
        if space.poll_count <= self.stale_polls:
            return
        running = space.live_process is not None
        if "BUILDING" not in space.stage and "STARTING" not in space.stage:
            space.stage = "RUNNING_BUILDING" if running else "BUILDING"
            space.log = [f"===== Build of {space.building_commit} =====", "COPY . ."]
        elif "BUILDING" in space.stage and time.monotonic() >= space.done_at:
            self._run_build(space, self.commits[space.building_commit])
        elif space.next_process:
            await self._finish_start(space, space.next_process)

    def _run_build(self, space: Space, commit: Commit) -> None:
        """Make a folder of the tree, and start it."""
        dockerfile = commit.tree.get("Dockerfile")
        if dockerfile is None:
            self._finish_build(space, "NO_APP_FILE")
            return
        workdir = Path(tempfile.mkdtemp(dir=self._folder))
        for path, file in commit.tree.items():
            (workdir / path).parent.mkdir(parents=True, exist_ok=True)
            (workdir / path).write_bytes(self.blobs[file.lfs or file.oid])
        lines = self.blobs[dockerfile.oid].decode().splitlines()
        for command in (line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")):
            done = subprocess.run(["/bin/sh", "-c", command], cwd=workdir, capture_output=True, text=True, check=False)
            space.log += [f"RUN {command}", *done.stdout.splitlines(), *done.stderr.splitlines()]
            if done.returncode:
                self._finish_build(space, "BUILD_ERROR")
                return
        (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
        env = {"SPACE_ID": space.id, **space.variables, **space.secrets}
        space.next_process = ServiceProcess.start(json.loads(command), workdir, env, workdir / ".log")
        space.start_count += 1
        space.stage = "RUNNING_APP_STARTING" if space.live_process else "APP_STARTING"

    async def _finish_start(self, space: Space, process: ServiceProcess) -> None:
        listens = await process.wait_until_listening()
        if space.next_process is not process:  # another commit came meanwhile, and ended it
            return
        if not listens:
            space.log += process.log.read_text().splitlines()
            space.next_process = None
            process.stop()
            self._finish_build(space, "RUNTIME_ERROR")
            return
        self._stop_live_process(space)
        space.live_process, space.next_process = process, None
        self._finish_build(space, "RUNNING")

    def _finish_build(self, space: Space, stage: str) -> None:
        if stage != "RUNNING":
            self._stop_live_process(space)
        space.stage, space.sha, space.building_commit = stage, space.building_commit, None

    def _stop_live_process(self, space: Space) -> None:
        if space.live_process:
            space.live_process.stop()
            space.live_process = None

    # ── parts ──────────────────────────────────────────────────────────────────────────────────

    def _requested_space(self, request: Request) -> Space:
        return self.spaces[f"{request.path_params['owner']}/{request.path_params['name']}"]

    def _authorized_space(self, request: Request) -> Space:
        _can_write(request)
        return self._requested_space(request)

    def _resolve_revision(self, space: Space, revision: str) -> Commit:
        return self.commits[space.branches[revision][-1] if revision in space.branches else revision]

    def _store_blob(self, content: bytes) -> TreeEntry:
        oid = _git_oid(content)
        self.blobs[oid] = content
        return TreeEntry(oid, len(content))

    def _store_commit(self, title: str, tree: dict[str, TreeEntry], parents: tuple[str, ...]) -> Commit:
        commit = Commit(secrets.token_hex(20), title, tree, parents, utc_timestamp())
        self.commits[commit.id] = commit
        return commit


def _can_write(request: Request) -> bool:
    """Whether the token may write; raises PermissionError for one that is not known."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in {TOKEN, READ_TOKEN}:
        raise PermissionError(401)
    return token == TOKEN


def _require_write(request: Request) -> None:
    if not _can_write(request):
        raise PermissionError(403)


def _entry_json(path: str, file: TreeEntry) -> dict[str, Any]:
    lfs = {"lfs": {"oid": file.lfs, "size": file.size, "pointerSize": 134}} if file.lfs else {}
    return {"type": "file", "oid": file.oid, "size": file.size, "path": path, **lfs}


def _runtime_json(space: Space) -> dict[str, Any]:
    return {
        "stage": space.stage, "sha": space.sha, "hardware": {"current": space.hardware, "requested": space.hardware},
        "storage": None, "gcTimeout": 172800, "replicas": {"current": 1, "requested": 1},
    }  # fmt: skip


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _space_url(request: Request, space_id: str) -> str:
    return f"{_base_url(request)}/spaces/{space_id}"


async def _not_found_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})


async def _refused_response(_: Request, error: Exception) -> Response:
    status = int(error.args[0])
    message = "Invalid credentials in Authorization header" if status == 401 else "You need write access to this repo"
    return JSONResponse({"error": message}, status)
