"""Two examples of docs/databases.md are deployed together, with a real PostgreSQL: another role, and a rehearsal's variables."""

import json
from pathlib import Path
from typing import Any

import pytest

import postgres_server
from database_project import DatabaseProject, app_source
from page_examples import configs
from sample_project import SampleProject

_FIRST, ADMIN, _OWN_TOOL, REHEARSAL = configs(Path(__file__).parents[2] / "docs" / "databases.md")


@pytest.mark.executes("docs/databases.md", 2, 5)
@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_another_role_makes_the_copies_and_a_rehearsal_has_its_own_variables(project: SampleProject) -> None:
    """A role that may not create databases cannot rehearse: `admin` does, and the service never gets it."""
    shop = DatabaseProject(project, "postgresql")
    role = postgres_server.create_role()
    url = postgres_server.create_database(owner=role)
    admin = url.replace(f"//{role}:", "//postgres:")
    seen = project.folder.parent / "seen"
    note = f'open({str(seen)!r}, "a").write(__import__("json").dumps(dict(os.environ)) + chr(10)); db.execute("SELECT id FROM orders")'
    backend = project.config["services"]["backend"]
    backend["database"] = {**ADMIN["database"], **REHEARSAL["database"]}
    backend["env"] = {"SMTP_URL": "smtp://mail.example.com", "STRIPE_KEY": "${STRIPE_KEY}"}
    project.commit(app_py=app_source(note))
    shop.variables = {
        "DATABASE_URL": url,
        "ADMIN_DATABASE_URL": admin,
        "STRIPE_KEY": "live-key-4711",
        "STRIPE_TEST_KEY": "test-key-4711",
    }
    shop.deploy()
    environments: list[dict[str, Any]] = [json.loads(line) for line in seen.read_text().splitlines()]
    rehearsed = {(env["SMTP_URL"], env["STRIPE_KEY"]) for env in environments if "ABREAST_REHEARSAL" in env}
    served = {(env["SMTP_URL"], env["STRIPE_KEY"]) for env in environments if "ABREAST_REHEARSAL" not in env}
    assert rehearsed == {(REHEARSAL["database"]["rehearsal"]["env"]["SMTP_URL"], "test-key-4711")}
    assert served == {("smtp://mail.example.com", "live-key-4711")}
    assert not [env for env in environments if admin in env.values()]

    del backend["database"]["admin"]
    shop.write_migration("002_note.sql", "CREATE TABLE notes (id integer);\n")
    project.commit()
    assert "permission denied to create database" in shop.deploy(code=None)
    assert shop.query("SELECT to_regclass('notes')::text") == [(None,)]
