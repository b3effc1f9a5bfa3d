"""Functions, edge functions and servers of frameworks: deployed if they are bundled, else refused, never left out."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from abreast.core.errors import PlatformError
from abreast.core.model import Build, Version
from abreast.platforms.interface import SourceFiles
from abreast.platforms.netlify.client import Deploy
from abreast.platforms.netlify.source_check import require_deployable_source
from netlify_stage import SERVICE, Stage, netlify_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with netlify_stage(tmp_path) as made:
        yield made


BUNDLED = replace(SERVICE, settings={"site": "shop", "functions": "bundled"})


def archive(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(zipfile.ZipInfo("hello.mjs"), text)
    return content.getvalue()


def bundle(stage: Stage, version: str, **functions: bytes) -> None:
    """Write functions as `netlify build` does, on a machine whose folders are gone."""
    entries = [
        {
            "name": name, "path": f"/home/ci/repo/.netlify/functions/{name}.zip", "runtime": "js",
            "runtimeVersion": "nodejs20.x", "invocationMode": "background", "schedule": "@daily",
            "buildData": {"runtimeAPIVersion": 2}, "routes": [{"pattern": f"/api/{name}", "literal": f"/api/{name}", "methods": []}],
            "trafficRules": {"action": {"type": "rate_limit", "config": {"rateLimitConfig": {"windowSize": 60}}}},
        }
        for name in functions
    ]  # fmt: skip
    stage.put(version, ".netlify/functions/manifest.json", json.dumps({"functions": entries, "version": 1}))
    for name, content in functions.items():
        stage.put(version, f".netlify/functions/{name}.zip", content)


def deploy(stage: Stage, version: str) -> Version:
    made = stage.stage(version)
    stage.turn(made)
    return made


def status(stage: Stage, path: str) -> int:
    return httpx2.get(f"{stage.url}/s/shop{path}").status_code


def test_bundled_functions_go_along_and_each_is_sent_once(stage: Stage) -> None:
    stage.service = BUNDLED
    bundle(stage, "web-1", hello=archive("1"), pay=archive("2"))
    one = deploy(stage, "web-1")
    assert "netlify: uploading 1 of 1 files, 2 of 2 functions" in stage.told
    made = stage.emulator.deploys[one.handle["deploy"]]
    assert made.runtimes == {"hello": "nodejs20.x", "pay": "nodejs20.x"}
    assert made.schedules == [{"name": "hello", "cron": "@daily"}, {"name": "pay", "cron": "@daily"}]
    assert [status(stage, path) for path in ("/.netlify/functions/pay", "/api/pay", "/.netlify/functions/x")] == [
        501,
        501,
        404,
    ]
    assert status(stage, "/.netlify/functions/manifest.json") == 404, "what is bundled is not a file of the site"
    bundle(stage, "web-2", hello=archive("1"), pay=archive("3"))
    deploy(stage, "web-2")
    assert "netlify: uploading 1 of 1 files, 1 of 2 functions" in stage.told


def test_functions_go_along_to_a_branch(stage: Stage) -> None:
    stage.service = replace(BUNDLED, settings={**BUNDLED.settings, "branch": "staging"})
    bundle(stage, "web-1", hello=archive("1"))
    deploy(stage, "web-1")
    assert httpx2.get(f"{stage.url}/d/staging--shop/.netlify/functions/hello").status_code == 501


def test_edge_functions_and_the_resolved_configuration_go_along(stage: Stage) -> None:
    stage.service = BUNDLED
    route = {"function": "geo", "pattern": "^/shop(?:/.*)?$"}
    manifest = json.dumps({"bundles": [{"asset": "a.eszip", "format": "eszip2"}], "routes": [route]})
    stage.put("web-1", ".netlify/edge-functions-dist/manifest.json", manifest)
    stage.put("web-1", ".netlify/edge-functions-dist/a.eszip", "bundle")
    stage.put("web-1", "netlify.toml", "")
    stage.put("web-1", ".netlify/netlify.toml", '[[redirects]]\nfrom = "/added"\nto = "/index.html"\nstatus = 200\n')
    deploy(stage, "web-1")
    assert [status(stage, path) for path in ("/shop/1", "/added", "/.netlify/internal/edge-functions/a.eszip")] == [
        501,
        200,
        404,
    ]
    notes = stage.run(lambda netlify: netlify.inspect_release(SERVICE, None))
    assert "has functions (edge functions), and users lose those" in notes[0].what


def test_functions_that_users_lose_are_said_in_the_plan(stage: Stage) -> None:
    stage.service = BUNDLED
    bundle(stage, "web-1", hello=archive("1"), pay=archive("2"))
    deploy(stage, "web-1")
    notes = stage.run(lambda netlify: netlify.inspect_release(SERVICE, None))
    assert "has functions (hello, pay), and users lose those that this release does not have" in notes[0].what
    assert stage.run(lambda netlify: netlify.inspect_release(BUNDLED, None)) == []


@pytest.mark.parametrize(("file", "service", "told"), [
    (".netlify/functions-internal/server.mjs", SERVICE, "made functions and did not bundle them"),
    (".netlify/v1/edge-functions/ssr.ts", SERVICE, "made functions and did not bundle them"),
    (".netlify/blobs/deploy/page", SERVICE, "made blobs of a deploy"),
    (".netlify/internal/db/migrations/1.sql", SERVICE, "made migrations of a Netlify database"),
    ("news.html", BUNDLED, "bundled no functions"),
    (".netlify/functions/manifest.json", SERVICE, "manifest.json cannot be used"),
])  # fmt: skip
def test_what_a_build_made_and_cannot_be_deployed_is_refused(
    stage: Stage, file: str, service: object, told: str
) -> None:
    stage.put("web-1", file, "{}")
    stage.service = SERVICE if service is SERVICE else BUNDLED
    with pytest.raises(PlatformError, match=told) as raised:
        stage.stage("web-1")
    assert (bool(raised.value.need), raised.value.next) == (True, "change the build, commit, then: abreast deploy")
    assert not stage.emulator.deploys


def test_an_archive_that_is_missing_is_refused(stage: Stage) -> None:
    bundle(stage, "web-1", hello=archive("1"))
    (stage.folder / "web-1/.netlify/functions/hello.zip").unlink()
    with pytest.raises(PlatformError, match=r"manifest\.json cannot be used: .*hello\.zip"):
        stage.stage("web-1")


def test_functions_that_are_bundled_do_not_stand_for_edge_functions_that_are_not(stage: Stage) -> None:
    bundle(stage, "web-1", hello=archive("1"))
    stage.put("web-1", ".netlify/functions-internal/hello.mjs", "")
    deploy(stage, "web-1")
    bundle(stage, "web-2", hello=archive("1"))
    stage.put("web-2", ".netlify/edge-functions/geo.ts", "")
    with pytest.raises(PlatformError, match=r"did not bundle them \(\.netlify/edge-functions\)"):
        stage.stage("web-2")


def test_the_output_of_a_frameworks_server_is_refused(stage: Stage) -> None:
    for path in ("BUILD_ID", "server/app.js"):
        stage.put("web-1", path, "x")
    with pytest.raises(PlatformError, match=r"a server of Next\.js, not a folder of files"):
        stage.stage("web-1")


NPM, DIST, OUT = Build(run="npm run build", output="dist"), Build(run="make", output="web/dist"), Build(output="dist")
KIT = json.dumps({"devDependencies": {"@sveltejs/adapter-netlify": "5"}})
NEXT = '[[plugins]]\npackage = "@netlify/plugin-nextjs"\n'
BUNDLES = {"functions": "bundled"}
NONE = {"functions": "none"}
SOURCES: list[tuple[dict[str, str], Build, dict[str, str], str]] = [
    (
        {"netlify/functions/a.mjs": "", "netlify/functions/b.ts": ""},
        NPM,
        {},
        r"functions for Netlify \(netlify/functions/a.mjs and 1 more\)",
    ),
    ({"netlify/edge-functions/geo.ts": ""}, NPM, {}, r"\(netlify/edge-functions/geo.ts\)"),
    ({"netlify-automatic-functions/a.js": ""}, NPM, {}, r"\(netlify-automatic-functions/a.js\)"),
    ({"web/netlify/functions/a.mjs": ""}, DIST, {}, r"\(web/netlify/functions/a.mjs\)"),
    ({"netlify/functions/a.mjs": ""}, DIST, {}, r"\(netlify/functions/a.mjs\)"),
    ({"netlify.toml": '[functions]\ndirectory = "api"', "api/a.js": ""}, NPM, {}, r"\(api/a.js\)"),
    ({"netlify.toml": '[build]\nfunctions = "api/"', "api/a.js": ""}, NPM, {}, r"\(api/a.js\)"),
    ({"netlify.toml": '[build]\nedge_functions = "edge"', "edge/a.js": ""}, NPM, {}, r"\(edge/a.js\)"),
    ({"package.json": KIT}, NPM, {}, r"\(@sveltejs/adapter-netlify\)"),
    ({"netlify.toml": NEXT}, NPM, {}, "stores blobs with a deploy"),
    ({"netlify.toml": NEXT}, NPM, BUNDLES, "stores blobs with a deploy"),
    ({}, Build(run="next build", output=".next"), {}, r"the output of a server of Next\.js"),
    ({}, Build(run="nuxt build", output="web/.output"), BUNDLES, "the output of a server of Nuxt"),
    ({}, Build(run="next build", output=".next"), NONE, r"the output of a server of Next\.js"),
    ({"netlify/functions/a.mjs": ""}, OUT, BUNDLES, "nothing bundles the functions"),
    ({"netlify.toml": "[build"}, NPM, {}, "netlify.toml is not valid"),
]


@pytest.mark.parametrize(("files", "build", "settings", "told"), SOURCES)
def test_sources_that_a_release_would_leave_out_are_refused_before_the_build(
    files: dict[str, str], build: Build, settings: dict[str, str], told: str
) -> None:
    service = replace(SERVICE, settings={"site": "shop", **settings}, build=build)
    with pytest.raises(PlatformError, match=told) as raised:
        require_deployable_source(service, SourceFiles(files, lambda name: files.get(name, "").encode()))
    assert raised.value.need
    assert raised.value.next.endswith("commit, then: abreast plan")


@pytest.mark.parametrize(("files", "build", "settings"), [
    ({"index.html": "", "package.json": "not json"}, NPM, {}),
    ({"package.json": json.dumps({"dependencies": {"next": "15"}})}, Build(run="next build", output="out"), {}),
    ({"netlify/functions/a.mjs": "", "package.json": KIT}, NPM, BUNDLES),
    ({"netlify/functions/a.mjs": "", "netlify.toml": NEXT}, NPM, NONE),
    ({"other/netlify/functions/a.mjs": "", "netlify/functions.md": ""}, DIST, {}),
])  # fmt: skip
def test_sources_of_which_nothing_is_left_out(files: dict[str, str], build: Build, settings: dict[str, str]) -> None:
    service = replace(SERVICE, settings={"site": "shop", **settings}, build=build)
    require_deployable_source(service, SourceFiles(files, lambda name: files.get(name, "").encode()))


@pytest.mark.parametrize(("told", "names"), [
    ({}, ()), ({"available_functions": None}, ()), ({"available_functions": ["hello"]}, ()),
    ({"available_functions": {"n": "hello"}}, ()), ({"available_functions": [{"n": "hello"}, {"other": 1}]}, ("hello",)),
    ({"edge_functions_present": True}, ("edge functions",)), ({"edge_functions_present": None}, ()),
])  # fmt: skip
def test_what_netlify_tells_of_functions_is_read_with_care(told: dict[str, object], names: tuple[str, ...]) -> None:
    assert Deploy.model_validate({"id": "1", "state": "ready", **told}).function_names == names
