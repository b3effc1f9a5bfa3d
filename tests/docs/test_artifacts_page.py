"""The first example of docs/artifacts.md is deployed: another clone deploys the release from its store, and it has a tag."""

import subprocess
from pathlib import Path

import pytest

from page_examples import configs
from sample_project import SampleProject

EXAMPLE, _IMAGES = configs(Path(__file__).parents[2] / "docs" / "artifacts.md")


@pytest.mark.executes("docs/artifacts.md", 1)
@pytest.mark.exhaustive
@pytest.mark.usefixtures("s3")
def test_a_release_is_stored_and_tagged(project: SampleProject) -> None:
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 (slow)

    local = project.config["environments"]["local"]
    project.config["artifacts"] = EXAMPLE["artifacts"]
    project.config["environments"] = {"local": local, "production": {**local, **EXAMPLE["environments"]["production"]}}
    commit = project.commit()
    project.deploy("--env", "production")
    bucket, _, folder = EXAMPLE["artifacts"]["store"].removeprefix("s3://").partition("/")
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
