"""Diagnostics of a site's TLS certificate and its redirect from HTTP to HTTPS."""

from datetime import datetime, timedelta

import httpx2

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.wording import counted
from abreast.machine.tls import ssl_context
from abreast.platforms.netlify.client import Certificate, Site

RENEWAL_OVERDUE = timedelta(days=14)
"""Netlify renews certificates earlier than this before they expire."""

TIMEOUT = 5.0
ISSUED_STATES = frozenset({"issued", "custom", "uploaded"})


def diagnose_certificate(site: Site, certificate: Certificate | None, now: datetime) -> Diagnostic:
    """Diagnose a site's certificate."""
    if certificate is None and not site.custom_domain:
        return Diagnostic(DiagnosticSeverity.OK, "", f"{site.name} uses Netlify's domain and certificate")
    if certificate is None:
        need = "a certificate, or users cannot reach it by HTTPS"
        return Diagnostic(
            DiagnosticSeverity.FAULT, "", f"{site.name} has no certificate", need, _domain_settings_hint(site)
        )
    ends = certificate.expires_at
    if certificate.state not in ISSUED_STATES or ends is None:
        what = f"the certificate of {site.name} is {certificate.state or 'in an unknown state'}"
        return Diagnostic(DiagnosticSeverity.WARNING, "", what, "an issued certificate", _domain_settings_hint(site))
    remaining = datetime.fromisoformat(ends) - now
    summary = f"the certificate of {site.name} expires {ends[:10]}"
    if remaining < timedelta(0):
        return Diagnostic(DiagnosticSeverity.FAULT, "", summary, "a valid certificate", _domain_settings_hint(site))
    return Diagnostic(
        DiagnosticSeverity.WARNING if remaining < RENEWAL_OVERDUE else DiagnosticSeverity.OK,
        "",
        f"{summary}, in {counted(remaining.days, 'day')}",
    )


async def diagnose_redirect(site: Site) -> Diagnostic:
    """Diagnose whether plain HTTP redirects to HTTPS."""
    plain = "http://" + site.address.partition("://")[2]
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client:
            answer = await client.get(plain)
    except httpx2.HTTPError as error:
        what = f"cannot check whether {plain} redirects to HTTPS: {str(error) or type(error).__name__}"
        return Diagnostic(DiagnosticSeverity.UNKNOWN, "", what, "a site that answers")
    if answer.is_redirect and answer.headers.get("location", "").startswith("https://"):
        return Diagnostic(DiagnosticSeverity.OK, "", f"{plain} redirects to HTTPS")
    need = "`Force HTTPS` in the site's domain settings"
    return Diagnostic(
        DiagnosticSeverity.WARNING, "", f"{plain} answers {answer.status_code} and does not redirect to HTTPS", need
    )


def _domain_settings_hint(site: Site) -> str:
    return f"see the site's domain settings: {site.admin_url or 'at Netlify'}"
