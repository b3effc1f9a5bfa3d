"""The Hub's API, as far as Spaces need it; https://huggingface.co/docs/hub/api."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from abreast.platforms.cloud.api_client import ApiClient, NotFoundError, Provider, Request

HUGGING_FACE = Provider(
    "Hugging Face",
    "https://huggingface.co",
    "",
    "HF_TOKEN",
    "a token with write access to the Space",
    base_variable="HF_ENDPOINT",
)

IN_PROGRESS = frozenset({"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING"})
FAILED = frozenset({"NO_APP_FILE", "CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR", "DELETING"})
ASLEEP = frozenset({"PAUSED", "STOPPED", "SLEEPING"})
WRITE_SCOPE = "repo.write"
"""The scope of a fine-grained token that lets it change a repository."""

MAIN_BRANCH = "main"
"""The branch that a Space builds; it builds no other."""


class Hardware(BaseModel):
    """What a Space runs on, and is to run on."""

    current: str | None = None
    requested: str | None = None


class Runtime(BaseModel):
    """How a Space gets on; ``sha`` is the commit that it runs, and may lag."""

    stage: str
    sha: str | None = None
    hardware: Hardware | None = None
    error: str | None = Field(None, alias="errorMessage")


class Space(BaseModel):
    """A Space at the head of a branch."""

    id: str
    sha: str
    sdk: str | None = None
    private: bool = False
    host: str | None = None

    @property
    def address(self) -> str:
        """Where users reach it."""
        return (self.host or f"https://{self.id.replace('/', '-').lower()}.hf.space").rstrip("/")


class Commit(BaseModel):
    """A commit of a Space's repository."""

    id: str
    title: str


class LfsPointer(BaseModel):
    """Where a large file's content is: by its SHA-256, given as ``oid``."""

    oid: str
    size: int


class TreeEntry(BaseModel):
    """A file or folder of a tree; ``oid`` is git's."""

    type: str
    path: str
    oid: str = ""
    lfs: LfsPointer | None = None


class UploadMode(BaseModel):
    """How the Hub wants a file: ``regular`` in the commit, or ``lfs``, uploaded before it."""

    path: str
    upload: str = Field(alias="uploadMode")
    ignored: bool = Field(False, alias="shouldIgnore")


class _Entity(BaseModel):
    name: str = ""


class _Scope(BaseModel):
    entity: _Entity
    permissions: list[str] = Field(default_factory=list)


class _Scopes(BaseModel):
    scoped: list[_Scope] = Field(default_factory=list)


class Token(BaseModel):
    """What a token may do: ``role`` is ``read``, ``write``, or ``fineGrained`` as its scopes say."""

    role: str = ""
    scopes: _Scopes | None = Field(None, alias="fineGrained")

    def can_write(self, space: str) -> bool:
        """Tell whether it may change a Space."""
        if self.role != "fineGrained":
            return self.role != "read"
        known = {space, space.partition("/")[0]}
        scopes = self.scopes.scoped if self.scopes else []
        return any(one.entity.name in known and WRITE_SCOPE in one.permissions for one in scopes)


class _Auth(BaseModel):
    token: Token = Field(default_factory=lambda: Token.model_validate({}), alias="accessToken")


class _Identity(BaseModel):
    auth: _Auth = Field(default_factory=lambda: _Auth.model_validate({}))


class _UploadModes(BaseModel):
    files: list[UploadMode]


class _Action(BaseModel):
    href: str
    header: dict[str, object] = Field(default_factory=dict)


class Upload(BaseModel):
    """Where a large file goes; without actions it is there already."""

    oid: str
    actions: dict[str, _Action] = Field(default_factory=dict)


class _Batch(BaseModel):
    objects: list[Upload]


class _CreatedCommit(BaseModel):
    oid: str = Field(alias="commitOid")


class _LogLine(BaseModel):
    data: str


class _Variable(BaseModel):
    value: str | None = None


class HubClient:
    """The calls, one method each; errors are the Api's."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get_token(self) -> Token:
        """Return what the token may do."""
        return (await self._api.fetch(_Identity, Request("GET", "/api/whoami-v2"))).auth.token

    # ── the repository ─────────────────────────────────────────────────────────────────────────

    async def get_space(self, id: str, revision: str = MAIN_BRANCH) -> Space:
        """Return a Space as a branch or commit has it."""
        return await self._api.fetch(Space, Request("GET", f"/api/spaces/{id}/revision/{quote(revision, safe='')}"))

    async def list_commits(self, id: str, revision: str = MAIN_BRANCH) -> list[Commit]:
        """Return a branch's latest commits, newest first."""
        return await self._api.fetch(
            list[Commit], Request("GET", f"/api/spaces/{id}/commits/{quote(revision, safe='')}")
        )

    async def get_tree(self, id: str, revision: str) -> dict[str, TreeEntry]:
        """Return every file of a tree by its path."""
        request = Request("GET", f"/api/spaces/{id}/tree/{revision}", query={"recursive": True, "expand": False})
        return {
            entry.path: entry for entry in await self._api.fetch_pages(list[TreeEntry], request) if entry.type == "file"
        }

    async def get_file(self, id: str, revision: str, path: str) -> bytes:
        """Return the content of a file that is not a large one."""
        return await self._api.fetch_bytes(Request("GET", f"/spaces/{id}/resolve/{revision}/{quote(path)}"))

    async def create_branch(self, id: str, name: str, start: str) -> None:
        """Make a branch that begins at a commit."""
        await self._api.send(
            Request("POST", f"/api/spaces/{id}/branch/{quote(name, safe='')}", {"startingPoint": start})
        )

    async def delete_branch(self, id: str, name: str) -> None:
        """Take a branch away; that there is none is fine."""
        try:
            await self._api.send(Request("DELETE", f"/api/spaces/{id}/branch/{quote(name, safe='')}"))
        except NotFoundError:
            return

    async def get_upload_modes(self, id: str, revision: str, files: list[dict[str, object]]) -> list[UploadMode]:
        """Ask how the Hub wants these files (``path``, ``sample``, ``size``)."""
        request = Request("POST", f"/api/spaces/{id}/preupload/{quote(revision, safe='')}", {"files": files})
        return (await self._api.fetch(_UploadModes, request)).files

    async def request_uploads(self, id: str, objects: list[dict[str, object]]) -> list[Upload]:
        """Ask where large files (``oid``, ``size``) go."""
        body = {"operation": "upload", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
        return (
            await self._api.fetch(_Batch, Request("POST", f"/spaces/{id}.git/info/lfs/objects/batch", body))
        ).objects

    async def upload_file(self, upload: Upload, file: Path) -> None:
        """Send a large file to where it goes."""
        if "upload" in upload.actions:
            await self._api.send(Request("PUT", upload.actions["upload"].href, file=file))
        if "verify" in upload.actions:
            body = {"oid": upload.oid, "size": file.stat().st_size}
            await self._api.send(Request("POST", upload.actions["verify"].href, body))

    async def create_commit(self, id: str, branch: str, lines: Path) -> str:
        """Commit what the lines say (NDJSON: a header, then each change) to a branch; return the commit."""
        request = Request(
            "POST", f"/api/spaces/{id}/commit/{quote(branch, safe='')}", file=lines, content_type="application/x-ndjson"
        )
        return (await self._api.fetch(_CreatedCommit, request)).oid

    # ── what runs ──────────────────────────────────────────────────────────────────────────────

    async def get_runtime(self, id: str) -> Runtime:
        """Return how a Space gets on."""
        return await self._api.fetch(Runtime, Request("GET", f"/api/spaces/{id}/runtime"))

    async def restart(self, id: str, *, factory: bool = False) -> None:
        """Start a Space again; ``factory``: build it anew, without a cache."""
        query = {"factory": True} if factory else {}
        await self._api.send(Request("POST", f"/api/spaces/{id}/restart", query=query))

    async def pause(self, id: str) -> None:
        """Stop a Space until it is started again."""
        await self._api.send(Request("POST", f"/api/spaces/{id}/pause"))

    async def request_hardware(self, id: str, flavor: str) -> None:
        """Ask for other hardware."""
        await self._api.send(Request("POST", f"/api/spaces/{id}/hardware", {"flavor": flavor}))

    async def get_variables(self, id: str) -> dict[str, str]:
        """Return a Space's variables that are not secret."""
        found = await self._api.fetch(dict[str, _Variable], Request("GET", f"/api/spaces/{id}/variables"))
        return {name: one.value or "" for name, one in found.items()}

    async def set_variable(self, id: str, name: str, value: str, *, secret: bool) -> None:
        """Set one variable."""
        kind = "secrets" if secret else "variables"
        await self._api.send(Request("POST", f"/api/spaces/{id}/{kind}", {"key": name, "value": value}))

    async def stream_log(self, id: str, kind: str, idle_timeout: float) -> AsyncIterator[str]:
        """Yield the lines of the ``build`` or ``run`` log from its beginning, as they come."""
        async for line in self._api.stream_lines(Request("GET", f"/api/spaces/{id}/logs/{kind}"), idle_timeout):
            if line.startswith("data: {"):
                try:
                    text = _LogLine.model_validate(json.loads(line.removeprefix("data: "))).data
                except (ValueError, ValidationError):
                    continue
                yield text.rstrip("\n")
