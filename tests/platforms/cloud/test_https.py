"""A site's certificate and its redirect to HTTPS, as the doctor tells of them."""

import asyncio
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.platforms.netlify.client import Certificate, Site
from abreast.platforms.netlify.https_diagnostics import diagnose_certificate, diagnose_redirect
from abreast.testing.platforms.threaded_server import ThreadedServer
from sample_project import free_ports

SHOP = Site(id="1", name="shop", ssl_url="https://shop.example.org", custom_domain="shop.example.org")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(("certificate", "level", "told"), [
    (Certificate(state="issued", expires_at="2027-01-21T00:00:00Z"), DiagnosticSeverity.OK, "expires 2027-01-21, in 61 days"),
    (Certificate(state="issued", expires_at="2026-12-01T00:00:00.000+00:00"), DiagnosticSeverity.WARNING, "in 10 days"),
    (Certificate(state="issued", expires_at="2026-11-20T00:00:00Z"), DiagnosticSeverity.FAULT, "expires 2026-11-20"),
    (Certificate(state="pending"), DiagnosticSeverity.WARNING, "is pending"),
    (Certificate(), DiagnosticSeverity.WARNING, "in an unknown state"),
    (None, DiagnosticSeverity.FAULT, "shop has no certificate"),
])  # fmt: skip
def test_a_certificate(certificate: Certificate | None, level: DiagnosticSeverity, told: str) -> None:
    found = diagnose_certificate(SHOP, certificate, NOW)
    assert (found.level, told in found.what) == (level, True)


def test_a_domain_of_netlifys_has_netlifys_certificate() -> None:
    assert (
        diagnose_certificate(SHOP.model_copy(update={"custom_domain": None}), None, NOW).level is DiagnosticSeverity.OK
    )


@pytest.mark.parametrize(("answer", "level"), [
    (RedirectResponse("https://shop.example.org/", 301), DiagnosticSeverity.OK),
    (RedirectResponse("http://elsewhere.example.org/"), DiagnosticSeverity.WARNING),
    (PlainTextResponse("hello"), DiagnosticSeverity.WARNING),
])  # fmt: skip
def test_plain_http(answer: Response, level: DiagnosticSeverity) -> None:
    async def answered(_: object) -> Response:
        return answer

    with ThreadedServer(Starlette(routes=[Route("/", answered)])) as served:
        site = SHOP.model_copy(update={"ssl_url": served.url.replace("http:", "https:")})
        assert asyncio.run(diagnose_redirect(site)).level is level


def test_a_site_that_does_not_answer_is_unknown() -> None:
    site = SHOP.model_copy(update={"ssl_url": f"https://127.0.0.1:{free_ports(1)[0]}"})
    assert asyncio.run(diagnose_redirect(site)).level is DiagnosticSeverity.UNKNOWN
