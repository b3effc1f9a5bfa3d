"""The examples of docs/gates.md are one abreast.yml, whose gates judge a repository with the tools that they name."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from advisory_database import AdvisoryDatabase, served
from page_examples import Example
from storefront_repository import PRICES, StorefrontRepository

ADVISORY = {
    "id": 1, "url": "https://github.com/advisories/GHSA-35jh-r3h4-6jhm", "title": "Command Injection in lodash",
    "severity": "high", "vulnerable_versions": "<4.17.21",
}  # fmt: skip
LOCK = """{"name": "storefront", "version": "1.0.0", "lockfileVersion": 3, "packages": {
"": {"name": "storefront", "version": "1.0.0", "dependencies": {"lodash": "4.17.20"}},
"node_modules/lodash": {"version": "4.17.20", "resolved": "https://example.com/lodash.tgz", "integrity": "sha512-AA=="}}}"""
WEAK = {
    "app/run.py": "import subprocess\n\n\ndef run(text: str) -> None:\n    subprocess.call(text, shell=True)\n",
    "Dockerfile": "FROM debian:12\nRUN apt-get update && apt-get install -y curl\n",
    ".github/workflows/ci.yml": "name: ci\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
    "      - run: echo ${{ github.event.issue.title }}\n",
}
QUICK = {"test", "coverage", "lint", "types", "secrets", "dependencies"}


@pytest.fixture
def repository(tmp_path: Path, examples: list[Example]) -> Iterator[StorefrontRepository]:
    """The repository with both examples, and with a package that has the hole of their exception."""
    made = StorefrontRepository(tmp_path / "storefront")
    project, security = (yaml.safe_load(example.text) for example in examples)
    for environment, settings in security["environments"].items():
        project["environments"][environment] |= settings
    known = AdvisoryDatabase()
    known.npm["lodash"] = ADVISORY
    with served(known) as tools:
        project["gates"] |= security["gates"]
        project["gates"]["dependencies"]["env"] = tools
        project["allow"] = security["allow"]
        project["allow"][0]["expires"] = datetime.now(UTC).date() + timedelta(days=2)  # that of the page passes
        made.write(
            "web/package.json", '{"name": "storefront", "version": "1.0.0", "dependencies": {"lodash": "4.17.20"}}'
        )
        made.write("web/package-lock.json", LOCK)
        made.follow(project)
        yield made
        made.down()


def verdicts(repository: StorefrontRepository) -> Mapping[str, set[str]]:
    """Return the gates of the latest deployment by what they said."""
    found: dict[str, set[str]] = {}
    for event in repository.latest_deployment()["events"]:
        if event["kind"] == "judged":
            found.setdefault(event["data"]["verdict"], set()).add(event["data"]["gate"])
    return found


@pytest.mark.executes("docs/gates.md", 1, 2)
@pytest.mark.exhaustive
@pytest.mark.timeout(240)
def test_they_judge_as_the_page_says(repository: StorefrontRepository) -> None:
    repository.write("app/prices.py", "import os\n" + (repository.folder / "app" / "prices.py").read_text())
    repository.commit()
    skipping = ("--skip-gate", "lint", "--reason", "hotfix for 4711")
    repository.deploy("--env", "staging", code=3)
    assert "lint" in verdicts(repository)["failed"]
    assert "v1" not in repository.run("status", "--env", "staging").stdout
    repository.deploy("--env", "production", *skipping, code=3)
    repository.deploy("--env", "staging", *skipping)
    assert verdicts(repository) == {"passed": QUICK - {"lint"}, "skipped": {"lint"}}
    assert "hotfix for 4711" in repository.run("show").stdout

    repository.config["allow"] = []
    for name, text in {**WEAK, "app/prices.py": PRICES}.items():
        repository.write(name, text)
    repository.commit()
    done = repository.run("gates", "--env", "production", "--json", code=3)
    judged = json.loads(done.stdout)["gates"]
    failed = {gate["gate"] for gate in judged if gate["verdict"] == "failed"}
    assert failed == {"dependencies", "code", "workflows", "dockerfiles"}
    assert {gate["gate"] for gate in judged} == QUICK | failed
    assert '"rule": "GHSA-35jh-r3h4-6jhm"' in done.stderr, "the entry that would allow it"
