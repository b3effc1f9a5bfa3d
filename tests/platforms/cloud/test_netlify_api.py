"""The emulator against every operation of Netlify's own client; docs/netlify.md has the outcome."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from netlify_api import VERSION, NetlifyApi, Operation, netlify_api
from openapi_validator import validate_emulator
from sample_project import get_text

PAGE = (Path(__file__).parents[3] / "docs/netlify.md").read_text()
SITE = "site-shop"
KNOWN: dict[str, object] = {"site_id": SITE, "account_id": "acc1", "account_slug": "team"}

WHY_NOT = {
    "site": "sites are added with `--site`, and their settings are not emulated",
    "deploy": "checks of a build at Netlify; servers of frameworks are refused",
    "edgeFunction": "edge functions are deployed as files, as `netlify deploy` does",
    "function": "its description and `netlify functions` disagree about the answer",
    "sniCertificate": "custom certificates",
    "accountMembership": "the team is fixed",
    "member": "the team is fixed",
    "build": "abreast builds",
    "buildHook": "abreast builds",
    "buildLogMsg": "abreast builds",
}
"""Why operations with a tag that has something to do with deploying are not emulated."""

UNRELATED = "has nothing to do with a deployment by abreast"


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """An emulator whose site ``shop`` has had two releases, "one" and "two"."""
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop").domain = "shop.example.org"
    emulator.add_site("shop-old")
    with ThreadedServer(emulator.app) as server, validate_emulator(emulator, "netlify") as described:
        yield server.url
        described.violations = [one for one in described.violations if not _is_meant(one)]


def _is_meant(violation: str) -> bool:
    """Whether the tests ask for what is not emulated, or for a context that does not exist."""
    return violation.endswith("not described") or '"moon" is not one of' in violation


@pytest.fixture(scope="module")
def api(served: str) -> Iterator[NetlifyApi]:
    with netlify_api(served, TOKEN) as made:
        yield made


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def sha1(content: str) -> str:
    return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(zipfile.ZipInfo("hello.mjs"), "export default () => new Response()")
    return content.getvalue()


def deploy(api: NetlifyApi, text: str, **body: object) -> dict[str, Any]:
    """Deploy a page and a function as Netlify's command line does, and return the ready deploy."""
    function = archive()
    made = api.call("createSiteDeploy", site_id=SITE, body={"draft": False, **body}, title=text)
    content = {
        "files": {"index.html": sha1(text)}, "functions": {"hello": hashlib.sha256(function).hexdigest()}, "async": False,
    }  # fmt: skip
    made = api.call("updateSiteDeploy", site_id=SITE, deploy_id=made["id"], body=content)
    if made["required"]:
        api.call("uploadDeployFile", encode(text.encode()), deploy_id=made["id"], path="index.html")
    if made["required_functions"]:
        api.call("uploadDeployFunction", encode(function), deploy_id=made["id"], name="hello", runtime="nodejs20.x")
    made = api.call("getSiteDeploy", site_id=SITE, deploy_id=made["id"])
    assert made["state"] == "ready"
    return dict(made)


@pytest.mark.exhaustive
def test_every_operation_works_or_is_refused(api: NetlifyApi, served: str) -> None:
    _sites_and_people(api)
    first, second = deploy(api, "one"), deploy(api, "two")
    live = f"{served}/s/shop/"
    assert get_text(live) == "two"

    _listings(api, first, second)
    api.call("rollbackSiteDeploy", site_id=SITE)
    assert get_text(live) == "one", "its own client rolls a site back"
    api.call("restoreSiteDeploy", site_id=SITE, deploy_id=second["id"])
    assert get_text(live) == "two"

    assert api.call("lockDeploy", deploy_id=second["id"])["locked"]
    third = deploy(api, "three")
    assert get_text(live) == "two", "a locked site publishes no new deploy"
    assert api.call("getSite", site_id=SITE)["published_deploy"]["locked"]
    assert not api.call("unlockDeploy", deploy_id=second["id"])["locked"]

    _files(api)
    _variables(api)
    branch = deploy(api, "branch", branch="staging")
    (listed,) = api.call("listSiteDeployedBranches", site_id=SITE)
    assert (listed["name"], listed["deploy_id"]) == ("staging", branch["id"])
    assert api.call("provisionSiteTLSCertificate", site_id=SITE)["state"] == "issued"
    assert api.call("showSiteTLSCertificate", site_id=SITE)["domains"] == ["shop.example.org"]

    _refusals(api, second, third)
    stopped = api.call("createSiteDeploy", site_id=SITE, body={"files": {"a": sha1("never sent")}})
    assert api.call("cancelSiteDeploy", deploy_id=stopped["id"])["state"] == "error"
    api.call("deleteDeploy", deploy_id=stopped["id"])
    api.call("deleteSiteDeploy", site_id=SITE, deploy_id=third["id"])
    assert api.refusal("getDeploy", deploy_id=third["id"]) == (404, "Not Found")

    for operation in api.operations.values():
        if operation.name not in api.worked:
            status, message = api.refusal(operation.name, **operation.example({**KNOWN, "deploy_id": second["id"]}))
            assert status == 501, (operation.name, status, message)
            assert message.startswith("the emulator does not have ")

    expected = render_table(api)
    assert expected in PAGE, f"docs/netlify.md should have:\n\n{expected}"


def _sites_and_people(api: NetlifyApi) -> None:
    assert [site["name"] for site in api.call("listSites", name="shop", filter="all")] == ["shop", "shop-old"]
    assert [site["name"] for site in api.call("listSites", per_page=1, page=2)] == ["shop-old"]
    assert api.call("listSites", filter="guest") == []
    assert len(api.call("listSitesForAccount", account_slug="team")) == 2
    for name in (SITE, "shop.netlify.app", "shop.example.org"):
        assert api.call("getSite", site_id=name)["name"] == "shop"
    assert api.call("getCurrentUser")["email"] == "me@example.org"
    (account,) = api.call("listAccountsForUser")
    assert api.call("getAccount", account_id=account["id"])["slug"] == "team"
    members = api.call("listMembersForAccount", account_slug="team")
    assert api.call("getAccountMember", account_slug="team", member_id=members[0]["id"]) == members[0]


def _listings(api: NetlifyApi, first: dict[str, Any], second: dict[str, Any]) -> None:
    draft = deploy(api, "draft", draft=True)
    other = api.call("createSiteDeploy", site_id=SITE, body={"branch": "next"})

    def listed(**query: object) -> list[str]:
        return [one["id"] for one in api.call("listSiteDeploys", site_id=SITE, **query)]

    assert listed() == [other["id"], draft["id"], second["id"], first["id"]]
    assert listed(page=2, per_page=3) == [first["id"]]
    assert listed(state="new") == [other["id"]]
    assert listed(branch="next") == [other["id"]]
    assert listed(production=True) == [draft["id"], second["id"], first["id"]]
    assert listed(**{"latest-published": True}) == [second["id"]]
    assert listed(**{"deploy-previews": True}) == []
    functions = api.call("getDeploy", deploy_id=second["id"])["available_functions"]
    assert [function["n"] for function in functions] == ["hello"]
    for gone in (draft, other):
        api.call("deleteDeploy", deploy_id=gone["id"])


def _files(api: NetlifyApi) -> None:
    (file,) = api.call("listSiteFiles", site_id=SITE)
    assert (file["path"], file["sha"], file["size"]) == ("/index.html", sha1("two"), 3)
    assert api.call("getSiteFileByPathName", site_id=SITE, file_path="index.html") == file


def _variables(api: NetlifyApi) -> None:
    where = {"account_id": "team", "site_id": SITE}
    values = [{"context": "production", "value": "s3cret"}, {"context": "dev", "value": "mine"}]
    added = [
        {"key": "KEY", "is_secret": True, "values": values},
        {"key": "COLOUR", "values": [{"context": "production", "value": "green"}]},
    ]
    api.call("createEnvVars", **where, body=added)

    def read(key: str) -> dict[str, str]:
        return {value["context"]: value["value"] for value in api.call("getEnvVar", **where, key=key)["values"]}

    assert read("KEY")["dev"] == "mine"
    assert set(read("KEY")["production"]) == {"*"}, "a secret is not read back"
    assert "s3cret" not in str([api.call("getEnvVars", **where), api.call("getSiteEnvVars", site_id=SITE)])
    api.call(
        "setEnvVarValue", **where, key="COLOUR", body={"context": "branch", "context_parameter": "next", "value": "red"}
    )
    assert read("COLOUR") == {"production": "green", "branch": "red"}
    api.call(
        "updateEnvVar", **where, key="COLOUR", body={"key": "COLOUR", "values": [{"context": "all", "value": "blue"}]}
    )
    assert read("COLOUR") == {"all": "blue"}
    (value,) = api.call("getEnvVar", **where, key="COLOUR")["values"]
    api.call("deleteEnvVarValue", **where, key="COLOUR", id=value["id"])
    assert read("COLOUR") == {}
    api.call("deleteEnvVar", **where, key="COLOUR")
    assert api.refusal("getEnvVar", **where, key="COLOUR") == (404, "Not Found")
    again = [{"key": "KEY", "values": []}]
    assert api.refusal("createEnvVars", **where, body=again) == (409, "KEY already exists")
    wrong = {"context": "moon", "value": "x"}
    assert api.refusal("setEnvVarValue", **where, key="KEY", body=wrong) == (422, "unknown context moon")


def _refusals(api: NetlifyApi, live: dict[str, Any], other: dict[str, Any]) -> None:
    """What the real API refuses, too."""
    waiting = api.call(
        "createSiteDeploy", site_id=SITE, body={"files": {"a.txt": sha1("a")}, "functions": {"f": "0" * 64}}
    )
    one, upload = {"deploy_id": waiting["id"]}, encode(b"other")
    refusals = [
        api.refusal("getSite", site_id="shop"),
        api.refusal("getSite", site_id="nobodys.netlify.app"),
        api.refusal("getSiteDeploy", site_id="site-shop-old", deploy_id=live["id"]),
        api.refusal("restoreSiteDeploy", site_id=SITE, deploy_id=waiting["id"]),
        api.refusal("rollbackSiteDeploy", site_id="site-shop-old"),
        api.refusal("lockDeploy", deploy_id=other["id"]),
        api.refusal("cancelSiteDeploy", deploy_id=live["id"]),
        api.refusal("deleteDeploy", deploy_id=live["id"]),
        api.refusal("uploadDeployFile", upload, **one, path="a.txt"),
        api.refusal("uploadDeployFile", upload, **one, path="b.txt"),
        api.refusal("uploadDeployFunction", upload, **one, name="f", runtime="js"),
        api.refusal("createSiteDeploy", site_id=SITE, body={"files": {"what?": sha1("a")}}),
        api.refusal("createSiteDeploy", site_id=SITE, body={"files": {}, "server": {"sha": "0" * 64}}),
        api.refusal("showSiteTLSCertificate", site_id="site-shop-old"),
        api.refusal("getSiteFileByPathName", site_id=SITE, file_path="nothing.html"),
    ]
    assert [status for status, _ in refusals] == [
        404,
        404,
        404,
        422,
        422,
        422,
        422,
        422,
        422,
        422,
        422,
        422,
        501,
        404,
        404,
    ]
    api.call("deleteDeploy", **one)


def render_table(api: NetlifyApi) -> str:
    """Return the table of docs/netlify.md."""
    tags: dict[str, list[Operation]] = {}
    for operation in api.operations.values():
        tags.setdefault(operation.tag, []).append(operation)
    lines = ["| group | works (and is refused with) | not emulated: 501 | why |", "|---|---|---|---|"]
    rest: list[str] = []
    for tag, members in sorted(tags.items()):
        works = [one.name for one in members if one.name in api.worked]
        missing = [one.name for one in members if one.name not in api.worked]
        if not works and tag not in WHY_NOT:
            rest.append(f"{tag} ({len(missing)})")
            continue
        why = WHY_NOT[tag] if missing else ""
        done = ", ".join(f"`{name}`{_statuses(api.refused.get(name, ()))}" for name in works)
        lines.append(f"| {tag} | {done} | {', '.join(f'`{name}`' for name in missing)} | {why} |")
    lines.append(f"| other groups | | {', '.join(rest)} | {UNRELATED} |")
    total = sum(map(len, tags.values()))
    head = f"Of the {total} operations of `@netlify/api` {VERSION}, {len(api.worked)} work:"
    return "\n".join([head, "", *lines])


def _statuses(statuses: Collection[int]) -> str:
    return f" ({', '.join(map(str, sorted(statuses)))})" if statuses else ""


@pytest.mark.exhaustive
def test_a_wrong_token_is_refused_by_every_operation(served: str) -> None:
    with netlify_api(served, "wrong") as api:
        for operation in api.operations.values():
            refused = api.refusal(operation.name, **operation.example(KNOWN))
            assert refused == (401, "Access Denied"), operation.name


@pytest.mark.parametrize(("kind", "content", "status", "told"), [
    ("application/json", b"PK", 400, "the body is not JSON"), ("application/json", b"[]", 400, "the body is not a dict"),
    ("application/zip", b"PK", 501, "the emulator has no deploys of a zip archive"),
])  # fmt: skip
def test_a_body_that_is_not_json_is_refused(kind: str, content: bytes, status: int, told: str) -> None:
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    with ThreadedServer(emulator.app) as server:
        url, headers = (
            f"{server.url}/api/v1/sites/{SITE}/deploys",
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind},
        )
        answer = httpx2.post(url, headers=headers, content=content)
    assert (answer.status_code, answer.json()["message"]) == (status, told)
