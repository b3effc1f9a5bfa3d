"""Images: built once, tagged with release and commit, pushed, and deployed by the digest that the registry gave."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from abreast.core import container_image
from abreast.core.gates import Finding, Severity
from abreast.core.reports import scan_results
from docker_engine import DOCKERFILE, PushedImages, Registry, docker_engine
from github_stage import TOKEN, github_stage
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import NEVER_HEALTHY, SampleProject
from sigstore_instance import gh_verify, sigstore_instance


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with docker_engine() as registry:
        yield registry


@pytest.fixture
def world(project: SampleProject, registry: Registry) -> Iterator[MultiCloudProject]:
    with multi_cloud_project(project, project.folder.parent) as world:
        name = f"{registry.address}/shop/{project.folder.parent.name.lower().replace('_', '-').strip('-')}"
        project.config["services"]["backend"]["build"] = {"image": name, "dockerfile": "api.Dockerfile"}
        project.config["environments"]["local"]["backend"]["render"]["image"] = "$ABREAST_IMAGE"
        shutil.copy(str(shutil.which("busybox")), project.folder / "busybox")
        service = next(iter(world.render.services.values()))
        service.image_path, service.images = name, PushedImages(registry)
        project.commit(api_Dockerfile=DOCKERFILE)
        yield world


def kept(project: SampleProject) -> container_image.ContainerImage:
    """The image of the backend that is live."""
    live = project.status()["services"]["backend"]["artifact"].removeprefix("sha256:")
    return container_image.parse_record(
        (project.folder / ".abreast" / "artifacts" / live / container_image.RECORD_FILE).read_bytes()
    )


def test_an_image_is_built_pushed_and_deployed_by_its_digest(world: MultiCloudProject, registry: Registry) -> None:
    first = world.project.commit()
    world.deploy()
    assert world.served_commits["backend"] == first
    found = kept(world.project)
    name = found.pinned.partition("@")[0]
    assert set(found.tags) == {f"{name}:v1", f"{name}:{first}"}
    assert registry.labels(name.partition("/")[2], "v1")["org.opencontainers.image.version"] == "v1"
    deploys = next(iter(world.render.services.values())).deploys
    assert deploys[0].image == found.pinned or deploys[-1].image == found.pinned
    world.project.commit("Change")
    world.deploy()
    assert kept(world.project).pinned != found.pinned
    world.project.run("rollback", "--yes", "--reason", "no", variables=world.variables)
    assert (kept(world.project), world.served_commits["backend"]) == (found, first)

    # What cannot be built stops it.
    world.project.commit(api_Dockerfile=DOCKERFILE.replace('"true"', '"false"'))
    _, told = world.deploy(code=1)
    assert "`docker build --file api.Dockerfile" in told
    assert world.served_commits == world.all_at_commit(first)


def test_the_attestation_of_an_image_is_one_of_its_digest_in_the_registry(
    world: MultiCloudProject, tmp_path: Path
) -> None:
    with github_stage(tmp_path / "github") as stage, sigstore_instance(tmp_path) as (instance, file):
        stage.repository.path = world.project.folder
        instance.run.commit = world.project.commit()
        workflow = {
            **instance.runner_variables, "ABREAST_SIGSTORE": str(file), "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": stage.url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/shop",
            "ABREAST_STATE": ".abreast", "HTTPS_PROXY": "http://127.0.0.1:9",  # GitHub's own issuer is away
        }  # fmt: skip
        world.project.deploy(variables={**world.variables, **workflow})
        artifact = world.project.status()["services"]["backend"]["artifact"].removeprefix("sha256:")
        bundle = world.project.folder / ".abreast" / "artifacts" / f"{artifact}.bundle.sigstore.json"
        done = gh_verify(instance, f"oci://{kept(world.project).pinned}", bundle)
        assert done.returncode == 0, done.stderr
        subjects = json.loads(done.stdout)[0]["verificationResult"]["statement"]["subject"]
        assert [subject["name"] for subject in subjects] == ["backend", kept(world.project).pinned.partition("@")[0]]


def test_a_command_migrates_with_the_image_that_was_built(world: MultiCloudProject, tmp_path: Path) -> None:
    make = "import os, sqlite3; sqlite3.connect(os.environ['DATABASE_URL'][10:]).execute('CREATE TABLE orders (id)')"
    world.project.config["services"]["backend"]["database"] = {
        "url": f"sqlite:///{tmp_path}/shop.db",
        "command": f'docker run --rm --network none --entrypoint /busybox "$ABREAST_IMAGE" true && {sys.executable} -c "{make}"',
    }
    world.project.commit()
    world.deploy()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        assert db.execute("SELECT count(*) FROM orders").fetchall() == [(0,)]


def test_an_image_that_is_too_large_is_refused(world: MultiCloudProject) -> None:
    world.project.config["gates"] = {"images": {"size": "1MB", "unknown": "allow"}}
    world.project.config["environments"]["local"]["gates"] = "full"
    world.project.commit()
    _, told = world.deploy(code=3)
    assert "high  size: " in told
    assert "MB, over the limit of 1" in told
    world.project.config["gates"]["images"]["size"] = "10MB"
    world.project.commit()
    _, told = world.deploy()
    assert "images unknown: trivy is not installed: https://trivy.dev, or grype" in told


def test_without_an_image_there_is_none_to_deploy(project: SampleProject) -> None:
    with multi_cloud_project(project, project.folder.parent) as world:
        project.config["environments"]["local"]["backend"]["render"]["image"] = "$ABREAST_IMAGE"
        project.commit(app_py=project.app_source(NEVER_HEALTHY))
        _, told = world.deploy(code=1)
        assert "no image was built of backend, which $ABREAST_IMAGE stands for" in told


TRIVY = {"SchemaVersion": 2, "Results": [{"Target": "app (debian 12.1)", "Vulnerabilities": [
    {"VulnerabilityID": "CVE-2026-1", "PkgName": "libc6", "InstalledVersion": "2.36", "FixedVersion": "2.37", "Severity": "CRITICAL"},
    {"VulnerabilityID": "CVE-2026-2", "PkgName": "zlib", "InstalledVersion": "1", "Severity": "UNKNOWN"}]}, {"Target": "x"}]}  # fmt: skip
GRYPE = {
    "matches": [
        {"vulnerability": {"id": "CVE-2026-3", "severity": "Negligible"}, "artifact": {"name": "bash", "version": "5"}}
    ]
}


def test_reports_of_scanners() -> None:
    assert scan_results.trivy(json.dumps(TRIVY).encode()) == [
        Finding("CVE-2026-1", "libc6 2.36; fixed in 2.37", Severity.CRITICAL, "app (debian 12.1)"),
        Finding("CVE-2026-2", "zlib 1", Severity.HIGH, "app (debian 12.1)"),
    ]
    assert scan_results.grype(json.dumps(GRYPE).encode()) == [Finding("CVE-2026-3", "bash 5", Severity.LOW)]
    for read in (scan_results.trivy, scan_results.grype):
        with pytest.raises(ValueError, match=r".+"):
            read(b"{}")


@pytest.mark.parametrize("content", ["[]", "[{}]", '[{"RepoDigests": [], "Id": "x", "Size": 1}]', "nothing"])
def test_an_image_without_a_digest_is_none(content: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        container_image.parse_inspect_output("127.0.0.1:1/shop", content.encode())


def test_names_are_quoted_for_the_shell() -> None:
    text = container_image.build_and_push_commands("r/x", "my dir/Dockerfile", "my dir", "v1", "c" * 40)
    assert "--file 'my dir/Dockerfile'" in text
    assert text.count("docker push --quiet r/x:") == 2
