"""The examples of docs/artifacts.md are deployed: from a store, with a tag; and as an image, by a real Docker."""

import shutil
import subprocess
import sys

import pytest
import yaml

from docker_engine import DOCKERFILE, PushedImages, docker_engine
from multi_cloud import multi_cloud_project
from page_examples import Example
from sample_project import SampleProject


@pytest.mark.executes("docs/artifacts.md", 1)
@pytest.mark.exhaustive
@pytest.mark.usefixtures("s3")
def test_a_release_is_stored_and_tagged(project: SampleProject, examples: list[Example]) -> None:
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 (slow)

    example = yaml.safe_load(examples[0].text)
    local = project.config["environments"]["local"]
    project.config["artifacts"] = example["artifacts"]
    project.config["environments"] = {"local": local, "production": {**local, **example["environments"]["production"]}}
    commit = project.commit()
    project.deploy("--env", "production")
    bucket, _, folder = example["artifacts"]["store"].removeprefix("s3://").partition("/")
    stored = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    assert len([item for item in stored if item["Size"]]) >= len(project.config["services"])
    assert project.git("rev-parse", "v1^{commit}").strip() == commit
    assert (
        subprocess.run(
            ["git", "cat-file", "-t", "v1"], cwd=project.folder, capture_output=True, text=True, check=True
        ).stdout
        == "tag\n"
    )
    built = project.built_services(commit)
    project.run("down", "--yes", "--env", "production")
    for kept in (project.folder / ".abreast" / "artifacts").iterdir():
        subprocess.run(["rm", "-rf", str(kept)], check=True)
    project.deploy("--env", "local", "--release", "v1")
    assert project.built_services(commit) == built
    assert project.served_commits() == {"frontend": commit, "backend": commit}


@pytest.mark.executes("docs/artifacts.md", 3)
@pytest.mark.exhaustive
def test_an_image_is_built_and_deployed_by_its_digest(project: SampleProject, examples: list[Example]) -> None:
    with docker_engine() as registry, multi_cloud_project(project, project.folder.parent) as world:
        (service,) = world.render.services.values()
        shown = yaml.safe_load(examples[0].text.replace("ghcr.io", registry.address).replace("srv-…", service.id))
        service.image_path = shown["services"]["backend"]["build"]["image"]
        service.images = PushedImages(registry)
        shown["services"]["backend"]["run"] = f"exec {sys.executable} -S app.py"  # what the emulator starts, not Docker
        project.config["services"] = {
            "backend": {**project.config["services"]["backend"], **shown["services"]["backend"]}
        }
        project.config["environments"] = {"production": {"settle": "300ms", **shown["environments"]["production"]}}
        (project.folder / "backend").mkdir()
        (project.folder / "backend" / "Dockerfile").write_text(DOCKERFILE)
        shutil.copy(str(shutil.which("busybox")), project.folder / "busybox")
        commit = project.commit()
        world.deploy()
        for tag in ("v1", commit):
            labels = registry.labels("acme/api", tag)
            assert labels["org.opencontainers.image.version"] == "v1"
            assert labels["org.opencontainers.image.revision"] == commit
        deployed = service.deploys[-1].image
        assert deployed.startswith(f"{registry.address}/acme/api@sha256:")
        project.commit()
        world.deploy()
        assert service.deploys[-1].image != deployed
        project.run("rollback", "--yes", "--reason", "orders fail", variables=world.variables)
        assert service.deploys[-1].image == deployed


@pytest.mark.executes("docs/artifacts.md", 2)
@pytest.mark.exhaustive
def test_what_no_workflow_attested_is_refused(project: SampleProject, examples: list[Example]) -> None:
    local = project.config["environments"]["local"]
    production = yaml.safe_load(examples[0].text)["environments"]["production"]
    project.config["environments"] = {"local": local, "production": {**local, **production}}
    project.commit()
    refused = project.deploy("--env", "production", code=3).stderr
    assert "not attested" in refused
    project.deploy("--env", "local")
