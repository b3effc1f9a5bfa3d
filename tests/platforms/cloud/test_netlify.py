"""Netlify: the platform against the emulator, which is held to the published description."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from abreast.core.errors import PlatformError
from abreast.platforms.interface import VersionRef
from abreast.platforms.netlify.site_files import file_digests, list_files
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.netlify import TOKEN
from netlify_stage import SERVICE, Stage, netlify_stage
from sample_project import get_text


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with netlify_stage(tmp_path) as made:
        yield made


def test_a_draft_is_published_in_the_turn_and_the_one_before_restored(stage: Stage) -> None:
    first = stage.stage("web-1", assets__app_js="same")
    assert get_text(first.probes[0].url) == "web-1"
    assert stage.served == "Not Found"
    stage.turn(first)
    assert stage.served == "web-1"
    second = stage.stage("web-2", assets__app_js="same", copy_js="same")
    assert (stage.served, get_text(second.probes[0].url)) == ("web-1", "web-2")
    stage.turn(second)
    stage.turn(second)
    assert stage.served == "web-2"
    stage.turn(first)
    assert stage.served == "web-1"
    uploads = [path for method, path in stage.emulator.faults.requests if method == "PUT" and "/files/" in path]
    assert len(uploads) == 3, "each content is sent once"
    assert "netlify: uploading 1 of 3 files" in stage.told


def test_what_is_there_is_found_again_and_not_made_twice(stage: Stage) -> None:
    one = stage.stage("web-1")
    assert stage.stage("web-1") == one
    assert len(stage.emulator.deploys) == 1


def test_what_others_published_is_known_for_the_way_back(stage: Stage) -> None:
    assert stage.run(lambda netlify: netlify.live_version(SERVICE)) is None
    stage.turn(stage.stage("by-hand"))
    there = stage.run(lambda netlify: netlify.live_version(SERVICE))
    assert there
    stage.turn(stage.stage("web-2"))
    stage.turn(there)
    assert stage.served == "by-hand"


def test_drafts_go_and_what_users_had_stays(stage: Stage) -> None:
    live, draft = stage.stage("web-1"), stage.stage("web-2")
    stage.turn(live)
    stage.run(
        lambda netlify: netlify.retire(
            [VersionRef(SERVICE, "web-1"), VersionRef(SERVICE, "web-2"), VersionRef(SERVICE, "x")], 1
        )
    )
    assert set(stage.emulator.deploys) == {live.handle["deploy"]}
    looks = [VersionRef(SERVICE, one.id, one.handle) for one in (live, draft)]
    seen = stage.run(lambda netlify: netlify.observe(looks))
    assert (seen["web-1"].present, seen["web-2"].present) == (True, False)
    assert "deleted" in seen["web-2"].exit_reason


def test_a_large_site_is_worked_through_after_the_answer(stage: Stage) -> None:
    files = {f"f{number}_txt": f"content {number % 100}" for number in range(600)}
    stage.turn(stage.stage("web-1", **files))
    assert get_text(f"{stage.url}/s/shop/f599.txt") == "content 99"
    assert stage.told[0] == "netlify: prepared"


def test_a_locked_site_is_said_before_anything_is_sent(stage: Stage) -> None:
    stage.turn(stage.stage("web-1"))
    (deploy,) = stage.emulator.deploys.values()
    deploy.locked = True
    with pytest.raises(PlatformError, match="site shop is locked to deploy"):
        stage.stage("web-2")
    assert len(stage.emulator.deploys) == 1


def test_a_site_that_is_locked_in_between_is_not_published(stage: Stage) -> None:
    stage.turn(stage.stage("web-1"))
    second = stage.stage("web-2")
    next(iter(stage.emulator.deploys.values())).locked = True
    with pytest.raises(PlatformError, match="locked"):
        stage.turn(second)
    assert stage.served == "web-1"


def test_a_deploy_that_ends_in_error_says_why(stage: Stage) -> None:
    stage.emulator.build_error = "the site is too large"
    with pytest.raises(PlatformError, match="the site is too large"):
        stage.stage("web-1")


@pytest.mark.parametrize(("token", "text"), [(None, "missing"), ("wrong", "refused")])
def test_a_wrong_token_is_named_by_its_variable_only(stage: Stage, token: str | None, text: str) -> None:
    with pytest.raises(PlatformError, match=f"token is {text}") as raised:
        stage.run(lambda netlify: netlify.live_version(SERVICE), token)
    assert "NETLIFY_AUTH_TOKEN" in str(raised.value)
    assert "wrong" not in str(raised.value)


def test_an_unknown_site_is_said(stage: Stage) -> None:
    with pytest.raises(PlatformError, match="no site shap that the token may see"):
        stage.run(lambda netlify: netlify.live_version(replace(SERVICE, settings={"site": "shap"})))


@pytest.mark.parametrize("name", ["shop", "shop.netlify.app", "shop.example.org", "site-shop"])
def test_a_site_is_found_by_its_name_domain_or_id(stage: Stage, name: str) -> None:
    """The API takes no plain name, and its list of sites has all those whose name contains the one that is meant."""
    stage.emulator.sites["site-shop"].domain = "shop.example.org"
    shop = stage.emulator.sites.pop("site-shop")
    for number in range(120):
        stage.emulator.add_site(f"shop-{number}")
    stage.emulator.sites[shop.id] = shop
    assert httpx2.get(f"{stage.url}/api/v1/sites/shop", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
    stage.service = replace(SERVICE, settings={"site": name})
    stage.turn(stage.stage("web-1"))
    assert stage.served == "web-1"


def test_a_locked_site_is_refused_in_the_plan(stage: Stage) -> None:
    stage.turn(stage.stage("web-1"))
    (deploy,) = stage.emulator.deploys.values()
    assert stage.run(lambda netlify: netlify.inspect_release(SERVICE, None)) == []
    deploy.locked = True
    for look in (lambda netlify: netlify.inspect_release(SERVICE, None), lambda netlify: netlify.diagnose(SERVICE)):
        with pytest.raises(PlatformError, match="site shop is locked to deploy") as raised:
            stage.run(look)
        assert f'netlify api unlockDeploy --data \'{{"deploy_id": "{deploy.id}"}}\'' in raised.value.next
    assert stage.run(lambda netlify: netlify.inspect_release(BRANCH, None)) == []
    assert stage.run(lambda netlify: netlify.diagnose(BRANCH))


def test_a_lock_that_somebody_sets_is_not_overridden_on_the_way_back(stage: Stage) -> None:
    """Netlify publishes what is restored although the site is locked, and the lock is gone: so abreast must look."""
    first, second = stage.stage("web-1"), stage.stage("web-2")
    stage.turn(first)
    stage.turn(second)
    stage.emulator.deploys[second.handle["deploy"]].locked = True
    with pytest.raises(PlatformError, match=f"locked to deploy {second.handle['deploy']}"):
        stage.turn(first)
    assert stage.served == "web-2"


def test_a_page_that_is_missing_is_answered_with_the_sites_own(stage: Stage) -> None:
    assert httpx2.get(f"{stage.url}/s/shop/nothing").text == "Not Found"
    stage.turn(stage.stage("web-1", **{"404_html": "lost?"}))
    answer = httpx2.get(f"{stage.url}/s/shop/nothing")
    assert (answer.status_code, answer.text) == (404, "lost?")


EVERY = (("GET", "/sites/shop$"), ("GET", "/deploys$"), ("PUT", "/files/"), ("GET", "/deploys/[0-9a-f]+$"))
PASSING = [
    InjectedFault(method, path, kind, times=times, status=status, headers=headers, body=body, delay=0.05)
    for method, path in EVERY
    for kind, times, status, headers, body in (
        (FaultKind.STATUS, 2, 500, {}, "boom"), (FaultKind.STATUS, 1, 502, {}, "<html>bad gateway</html>"),
        (FaultKind.STATUS, 1, 200, {"content-type": "text/html"}, "<html>login</html>"), (FaultKind.STATUS, 1, 200, {}, ""),
        (FaultKind.STATUS, 1, 429, {"Retry-After": "0"}, ""), (FaultKind.STATUS, 5, 429, {"X-RateLimit-Reset": "0.01"}, ""),
        (FaultKind.RESPONSE_LOST, 2, 0, {}, ""), (FaultKind.REQUEST_DROPPED, 2, 0, {}, ""), (FaultKind.SLOW, 1, 0, {}, ""),
    )
    if (method, status) != ("PUT", 200)  # nothing is read of an upload's answer
]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.method}{fault.path}-{fault.kind}-{fault.status}")
def test_what_passes_is_repeated(stage: Stage, fault: InjectedFault) -> None:
    planned = replace(fault)
    stage.emulator.faults.planned = [planned]
    stage.turn(stage.stage("web-1"))
    assert stage.served == "web-1"
    assert planned.times == 0
    assert len(stage.emulator.deploys) == 1


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_create_whose_fate_is_unknown_is_looked_for(stage: Stage, kind: FaultKind) -> None:
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", kind)]
    with pytest.raises(UnknownOutcomeError, match="Netlify: POST /sites/site-shop/deploys"):
        stage.stage("web-1")
    stage.stage("web-1")
    assert len(stage.emulator.deploys) == 1


def test_a_publish_whose_answer_is_lost_is_seen_to_be_done(stage: Stage) -> None:
    first = stage.stage("web-1")
    stage.emulator.faults.planned = [InjectedFault("POST", "/restore$", FaultKind.RESPONSE_LOST)]
    stage.turn(first)
    assert stage.served == "web-1"


def test_a_publish_that_did_not_arrive_is_sent_again(stage: Stage) -> None:
    first = stage.stage("web-1")
    stage.emulator.faults.planned = [InjectedFault("POST", "/restore$", FaultKind.REQUEST_DROPPED)]
    with pytest.raises(UnknownOutcomeError, match="restore"):
        stage.turn(first)
    stage.turn(first)
    assert stage.served == "web-1"


def test_a_provider_that_is_down_is_named(stage: Stage) -> None:
    stage.emulator.faults.planned = [InjectedFault(".*", ".*", FaultKind.STATUS, times=100, status=503)]
    with pytest.raises(PlatformError, match=r"Netlify: GET /sites/shop: status 503 \(3 times\)") as raised:
        stage.stage("web-1")
    assert TOKEN not in str(raised.value)
    assert len(stage.emulator.faults.requests) == 3


def test_digests_are_of_what_may_be_served(tmp_path: Path) -> None:
    for name in ("index.html", ".env", ".well-known/x", "a/b.txt", "_headers"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hello")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    digest = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
    assert file_digests(list_files(tmp_path)) == dict.fromkeys(
        (".well-known/x", "_headers", "a/b.txt", "index.html"), digest
    )
    (tmp_path / "what?").write_text("")
    with pytest.raises(PlatformError, match=r"cannot serve the file what\?"):
        file_digests(list_files(tmp_path))


def test_headers_redirects_and_the_toml_hold_for_the_site(stage: Stage) -> None:
    toml = '[[headers]]\nfor = "/*"\nvalues = {X-Toml = "1"}\n[[redirects]]\nfrom = "/old/*"\nto = "/:splat"\nstatus = 200\n'
    order = stage.order("web-1", news_html="news", netlify_toml=toml)
    (order.artifact_path / "_headers").write_text("/news*\n  X-News: yes\n")
    (order.artifact_path / "_redirects").write_text("# moved\n/feed /news.html 200\n/away https://example.org/ 302\n")
    stage.turn(stage.run(lambda netlify: netlify.stage(order, stage.tell)))
    answer = httpx2.get(f"{stage.url}/s/shop/news.html")
    assert (answer.headers["x-news"], answer.headers["x-toml"]) == ("yes", "1")
    assert httpx2.get(f"{stage.url}/s/shop/feed").text == "news"
    assert httpx2.get(f"{stage.url}/s/shop/old/news.html").text == "news"
    away = httpx2.get(f"{stage.url}/s/shop/away")
    assert (away.status_code, away.headers["location"]) == (302, "https://example.org/")
    assert httpx2.get(f"{stage.url}/s/shop/_redirects").status_code == 404


BRANCH = replace(SERVICE, settings={"site": "shop", "branch": "staging"})


def test_a_branch_is_led_to_a_release_and_the_site_stays(stage: Stage) -> None:
    stage.turn(stage.stage("web-1"))
    stage.service = BRANCH
    two = stage.stage("web-2")
    assert two.url == f"{stage.url}/d/staging--shop"
    assert (get_text(two.probes[0].url), get_text(two.url)) == ("web-2", "Not Found")
    stage.turn(two)
    stage.turn(two)
    three = stage.stage("web-3")
    stage.turn(three)
    assert get_text(two.url) == "web-3"
    stage.turn(two)
    assert (get_text(two.url), stage.served) == ("web-2", "web-1")
    assert [deploy.branch for deploy in stage.emulator.deploys.values()].count("staging") == 3
    uploads = [path for method, path in stage.emulator.faults.requests if method == "PUT" and "/files/" in path]
    assert len([path for path in uploads if "abreast" not in path]) == 3, "each content is sent once"
    assert len(uploads) == 5, "and what each version of the branch consists of"


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_branch_whose_deploy_is_not_answered(stage: Stage, kind: FaultKind) -> None:
    stage.service = BRANCH
    one = stage.stage("web-1")
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", kind)]
    with suppress(UnknownOutcomeError):
        stage.turn(one)
    stage.turn(one)
    assert get_text(one.url) == "web-1"
    assert [deploy.branch for deploy in stage.emulator.deploys.values()] == ["main", "staging"]


def test_a_branch_does_not_lead_back_to_what_is_not_known_here(stage: Stage) -> None:
    stage.service = BRANCH
    one = stage.stage("web-1")
    stage.turn(one)
    assert stage.run(lambda netlify: netlify.live_version(BRANCH)) == one
    stage.run(lambda netlify: netlify.retire([VersionRef(BRANCH, "web-1")], 0))
    assert stage.run(lambda netlify: netlify.live_version(BRANCH)) is None
    with pytest.raises(PlatformError, match="the file list of web-9 is missing"):
        stage.turn(replace(one, id="web-9"))


def without_id(value: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in value.items() if name != "id"}


def test_variables_are_set_in_the_context_that_is_meant(stage: Stage) -> None:
    stage.env = {"COLOUR": "blue", "KEY": "s3cret", "ABREAST_RELEASE": "v1"}
    stage.secrets = frozenset({"KEY"})
    stage.stage("web-1")
    stage.service, stage.env = BRANCH, {"COLOUR": "red"}
    stage.stage("web-2")
    stage.stage("web-3")
    env = stage.emulator.sites["site-shop"].env
    assert set(env) == {"COLOUR", "KEY"}
    assert [without_id(value) for value in env["COLOUR"]["values"]] == [
        {"context": "production", "value": "blue"},
        {"context": "branch", "context_parameter": "staging", "value": "red"},
    ]
    assert (env["COLOUR"]["is_secret"], env["KEY"]["is_secret"]) == (False, True)
    assert sum(method == "PATCH" for method, _ in stage.emulator.faults.requests) == 1
    stage.service, stage.env = SERVICE, {"KEY": "n3w"}
    stage.stage("web-4")
    assert [without_id(value) for value in env["KEY"]["values"]] == [{"context": "production", "value": "n3w"}]
    assert not any("s3cret" in text for text in stage.told)


def test_a_domain_without_a_certificate_gets_one(stage: Stage) -> None:
    sites = stage.emulator.sites
    sites["site-shop"].domain = "shop.example.org"
    stage.emulator.faults.planned = [
        InjectedFault("POST", "/ssl$", FaultKind.STATUS, status=422, body='{"message": "DNS does not lead here"}')
    ]
    stage.stage("web-1")
    assert [site.certificate_expires_at for site in sites.values()] == [None]
    assert any("DNS does not lead here" in text for text in stage.told)
    stage.stage("web-2")
    assert sites["site-shop"].certificate_expires_at
    assert "netlify: requested a certificate for shop.example.org" in stage.told
