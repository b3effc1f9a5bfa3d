"""Repositories as the Hub's API shows them: Spaces, trees, commits."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from starlette.requests import Request

from abreast.testing.platforms.huggingface.access import HubError, base_url
from abreast.testing.platforms.huggingface.card import parse_card
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore, TreeEntry, git_oid
from abreast.testing.platforms.huggingface.space_runtime import Space, runtime_json


def find_commit(store: RepositoryStore, space: Space, revision: str) -> Commit:
    """Return a commit of a Space by branch, tag or id. Raises HubError where it has none."""
    with suppress(LookupError):
        commit = store.resolve({**space.branches, **space.tags}, revision)
        if commit.id in space.commit_ids:
            return commit
    raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def find_entry(commit: Commit, path: str) -> TreeEntry:
    """Return a file of a commit. Raises HubError where there is none."""
    if path not in commit.tree:
        raise HubError(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.id})
    return commit.tree[path]


def space_json(store: RepositoryStore, request: Request, space: Space, commit: Commit) -> dict[str, Any]:
    """Return a Space at a commit; with only what ``expand`` names, and with sizes where ``blobs`` asks for them."""
    query = request.query_params
    first, last = store.history(commit)[-1], commit
    siblings = [
        {"rfilename": path, **(_blob_json(entry) if query.get("blobs") else {})} for path, entry in commit.tree.items()
    ]
    shown = {
        "author": space.id.split("/")[0], "sha": commit.id, "private": space.private, "sdk": space.sdk,
        "createdAt": first.date, "lastModified": last.date, "likes": 0, "tags": [space.sdk, "region:us"],
        "subdomain": space.subdomain, "host": f"{base_url(request)}/h/{space.id}",
        "runtime": runtime_json(space), "siblings": siblings, "cardData": card_data(store, commit),
        "disabled": False, "gated": False, "models": [], "datasets": [],
    }  # fmt: skip
    wanted = query.getlist("expand") + query.getlist("expand[]")
    if unknown := set(wanted) - shown.keys():
        raise HubError(501, f"not emulated: expand={min(unknown)}")
    return {"id": space.id, **{name: value for name, value in shown.items() if not wanted or name in wanted}}


def card_data(store: RepositoryStore, commit: Commit) -> dict[str, Any]:
    """Return the settings of a commit's card, none where they cannot be read."""
    with suppress(KeyError, ValueError):
        return parse_card(store.content(commit.tree["README.md"]))
    return {}


def commit_json(commit: Commit) -> dict[str, Any]:
    """Return a commit."""
    return {"id": commit.id, "title": commit.title, "message": "", "date": commit.date, "authors": [{"user": "owner"}]}


def tree_json(store: RepositoryStore, commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Return the files and folders below a folder. Raises HubError where there is none."""
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    inside = [path for path in _with_folders(commit) if path.startswith(prefix)]
    if folder and not inside:
        find_entry(commit, folder)
    return [
        path_json(store, commit, path) for path in inside if recursive or "/" not in path.removeprefix(prefix)
    ]  # fmt: skip


def path_json(store: RepositoryStore, commit: Commit, path: str) -> dict[str, Any]:
    """Return a file or a folder."""
    entry = commit.tree.get(path)
    if entry is None:
        names = "".join(sorted(f"{at} {file.oid}\n" for at, file in commit.tree.items() if at.startswith(f"{path}/")))
        return {"type": "directory", "oid": git_oid(names.encode()), "size": 0, "path": path}
    lfs = {"lfs": {"oid": entry.lfs, "size": entry.size, "pointerSize": 134}} if entry.lfs else {}
    xet = {"xetHash": store.xet_hashes[entry.lfs]} if entry.lfs in store.xet_hashes else {}
    return {"type": "file", "oid": entry.oid, "size": entry.size, "path": path, **lfs, **xet}


def last_change(store: RepositoryStore, commit: Commit, path: str) -> dict[str, Any]:
    """Return the commit that last changed a path, as ``expand`` shows it."""
    history = store.history(commit)
    for newer, older in pairwise(history):
        if _below(newer, path) != _below(older, path):
            return {"id": newer.id, "title": newer.title, "date": newer.date}
    return {"id": history[-1].id, "title": history[-1].title, "date": history[-1].date}


def is_folder(commit: Commit, path: str) -> bool:
    """Return whether a commit has files below a path."""
    return any(at.startswith(f"{path.rstrip('/')}/") for at in commit.tree)


def page(items: Sequence[Any], request: Request, size: int) -> tuple[Sequence[Any], dict[str, str]]:
    """Return the page of items that a request asks for, and the header that links to the next."""
    start = int(request.query_params.get("cursor", 0))
    if start + size >= len(items):
        return items[start:], {}
    next_page = request.url.include_query_params(cursor=start + size)
    return items[start : start + size], {"Link": f'<{next_page}>; rel="next"'}


def _with_folders(commit: Commit) -> list[str]:
    return sorted({path for file in commit.tree for path in (file, *_parents(file))})


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _below(commit: Commit, path: str) -> dict[str, TreeEntry]:
    return {at: entry for at, entry in commit.tree.items() if at == path or at.startswith(f"{path}/")}


def _blob_json(entry: TreeEntry) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": entry.lfs, "size": entry.size, "pointerSize": 134}} if entry.lfs else {}
    return {"blobId": entry.oid, "size": entry.size, **lfs}
