"""The example goes from staging to production by an approval, breaks there, and goes on: each step with its people."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from abreast.demo.versions import APP, HEALTHY_RESPONSE
from all_receivers import Receivers, all_receivers
from page_reader import Reader
from sample_project import free_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "storefront"
RUN = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "octo/shop", "GITHUB_TOKEN": "",
       "ABREAST_STATE": ".abreast"}  # fmt: skip
SICK_WITH_USERS = (
    "if self.database.total_changes > 5:\n"
    '            return 503, {"status": "out of memory"}\n'
    f"        {HEALTHY_RESPONSE}"
)


class Shop(Reader):
    """The example, with a staging and a production environment on this machine, and people of a CI system."""

    def __init__(self, folder: Path, receivers: Receivers) -> None:
        super().__init__(folder)
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        self.config = yaml.safe_load((EXAMPLE / "abreast.yml").read_text())
        del self.config["environments"]
        self.config["services"]["backend"]["health"]["hold"] = "300ms"
        self.ports = {name: free_ports(2) for name in ("staging", "production")}
        self.config["environments"] = {name: self._environment(name) for name in self.ports}
        self.config["environments"]["production"] |= {
            "promotion": {"source": "staging"},
            "approval": {"by": ["ada", "grace"]},
        }
        self.config["notify"] = {
            "slack": {"webhook": "${SLACK_URL}"},
            "pagerduty": {"routing_key": "${PD_KEY}", "api": receivers.variables["PD_API"]},
        }
        self._variables = receivers.variables
        self.commit("Open the shop")

    def _environment(self, name: str) -> dict[str, Any]:
        front, back = self.ports[name]
        return {
            "settle": "300ms",
            "frontend": {"local": {"port": front}},
            "backend": {"local": {"port": back}, "database": self._database(name)},
        }

    def _database(self, name: str) -> dict[str, str]:
        return {"url": f"sqlite:///{name}.db", "migrations": "backend/migrations"}

    def by(self, login: str, *arguments: str, code: int = 0) -> str:
        """Give a command as a person, and return what it says."""
        done = self.run(*arguments, code=code, variables={**RUN, "GITHUB_ACTOR": login, **self._variables})
        return done.stdout + done.stderr

    def live(self, environment: str) -> dict[str, Any]:
        environments = json.loads(self.run("status", "--env", environment, "--json").stdout)["environments"]
        return dict(environments[environment]["services"])

    def settle(self, text: str) -> None:
        self.config["environments"]["production"]["settle"] = text

    def order(self) -> None:
        """Order something in production."""
        url = f"http://127.0.0.1:{self.ports['production'][0]}/api/orders"
        with suppress(OSError):
            urlopen(Request(url, json.dumps({"product": 1}).encode(), {"Content-Type": "application/json"}), timeout=5)

    def acts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("audit", "export").stdout.splitlines()]

    def down(self) -> None:
        self.run("unlock", "--env", "production", code=None)
        for environment in self.ports:
            self.run("down", "--env", environment, "--yes", code=None)


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    with all_receivers(tmp_path) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, receivers: Receivers) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop", receivers)
    yield made
    made.down()


def release_to_production(shop: Shop) -> None:
    """Deploy the commit to staging as ada, promote it, and have grace approve it."""
    shop.by("ada", "deploy", "--env", "staging", "--yes")
    shop.by("ada", "promote", "--to", "production", "--yes")
    shop.by("grace", "approve")


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_approved_by_somebody_else_broken_unlocked_and_fixed(shop: Shop, receivers: Receivers) -> None:
    # One commit, one artifact in both. The author's own approval is refused, and stands in the audit trail.
    shop.by("ada", "deploy", "--env", "staging", "--yes")
    assert "waits for an approval" in shop.by("ada", "promote", "--to", "production", "--yes")
    assert "ada is an author of this deployment" in shop.by("ada", "approve", code=3)
    shop.by("grace", "approve")
    shop.by("ada", "resume")
    staging, production = shop.live("staging"), shop.live("production")
    same = [(part["commit"], part["artifact"]) for part in staging.values()]
    assert same == [(part["commit"], part["artifact"]) for part in production.values()]
    votes = [(act["who"], act["outcome"]) for act in shop.acts() if act["what"] == "approve"]
    assert votes == [("ada", "not counted"), ("ada", "refused"), ("grace", "done")]

    # Production breaks after the turn.
    good = shop.live("production")
    app = (shop.folder / APP).read_text()
    (shop.folder / APP).write_text(app.replace(HEALTHY_RESPONSE, SICK_WITH_USERS))
    shop.settle("60s")
    shop.commit("Sell more")
    release_to_production(shop)
    deploying = shop.start("resume", variables={**RUN, "GITHUB_ACTOR": "ada", **receivers.variables})
    while deploying.poll() is None:
        shop.order()
        time.sleep(0.1)
    assert deploying.returncode == 1
    assert shop.live("production") == good
    broken = shop.latest_deployment()["id"]
    incident = json.loads((shop.folder / ".abreast" / "incidents" / f"{broken}.json").read_text())
    assert (incident["severity"], incident["status"]) == ("SEV2", "resolved")
    assert "503" in (shop.folder / ".abreast" / "incidents" / f"{broken}.md").read_text()
    assert "storefront: v2 failed and was turned back in production" in receivers.texts
    assert set(receivers.service.alerts) == {"abreast/storefront/production"}
    assert any("v2 failed" in change["payload"]["summary"] for change in receivers.service.changes)

    # It is locked until somebody has looked. Then the next release goes out.
    shop.settle("300ms")
    (shop.folder / APP).write_text(f"{app}\n# in less memory\n")
    fixed = shop.commit("Sell more, in less memory")
    shop.by("ada", "deploy", "--env", "staging", "--yes")
    assert "production is locked by abreast" in shop.by("ada", "promote", "--to", "production", "--yes", code=3)
    shop.by("grace", "unlock", "--env", "production")
    shop.by("ada", "promote", "--to", "production", "--yes")
    shop.by("grace", "approve")
    shop.by("ada", "resume")
    assert shop.live("production")["backend"]["commit"] == fixed


def test_an_edited_row_of_the_record_is_named(shop: Shop) -> None:
    shop.by("ada", "deploy", "--env", "staging", "--yes")
    shop.run("audit", "verify")
    with sqlite3.connect(shop.folder / ".abreast" / "ledger.db") as ledger:
        for (trigger,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ledger.execute(f"DROP TRIGGER {trigger}")  # which make the tables append-only
        ((row, seq),) = ledger.execute("SELECT id, seq FROM entries WHERE kind = 'plan'").fetchall()
        ledger.execute("UPDATE entries SET entry = replace(entry, '\"ada\"', '\"eve\"') WHERE id = ?", (row,))
    done = shop.run("audit", "verify", code=1)
    assert f"entry {seq}" in done.stdout + done.stderr
