"""Layers of images are built once: a machine without any takes them from the service's earlier images."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from abreast.core.model import LiveService, Service, Version
from abreast.core.plan import DeploymentKind, OnFailure, Plan
from abreast.deploy.runtime.image_layers import earlier_images
from abreast.ledger.interface import ReleasePart
from abreast.ledger.sqlite import SqliteLedger
from docker_engine import Registry, bridge, buildkit_client, docker_registry, engine, variables
from sample_project import HEALTHY, SampleProject, require_programs

DOCKERFILE = """
FROM scratch AS tools
COPY busybox /busybox
RUN ["/busybox", "sh", "-c", "/busybox printf %s%s only-in the-stage > /token; /busybox head -c 64 /dev/urandom > /tool"]

FROM scratch
COPY busybox /busybox
RUN ["/busybox", "sh", "-c", "/busybox head -c 64 /dev/urandom > /expensive"]
COPY app.py /app.py
COPY --from=tools /tool /tool
"""
EXPENSIVE, APP, TOOL = 1, 2, 3


class Shop(NamedTuple):
    """A project whose backend is the image ``name``, deployed from machines that are all new."""

    project: SampleProject
    registry: Registry
    name: str
    new_machine: Callable[[], object]

    def deploy(self, *arguments: str) -> list[str]:
        """Deploy the current commit, and return the layers of its image."""
        self.project.run("deploy", "--yes", "--service", "backend", *arguments)
        return self.registry.layers(self.name, self.project.status()["release"])

    def change(self) -> None:
        self.project.commit(app_py=f"{self.project.app_source(HEALTHY)}# {time.time_ns()}\n")

    @property
    def log(self) -> str:
        """What the builds said."""
        return "".join(file.read_text() for file in (self.project.folder / ".abreast/logs").rglob("backend.build.log"))


@pytest.fixture(params=["BuildKit", "legacy builder"])
def shop(request: pytest.FixtureRequest, project: SampleProject) -> Iterator[Shop]:
    require_programs("docker", "dockerd", "busybox")
    with ExitStack() as stack:
        registry = stack.enter_context(docker_registry())
        is_buildkit = request.param == "BuildKit"
        if is_buildkit:
            path = os.pathsep.join((str(buildkit_client()), os.environ["PATH"]))
            stack.enter_context(variables(PATH=path))
        stack.enter_context(variables(DOCKER_BUILDKIT=str(int(is_buildkit))))
        network = stack.enter_context(bridge())
        machine = stack.enter_context(ExitStack())

        def new_machine() -> None:
            machine.close()
            machine.enter_context(engine(f"--bridge={network}"))

        new_machine()
        shutil.copy(str(shutil.which("busybox")), project.folder / "busybox")
        backend = project.config["services"]["backend"]
        backend["build"] = {"image": f"{registry.address}/shop/api", "dockerfile": "Dockerfile"}
        backend["run"] = f"exec {sys.executable} -S {project.folder}/app.py"
        project.commit(Dockerfile=DOCKERFILE)
        yield Shop(project, registry, "shop/api", new_machine)


def test_layers_are_built_again_only_if_they_changed_are_lost_or_force_is_given(shop: Shop) -> None:
    # The same machine keeps layers of other stages too: no image has them, and the legacy builder would lose them if it
    # was told of one.
    first = shop.deploy()
    shop.change()
    later = shop.deploy()
    assert (later[EXPENSIVE], later[TOOL]) == (first[EXPENSIVE], first[TOOL])
    assert later[APP] != first[APP]

    forced = shop.deploy("--force")
    assert forced[EXPENSIVE] != first[EXPENSIVE]

    # A new machine builds what changed alone; so does the next one, from an image that was built so.
    before = forced
    for _ in range(2):
        shop.new_machine()
        shop.change()
        later = shop.deploy()
        assert later[EXPENSIVE] == forced[EXPENSIVE]
        assert later[APP] != before[APP]
        before = later
    releases = {f"v{number}" for number in range(1, 6)}
    assert shop.registry.tags(shop.name) == releases | {*shop.project.git("log", "--format=%H", "-4").split()}
    assert b"only-in-the-stage" not in shop.registry.contents()

    # Without the earlier images, all is built.
    shop.registry.forget(shop.name)
    shop.new_machine()
    shop.change()
    assert shop.deploy()[EXPENSIVE] != forced[EXPENSIVE]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(tmp_path, lambda: datetime(2026, 11, 21, tzinfo=UTC)) as opened:
        yield opened


def deployed(ledger: SqliteLedger, environment: str, image: str, *, live: bool = True) -> None:
    """Record a deployment that built an image."""
    service = Service("api", "render")
    release = ledger.reserve_version("shop", "c")
    plan = Plan(
        f"D{release}", DeploymentKind.DEPLOY, "shop", environment, release, "c", (), 1, 1, OnFailure.TOGETHER, "", "me"
    )
    ledger.record_plan(plan)
    ledger.add_release_part(release, ReleasePart("api", "c", f"sha256:{image}", service, image))
    if live:
        version = Version(f"api-{release}", "api", (), "")
        ledger.record_live_services(
            plan.deployment, [LiveService("api", "render", release, "c", image, plan.deployment, "t", version, service)]
        )


def test_layers_come_from_images_of_the_environment(ledger: SqliteLedger) -> None:
    def images(environment: str) -> tuple[str, ...]:
        return earlier_images(ledger, environment, "api", "r/api")

    assert images("staging") == ()
    deployed(ledger, "staging", "r/api@sha256:1")
    for _ in range(20):
        deployed(ledger, "staging", "", live=False)
    deployed(ledger, "staging", "r/other@sha256:2", live=False)
    deployed(ledger, "staging", "r/api@sha256:3", live=False)
    deployed(ledger, "staging-pr-7", "r/api@sha256:4")
    deployed(ledger, "production", "r/api@sha256:5")
    assert images("staging") == ("r/api@sha256:3", "r/api@sha256:1")
    assert images("staging-pr-7") == ("r/api@sha256:4", "r/api@sha256:1")
    assert images("staging-pr-8") == ("r/api@sha256:1",)
    for digest in "6789":
        deployed(ledger, "staging", f"r/api@sha256:{digest}")
    assert images("staging") == tuple(f"r/api@sha256:{digest}" for digest in "987")
