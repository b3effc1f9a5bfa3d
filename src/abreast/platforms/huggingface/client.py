"""The part of the Hub's API that abreast uses; https://huggingface.co/docs/hub/api."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from abreast.core.model import Address
from abreast.provider_api.api_client import ApiClient, NotFoundError, Provider, Request

HUGGING_FACE = Provider(
    "Hugging Face",
    "https://huggingface.co",
    "",
    "HF_TOKEN",
    "a token with write access to the Space",
    base_variable="HF_ENDPOINT",
)

SDKS = ("docker", "gradio", "static", "streamlit")
STATIC = "static"
"""The SDK of Spaces that serve their files: they always run, and cannot be paused."""

DEFAULT_APP_PORT = 7860
IN_PROGRESS = frozenset({"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING"})
NO_APPLICATION = "NO_APP_FILE"
"""The stage of a Space to which no application was pushed yet."""

FAILED = frozenset({NO_APPLICATION, "CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR", "DELETING"})
ASLEEP = frozenset({"PAUSED", "STOPPED", "SLEEPING"})
WRITE_SCOPE = "repo.write"
"""The scope with which a fine-grained token can change a repository."""

_LFS_HEADERS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}

MAIN_BRANCH = "main"
"""The only branch that a Space builds."""


class Hardware(BaseModel):
    """The current and the requested hardware of a Space."""

    current: str | None = None
    requested: str | None = None


class Runtime(BaseModel):
    """The runtime state of a Space. ``sha`` is the running commit and may lag."""

    stage: str
    sha: str | None = None
    hardware: Hardware | None = None
    error: str | None = Field(None, alias="errorMessage")


class Card(BaseModel):
    """The settings in the header of a Space's README that abreast reads."""

    app_port: int = DEFAULT_APP_PORT
    app_file: str | None = None


class Space(BaseModel):
    """A Space at a revision."""

    id: str
    sha: str
    sdk: str | None = None
    private: bool = False
    host: str | None = None
    card: Card = Field(default_factory=Card, alias="cardData")

    @field_validator("card", mode="wrap")
    @classmethod
    def _readable_card(cls, card: object, parse: ValidatorFunctionWrapHandler) -> Card:
        """Take a card that is missing, or that somebody wrote otherwise, for one without settings."""
        try:
            return Card.model_validate(parse(card))
        except ValidationError:
            return Card()

    @property
    def address(self) -> str:
        """The URL of the application."""
        domain = "static.hf.space" if self.sdk == STATIC else "hf.space"
        return (self.host or f"https://{self.id.replace('/', '-').lower()}.{domain}").rstrip("/")

    @property
    def probe(self) -> Address:
        """Where to probe the application. A private Space answers only with a token."""
        return Address(self.address, bearer=HUGGING_FACE.token_variable if self.private else "")


class Commit(BaseModel):
    """A commit of a Space's repository."""

    id: str
    title: str


class LfsPointer(BaseModel):
    """A large file in LFS. ``oid`` is the SHA-256 of its content."""

    oid: str
    size: int


class TreeEntry(BaseModel):
    """A file or folder of a tree. ``oid`` is its git object id."""

    type: str
    path: str
    oid: str = ""
    lfs: LfsPointer | None = None


class UploadMode(BaseModel):
    """How to upload a file: ``regular``, in the commit, or ``lfs``, before it."""

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
    """The permissions of a token. ``role`` is ``read``, ``write``, or ``fineGrained`` with scopes."""

    role: str = ""
    scopes: _Scopes | None = Field(None, alias="fineGrained")

    def can_write(self, space: str) -> bool:
        """Return whether the token can change a Space."""
        if self.role != "fineGrained":
            return self.role != "read"
        entities = {space, space.partition("/")[0]}
        scopes = self.scopes.scoped if self.scopes else []
        return any(scope.entity.name in entities and WRITE_SCOPE in scope.permissions for scope in scopes)


class _Auth(BaseModel):
    token: Token = Field(default_factory=lambda: Token.model_validate({}), alias="accessToken")


class _Identity(BaseModel):
    auth: _Auth = Field(default_factory=lambda: _Auth.model_validate({}))


class _UploadModes(BaseModel):
    files: list[UploadMode]


class _Action(BaseModel):
    href: str
    header: dict[str, str] = Field(default_factory=dict)


class LfsError(BaseModel):
    """Why the storage does not take a large file."""

    code: int = 0
    message: str = "no reason given"


class Upload(BaseModel):
    """The upload target of a large file. Without actions and without an error, the Hub has the file already."""

    oid: str
    actions: dict[str, _Action] = Field(default_factory=dict)
    error: LfsError | None = None


class _Batch(BaseModel):
    objects: list[Upload]


class _CreatedCommit(BaseModel):
    oid: str = Field(alias="commitOid")


class LogLine(BaseModel):
    """A line of a log. ``timestamp`` is an ISO 8601 time in UTC."""

    data: str
    timestamp: str = ""


class SpaceVariable(BaseModel):
    """A variable of a Space, or a secret, whose value is never returned."""

    value: str | None = None
    description: str = ""
    updated: datetime | None = Field(None, alias="updatedAt")

    @field_validator("description", mode="before")
    @classmethod
    def _without_none(cls, description: str | None) -> str:
        return description or ""


class HubClient:
    """One method per API call. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get_token(self) -> Token:
        """Return the token's permissions."""
        return (await self._api.fetch(_Identity, Request("GET", "/api/whoami-v2"))).auth.token

    # ── the repository ─────────────────────────────────────────────────────────────────────────

    async def get_space(self, id: str, revision: str = MAIN_BRANCH) -> Space:
        """Return a Space at a branch or commit."""
        return await self._api.fetch(Space, Request("GET", f"/api/spaces/{id}/revision/{quote(revision, safe='')}"))

    async def create_space(self, id: str, sdk: str, *, private: bool, variables: Sequence[Mapping[str, str]]) -> None:
        """Create a Space on free hardware, with variables given as ``key``, ``value``, ``description``."""
        owner, _, name = id.partition("/")
        body = {
            "type": "space", "name": name, "organization": owner, "sdk": sdk, "private": private,
            "variables": variables,
        }  # fmt: skip
        await self._api.send(Request("POST", "/api/repos/create", body))

    async def delete_space(self, id: str) -> None:
        """Delete a Space for good. A missing one is fine."""
        owner, _, name = id.partition("/")
        body = {"type": "space", "name": name, "organization": owner}
        with suppress(NotFoundError):
            await self._api.send(Request("DELETE", "/api/repos/delete", body))

    async def list_commits(self, id: str, revision: str = MAIN_BRANCH) -> list[Commit]:
        """Return a branch's latest commits, newest first."""
        return await self._api.fetch(
            list[Commit], Request("GET", f"/api/spaces/{id}/commits/{quote(revision, safe='')}")
        )

    async def get_tree(self, id: str, revision: str) -> dict[str, TreeEntry]:
        """Return the files of a tree by path."""
        request = Request("GET", f"/api/spaces/{id}/tree/{revision}", query={"recursive": True, "expand": False})
        return {
            entry.path: entry for entry in await self._api.fetch_pages(list[TreeEntry], request) if entry.type == "file"
        }

    async def get_file(self, id: str, revision: str, path: str) -> bytes:
        """Return the content of a file. The Hub redirects: a small file to a cache, a large one to another host."""
        return await self._api.fetch_bytes(Request("GET", f"/spaces/{id}/resolve/{revision}/{quote(path)}"))

    async def create_branch(self, id: str, name: str, start: str) -> None:
        """Create a branch at a commit."""
        await self._api.send(
            Request("POST", f"/api/spaces/{id}/branch/{quote(name, safe='')}", {"startingPoint": start})
        )

    async def delete_branch(self, id: str, name: str) -> None:
        """Delete a branch. A missing branch is fine."""
        try:
            await self._api.send(Request("DELETE", f"/api/spaces/{id}/branch/{quote(name, safe='')}"))
        except NotFoundError:
            return

    async def get_upload_modes(self, id: str, revision: str, files: list[dict[str, object]]) -> list[UploadMode]:
        """Return how to upload files, given as ``path``, ``sample``, ``size``."""
        request = Request("POST", f"/api/spaces/{id}/preupload/{quote(revision, safe='')}", {"files": files})
        return (await self._api.fetch(_UploadModes, request)).files

    async def request_uploads(self, id: str, branch: str, objects: list[dict[str, object]]) -> list[Upload]:
        """Return the upload targets of at most 256 large files, given as ``oid``, ``size``."""
        body = {
            "operation": "upload", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256",
            "ref": {"name": branch},
        }  # fmt: skip
        request = Request("POST", f"/spaces/{id}.git/info/lfs/objects/batch", body, headers=_LFS_HEADERS)
        return (await self._api.fetch(_Batch, request)).objects

    async def upload_file(self, upload: Upload, file: Path) -> None:
        """Upload a large file to its target."""
        if "upload" in upload.actions:
            target = upload.actions["upload"]
            await self._api.send(Request("PUT", target.href, file=file, headers=target.header))
        if "verify" in upload.actions:
            verify, body = upload.actions["verify"], {"oid": upload.oid, "size": file.stat().st_size}
            await self._api.send(Request("POST", verify.href, body, headers={**_LFS_HEADERS, **verify.header}))

    async def create_commit(self, id: str, branch: str, lines: Path) -> str:
        """Create a commit on a branch from NDJSON (a header, then each change). Returns its SHA."""
        request = Request(
            "POST", f"/api/spaces/{id}/commit/{quote(branch, safe='')}", file=lines, content_type="application/x-ndjson"
        )
        return (await self._api.fetch(_CreatedCommit, request)).oid

    # ── runtime ────────────────────────────────────────────────────────────────────────────────

    async def get_runtime(self, id: str) -> Runtime:
        """Return the runtime state of a Space."""
        return await self._api.fetch(Runtime, Request("GET", f"/api/spaces/{id}/runtime"))

    async def restart(self, id: str, *, factory: bool = False) -> None:
        """Restart a Space. ``factory``: rebuild it without cache."""
        query = {"factory": True} if factory else {}
        await self._api.send(Request("POST", f"/api/spaces/{id}/restart", query=query))

    async def pause(self, id: str) -> None:
        """Pause a Space until it is restarted."""
        await self._api.send(Request("POST", f"/api/spaces/{id}/pause"))

    async def request_hardware(self, id: str, flavor: str) -> None:
        """Request hardware."""
        await self._api.send(Request("POST", f"/api/spaces/{id}/hardware", {"flavor": flavor}))

    async def get_variables(self, id: str) -> dict[str, SpaceVariable]:
        """Return a Space's variables, without secrets."""
        return await self._api.fetch(dict[str, SpaceVariable], Request("GET", f"/api/spaces/{id}/variables"))

    async def get_secrets(self, id: str) -> dict[str, SpaceVariable]:
        """Return a Space's secrets, without values."""
        return await self._api.fetch(dict[str, SpaceVariable], Request("GET", f"/api/spaces/{id}/secrets"))

    async def set_variable(self, id: str, name: str, value: str, *, secret: bool, description: str) -> None:
        """Set one variable or secret."""
        body = {"key": name, "value": value, "description": description}
        await self._api.send(Request("POST", f"/api/spaces/{id}/{_kind(secret)}", body))

    async def delete_variable(self, id: str, name: str, *, secret: bool) -> None:
        """Delete one variable or secret. A missing one is fine."""
        await self._api.send(Request("DELETE", f"/api/spaces/{id}/{_kind(secret)}", {"key": name}))

    async def stream_log(self, id: str, kind: str, idle_timeout: float) -> AsyncIterator[LogLine]:
        """Yield the lines of the ``build`` or ``run`` log until it is silent for ``idle_timeout`` seconds."""
        async for line in self._api.stream_lines(Request("GET", f"/api/spaces/{id}/logs/{kind}"), idle_timeout):
            if line.startswith("data: {"):
                try:
                    found = LogLine.model_validate(json.loads(line.removeprefix("data: ")))
                except (ValueError, ValidationError):
                    continue
                yield found.model_copy(update={"data": found.data.rstrip("\n")})


def _kind(secret: bool) -> str:
    return "secrets" if secret else "variables"
