"""Whether a site's users are safe on their way to it: its certificate, and what plain HTTP answers."""

from datetime import datetime, timedelta

import httpx2

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.machine.tls import ssl_context
from abreast.platforms.netlify.client import Certificate, Site

RENEWAL_OVERDUE = timedelta(days=14)
"""Netlify renews a certificate well before; one that has less left was not."""

TIMEOUT = 5.0
ISSUED_STATES = frozenset({"issued", "custom", "uploaded"})


def diagnose_certificate(site: Site, certificate: Certificate | None, now: datetime) -> Diagnostic:
    """Tell of a site's certificate, by what Netlify says of it."""
    if certificate is None and not site.custom_domain:
        return Diagnostic(DiagnosticSeverity.OK, "", f"{site.name} has a domain of Netlify's, and its certificate")
    if certificate is None:
        need = "one, or no user reaches it by HTTPS"
        return Diagnostic(
            DiagnosticSeverity.FAULT, "", f"{site.name} has no certificate", need, _domain_settings_hint(site)
        )
    ends = certificate.expires_at
    if certificate.state not in ISSUED_STATES or ends is None:
        what = f"the certificate of {site.name} is {certificate.state or 'in no known state'}"
        return Diagnostic(DiagnosticSeverity.WARNING, "", what, "one that is issued", _domain_settings_hint(site))
    remaining = datetime.fromisoformat(ends) - now
    summary = f"the certificate of {site.name} ends {ends[:10]}"
    if remaining < timedelta(0):
        return Diagnostic(DiagnosticSeverity.FAULT, "", summary, "one that is valid", _domain_settings_hint(site))
    return Diagnostic(
        DiagnosticSeverity.WARNING if remaining < RENEWAL_OVERDUE else DiagnosticSeverity.OK,
        "",
        f"{summary}, in {remaining.days} days",
    )


async def diagnose_redirect(site: Site) -> Diagnostic:
    """Ask the site by plain HTTP and tell whether it leads to HTTPS."""
    plain = "http://" + site.address.partition("://")[2]
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client:
            answer = await client.get(plain)
    except httpx2.HTTPError as error:
        what = f"whether {plain} leads to HTTPS: {str(error) or type(error).__name__}"
        return Diagnostic(DiagnosticSeverity.UNKNOWN, "", what, "a site that answers")
    if answer.is_redirect and answer.headers.get("location", "").startswith("https://"):
        return Diagnostic(DiagnosticSeverity.OK, "", f"{plain} leads to HTTPS")
    need = "Force HTTPS, in the site's domain settings"
    return Diagnostic(
        DiagnosticSeverity.WARNING, "", f"{plain} answers {answer.status_code} and does not lead to HTTPS", need
    )


def _domain_settings_hint(site: Site) -> str:
    return f"see the site's domain settings: {site.admin_url or 'at Netlify'}"
