"""Each abreast.yml of the README and the reference is deployed, in a repository that has what it names."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import postgres_server
from advisory_database import AdvisoryDatabase, served
from page_examples import Example
from sample_project import get_json
from storefront_repository import StorefrontRepository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[StorefrontRepository]:
    made = StorefrontRepository(tmp_path / "storefront")
    yield made
    made.down()


def healthy(repository: StorefrontRepository, environment: str) -> set[str]:
    """Return the services that are live and healthy."""
    status = json.loads(repository.run("status", "--env", environment, "--json").stdout)
    services = status["environments"][environment]["services"]
    return {name for name, service in services.items() if service["health"] == "healthy"}


@pytest.mark.executes("README.md", 1)
@pytest.mark.exhaustive
def test_the_readme_has_one_origin_and_ignores_notes(repository: StorefrontRepository, examples: list[Example]) -> None:
    repository.variables["DATABASE_URL"] = "postgresql://localhost/shop"
    repository.follow(yaml.safe_load(examples[0].text))
    repository.deploy()
    commit = repository.git("rev-parse", "HEAD").strip()
    port = repository.ports["local", "frontend"]
    assert [get_json(port, path)["commit"] for path in ("/", "/api/health")] == [commit] * 2
    repository.write("frontend/notes.md", "no reason to deploy")
    repository.commit()
    planned = json.loads(repository.run("plan", "--json").stdout)["services"]
    assert planned["frontend"]["action"] == "keep"


def is_warm(repository: StorefrontRepository) -> None:
    (log,) = (repository.folder / ".abreast" / "logs").rglob("backend.release.log")
    assert "warm for v1" in log.read_text()


def has_its_tables_and_a_drill(repository: StorefrontRepository) -> None:
    assert "001_orders.sql" in repository.run("db", "status", "--env", "local").stdout
    assert "recovery time" in repository.run("db", "drill", "--env", "local").stdout


def passed_its_gates(repository: StorefrontRepository) -> None:
    judged = [event["data"] for event in repository.latest_deployment()["events"] if event["kind"] == "judged"]
    verdicts = {(gate["gate"], gate["verdict"]) for gate in judged}
    assert verdicts == {(name, "passed") for name in ("test", "coverage", "lint", "secrets", "dependencies")}


def has_previews(repository: StorefrontRepository) -> None:
    repository.run("db", "backup", "--env", "staging")
    repository.write("public/index.html", "of a pull request")
    repository.commit()
    repository.deploy("--env", "staging-pr-17")
    assert "frontend" in healthy(repository, "staging-pr-17")


MORE: dict[int, Callable[[StorefrontRepository], None]] = {
    2: is_warm,
    3: has_its_tables_and_a_drill,
    4: passed_its_gates,
    6: has_previews,
}
"""What else the example is about, by its number."""


@pytest.mark.executes("docs/reference.md", 1, 2, 3, 4, 5, 6, 7)
@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(7))
@pytest.mark.usefixtures("s3")
def test_the_reference(repository: StorefrontRepository, examples: list[Example], number: int) -> None:
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 (slow)

    boto3.client("s3").create_bucket(Bucket="backups")
    shown = yaml.safe_load(examples[number].text)
    url = postgres_server.create_database() if "DATABASE_URL" in examples[number].text else ""
    repository.variables |= {"API_TOKEN": "t0p-secret-4711", "DATABASE_URL": url}
    with served(AdvisoryDatabase()) as tools:
        if "dependencies" in shown.get("gates", {}):
            shown["gates"]["dependencies"]["env"] = tools
        repository.follow(shown)
        environment = next(iter(shown["environments"]))
        repository.deploy("--env", environment)
        assert healthy(repository, environment) == shown["services"].keys()
        if number in MORE:
            MORE[number](repository)
