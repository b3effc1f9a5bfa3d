"""A site's certificate and its redirect to HTTPS, as the doctor tells of them."""

import asyncio
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from abreast.core.remarks import Level
from abreast.platforms.netlify.client import Certificate, Site
from abreast.platforms.netlify.https import of_certificate, of_redirect
from abreast.testing.platforms.server import Served
from project import free_ports

SHOP = Site(id="1", name="shop", ssl_url="https://shop.example.org", custom_domain="shop.example.org")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(("certificate", "level", "told"), [
    (Certificate(state="issued", expires_at="2027-01-21T00:00:00Z"), Level.OK, "ends 2027-01-21, in 61 days"),
    (Certificate(state="issued", expires_at="2026-12-01T00:00:00.000+00:00"), Level.WARNING, "in 10 days"),
    (Certificate(state="issued", expires_at="2026-11-20T00:00:00Z"), Level.FAULT, "ends 2026-11-20"),
    (Certificate(state="pending"), Level.WARNING, "is pending"),
    (Certificate(), Level.WARNING, "in no known state"),
    (None, Level.FAULT, "shop has no certificate"),
])  # fmt: skip
def test_a_certificate(certificate: Certificate | None, level: Level, told: str) -> None:
    found = of_certificate(SHOP, certificate, NOW)
    assert (found.level, told in found.what) == (level, True)


def test_a_domain_of_netlifys_has_netlifys_certificate() -> None:
    assert of_certificate(SHOP.model_copy(update={"custom_domain": None}), None, NOW).level is Level.OK


@pytest.mark.parametrize(("answer", "level"), [
    (RedirectResponse("https://shop.example.org/", 301), Level.OK),
    (RedirectResponse("http://elsewhere.example.org/"), Level.WARNING),
    (PlainTextResponse("hello"), Level.WARNING),
])  # fmt: skip
def test_plain_http(answer: Response, level: Level) -> None:
    async def answered(_: object) -> Response:
        return answer

    with Served(Starlette(routes=[Route("/", answered)])) as served:
        site = SHOP.model_copy(update={"ssl_url": served.url.replace("http:", "https:")})
        assert asyncio.run(of_redirect(site)).level is level


def test_a_site_that_does_not_answer_is_unknown() -> None:
    site = SHOP.model_copy(update={"ssl_url": f"https://127.0.0.1:{free_ports(1)[0]}"})
    assert asyncio.run(of_redirect(site)).level is Level.UNKNOWN
