"""The example of docs/variables.md is deployed: the service gets what it says, and what breaks its rules is reported."""

from pathlib import Path

import pytest

from page_examples import configs
from sample_project import SampleProject, get_json

EXAMPLE, GENERATED = configs(Path(__file__).parents[2] / "docs" / "variables.md")
VARIABLES = EXAMPLE["services"]["backend"]["env"]
GIVEN = {"API_TOKEN": "t0p-secret-4711", "DATABASE_URL": "postgresql://app:s3cr3t@db.example.com/shop"}


@pytest.mark.executes("docs/variables.md", 1)
@pytest.mark.exhaustive
def test_its_variables_reach_the_service(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = VARIABLES
    names = repr(tuple(VARIABLES))
    project.commit(app_py=project.app_source(f"    return 200, {{name: os.environ.get(name) for name in {names}}}\n"))
    done = project.deploy(variables=GIVEN)
    seen = {name: get_json(project.backend_port, "/health")[name] for name in VARIABLES}
    assert seen == {"LOG_LEVEL": "info", "SENTRY_DSN": None, "REGION": "eu-west-1", **GIVEN}
    assert not [secret for secret in GIVEN.values() if secret in done.stdout + done.stderr]


@pytest.mark.executes("docs/variables.md", 2)
@pytest.mark.exhaustive
def test_a_generated_secret_is_the_same_in_each_release(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = GENERATED["services"]["backend"]["env"]
    source = project.app_source('    return 200, {"secret": os.environ["SESSION_SECRET"]}\n')
    secrets = []
    for _ in range(2):
        project.commit(app_py=source)
        done = project.deploy()
        secrets.append(get_json(project.backend_port, "/health")["secret"])
        assert secrets[0] not in done.stdout + done.stderr
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) >= 32


def test_whatever_breaks_its_rules_is_reported_at_once(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = VARIABLES
    project.commit()
    wrong = {"API_TOKEN": "t0p-secret-4711", "DATABASE_URL": "no url 4711", "REGION": "Frankfurt"}
    done = project.run("plan", code=2, variables=wrong)
    told = done.stdout + done.stderr
    assert all(name in told for name in ("DATABASE_URL", "REGION"))
    assert not [value for value in wrong.values() if value in told]
    assert "SENTRY_DSN" not in told
