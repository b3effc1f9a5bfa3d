"""One release across platforms (emulated where they are others'), together or not at all."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import validate_emulator
from sample_project import (
    APP_SOURCE,
    NEVER_HEALTHY,
    UNHEALTHY_AFTER_REQUESTS,
    SampleProject,
    eventually,
    get_json,
    get_text,
)


@dataclass
class Shop:
    """The project with its frontend at Netlify."""

    project: SampleProject
    emulator: NetlifyEmulator
    url: str

    def deploy(self, *arguments: str, code: int = 0) -> str:
        done = self.project.deploy(*arguments, code=code, variables=self.variables)
        return done.stdout + done.stderr

    @property
    def variables(self) -> dict[str, str]:
        return {"NETLIFY_API_URL": self.url, "NETLIFY_AUTH_TOKEN": TOKEN}

    @property
    def served(self) -> dict[str, str]:
        return {"frontend": self.front, "backend": str(get_json(self.project.backend_port)["commit"])}

    @property
    def front(self) -> str:
        page = get_text(f"{self.url}/s/shop/")
        return str(json.loads(page)["commit"]) if page.startswith("{") else page


@pytest.fixture
def shop(project: SampleProject) -> Iterator[Shop]:
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    project.config["environments"]["local"]["frontend"] = {"netlify": {"site": "shop"}}
    project.commit()
    with validate_emulator(emulator, "netlify"), ThreadedServer(emulator.app) as served:
        yield Shop(project, emulator, served.url)


@pytest.mark.smoke
def test_both_get_there_and_back(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    assert shop.served == {"frontend": first, "backend": first}
    second = shop.project.commit()
    told = shop.deploy()
    assert "netlify: uploading 1 of 1 files" in told
    assert shop.served == {"frontend": second, "backend": second}
    status = shop.project.status(shop.variables)["services"]["frontend"]
    assert (status["platform"], status["url"]) == ("netlify", f"{shop.url}/s/shop")
    assert "nothing to do" in shop.deploy()
    shop.project.run("rollback", "--yes", "--reason", "no", variables=shop.variables)
    assert shop.served == {"frontend": first, "backend": first}


def test_what_fails_before_users_see_it_leaves_all_as_it_was(shop: Shop) -> None:
    a_missing_token_is_said_before_anything_is_built(shop)
    first = shop.project.commit(netlify_toml='[[headers]]\nfor = "/*"\nvalues = {X-Toml = "1"}\n')
    shop.deploy()
    with urllib.request.urlopen(f"{shop.url}/s/shop/") as answer:
        assert answer.headers["X-Toml"] == "1", "the toml beside the build goes along"
    what_cannot_be_asked_is_unknown(shop)

    health = shop.project.config["services"]["backend"]["health"]
    health["start"] = "1s"
    shop.project.commit("Break", app_py=shop.project.app_source(NEVER_HEALTHY))
    shop.deploy(code=1)
    assert shop.served == {"frontend": first, "backend": first}
    assert len(shop.emulator.deploys) == 1, "a backend that never gets healthy leaves no draft"
    health["start"] = "20s"

    shop.emulator.build_error = "the site is too large"
    shop.project.commit(app_py=APP_SOURCE)
    assert "the site is too large" in shop.deploy(code=1)
    assert shop.served == {"frontend": first, "backend": first}
    shop.emulator.build_error = None
    a_locked_site_is_refused_before_anything_is_built(shop)
    second = shop.front
    functions_that_nothing_bundles_are_refused_before_anything_is_built(shop)
    shop.project.run("rollback", "--yes", "--service", "backend", "--reason", "no", variables=shop.variables)
    assert shop.served == {"frontend": shop.front, "backend": second}, "only the backend goes back"
    assert shop.front not in (first, second)


def test_a_backend_that_fails_with_users_turns_the_frontend_back(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    shop.project.config["environments"]["local"]["settle"] = "60s"
    new = shop.project.commit("Leak", app_py=shop.project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = shop.project.start("deploy", "--yes", variables=shop.variables)
    eventually(lambda: shop.front == new)
    eventually(lambda: get_json(shop.project.backend_port)["commit"] == first and deploying.poll() is not None)
    assert deploying.returncode == 1
    assert shop.served == {"frontend": first, "backend": first}


def test_what_cannot_be_turned_back_needs_a_person(shop: Shop) -> None:
    """The first release of an empty site: there is nothing that users could go back to."""
    shop.project.config["environments"]["local"]["settle"] = "60s"
    shop.project.commit("Leak", app_py=shop.project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = shop.project.start("deploy", "--yes", variables=shop.variables)
    eventually(lambda: shop.front != "Not Found")

    def used() -> bool:
        if deploying.poll() is None:
            get_json(shop.project.backend_port)
        return deploying.poll() is not None

    eventually(used)
    assert deploying.returncode == 4
    output = deploying.output
    assert "netlify cannot unpublish the new one: it stays live" in output
    assert "abreast resume" in output


def test_what_was_published_by_hand_is_what_a_failure_goes_back_to(shop: Shop) -> None:
    shop.deploy()
    (mine,) = shop.emulator.deploys.values()
    hand = type(mine)("hand", mine.site_id, "by hand", draft=False, files=mine.files, state="ready", published_at="x")
    shop.emulator.deploys["hand"] = hand
    shop.emulator.sites[mine.site_id].live_deploy_id = "hand"
    frontend = shop.project.status(shop.variables)["services"]["frontend"]
    assert (frontend["published"]["state"], frontend["release"]) == ("other", None)
    shop.project.commit()
    refused = InjectedFault("POST", "/restore$", FaultKind.STATUS, times=1, status=422)
    shop.emulator.faults.planned = [replace(refused)]
    assert "the live version was not deployed by abreast" in shop.deploy(code=1)
    assert shop.emulator.sites[mine.site_id].live_deploy_id == "hand"

    shop.emulator.deploys = {"hand": hand}  # the deploy before is gone
    shop.project.config["services"]["frontend"]["health"]["start"] = "50s"
    shop.project.commit()
    shop.emulator.faults.planned = [replace(refused)]
    told = shop.deploy(code=1)
    assert "starting it again" not in told
    assert "does not answer" not in told
    assert shop.emulator.sites[mine.site_id].live_deploy_id == "hand"


def a_missing_token_is_said_before_anything_is_built(shop: Shop) -> None:
    commit = shop.project.commit()
    done = shop.project.deploy(code=1, variables={"NETLIFY_API_URL": shop.url, "NETLIFY_AUTH_TOKEN": ""})
    assert "needed: NETLIFY_AUTH_TOKEN" in done.stderr
    assert shop.project.built_services(commit) == []


def what_cannot_be_asked_is_unknown(shop: Shop) -> None:
    assert shop.project.status(shop.variables)["services"]["frontend"]["published"]["state"] == "recorded"
    frontend = shop.project.status({**shop.variables, "NETLIFY_AUTH_TOKEN": ""})["services"]["frontend"]
    assert frontend["published"]["state"] == "unknown"
    assert "NETLIFY_AUTH_TOKEN" in frontend["published"]["why"]
    assert frontend["release"] == "v1"


def a_locked_site_is_refused_before_anything_is_built(shop: Shop) -> None:
    first, (site,) = shop.front, shop.emulator.sites.values()
    mine = shop.emulator.deploys[site.live_deploy_id or ""]
    mine.locked = True
    second = shop.project.commit()
    for arguments in (("plan",), ("deploy", "--yes")):
        done = shop.project.run(*arguments, code=1, variables=shop.variables)
        assert f"the Netlify site shop is locked to deploy {mine.id}" in done.stderr
        assert "needed: an unlocked site" in done.stderr
        assert "netlify api unlockDeploy" in done.stderr
    assert shop.project.built_services(second) == []
    assert "locked" in shop.project.run("doctor", code=1, variables=shop.variables).stdout
    mine.locked = False
    shop.deploy()
    assert shop.front == second != first


def test_a_lock_while_users_are_watched_is_left_to_a_person(shop: Shop) -> None:
    """Somebody decided that users stay on the new deploy: a turn-back does not override that."""
    shop.project.commit()
    shop.deploy()
    shop.project.config["environments"]["local"]["settle"] = "60s"
    new = shop.project.commit("Leak", app_py=shop.project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = shop.project.start("deploy", "--yes", variables=shop.variables)
    eventually(lambda: shop.front == new)
    (site,) = shop.emulator.sites.values()
    shop.emulator.deploys[site.live_deploy_id or ""].locked = True

    def used() -> bool:
        if deploying.poll() is None:
            get_json(shop.project.backend_port)
        return deploying.poll() is not None

    eventually(used, 60)
    assert deploying.returncode == 4
    assert f"locked to deploy {site.live_deploy_id}" in deploying.output
    assert shop.front == new


def functions_that_nothing_bundles_are_refused_before_anything_is_built(shop: Shop) -> None:
    functions = shop.project.folder / "netlify/functions"
    functions.mkdir(parents=True)
    (functions / "hello.mjs").write_text("export default () => new Response()")
    commit = shop.project.commit()
    told = shop.deploy(code=1)
    assert "the repository has functions for Netlify (netlify/functions/hello.mjs)" in told
    assert "`functions: none` if they are not this site's" in told
    assert shop.project.built_services(commit) == []
    shop.project.config["environments"]["local"]["frontend"]["netlify"]["functions"] = "none"
    commit = shop.project.commit()
    shop.deploy()
    assert shop.front == commit
