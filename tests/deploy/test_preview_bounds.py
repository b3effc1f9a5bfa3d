"""What a preview never touches: environments of their own, their databases, what others made."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import postgres_server
from database_project import DatabaseProject, app_source
from preview_project import AS_PREVIEW, PREVIEW, PreviewOfDatabase
from sample_project import SampleProject, free_ports, get_text


def database_exists(name: str) -> bool:
    with psycopg.connect(postgres_server.server_url()) as db:
        return bool(db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone())


# ── what is no preview ─────────────────────────────────────────────────────────────────────────


def test_an_environment_that_is_called_like_a_preview_keeps_its_data(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    environments = project.config["environments"]
    environments["hot-pr-1"] = environments.pop("local")
    project.commit("Renamed")
    shop.deploy("--env", "hot-pr-1")
    data = project.folder / ".abreast" / "local" / "hot-pr-1" / "data" / "backend" / "shop.db"
    assert "0 removed, 0 left" in shop.run("down", "--expired", "--yes").stdout
    assert data.exists()
    assert "Its data, logs and history stay" in shop.run("down", "--env", "hot-pr-1", "--yes").stdout
    assert data.exists()


def test_a_name_that_is_none_is_said_and_not_taken_for_done(project: SampleProject) -> None:
    project.config["environments"]["local"]["preview"] = True
    project.commit("Previews")
    for name in ("local-pr-017", "locl"):
        assert f"there is no environment '{name}'" in project.run("down", "--env", name, "--yes", code=2).stderr
        assert "there is no" in project.run("down", "--expired", "--env", name, "--yes", code=2).stderr
    assert "is a preview itself" in project.run("down", "--expired", *AS_PREVIEW, "--yes", code=2).stderr
    assert "0 removed, 0 left" in project.run("down", "--expired", "--env", "local", "--yes").stdout


# ── what others made ───────────────────────────────────────────────────────────────────────────


def test_databases_of_others_stay(project: SampleProject) -> None:
    shop = PreviewOfDatabase(project, "postgresql", "empty")
    somebody_makes(shop)
    shop.base.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    project.commit("Mine")
    refused = shop.base.run("deploy", *AS_PREVIEW, "--yes", code=3).stderr
    assert "exists already, and abreast did not make it" in refused
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert shop.query("SELECT count(*) FROM theirs") == [(0,)]
    with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
        db.execute(f'DROP DATABASE "{shop.name}"'.encode())

    shop.deploy_change("mine")
    the_base_does_not_drop_the_database_of_a_preview(shop)
    a_preview_and_its_base_do_not_exchange_releases(shop)
    a_service_without_its_database_does_not_use_that_of_the_base(shop)

    shop.base.run("down", *AS_PREVIEW, "--yes")
    somebody_makes(shop)
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert "abreast did not make it" in shop.base.run("deploy", *AS_PREVIEW, "--yes", code=3).stderr
    assert shop.query("SELECT count(*) FROM theirs") == [(0,)], "what was made since the removal"
    assert shop.query("SELECT count(*) FROM pg_tables WHERE tablename = 'orders'") == [(0,)]
    assert (shop.base.orders_digest(), shop.base.schema()) == shop.before


def somebody_makes(shop: PreviewOfDatabase) -> None:
    """Make the database of the preview, with a table."""
    with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{shop.name}"'.encode())
    with psycopg.connect(shop.url) as db:
        db.execute("CREATE TABLE theirs (id integer)")


def the_base_does_not_drop_the_database_of_a_preview(shop: PreviewOfDatabase) -> None:
    assert "the database of local-pr-17" in shop.base.run("db", "list", "--copies", "--env", "local").stdout
    refused = shop.base.run("db", "drop", "preview-17", "--env", "local", "--yes", code=3).stderr
    assert "abreast down --env local-pr-17" in refused
    assert shop.exists()


def a_preview_and_its_base_do_not_exchange_releases(shop: PreviewOfDatabase) -> None:
    releases = [json.loads(shop.base.run("status", "--env", name, "--json").stdout) for name in ("local", PREVIEW)]
    base, preview = (
        told["environments"][name]["services"]["backend"]["release"]
        for told, name in zip(releases, ("local", PREVIEW), strict=True)
    )
    for arguments, version, environment in ((AS_PREVIEW, base, "local"), (("--env", "local"), preview, PREVIEW)):
        for command in (("rollback", "--to", version), ("deploy", "--release", version)):
            done = shop.base.run(*command, *arguments, "--reason", "x", "--yes", code=3)
            assert f"{version} is a release of {environment}" in done.stderr
    assert (shop.base.orders_digest(), shop.base.schema()) == shop.before


def a_service_without_its_database_does_not_use_that_of_the_base(shop: PreviewOfDatabase) -> None:
    services = shop.base.project.config["services"]
    usual = services["backend"]
    services["backend"] = {**usual, "env": {"DATABASE_URL": "${SHOP_DATABASE_URL}"}}
    del services["backend"]["database"]
    shop.base.project.commit("Without")
    refused = shop.base.run("deploy", *AS_PREVIEW, "--yes", code=3).stderr
    assert "DATABASE_URL of backend leads to the database of backend" in refused
    services["backend"] = usual
    shop.base.project.commit("With")


# ── what a pull request changes of its own preview ─────────────────────────────────────────────


def test_what_a_preview_had_under_other_names_goes_with_it(project: SampleProject) -> None:
    services = project.config["services"]
    services["backend"]["watch"], services["frontend"]["watch"] = ["app.py"], ["site.txt"]
    shop = PreviewOfDatabase(project, "postgresql", "empty")
    shop.deploy_change("mine")
    project.config["project"] = "store"
    project.commit("Renamed", site_txt="1")
    assert "= backend   keep    no change" in shop.base.deploy(*AS_PREVIEW)
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert not shop.exists()

    project.config["project"] = "shop"
    shop.deploy_change("again")
    project.config["project"] = "store"
    shop.deploy_change("once more")
    assert shop.query("SELECT count(*) FROM orders") == [(0,)]
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert not shop.exists()
    assert (shop.base.orders_digest(), shop.base.schema()) == shop.before
    gone = shop.base.run("rollback", *AS_PREVIEW, "--reason", "x", "--yes", code=2).stderr
    assert "cannot be rolled back: nothing was deployed there" in gone

    project.config["project"] = "shop"
    an_install_command_does_not_see_the_database_of_the_base(shop)
    each_database_that_a_preview_had_is_dropped(shop)


def an_install_command_does_not_see_the_database_of_the_base(shop: PreviewOfDatabase) -> None:
    """Leaves the preview deployed."""
    backend, seen = shop.base.project.config["services"]["backend"], shop.base.project.folder.parent / "seen"
    usual = backend.get("build")
    backend["build"] = {"install": f"env > {seen}"}
    shop.base.variables["REGISTRY_TOKEN"] = "of-the-registry"
    backend["env"]["REGISTRY_TOKEN"] = "${REGISTRY_TOKEN}"
    shop.deploy_change("installs")
    assert "REGISTRY_TOKEN=of-the-registry" in seen.read_text()
    assert shop.base.url not in seen.read_text()
    backend["build"] = usual


def each_database_that_a_preview_had_is_dropped(shop: PreviewOfDatabase) -> None:
    other = postgres_server.create_database()
    shop.base.variables["OTHER_URL"] = other
    backend = shop.base.project.config["services"]["backend"]
    backend["database"]["url"], backend["env"] = "${OTHER_URL}", {}
    shop.deploy_change("another database")
    copies = [shop.name, other.rpartition("/")[2] + "_preview-17"]
    assert all(map(database_exists, copies))
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert not any(map(database_exists, copies))
    assert database_exists(other.rpartition("/")[2])


def test_what_a_restore_replaced_in_a_preview_is_dropped_with_it(project: SampleProject) -> None:
    shop = PreviewOfDatabase(project, "postgresql", "backup")
    shop.deploy_change("mine")
    shop.base.run("db", "backup", *AS_PREVIEW)
    shop.base.run("db", "restore", *AS_PREVIEW, "--reason", "a try", "--yes")
    (replaced,) = copies_of(shop.name)
    assert "_before_" in replaced
    shop.base.run("down", *AS_PREVIEW, "--yes")
    assert not shop.exists()
    assert copies_of(shop.name) == []
    a_service_that_would_use_the_database_of_a_sibling_is_refused(shop)


def a_service_that_would_use_the_database_of_a_sibling_is_refused(shop: PreviewOfDatabase) -> None:
    project = shop.base.project
    services, environment = project.config["services"], project.config["environments"]["local"]
    for service in ("backend", "frontend"):
        services[service]["watch"] = ["app.py"]
    services["worker"] = {"type": "worker", "run": "exec sleep 1000", "watch": ["worker.txt"]}
    services["worker"]["env"] = {"QUEUE_URL": "${SHOP_DATABASE_URL}"}
    environment["worker"] = {"local": {}}
    project.commit("A worker", worker_txt="1")
    shop.base.deploy()
    project.commit("Of the worker", worker_txt="2")
    for command in (("plan",), ("deploy", "--yes")):
        refused = shop.base.run(*command, *AS_PREVIEW, code=3).stderr
        assert "QUEUE_URL of worker leads to the database of backend" in refused
        assert postgres_server.QUOTED_PASSWORD not in refused
    shop.base.variables["QUEUE_URL"] = postgres_server.create_database()
    services["worker"]["env"] = {"QUEUE_URL": "${QUEUE_URL}"}
    project.commit("A queue of its own")
    assert "worker" in shop.base.deploy(*AS_PREVIEW)


def copies_of(name: str) -> list[str]:
    with psycopg.connect(postgres_server.server_url()) as db:
        return [found for (found,) in db.execute("SELECT datname FROM pg_database") if found.startswith(f"{name}_")]


# ── SQLite ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url", ["sqlite:///../../../shared.db", "sqlite:///FOLDER/shared.db", "sqlite:///QUOTED%2Fshared.db"]
)
def test_a_file_outside_of_its_environment_is_copied_and_never_made_anew(
    project: SampleProject, tmp_path: Path, url: str
) -> None:
    shop = DatabaseProject(project)
    (tmp_path / "data").mkdir()
    folder = project.folder / ".abreast" / "local" if ".." in url else tmp_path / "data"
    quoted = str(folder).replace("/", "%2F")
    shop.variables["SHOP_DATABASE_URL"] = url.replace("FOLDER", str(folder)).replace("QUOTED", quoted)
    project.config["environments"]["local"]["preview"] = True
    project.commit("Start")
    shop.deploy()
    file = folder / "shared.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("INSERT INTO orders (id, product) VALUES (1, 'tea')")
        db.commit()
    project.commit("Mine", app_py=app_source() + "\n# mine\n")
    shop.deploy(*AS_PREVIEW)
    copy = folder / ".shared.db.preview-17"
    for path, rows in ((file, 1), (copy, 0)):
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM orders").fetchall() == [(rows,)]
    shop.run("down", *AS_PREVIEW, "--yes")
    assert file.exists()
    assert not copy.exists()


# ── releases ───────────────────────────────────────────────────────────────────────────────────


def test_a_release_has_the_variables_of_the_environment_that_it_is_deployed_to(project: SampleProject) -> None:
    environments, ports = project.config["environments"], free_ports(2)
    environments["local"]["backend"]["env"] = {"PLACE": "first"}
    environments["other"] = {
        "frontend": {"local": {"port": ports[0]}},
        "backend": {"local": {"port": ports[1]}, "env": {"PLACE": "second"}},
    }
    project.commit(app_py=project.app_source('    return 200, {"place": os.environ["PLACE"]}\n'))
    project.deploy("--env", "local")
    project.deploy("--env", "other", "--release", "v1")
    places = [
        json.loads(get_text(f"http://127.0.0.1:{port}/health"))["place"] for port in (project.backend_port, ports[1])
    ]
    assert places == ["first", "second"]
    project.run("down", "--env", "other", "--yes")
