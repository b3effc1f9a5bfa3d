"""One release, one origin: a frontend whose paths under `/api` its backend answers, on `local` and at Netlify."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from abreast.machine.tls import ssl_context
from abreast.testing.platforms import huggingface
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from multi_cloud import DOCKERFILE
from sample_project import APP_SOURCE, UNHEALTHY_AFTER_REQUESTS, SampleProject, eventually, get_json

STOREFRONT = Path(__file__).parents[2] / "examples/storefront"
TELLS_PATH = ("**more}", '"path": self.path, **more}')


@pytest.fixture
def one_origin(project: SampleProject) -> SampleProject:
    project.config["services"]["frontend"]["routes"] = {"/api": "backend"}
    (project.folder / "app.py").write_text(APP_SOURCE.replace(*TELLS_PATH))
    return project


@contextmanager
def pairs_seen(port: int) -> Iterator[list[str]]:
    """Ask for the page and the service in turn, over one connection, and yield the commits that were told."""
    seen: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", verify=ssl_context(), timeout=30) as client:
            while not stop.is_set():
                seen.extend(client.get(path).raise_for_status().json()["commit"] for path in ("/", "/api/x"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seen
    finally:
        stop.set()
        asking.join()


def test_a_release_is_reached_as_a_whole_and_turned_back_as_a_whole(one_origin: SampleProject) -> None:
    first = one_origin.commit()
    one_origin.deploy()
    port = one_origin.frontend_port
    assert get_json(port, "/api/x?a=1") == {"release": "v1", "commit": first, "path": "/api/x?a=1"}
    with pairs_seen(port) as seen:
        second = one_origin.commit()
        one_origin.deploy()
        eventually(lambda: seen[-2:] == [second, second])
    assert [pair for pair in pairwise(seen) if pair[0] != pair[1]] == [(first, second)]
    one_origin.config["environments"]["local"]["settle"] = "60s"
    broken = APP_SOURCE.replace(*TELLS_PATH).replace("    return 200, {}\n", UNHEALTHY_AFTER_REQUESTS)
    with pairs_seen(port) as seen:
        third = one_origin.commit("Leak", app_py=broken)
        one_origin.deploy(code=1)
        eventually(lambda: seen[-2:] == [second, second])
    assert [pair for pair in pairwise(seen) if pair[0] != pair[1]] == [(second, third), (third, second)]


def test_only_the_backend_is_deployed_and_the_frontend_leads_to_it(one_origin: SampleProject) -> None:
    one_origin.config["services"]["frontend"]["watch"] = ["frontend.txt"]
    first = one_origin.commit()
    one_origin.deploy()
    second = one_origin.commit()
    one_origin.deploy()
    served = get_json(one_origin.frontend_port)["commit"], get_json(one_origin.frontend_port, "/api")["commit"]
    assert served == (first, second)


def test_a_candidate_is_checked_with_the_candidate_that_it_routes_to(one_origin: SampleProject) -> None:
    """Only the new backend knows the path that the new frontend is checked at."""
    one_origin.commit()
    one_origin.deploy()
    one_origin.config["services"]["frontend"]["health"] |= {"path": "/api/new", "start": "20s"}
    source = APP_SOURCE.replace('if self.path.startswith("/health") else (200', 'if self.path != "/api/old" else (404')
    new = one_origin.commit(app_py=source)
    one_origin.deploy()
    assert get_json(one_origin.frontend_port)["commit"] == new


@pytest.mark.parametrize("platform", ["local", "netlify"])
def test_the_storefront_calls_its_own_origin(project: SampleProject, platform: str) -> None:
    shutil.copytree(STOREFRONT, project.folder, dirs_exist_ok=True)
    text = (STOREFRONT / "abreast.yml").read_text()
    for default, port in (("8080", project.frontend_port), ("8081", project.backend_port)):
        text = text.replace(default, str(port))
    if platform == "netlify":
        text = text.replace(
            f"frontend: {{local: {{port: {project.frontend_port}}}}}", "frontend: {netlify: {site: shop}}"
        )
    text = text.replace("settle: 3s", "settle: 300ms")
    project.git("rm", "-q", "--cached", "app.py")
    project.commit()
    (project.folder / "abreast.yml").write_text(text)
    project.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "Shop")
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    with ThreadedServer(emulator.app) as served:
        variables = {"NETLIFY_API_URL": served.url, "NETLIFY_AUTH_TOKEN": TOKEN}
        told = project.deploy(variables=variables)
        limits = "/api: Netlify passes requests on for at most 26 s, and no websockets"
        assert (limits in told.stdout + told.stderr) is (platform == "netlify")
        port = project.frontend_port if platform == "local" else int(served.url.rpartition(":")[2])
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"Host": f"shop.localhost:{port}"}) as client:
            assert "<h1>Storefront</h1>" in client.get("/").text
            assert client.get("/api/products").json()[0]["id"] == 1
            ordered = client.post("/api/orders", content=json.dumps({"product": 1}))
            assert (ordered.status_code, ordered.json()["release"]) == (201, "v1")
            assert client.get("/api/nothing").status_code == 404
            assert client.get("/nothing").status_code == 404


def test_the_plan_says_what_the_platform_cannot(one_origin: SampleProject, tmp_path: Path) -> None:
    files = {
        "public/_redirects": "/ /au 302 Country=au\n/x /y\n/p https://p.example 200 signed=KEY\nwrong\n",
        "netlify.toml": '[[redirects]]\nfrom = "/admin/*"\nto = "/a"\nconditions = {Role = ["admin"]}\n',
        "netlify/edge-functions/hello.ts": "",
    }
    for name, text in files.items():
        (one_origin.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (one_origin.folder / name).write_text(text)
    build = one_origin.config["services"]["frontend"]["build"]
    build["run"] += "; cp public/_redirects dist"
    one_origin.commit()
    planned = one_origin.run("plan").stdout
    for limit in (
        "/ depends on Country (public/_redirects)",
        "/admin/* depends on Role (netlify.toml)",
        "/p is signed",
    ):
        assert f"the rule for {limit}" in planned
    assert "`local` does not run the edge functions in netlify/edge-functions" in planned
    told = one_origin.deploy()
    assert "skipped: _redirects, line 4: there is no destination" in told.stdout + told.stderr
    www = {"static-dir": {"to": str(tmp_path / "www"), "url": "http://127.0.0.1:1"}}
    one_origin.config["environments"]["local"]["frontend"] = www
    one_origin.commit()
    planned = one_origin.run("plan").stdout
    assert "static-dir does not route /api: whatever serves the site there has to" in planned


def test_the_service_may_run_elsewhere_and_move(one_origin: SampleProject) -> None:
    """A site on `local` leads to the address of a service that runs on another platform, once it does."""
    first = one_origin.commit()
    one_origin.deploy()
    port, hub = one_origin.frontend_port, huggingface.HuggingFaceEmulator(one_origin.folder.parent)
    assert get_json(port, "/api/x")["commit"] == first
    hub.add_space("owner/api")
    with ThreadedServer(hub.app) as served:
        one_origin.config["environments"]["local"]["backend"] = {"huggingface": {"space": "owner/api"}}
        second = one_origin.commit(Dockerfile=DOCKERFILE)
        one_origin.deploy(variables={"HF_ENDPOINT": served.url, "HF_TOKEN": huggingface.TOKEN})
        assert get_json(port)["commit"] == second
        assert get_json(port, "/api/x?a=1")["commit"] == second
    hub.close()
