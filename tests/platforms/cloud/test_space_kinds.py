"""Spaces of each kind: static and Gradio Spaces, private ones, and where a Docker Space's application listens."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from abreast.checks.http import HttpCheck
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import Address, Build, HealthSettings, Version
from abreast.core.secrets import Secret
from abreast.platforms.huggingface.container_port import port_conflict
from abreast.platforms.interface import InspectsRelease, Platform, ReportsLiveVersion, SourceFiles, StageRequest
from abreast.testing.platforms.huggingface import TOKEN
from abreast.testing.platforms.threaded_server import ThreadedServer
from platform_harness import SpaceHarness, SpacePairHarness
from sample_project import APP_SOURCE


class KindHarness(SpaceHarness):
    """A Space of another kind."""

    sdk = "static"

    def stage_request(self, name: str) -> StageRequest:
        request = super().stage_request(name)
        (request.artifact_path / "Dockerfile").unlink()
        self.write_files(request.artifact_path, self.commit(name))
        return request

    def write_files(self, tree: Path, commit: str) -> None:
        (tree / "index.html").write_text(json.dumps({"commit": commit}))


class GradioHarness(KindHarness):
    """A Space that starts ``app.py``, which listens where Gradio does."""

    sdk = "gradio"

    def write_files(self, tree: Path, commit: str) -> None:
        header = f"import os\nos.environ |= dict(HOST='0.0.0.0', PORT=os.environ['GRADIO_SERVER_PORT'], ABREAST_RELEASE='-', ABREAST_COMMIT='{commit}')\n"
        (tree / "app.py").write_text(header + APP_SOURCE)


@pytest.fixture
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SpaceHarness]:
    kind: type[SpaceHarness] = getattr(request, "param", SpaceHarness)
    with ExitStack() as cleanup:
        harness = kind(tmp_path, cleanup)
        if issubclass(kind, KindHarness):
            harness.emulator.add_space("owner/api", kind.sdk)
        yield harness


@pytest.mark.parametrize("space", [KindHarness, GradioHarness], indirect=True)
def test_a_space_of_another_kind_is_deployed_and_taken_back(space: SpaceHarness) -> None:
    one = space.deploy("one")
    assert space.served_commit() == space.commit("one")
    space.deploy("two")
    assert space.served_commit() == space.commit("two")
    space.switch_traffic(one)
    assert space.served_commit() == space.commit("one")
    assert space.is_present(one)


def test_an_unknown_kind_is_refused(space: SpaceHarness) -> None:
    space.emulator.spaces["owner/api"].sdk = "mystery"
    with pytest.raises(PlatformError, match="has the SDK mystery") as raised:
        space.live_version()
    assert "docker, gradio, static, streamlit" in str(raised.value)


@pytest.mark.parametrize(("change", "why"), [({"private": True}, "sends no token"), ({"sdk": "static"}, "static")])
def test_two_spaces_must_be_public_and_able_to_pause(tmp_path: Path, change: dict[str, object], why: str) -> None:
    with ExitStack() as cleanup:
        pair = SpacePairHarness(tmp_path, cleanup)
        for name, value in change.items():
            setattr(pair.emulator.spaces["owner/api-b"], name, value)
        with pytest.raises(PlatformError, match=why):
            pair.live_version()


# ── private Spaces ─────────────────────────────────────────────────────────────────────────────


def test_a_private_space_is_probed_with_the_token(space: SpaceHarness) -> None:
    space.emulator.spaces["owner/api"].private = True
    one = space.deploy("one")
    assert space.served_commit() == "", "users without a token do not reach it"
    live = replace(one, probes=one.live_probes)

    async def probe(check: HttpCheck) -> str:
        result = await check(live, HealthSettings("/"), space.commit("one"))
        await check.close()
        return result.why

    assert asyncio.run(probe(HttpCheck(lambda name: Secret(name, TOKEN)))) == ""
    assert "status 404" in asyncio.run(probe(HttpCheck()))
    assert "its Space is private: only requests with a token reach it; health checks send HF_TOKEN to" in notes(space)


def test_the_token_goes_to_the_address_that_names_it_alone() -> None:
    seen: dict[str, str | None] = {}

    async def answer(request: Request) -> JSONResponse:
        seen[request.url.path] = request.headers.get("Authorization")
        return JSONResponse({}, 302 if "private" in request.url.path else 200, {"Location": "/elsewhere"})

    with ThreadedServer(Starlette(routes=[Route("/{path:path}", answer)])) as server:
        probes = (Address(f"{server.url}/private", bearer="HF_TOKEN"), Address(f"{server.url}/public"))

        async def probe() -> None:
            check = HttpCheck(lambda name: Secret(name, "t0ken"))
            await check(Version("v", "api", probes, ""), HealthSettings("/"), "")
            await check.close()

        asyncio.run(probe())
    assert seen == {"/private/": "Bearer t0ken", "/public/": None}


# ── what the plan says of the files ────────────────────────────────────────────────────────────


def notes(space: SpaceHarness) -> str:
    async def work(platform: Platform) -> str:
        assert isinstance(platform, ReportsLiveVersion)
        await platform.live_version(space.service)
        return "\n".join(platform.capabilities(space.service).notes)

    return space.run(work)


def inspected(space: SpaceHarness, **files: str) -> list[Diagnostic]:
    """Return what the platform says of a commit with these files (``README_md="…"``)."""
    contents = {name.replace("_", "."): text.encode() for name, text in files.items()}

    async def work(platform: Platform) -> list[Diagnostic]:
        assert isinstance(platform, ReportsLiveVersion)
        assert isinstance(platform, InspectsRelease)
        await platform.live_version(space.service)
        return list(await platform.inspect_release(space.service, SourceFiles(contents.keys(), contents.get)))

    return space.run(work)


def test_it_says_that_the_checkout_becomes_public(space: SpaceHarness) -> None:
    (told,) = inspected(space, Dockerfile="FROM x\n", app_py="")
    assert told.what == "its whole checkout (2 files) becomes public in the Space owner/api"
    space.service = replace(space.service, build=Build(run="make", output="dist"))
    (told,) = inspected(space, Dockerfile="FROM x\n")
    assert told.what == "its build output, dist, becomes public in the Space owner/api"
    space.emulator.spaces["owner/api"].private = True
    assert inspected(space) == []


def test_a_missing_dockerfile_is_a_fault_unless_a_build_could_make_it(space: SpaceHarness) -> None:
    _, told = inspected(space, app_py="")
    assert (told.level, told.what) == (
        DiagnosticSeverity.FAULT, "the commit has no Dockerfile, so the Space owner/api cannot build it",
    )  # fmt: skip
    space.service = replace(space.service, build=Build(run="make"))
    assert len(inspected(space, app_py="")) == 1


def test_the_header_of_the_commits_readme_counts(space: SpaceHarness) -> None:
    dockerfile = "FROM x\nCMD uvicorn app:app --port 8000\n"
    _, told = inspected(space, Dockerfile=dockerfile)
    assert told.level is DiagnosticSeverity.WARNING
    assert told.what == (
        "its Dockerfile starts the application on port 8000, and the Space owner/api sends requests to port 7860 (app_port)"
    )
    assert "`app_port` in the header of README.md" in told.need
    assert len(inspected(space, Dockerfile=dockerfile, README_md="---\nsdk: docker\napp_port: 8000\n---\n")) == 1


@pytest.mark.parametrize("card", ["- a list\n", "app_port: none at all\n", ""])
def test_a_card_that_cannot_be_read_leaves_the_usual_port(space: SpaceHarness, card: str) -> None:
    emulated, store = space.emulator.spaces["owner/api"], space.emulator.repository
    tree = {"README.md": store.store_blob(f"---\n{card}---\n".encode())}
    commit = store.store_commit("by hand", tree, tuple(emulated.branches["main"]))
    emulated.commit_ids.add(commit.id)
    emulated.branches["main"].append(commit.id)
    _, told = inspected(space, Dockerfile="FROM x\nEXPOSE 8000\n")
    assert "port 7860 (app_port)" in told.what


@pytest.mark.parametrize(
    ("dockerfile", "conflict"),
    [
        ('FROM x\nCMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "7860"]', ""),  # the Hub's own example
        ('FROM x\nCMD ["uvicorn", "app:app", "--port", "8000"]', "starts the application on port 8000"),
        ("FROM x\nCMD uvicorn app:app --port=8000", "starts the application on port 8000"),
        ("FROM x\nCMD gunicorn -b 0.0.0.0:8000 app:app", "starts the application on port 8000"),
        ("FROM x\nCMD gunicorn --bind :7860 app:app", ""),
        ("FROM x\nCMD exec gunicorn --bind :$PORT app", "starts the application on $PORT, which a Space does not set"),
        ("FROM x\nENV PORT=7860\nCMD exec gunicorn --bind :$PORT app", ""),
        ("FROM x\nENV PORT 8080\nCMD gunicorn --bind :${PORT} app", "starts the application on port 8080"),
        ("FROM x\nCMD gunicorn --bind :${PORT:-8000} app", "starts the application on port 8000"),
        (
            'FROM x\nENTRYPOINT ["streamlit", "run", "app.py", "--server.port=8501"]',
            "starts the application on port 8501",
        ),
        ("FROM x\nCMD uvicorn app:app --host 127.0.0.1 --port 7860", "starts the application on 127.0.0.1"),
        ("FROM x\nCMD gunicorn -b localhost:7860 app", "starts the application on localhost"),
        ('FROM x\nENTRYPOINT ["node"]\nCMD ["server.js"]\nEXPOSE 3000', "exposes port 3000"),
        ("FROM x\nARG A\nENV P=3000\nEXPOSE $P/tcp", "exposes port 3000"),
        ("FROM x AS build\nEXPOSE 3000\nFROM y\nCOPY --from=build /a /a\nCMD ./run", ""),
        ("FROM x\nENV A=1 \\\n    PORT=3000\nCMD node server.js", "sets PORT to 3000"),
        ("FROM x\n# EXPOSE 3000\nRUN wget http://h:8080/x\nCMD ./run --timeout 3600", ""),
        ("FROM x\nEXPOSE 80 7860\nCMD nginx", ""),
        ('FROM x\nENTRYPOINT ["java", "-Dserver.port=8080", "-jar", "app.jar"]', "starts the application on port 8080"),
        ("FROM x\nCMD ./run --support 1234 --export 5000 --report=30", ""),
        ("FROM x\nCMD python app.py --http-port 8001 --host 0.0.0.0", "starts the application on port 8001"),
    ],
)
def test_where_a_dockerfile_says_that_its_application_listens(dockerfile: str, conflict: str) -> None:
    assert port_conflict(dockerfile, 7860) == (conflict and f"its Dockerfile {conflict}")


@pytest.mark.parametrize(
    ("lines", "runs"),
    [
        ("ENV PORT=7860 HOST=0.0.0.0\nCOPY . .\nCMD {app}", True),
        ("ENV PORT=7860 \\\n  HOST=0.0.0.0\nWORKDIR /srv/app\nCOPY app.py ./\nENTRYPOINT {app}", True),
        (
            'ENV PORT 7860\nENV HOST 0.0.0.0\nCOPY . /srv\nWORKDIR /srv\nENTRYPOINT ["/bin/sh", "-c"]\nCMD ["{app}"]',
            True,
        ),
        ("COPY . .\nCMD HOST=0.0.0.0 PORT=7860 {app}", True),
        ("ENV PORT=7860\nCOPY . .\nCMD {app}", False),  # only the container itself reaches 127.0.0.1
        ("COPY . .\nCMD {app}", False),  # there is no $PORT
        pytest.param("ENV PORT=8000\nCOPY . .\nCMD {app}", False, marks=pytest.mark.exhaustive),
        ("ENV PORT=7860\nCMD {app}", False),  # nothing was copied
    ],
)
def test_the_emulator_runs_a_dockerfile_as_a_space_does(space: SpaceHarness, lines: str, runs: bool) -> None:
    order = space.stage_request("one")
    app = f"ABREAST_RELEASE=- ABREAST_COMMIT={space.commit('one')} exec {sys.executable} -S app.py"
    (order.artifact_path / "Dockerfile").write_text("FROM x\n" + lines.format(app=app) + "\n")
    one = space.run(lambda platform: platform.stage(order, space.report))
    if runs:
        space.switch_traffic(one)
        assert space.served_commit() == space.commit("one")
        return
    with pytest.raises(PlatformError, match="RUNTIME_ERROR"):
        space.switch_traffic(one)


@pytest.mark.exhaustive
def test_the_emulator_says_where_an_application_should_listen(space: SpaceHarness) -> None:
    order = space.stage_request("one")
    listening = f"{sys.executable} -m http.server 0 --bind 127.0.0.1"
    (order.artifact_path / "Dockerfile").write_text(f"FROM x\nCMD {listening}\n")
    one = space.run(lambda platform: platform.stage(order, space.report))
    with pytest.raises(PlatformError, match="does not listen on the Space's app_port 7860"):
        space.switch_traffic(one)
