"""A clock that goes back: what came later is later, whatever the clock says."""

import os
import subprocess

from database_project import DatabaseProject
from sample_project import SampleProject, require_programs


def test_a_clock_that_goes_back_changes_no_order(project: SampleProject) -> None:
    require_programs("faketime")
    first = project.commit()
    command = ["faketime", "-f", "+2d", *project.command_line("deploy", "--yes")]
    subprocess.run(command, cwd=project.folder, check=True, capture_output=True)
    second = project.commit()
    project.deploy()
    assert project.latest_deployment()["release"] == "v2"
    assert project.status()["release"] == "v2"
    assert project.status()["deployment"]["id"] == project.latest_deployment()["id"]
    project.commit(app_py="raise SystemExit('it never starts')")
    project.deploy(code=1)
    assert project.status()["release"] == "v2"
    assert project.served_commits() == {"frontend": second, "backend": second}
    project.run("rollback", "--yes", "--reason", "test")
    assert project.status()["release"] == "v1"
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_the_newest_backup_is_the_last_one_made(project: SampleProject) -> None:
    require_programs("faketime")
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(3)
    command = ["faketime", "-f", "+2d", *project.command_line("db", "backup")]
    subprocess.run(command, cwd=project.folder, check=True, capture_output=True, env={**os.environ, **shop.variables})
    shop.insert_orders(4)
    shop.run("db", "backup")
    shop.query("DELETE FROM orders")
    shop.run("db", "restore", "--yes")
    assert shop.query("SELECT count(*) FROM orders") == [(7,)]
