"""The doctor: what is wrong, and how to mend it, before anything is built."""

import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abreast.ledger.sqlite import SqliteLedger
from abreast.testing.platforms import huggingface
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from database_project import DatabaseProject
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MultiCloudProject]:
    project = SampleProject(tmp_path_factory.mktemp("clouds") / "project")
    with multi_cloud_project(project, tmp_path_factory.mktemp("running")) as made:
        yield made


def examined(world: MultiCloudProject, code: int, **variables: str) -> str:
    """Return what the doctor says, without its marks of what is right."""
    return world.project.run("doctor", code=code, variables={**world.variables, **variables}).stdout


@pytest.mark.exhaustive
def test_nothing_is_wrong(project: SampleProject) -> None:
    told = project.run("doctor").stdout
    assert "ok       git" in told
    assert f"port {project.backend_port} is free" in told
    assert told.endswith("no problems found. next: abreast plan\n")
    project.deploy()
    assert "the environment is running" in project.run("doctor", "--env", "local").stdout


def test_what_is_wrong_here(project: SampleProject) -> None:
    project.config["services"]["backend"]["build"] = "leftpad --now"
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit()
    (project.folder / "new.txt").write_text("")
    with socket.create_server(("127.0.0.1", project.frontend_port)):
        told = project.run("doctor", code=1, variables={"API_TOKEN": "x"}).stdout
        assert f"port {project.frontend_port} is taken by" in told
    assert "fault    backend (local)   `leftpad --now`: leftpad is not installed" in told
    assert "1 uncommitted file, such as new.txt" in told
    assert told.endswith("2 faults, 2 warnings\n")
    told = project.run("doctor", code=1).stdout
    assert "${API_TOKEN} is not set" in told
    assert "abreast.yml:" in told


@pytest.mark.parametrize(
    "command", ["umask 022; ls", "if true; then ls; fi", "./made/by/the/build", "A=1 ls", ". ./env"]
)
def test_what_the_shell_itself_knows_is_here(project: SampleProject, command: str) -> None:
    project.config["services"]["backend"]["build"] = command
    project.commit()
    assert "is not installed" not in project.run("doctor", code=None).stdout


def test_a_file_that_is_wrong_is_told_whole(project: SampleProject) -> None:
    project.config["services"]["backend"]["heath"] = "/"
    project.config["services"]["frontend"]["wacth"] = ["**"]
    project.commit()
    told = json.loads(project.run("doctor", "--json", code=1).stdout)
    assert len(told["project"]) == 2
    assert all(
        diagnostic["level"] == "fault" and "did you mean" in diagnostic["what"] for diagnostic in told["project"]
    )


def test_a_stuck_deployment_and_a_lock(project: SampleProject) -> None:
    project.run("lock", "--env", "local", "--reason", "moving")
    told = project.run("doctor").stdout
    assert "warning  lock" in told
    assert "abreast unlock --env local" in told
    assert "there is no environment 'x'" in project.run("doctor", "--env", "x", code=2).stderr


def test_three_clouds(world: MultiCloudProject) -> None:
    world.clear_faults()
    world.netlify.sites["site-shop"].domain = "shop.example.org"
    world.netlify.sites["site-shop"].certificate_expires_at = datetime.now(UTC) + timedelta(days=3)
    told = examined(world, 0)
    assert "warning  frontend (netlify)    the certificate of shop expires" in told
    assert "does not redirect to HTTPS" in told
    assert "its auto-deploy is on" in told
    assert "the Space owner/worker is NO_APP_FILE" in told


@pytest.mark.parametrize(("variable", "value", "told"), [
    ("NETLIFY_AUTH_TOKEN", "", "Netlify: GET /sites/shop: the token is missing"),
    ("RENDER_API_KEY", "wrong", "needed: RENDER_API_KEY with an API key of the service's workspace"),
    ("HF_TOKEN", huggingface.READ_TOKEN, "needed: HF_TOKEN with the role `write`, or with the scope `repo.write` for owner/worker"),
])  # fmt: skip
def test_a_credential_that_lacks_something_is_found_before_the_build(
    world: MultiCloudProject, variable: str, value: str, told: str
) -> None:
    world.clear_faults()
    assert told in examined(world, 1, **{variable: value})
    deployed = world.project.run("deploy", "--yes", code=1, variables={**world.variables, variable: value})
    assert told in deployed.stderr
    assert not world.project.build_log.exists()


def test_a_member_who_may_only_look_is_found_before_the_build(world: MultiCloudProject) -> None:
    world.clear_faults()
    world.netlify.role = "Reviewer"
    told = examined(world, 1)
    world.netlify.role = "Developer"
    assert "the token has the role Reviewer in team, which may not deploy to shop" in told


@pytest.mark.parametrize(("scope", "code"), [
    ([{"entity": {"name": "owner/worker"}, "permissions": ["repo.content.read", "repo.write"]}], 0),
    ([{"entity": {"name": "owner"}, "permissions": ["repo.write"]}], 0),
    ([{"entity": {"name": "owner/other"}, "permissions": ["repo.write"]}], 1),
    ([{"entity": {"name": "owner/worker"}, "permissions": ["repo.content.read"]}], 1),
])  # fmt: skip
def test_a_fine_grained_token(world: MultiCloudProject, scope: list[dict[str, object]], code: int) -> None:
    world.clear_faults()
    token = {"role": "fineGrained", "fineGrained": {"global": [], "scoped": scope}}
    body = json.dumps({"auth": {"accessToken": token}})
    world.huggingface.faults.planned = [InjectedFault("GET", "whoami", FaultKind.STATUS, status=200, body=body)]
    assert ("the scope `repo.write` for owner/worker" in examined(world, code)) is bool(code)


def test_a_service_of_another_workspace(world: MultiCloudProject) -> None:
    world.clear_faults()
    world.render.faults.planned = [InjectedFault("GET", "/services/", FaultKind.STATUS, times=9, status=404)]
    assert "the key sees no such service" in examined(world, 1)


def test_what_could_not_be_asked_is_unknown(world: MultiCloudProject) -> None:
    world.clear_faults()
    world.render.faults.planned = [InjectedFault("GET", "/services/", FaultKind.STATUS, times=9, status=503)]
    told = examined(world, 1)
    assert "unknown  backend (render)" in told
    assert "1 unknown" in told


@pytest.mark.exhaustive
def test_secrets_that_nothing_reads_and_that_are_old(project: SampleProject) -> None:
    variable = {"value": "${API_TOKEN}", "rotate_after": "90d"}
    project.config["services"]["backend"]["env"] = {"API_TOKEN": variable, "SPARE_TOKEN": "${SPARE_TOKEN}"}
    project.commit(app_py=project.app_source("    os.environ.get('API_TOKEN')\n    return 200, {}\n"))
    variables = {"API_TOKEN": "value-one-1", "SPARE_TOKEN": "value-two-2"}
    told = project.run("doctor", variables=variables).stdout
    assert "no file of the repository mentions the secret SPARE_TOKEN" in told
    assert "mentions the secret API_TOKEN" not in told
    assert "backend/API_TOKEN has not been deployed yet, so its age is unknown" in told
    project.deploy(variables=variables)
    assert "backend/API_TOKEN" not in project.run("doctor", variables=variables).stdout
    with SqliteLedger.open(project.folder / ".abreast", lambda: datetime(2020, 1, 1, tzinfo=UTC)) as ledger:
        fingerprints = ledger.secret_fingerprints("local")
        for value in ("another", fingerprints["backend/API_TOKEN"]):
            ledger.record_secret_fingerprints("local", {"backend/API_TOKEN": value})
    project.deploy("--force", variables=variables)
    told = project.run("doctor", variables=variables).stdout
    assert "backend/API_TOKEN has not been rotated for 2" in told
    assert "rotate_after is 90" in told
    project.deploy("--force", variables={**variables, "API_TOKEN": "value-new-3"})
    assert "has not been rotated" not in project.run("doctor", variables=variables).stdout


def test_a_variable_in_staging_and_not_in_production_is_told(project: SampleProject) -> None:
    environments = project.config["environments"]
    environments["staging"] = {"backend": {"env": {"FLAG": "1", "BOTH": "2"}}}
    environments["production"] = {"backend": {"env": {"BOTH": "3"}}, "frontend": {"env": {"SIZE": "4"}}}
    project.commit()
    told = project.run("doctor", "--env", "local").stdout
    assert "backend has FLAG in staging, but not in production" in told
    assert "frontend has SIZE in production, but not in staging" in told
    assert "BOTH" not in told


@pytest.mark.exhaustive
def test_damaged_files_are_found(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    state = project.folder / ".abreast"
    assert "fault" not in shop.run("doctor").stdout
    router = state / "local" / "local" / "router"
    with rewritten(router / "table.json", None):
        assert re.search(r"warning +backend.*table\.json is lost", shop.run("doctor").stdout)
    with rewritten(router / "table.json", b"{"):
        assert "table.json is damaged" in shop.run("doctor").stdout
        with rewritten(router / "table-copy.json", b"{"):
            assert re.search(r"fault +backend.* and so is its copy", shop.run("doctor", code=1).stdout)
    with rewritten(state / "backup.key", None):
        assert re.search(r"no key to open a backup\s+needed: .*backup\.key", shop.run("doctor", code=1).stdout)
    ledger = state / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'deployments_by_environment'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(ledger.read_bytes())
    content[(page - 1) * size + 8 : page * size] = bytes(size - 8)
    with rewritten(ledger, bytes(content)):
        assert re.search(r"fault +record .*damaged", shop.run("doctor", code=1).stdout)
    assert "fault" not in shop.run("doctor").stdout


@contextmanager
def rewritten(file: Path, content: bytes | None) -> Iterator[None]:
    """Replace a file's content for the block, or remove the file. Those who have it open are not disturbed."""
    aside = file.with_name(f"{file.name}.aside")
    file.rename(aside)
    if content is not None:
        file.write_bytes(content)
    yield
    aside.replace(file)


def test_npm_ci_needs_a_lock_file(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"] |= {"run": "cd web && npm ci && npm run build"}
    project.commit()
    assert "its build runs `npm ci`, and the commit has no lock file" in project.run("doctor", code=None).stdout
    (project.folder / "web").mkdir()
    (project.folder / "web" / "package-lock.json").write_text("{}")
    project.commit()
    assert "npm ci" not in project.run("doctor", code=None).stdout
