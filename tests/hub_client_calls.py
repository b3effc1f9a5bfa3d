"""Every call of the Hub's own client for Python that a user of Spaces could mean, made against HF_ENDPOINT.

Prints a row of the table in docs/huggingface.md for each. A call works if it returns what it must; it is refused if the
server says no as the Hub does; it is not emulated if the server answers 501. Anything else ends the program.
"""

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    SpaceHardware,
    Volume,
    hf_hub_download,
    snapshot_download,
    space_info,
)
from huggingface_hub.errors import HfHubHTTPError

HERS, OTHER, STATIC, MARKED = "owner/hers", "owner/other", "owner/static", "owner/marked"
LARGE = os.urandom(11 * 1024 * 1024)
NUMBERS = b"".join(number.to_bytes(4, "little") for number in range(700_000))
TEXT = b"".join(b"line %d of a text that can be compressed\n" % number for number in range(300_000))
SERVER = "import http.server, os; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['PORT']))"

Call = Callable[[], object]
api, reader, stranger, nobody = HfApi(token="hf_write"), HfApi(token="hf_read"), HfApi(token="no"), HfApi(token=False)
home = Path(sys.argv[1])
tree = home / "tree"
kept: dict[str, str] = {}
"""Commits of earlier calls, by name."""


def expect(actual: object, wanted: object) -> None:
    """End the program if a call does not return what it must."""
    assert actual == wanted, f"{actual!r}, and not {wanted!r}"


def head() -> str:
    return str(api.repo_info(HERS, repo_type="space").sha)


def files(repo: str = HERS) -> list[str]:
    return sorted(api.list_repo_files(repo, repo_type="space"))


def upload_tree() -> None:
    tree.mkdir()
    (tree / "README.md").write_text("---\ntitle: Hers\nsdk: docker\n---\n")
    (tree / "Dockerfile").write_text(f'FROM python:3\nENV PORT=7860\nCOPY . .\nCMD ["python3", "-c", "{SERVER}"]\n')
    for name, content in (("large.bin", LARGE), ("numbers.bin", NUMBERS), ("text.txt", TEXT), ("data/a.csv", b"1,2\n")):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(content)
    kept["first"] = api.upload_folder(repo_id=HERS, repo_type="space", folder_path=tree, commit_message="first").oid
    assert files() == sorted([
        ".gitattributes", "Dockerfile", "README.md", "data/a.csv", "large.bin", "numbers.bin", "text.txt",
    ])  # fmt: skip


def wait_until_running() -> None:
    stages = (str(api.get_space_runtime(HERS).raw["stage"]) for _ in range(20))
    assert "RUNNING" in stages
    with urllib.request.urlopen(f"{api.endpoint}/h/{HERS}/data/a.csv") as answer:
        expect(answer.read(), b"1,2\n")


def download(name: str, content: bytes) -> Call:
    return lambda: expect(Path(hf_hub_download(HERS, name, repo_type="space")).read_bytes(), content)


def snapshot() -> None:
    folder = Path(snapshot_download(HERS, repo_type="space", cache_dir=home / "cache", token="hf_read"))
    expect((folder / "large.bin").read_bytes(), LARGE)
    expect((folder / "data" / "a.csv").read_bytes(), b"1,2\n")


def copy_back() -> None:
    api.delete_files(HERS, ["large.bin", "text.txt"], repo_type="space")
    copies = [CommitOperationCopy(name, name, src_revision=kept["first"]) for name in ("large.bin", "data/a.csv")]
    api.create_commit(HERS, [*copies, CommitOperationAdd("new.txt", b"new")], commit_message="back", repo_type="space")
    assert "large.bin" in files()


def commit_late() -> None:
    operation = CommitOperationDelete("new.txt")
    api.create_commit(HERS, [operation], commit_message="late", repo_type="space", parent_commit=kept["first"])


def settle_volume() -> None:
    api.set_space_volumes(HERS, [Volume(type="model", source="owner/model", mount_path="/models")])


def read_with_filesystem() -> None:
    system = HfFileSystem(endpoint=api.endpoint, token="hf_read")
    expect(system.cat(f"spaces/{HERS}/data/a.csv"), b"1,2\n")
    assert f"spaces/{HERS}/Dockerfile" in system.ls(f"spaces/{HERS}", detail=False)


def in_turn(*calls: Call) -> Call:
    """Make several calls."""

    def made() -> None:
        for call in calls:
            call()

    return made


def then_running(write: Call) -> Call:
    """Make a write, after which the application answers again."""

    def made() -> None:
        write()
        wait_until_running()

    return made


def wait_until_built() -> None:
    """Wait until the application of the newest tree runs."""
    deadline = time.monotonic() + 30
    while api.get_space_runtime(HERS).raw["sha"] != head() or api.get_space_runtime(HERS).stage != "RUNNING":
        assert time.monotonic() < deadline


def create_marked() -> None:
    variables = [{"key": "MARK", "value": "mine", "description": "why"}]
    api.create_repo(MARKED, repo_type="space", space_sdk="static", private=True, space_variables=variables)
    made = api.get_space_variables(MARKED)["MARK"]
    expect((made.value, made.description, api.space_info(MARKED).private), ("mine", "why", True))


def create() -> None:
    secrets = [{"key": "KEY", "value": "s3cret"}]
    api.create_repo(HERS, repo_type="space", space_sdk="docker", space_secrets=secrets)
    expect(list(api.get_space_secrets(HERS)), ["KEY"])


CALLS: list[tuple[str, Call, str]] = [
    ("whoami", lambda: expect(api.whoami()["name"], "owner"), ""),
    ("whoami, an unknown token", stranger.whoami, ""),
    ("create_repo, a Space with a secret", create, ""),
    ("create_repo, private, with a variable", create_marked, ""),
    ("create_repo, one that exists", lambda: api.create_repo(HERS, repo_type="space", space_sdk="docker"), ""),
    ("create_repo, exist_ok", lambda: api.create_repo(HERS, repo_type="space", space_sdk="docker", exist_ok=True), ""),
    ("create_repo, in a foreign account", lambda: api.create_repo("x/y", repo_type="space", space_sdk="docker"), ""),
    ("create_repo, in an account that may only be read", lambda: api.create_repo("acme/y", repo_type="space", space_sdk="docker"), ""),
    ("create_repo, a token that may only read", lambda: reader.create_repo(OTHER, repo_type="space", space_sdk="docker"), ""),
    ("create_repo, a model", lambda: api.create_repo("owner/model"), "Spaces only"),
    ("repo_exists", lambda: expect([api.repo_exists(name, repo_type="space") for name in (HERS, OTHER)], [True, False]), ""),
    ("upload_folder, with large files by Xet", upload_tree, ""),
    ("upload_folder, without a change", lambda: expect(api.upload_folder(repo_id=HERS, repo_type="space", folder_path=tree).oid, kept["first"]), ""),
    ("get_space_runtime, until it runs", wait_until_running, ""),
    ("wait_for_space", lambda: expect(api.wait_for_space(HERS).stage, "RUNNING"), ""),
    ("hf_hub_download, a small file (307)", download("data/a.csv", b"1,2\n"), ""),
    ("hf_hub_download, random bytes (Xet)", download("large.bin", LARGE), ""),
    ("hf_hub_download, numbers (Xet)", download("numbers.bin", NUMBERS), ""),
    ("hf_hub_download, a long text (Xet)", download("text.txt", TEXT), ""),
    ("hf_hub_download, no such file", lambda: hf_hub_download(HERS, "no", repo_type="space"), "`EntryNotFound`"),
    ("hf_hub_download, no such revision", lambda: hf_hub_download(HERS, "README.md", repo_type="space", revision="no"), "`RevisionNotFound`"),
    ("hf_hub_download, no such Space", lambda: hf_hub_download(OTHER, "README.md", repo_type="space"), "`RepoNotFound`"),
    ("snapshot_download", snapshot, ""),
    ("get_hf_file_metadata", lambda: expect(api.get_hf_file_metadata(url=f"{api.endpoint}/spaces/{HERS}/resolve/main/large.bin").size, len(LARGE)), ""),
    ("file_exists", lambda: expect([api.file_exists(HERS, name, repo_type="space") for name in ("Dockerfile", "no")], [True, False]), ""),
    ("revision_exists", lambda: expect([api.revision_exists(HERS, name, repo_type="space") for name in ("main", "no")], [True, False]), ""),
    ("resolve_revision", lambda: expect(api.resolve_revision(HERS, repo_type="space", revision="main").resolved, kept["first"]), ""),
    ("HfFileSystem, ls and cat", read_with_filesystem, ""),
    ("repo_info, space_info", lambda: expect(space_info(HERS, token="hf_read").sha, head()), ""),
    ("space_info, with files and their sizes", lambda: expect({at.rfilename: at.size for at in api.space_info(HERS, files_metadata=True).siblings or ()}["large.bin"], len(LARGE)), ""),
    ("space_info, expand", lambda: expect(api.space_info(HERS, expand=["sdk"]).sdk, "docker"), ""),
    ("list_spaces, by author", lambda: expect([found.id for found in api.list_spaces(author="owner")], [HERS, MARKED]), ""),
    ("list_spaces, by a filter", lambda: list(api.list_spaces(filter="docker")), "author, search and limit only"),
    ("list_repo_files", lambda: expect(len(files()), 7), ""),
    ("list_repo_tree, a folder with its last commits", lambda: expect([at.path for at in api.list_repo_tree(HERS, "data", repo_type="space", expand=True)], ["data/a.csv"]), ""),
    ("get_paths_info", lambda: expect([at.path for at in api.get_paths_info(HERS, ["data", "Dockerfile", "no"], repo_type="space")], ["data", "Dockerfile"]), ""),
    ("verify_repo_checksums", lambda: expect(list(api.verify_repo_checksums(HERS, repo_type="space", local_dir=tree).mismatches), []), ""),
    ("list_repo_commits", lambda: expect([at.title for at in api.list_repo_commits(HERS, repo_type="space")], ["first", "initial commit"]), ""),
    ("list_repo_refs", lambda: expect([at.name for at in api.list_repo_refs(HERS, repo_type="space").branches], ["main"]), ""),
    ("auth_check", lambda: reader.auth_check(HERS, repo_type="space"), ""),
    ("auth_check, write with a token that may only read", lambda: reader.auth_check(HERS, repo_type="space", write=True), ""),
    ("upload_file", lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=HERS, repo_type="space"), ""),
    ("upload_file, a token that may only read", lambda: reader.upload_file(path_or_fileobj=b"x", path_in_repo="y", repo_id=HERS, repo_type="space"), ""),
    ("upload_file, as a pull request", lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="y", repo_id=HERS, repo_type="space", create_pr=True), "no pull requests"),
    ("preupload_lfs_files", lambda: api.preupload_lfs_files(HERS, [CommitOperationAdd("z.bin", b"\0" * 9)], repo_type="space"), ""),
    ("delete_file", lambda: api.delete_file("x.txt", HERS, repo_type="space"), ""),
    ("delete_file, no such file", lambda: api.delete_file("x.txt", HERS, repo_type="space"), ""),
    ("delete_folder", lambda: api.delete_folder("data", HERS, repo_type="space"), ""),
    ("create_commit, with CommitOperationCopy of an earlier revision", copy_back, ""),
    ("create_commit, parent_commit is not the head", commit_late, ""),
    ("create_branch, delete_branch", in_turn(lambda: api.create_branch(HERS, branch="b", repo_type="space"), lambda: api.delete_branch(HERS, branch="b", repo_type="space")), ""),
    ("create_branch, one that exists", lambda: api.create_branch(HERS, branch="main", repo_type="space"), ""),
    ("delete_branch, main", lambda: api.delete_branch(HERS, branch="main", repo_type="space"), ""),
    ("create_tag, delete_tag", in_turn(lambda: api.create_tag(HERS, tag="v1", repo_type="space"), lambda: api.delete_tag(HERS, tag="v1", repo_type="space")), ""),
    ("add_space_variable, get_space_variables (restarts)", then_running(lambda: expect(api.add_space_variable(HERS, "NAME", "y")["NAME"].value, "y")), ""),
    ("add_space_secret (restarts)", then_running(lambda: api.add_space_secret(HERS, "TOKEN", "x", description="hers")), ""),
    ("add_space_secret, a name that a variable has", lambda: api.add_space_secret(HERS, "NAME", "x"), ""),
    ("get_space_secrets, without values", lambda: expect(api.get_space_secrets(HERS)["TOKEN"].description, "hers"), ""),
    ("get_space_secrets, a token that may only read", lambda: reader.get_space_secrets(HERS), ""),
    ("delete_space_variable, delete_space_secret", in_turn(lambda: api.delete_space_variable(HERS, "NAME"), lambda: api.delete_space_secret(HERS, "TOKEN")), ""),
    ("fetch_space_logs, of the build", lambda: expect("COPY . ." in "".join(api.fetch_space_logs(HERS, build=True)), True), ""),
    ("fetch_space_logs, of the application", lambda: list(api.fetch_space_logs(HERS)), ""),
    ("list_spaces_hardware", lambda: expect(api.list_spaces_hardware()[0].name, "cpu-basic"), ""),
    ("request_space_hardware (restarts)", then_running(lambda: expect(api.request_space_hardware(HERS, SpaceHardware.CPU_UPGRADE).hardware, "cpu-upgrade")), ""),
    ("request_space_hardware, unknown", lambda: api.request_space_hardware(HERS, cast("SpaceHardware", "abacus")), ""),
    ("set_space_sleep_time", lambda: expect(api.set_space_sleep_time(HERS, 3600).sleep_time, 3600), ""),
    ("restart_space, factory_reboot", in_turn(lambda: api.restart_space(HERS, factory_reboot=True), wait_until_built), ""),
    ("pause_space", lambda: expect(api.pause_space(HERS).stage, "PAUSED"), ""),
    ("pause_space, a static Space", in_turn(lambda: api.create_repo(STATIC, repo_type="space", space_sdk="static"), lambda: api.pause_space(STATIC)), ""),
    ("duplicate_repo", in_turn(lambda: api.duplicate_repo(HERS, OTHER, repo_type="space"), lambda: expect(files(OTHER), files())), ""),
    ("duplicate_repo, onto one that exists", lambda: api.duplicate_repo(HERS, OTHER, repo_type="space"), ""),
    ("update_repo_settings, private", lambda: api.update_repo_settings(OTHER, private=True, repo_type="space"), ""),
    ("repo_info, of a private Space without a token", lambda: nobody.repo_info(OTHER, repo_type="space"), ""),
    ("hf_hub_download, from a private Space", lambda: hf_hub_download(OTHER, "Dockerfile", repo_type="space", token="hf_read"), ""),
    ("move_repo", in_turn(lambda: api.move_repo(OTHER, "owner/moved", repo_type="space"), lambda: expect(api.repo_exists("owner/moved", repo_type="space"), True)), ""),
    ("super_squash_history", in_turn(lambda: api.super_squash_history(HERS, repo_type="space"), lambda: expect(len(api.list_repo_commits(HERS, repo_type="space")), 1)), ""),
    ("delete_repo", in_turn(lambda: api.delete_repo("owner/moved", repo_type="space"), lambda: expect(api.repo_exists("owner/moved", repo_type="space"), False)), ""),
    ("delete_repo, missing_ok", lambda: api.delete_repo("owner/moved", repo_type="space", missing_ok=True), ""),
    ("delete_repo, a token that may only read", lambda: reader.delete_repo(MARKED, repo_type="space"), ""),
    ("delete_repo, in an account that may only be read", lambda: api.delete_repo("acme/theirs", repo_type="space"), ""),
    ("add_space_variable, in an account that may only be read", lambda: api.add_space_variable("acme/theirs", "A", "b"), ""),
    ("delete_repo, no such Space", lambda: api.delete_repo("owner/moved", repo_type="space"), "`RepoNotFound`"),
    ("set_space_volumes", settle_volume, ""),
    ("enable_space_dev_mode", lambda: api.enable_space_dev_mode(HERS), "a paid feature"),
    ("list_lfs_files", lambda: list(api.list_lfs_files(HERS, repo_type="space")), ""),
    ("create_discussion, create_pull_request", lambda: api.create_discussion(HERS, title="t", repo_type="space"), "no pull requests"),
    ("search_spaces", lambda: list(api.search_spaces("shop")), ""),
    ("model_info, dataset_info", lambda: api.model_info("owner/model"), "Spaces only"),
    ("run_job, list_jobs", lambda: list(api.list_jobs(namespace="owner")), "Spaces only"),
    ("create_bucket, list_buckets", lambda: list(api.list_buckets("owner")), "Spaces only"),
    ("list_webhooks, create_webhook", lambda: list(api.list_webhooks()), "Spaces only"),
]  # fmt: skip


def outcome(made: Call) -> str:
    try:
        made()
    except HfHubHTTPError as error:
        status = error.response.status_code
        return "not emulated" if status == 501 else f"refused, {status} {type(error).__name__}"
    return "works"


def rows() -> Iterator[str]:
    for name, made, why in CALLS:
        yield f"| {name} | {outcome(made)} | {why} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)  # noqa: T201 (this program prints)
