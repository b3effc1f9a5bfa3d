"""A backend in two Spaces, a frontend at Netlify that leads users to it: true blue-green over two clouds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from abreast.testing.platforms import huggingface, netlify
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.threaded_server import ThreadedServer
from multi_cloud import DOCKERFILE
from openapi_validator import validate_emulator
from sample_project import APP_SOURCE, SampleProject, eventually, get_text, wait_for_exit

BOTH = ("owner/api", "owner/api-b")


@dataclass
class Shop:
    """The project: its site, and the two Spaces behind the site's ``/api``."""

    project: SampleProject
    netlify: netlify.NetlifyEmulator
    hub: huggingface.HuggingFaceEmulator
    urls: tuple[str, str]

    def run(self, *arguments: str, code: int = 0) -> str:
        done = self.project.run(*arguments, code=code, variables=self.variables)
        return done.stdout + done.stderr

    def deploy(self, *arguments: str, code: int = 0) -> str:
        return self.run("deploy", "--yes", *arguments, code=code)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "NETLIFY_API_URL": self.urls[0], "NETLIFY_AUTH_TOKEN": netlify.TOKEN,
            "HF_ENDPOINT": self.urls[1], "HF_TOKEN": huggingface.TOKEN,
        }  # fmt: skip

    @property
    def served(self) -> tuple[str, str]:
        """The commits that users reach at the site and behind its ``/api``."""
        site, api = (json.loads(get_text(f"{self.urls[0]}/s/shop/{path}")) for path in ("", "api/orders"))
        return site["commit"], api["commit"]

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(self.hub.spaces[id_].stage for id_ in BOTH)


@pytest.fixture
def shop(project: SampleProject) -> Iterator[Shop]:
    at_netlify, at_hub = (
        netlify.NetlifyEmulator(netlify.UNLIMITED),
        huggingface.HuggingFaceEmulator(project.folder.parent),
    )
    at_netlify.add_site("shop")
    for id_ in BOTH:
        at_hub.add_space(id_)
    here = project.config["environments"]["local"]
    here["drain"] = "100ms"
    here["frontend"] = {"netlify": {"site": "shop"}}
    project.config["services"]["frontend"]["routes"] = {"/api": "backend"}
    here["backend"] = {"huggingface": {"space": BOTH[0], "standby": BOTH[1]}}
    project.commit("Two Spaces", Dockerfile=DOCKERFILE)
    with (
        validate_emulator(at_netlify, "netlify"),
        ThreadedServer(at_netlify.app) as one,
        ThreadedServer(at_hub.app) as two,
    ):
        yield Shop(project, at_netlify, at_hub, (one.url, two.url))
    at_hub.close()


@pytest.mark.smoke
def test_users_are_led_from_one_space_to_the_other_and_back(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    assert (shop.served, shop.stages) == ((first, first), ("RUNNING", "NO_APP_FILE"))
    second = shop.project.commit()
    told = shop.deploy()
    assert "is staged in the idle one of its two Spaces" in told
    assert (shop.served, shop.stages) == ((second, second), ("PAUSED", "RUNNING"))
    assert "nothing to do" in shop.deploy()
    shop.run("rollback", "--yes", "--reason", "no")
    assert (shop.served, shop.stages) == ((first, first), ("RUNNING", "PAUSED"))


def test_whatever_goes_wrong_users_see_nothing_of_a_candidate(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    as_before = (first, first), ("RUNNING", "PAUSED")
    shop.project.commit()
    shop.hub.stuck_state = "APP_STARTING"
    deploying = shop.project.start("deploy", "--yes", variables=shop.variables)
    eventually(lambda: shop.stages == ("RUNNING", "APP_STARTING"))
    assert shop.served == (first, first)
    shop.run("cancel", "--reason", "no")
    assert wait_for_exit(deploying) == 1
    assert (shop.served, shop.stages) == as_before
    shop.hub.stuck_state = None

    for on_failure in ("together", "alone"):
        shop.project.config["on_failure"] = on_failure
        shop.project.commit()
        shop.netlify.faults.planned = [InjectedFault("GET", "^/s/shop/$", FaultKind.STATUS, times=1000)]
        assert "status 500" in shop.deploy(code=1)
        shop.netlify.faults.planned = []
        assert (shop.served, shop.stages) == as_before, f"where one fails with users: {on_failure}"

    shop.project.config["on_failure"] = "together"
    shop.project.commit("Break", app_py="raise SystemExit('no database')")
    assert "no database" in shop.deploy(code=1)
    assert (shop.served, shop.stages) == as_before
    second = shop.project.commit("Mend", app_py=APP_SOURCE)
    shop.deploy()
    assert (shop.served, shop.stages) == ((second, second), ("PAUSED", "RUNNING"))


def test_the_site_can_wait_for_the_backend(shop: Shop) -> None:
    shop.project.config["services"]["frontend"] |= {"needs": ["backend"], "health": {"path": "/api/health"}}
    first = shop.project.commit()
    shop.deploy()
    second = shop.project.commit()
    told = shop.deploy()
    assert "order: backend → frontend" in told
    assert shop.served == (second, second) != (first, first)


def test_the_site_goes_along_as_it_is_where_the_backend_alone_is_meant(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    second = shop.project.commit()
    told = shop.deploy("--service", "backend")
    assert "as it is, since it leads users to the new address of backend" in told
    assert shop.served == (first, second)
    assert shop.project.built_services(second) == ["backend"]
    live = shop.project.status(shop.variables)["services"]
    assert (live["frontend"]["commit"], live["backend"]["commit"]) == (first, second)
    shop.run("rollback", "--yes", "--service", "backend", "--to", "v1", "--reason", "no")
    assert shop.served == (first, first)
    shop.deploy("--service", "frontend")
    assert shop.served == (second, first)
    shop.run("unlock", "--release", "v2")
    shop.run("rollback", "--yes", "--service", "backend", "--to", "v2", "--reason", "no")
    assert shop.served == (second, second)
    live = shop.project.status(shop.variables)["services"]
    assert (live["frontend"]["release"], live["backend"]["release"]) == ("v3", "v2")


def test_the_site_follows_from_one_space_to_a_pair_and_back(shop: Shop) -> None:
    here = shop.project.config["environments"]["local"]
    pair = here["backend"]
    here["backend"] = {"huggingface": {"space": BOTH[0]}}
    first = shop.project.commit()
    shop.deploy()
    here["backend"] = pair
    second = shop.project.commit()
    shop.deploy()
    assert shop.served == (second, second)
    told = shop.run("rollback", "--yes", "--service", "backend", "--to", "v1", "--reason", "no")
    assert "as it is, since it leads users to the new address of backend" in told
    assert shop.served == (second, first)
    shop.deploy("--service", "backend", "--allow-older", "--reason", "it was not the cause")
    assert shop.served == (second, second)


def test_who_waits_for_each_others_address_is_refused(shop: Shop) -> None:
    here = shop.project.config["environments"]["local"]
    here["backend"] = {"huggingface": {"space": BOTH[0]}}
    shop.project.config["services"]["backend"]["needs"] = ["frontend"]
    shop.project.commit()
    told = shop.deploy(code=2)
    assert "services.backend.needs: dependency cycle: backend → frontend → backend" in told
    assert shop.stages == ("NO_APP_FILE", "NO_APP_FILE")


def test_without_its_record_it_asks_rather_than_take_the_space_that_users_reach(shop: Shop) -> None:
    first = shop.project.commit()
    shop.deploy()
    for name in BOTH:
        shop.hub.spaces[name].stage = "RUNNING"
    variables = {**shop.variables, "ABREAST_STATE": str(shop.project.folder.parent / "other")}
    done = shop.project.run("deploy", "--yes", code=1, variables=variables)
    assert "does not know which one is live" in done.stdout + done.stderr
    assert shop.served == (first, first)


def test_a_pair_that_nobody_leads_to_is_refused(shop: Shop) -> None:
    del shop.project.config["services"]["frontend"]["routes"]
    shop.project.commit()
    told = shop.run("plan", code=2)
    assert "no service routes users to it" in told
    assert "`routes: {/api: backend}`" in told


def test_a_pair_of_one_space_is_refused(shop: Shop) -> None:
    shop.project.config["environments"]["local"]["backend"]["huggingface"]["standby"] = BOTH[0]
    shop.project.commit()
    assert "another Space than `space`" in shop.run("plan", code=2)
