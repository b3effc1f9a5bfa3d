"""The old version serves, reads and writes while the new one's migration runs: no request fails, no row is lost."""

import threading
import time
import urllib.request
from itertools import count
from typing import Self
from urllib.error import HTTPError

import pytest

from database_project import FIRST_MIGRATION, DatabaseProject, app_source
from sample_project import SampleProject

ROWS = 20_000
WRITES = 'db.execute("INSERT INTO hits (one) VALUES (1)"); db.commit()'


class Users:
    """Four of them, each of whose requests writes a row."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/health"
        self.good, self.bad = count(), list[str]()
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._use) for _ in range(4)]

    def _use(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(self.url, timeout=20):
                    self.done = next(self.good)
            except HTTPError as error:
                with error:
                    self.bad.append(str(error))
            except OSError as error:
                self.bad.append(str(error))
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_no_request_fails_while_it_migrates(project: SampleProject, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.write_migration("001_orders.sql", FIRST_MIGRATION + "CREATE TABLE hits (one integer NOT NULL);\n")
    first = project.commit(app_py=app_source(WRITES))
    shop.deploy()
    if engine == "sqlite":
        shop.query("PRAGMA journal_mode=WAL")
    shop.insert_orders(ROWS)
    shop.write_migration(
        "002_price.sql",
        "ALTER TABLE orders ADD COLUMN price integer;\nUPDATE orders SET price = id;\n"
        "CREATE INDEX by_price ON orders (price);\nALTER TABLE hits ADD COLUMN two integer NOT NULL DEFAULT 2;\n",
    )
    second = project.commit(app_py=app_source(f"{WRITES}; db.execute('SELECT two FROM hits LIMIT 1')"))
    with Users(project.backend_port) as users:
        while users.done < 20:
            time.sleep(0.01)
        told = shop.deploy(code=None)
        served = users.done
    assert users.bad == [], (users.bad[:3], told)
    assert served > 100
    assert project.served_commits()["backend"] == second != first
    assert shop.query("SELECT count(*) FROM orders WHERE price = id") == [(ROWS,)]
    assert shop.query("SELECT count(*) FROM hits")[0][0] > served, "each answer is a row"
