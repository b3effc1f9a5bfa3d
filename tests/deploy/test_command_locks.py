"""A migration ``command`` that waits for a lock lets the application go on, and says who holds it."""

import sys
import threading
import time
from contextlib import suppress

import psycopg

from database_project import FIRST_MIGRATION, DatabaseProject
from limits import scaled
from sample_project import SampleProject, eventually, wait_for_exit

STEP = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY, product text NOT NULL, note text)")
    db.execute("ALTER TABLE orders ADD COLUMN IF NOT EXISTS price integer")
"""


def test_inserts_go_on_while_somebody_holds_the_table(project: SampleProject) -> None:
    shop = DatabaseProject(project, "postgresql")
    shop.query(FIRST_MIGRATION)
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}", "command": f"{sys.executable} step.py", "lock_timeout": "300ms",
    }  # fmt: skip
    project.commit(step_py=STEP)
    inserted: list[float] = []
    stop = threading.Event()
    with psycopg.connect(shop.url, application_name="a report") as holder:
        holder.execute("SELECT count(*) FROM orders")
        session = holder.info.backend_pid
        deploying = project.start("deploy", "--yes", variables=shop.variables)
        customer = threading.Thread(target=insert_until, args=(shop.url, stop, inserted))
        customer.start()
        try:
            eventually(lambda: "no lock on orders" in deploying.output, 90)
            known = len(inserted)
            eventually(lambda: len(inserted) > known + 10)
            eventually(lambda: "attempt 3 of 10" in deploying.output)
            holder.rollback()
            assert wait_for_exit(deploying) == 0
        finally:
            stop.set()
            customer.join()
    assert f"session {session} of postgres (a report, idle in transaction) holds it" in deploying.output
    assert shop.query("SELECT count(price) FROM orders") == [(0,)]


def insert_until(url: str, stop: threading.Event, inserted: list[float]) -> None:
    """Be an application that inserts orders, one after the other."""
    with psycopg.connect(url, autocommit=True) as db:
        for number in range(1_000_000):
            with suppress(psycopg.errors.QueryCanceled):
                db.execute("INSERT INTO orders (id, product) VALUES (%s, 'tea')", (number,))
            inserted.append(time.monotonic())
            if stop.wait(scaled(0.02)):
                return
