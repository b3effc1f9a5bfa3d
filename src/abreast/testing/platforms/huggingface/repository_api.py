"""The API of repositories: accounts, Spaces, trees, commits, branches and tags."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import (
    TOKEN,
    USER,
    HubError,
    readable_space,
    require_token,
    token_of,
    writable_space,
)
from abreast.testing.platforms.huggingface.card import card_faults
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore
from abreast.testing.platforms.huggingface.repository_views import (
    commit_json,
    find_commit,
    is_folder,
    last_change,
    page,
    path_json,
    space_json,
    tree_json,
)
from abreast.testing.platforms.huggingface.space_runtime import Space

TREE_PAGE_SIZE, COMMITS_PAGE_SIZE = 1000, 50
"""Entries of a tree, and commits, in one response."""

API = "/api/spaces/{owner}/{name}"


class RepositoryApi:
    """Handlers of the requests about accounts and the content of repositories.

    ``on_push`` is called with a Space whose main branch has moved.
    """

    def __init__(self, spaces: dict[str, Space], store: RepositoryStore, on_push: Callable[[Space], None]) -> None:
        self._spaces = spaces
        self._store = store
        self._on_push = on_push

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route("/api/whoami-v2", _whoami),
            Route("/api/validate-yaml", _validate_card, methods=["POST"]),
            Route("/api/spaces", self._list_spaces),
            Route(API, self._get_space),
            Route(f"{API}/auth-check", self._check_access),
            Route(f"{API}/auth-check/write", self._check_access),
            Route(f"{API}/revision/{{revision:path}}", self._get_space),
            Route(f"{API}/tree/{{revision}}", self._list_tree),
            Route(f"{API}/tree/{{revision}}/{{path:path}}", self._list_tree),
            Route(f"{API}/paths-info/{{revision}}", self._get_paths_info, methods=["POST"]),
            Route(f"{API}/commits/{{revision}}", self._list_commits),
            Route(f"{API}/refs", self._list_refs),
            Route(f"{API}/branch/{{branch:path}}", self._change_branch, methods=["POST", "DELETE"]),
            Route(f"{API}/tag/{{tag:path}}", self._change_tag, methods=["POST", "DELETE"]),
            Route(f"{API}/super-squash/{{branch}}", self._squash, methods=["POST"]),
        ]

    async def _list_spaces(self, request: Request) -> Response:
        token, query = token_of(request), request.query_params
        if unknown := query.keys() - {"author", "search", "limit", "full", "expand"}:
            raise HubError(501, f"not emulated: listing Spaces by {min(unknown)}")
        found = [
            space
            for space in self._spaces.values()
            if space.id.split("/")[0] == query.get("author", space.id.split("/")[0])
            and query.get("search", "").lower() in space.id.lower()
            and (token or not space.private)
        ]
        return JSONResponse([
            space_json(self._store, request, space, find_commit(self._store, space, "main"))
            for space in found[: int(query.get("limit", 1000))]
        ])  # fmt: skip

    async def _get_space(self, request: Request) -> Response:
        space = readable_space(self._spaces, request)
        commit = find_commit(self._store, space, request.path_params.get("revision", "main"))
        return JSONResponse(space_json(self._store, request, space, commit))

    async def _check_access(self, request: Request) -> Response:
        allowed = writable_space if request.url.path.endswith("/write") else readable_space
        allowed(self._spaces, request)
        return Response()

    async def _list_tree(self, request: Request) -> Response:
        commit, query = self._requested_commit(request), request.query_params
        folder = request.path_params.get("path", "")
        entries = tree_json(self._store, commit, folder, recursive=query.get("recursive", "").lower() in {"true", "1"})
        shown, headers = page(entries, request, TREE_PAGE_SIZE)
        return JSONResponse(self._expanded(shown, commit, query.get("expand", "")), headers=headers)

    async def _get_paths_info(self, request: Request) -> Response:
        commit = self._requested_commit(request)
        is_json = request.headers.get("Content-Type", "").startswith("application/json")
        asked = await request.json() if is_json else parse_qs((await request.body()).decode())
        if len(asked["paths"]) > 1000:
            raise HubError(413, "too many parameters")
        paths = [path.rstrip("/") for path in asked["paths"]]
        entries = [
            path_json(self._store, commit, path) for path in paths if path in commit.tree or is_folder(commit, path)
        ]
        expand = asked.get("expand", [""])
        return JSONResponse(self._expanded(entries, commit, str(expand if is_json else expand[0])))

    def _expanded(self, entries: Any, commit: Commit, expand: str) -> list[dict[str, Any]]:  # noqa: ANN401 (JSON)
        if expand.lower() not in {"true", "1"}:
            return list(entries)
        return [{**entry, "lastCommit": last_change(self._store, commit, entry["path"])} for entry in entries]

    async def _list_commits(self, request: Request) -> Response:
        history = self._store.history(self._requested_commit(request))
        size = min(int(request.query_params.get("limit", COMMITS_PAGE_SIZE)), COMMITS_PAGE_SIZE)
        commits, headers = page(history, request, size)
        headers["X-Total-Count"] = str(len(history))
        return JSONResponse([commit_json(commit) for commit in commits], headers=headers)

    async def _list_refs(self, request: Request) -> Response:
        space = readable_space(self._spaces, request)
        if request.query_params.get("include_prs"):
            raise HubError(501, "not emulated: pull requests")
        return JSONResponse({
            "branches": _refs("heads", space.branches), "tags": _refs("tags", space.tags), "converts": [],
        })  # fmt: skip

    async def _change_branch(self, request: Request) -> Response:
        space, name = writable_space(self._spaces, request), request.path_params["branch"]
        if request.method == "DELETE":
            if name == "main":
                raise HubError(403, "Cannot delete the default branch")
            if space.branches.pop(name, None) is None:
                raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
            return Response(status_code=204)
        if name in space.branches:
            raise HubError(409, "Reference already exists")
        body = await request.json()
        if body.keys() - {"startingPoint"}:
            raise HubError(501, f"not emulated: a branch with {min(body.keys() - {'startingPoint'})}")
        space.branches[name] = [find_commit(self._store, space, body.get("startingPoint", "main")).id]
        return Response(status_code=201)

    async def _change_tag(self, request: Request) -> Response:
        space, name = writable_space(self._spaces, request), request.path_params["tag"]
        if request.method == "DELETE":
            if space.tags.pop(name, None) is None:
                raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
            return Response(status_code=204)
        tag = str((await request.json())["tag"])
        if tag in space.tags:
            raise HubError(409, "Reference already exists")
        space.tags[tag] = [find_commit(self._store, space, name).id]
        return Response(status_code=201)

    async def _squash(self, request: Request) -> Response:
        space, branch = writable_space(self._spaces, request), request.path_params["branch"]
        if branch not in space.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = find_commit(self._store, space, branch)
        squashed = self._store.store_commit((await request.json())["message"], head.tree, ())
        space.commit_ids.add(squashed.id)
        space.branches[branch] = [squashed.id]
        if branch == "main":
            self._on_push(space)
        return Response()

    def _requested_commit(self, request: Request) -> Commit:
        return find_commit(self._store, readable_space(self._spaces, request), request.path_params["revision"])


async def _whoami(request: Request) -> Response:
    role = "write" if require_token(request) == TOKEN else "read"
    auth = {"type": "access_token", "accessToken": {"displayName": "token", "role": role}}
    return JSONResponse({
        "type": "user", "id": "1", "name": USER, "fullname": USER, "isPro": False, "canPay": False, "orgs": [],
        "auth": auth,
    })  # fmt: skip


async def _validate_card(request: Request) -> Response:
    token_of(request)
    faults = card_faults((await request.json())["content"].encode())
    answer = {"errors": [{"message": fault} for fault in faults], "warnings": []}
    return JSONResponse(answer, 400 if faults else 200)


def _refs(kind: str, heads: dict[str, list[str]]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": ids[-1]} for name, ids in heads.items()]
