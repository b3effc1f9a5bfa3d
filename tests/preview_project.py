"""The project of tests with a database, of which there is a preview."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

import postgres_server
from database_project import DatabaseProject, app_source
from sample_project import SampleProject

PREVIEW = "local-pr-17"
AS_PREVIEW = ("--env", PREVIEW)


class PreviewOfDatabase:
    """The project with a database, deployed with 100 orders; its preview's database is seen without abreast."""

    def __init__(self, project: SampleProject, engine: str, data: str) -> None:
        self.base = DatabaseProject(project, engine)
        project.config["services"]["backend"]["env"] = {"ORDERS_DB": "${SHOP_DATABASE_URL}"}
        project.config["environments"]["local"]["preview"] = {"database": data}
        project.commit()
        self.base.deploy()
        self.base.insert_orders(100)
        self.base.run("db", "backup")
        self.before = self.base.orders_digest(), self.base.schema()

    @property
    def name(self) -> str:
        return self.base.url.rpartition("/")[2] + "_preview-17"

    @property
    def url(self) -> str:
        return self.base.url.rpartition("/")[0] + f"/{self.name}"

    @property
    def file(self) -> Path:
        return self.base.project.folder / ".abreast" / "local" / PREVIEW / "data" / "backend" / "shop.db"

    def exists(self) -> bool:
        if self.base.engine == "sqlite":
            return self.file.exists()
        with psycopg.connect(postgres_server.server_url()) as db:
            return bool(db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.name,)).fetchone())

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.file) if self.base.engine == "sqlite" else psycopg.connect(self.url)) as db:
            return [tuple(row) for row in db.execute(sql).fetchall()]

    def deploy_change(self, text: str) -> str:
        """Deploy a preview of a commit that changes the backend, and return what was told."""
        self.base.project.commit(text, app_py=app_source() + f"\n# {text}\n")
        return self.base.deploy(*AS_PREVIEW)
