"""Whether a site's users are safe on their way to it: its certificate, and what plain HTTP answers."""

from datetime import datetime, timedelta

import httpx2

from abreast.core.remarks import Level, Remark
from abreast.machine.tls import trust
from abreast.platforms.netlify.client import Certificate, Site

SOON = timedelta(days=14)
"""Netlify renews a certificate well before; one that has less left was not."""

PATIENCE = 5.0
ISSUED = frozenset({"issued", "custom", "uploaded"})


def of_certificate(site: Site, certificate: Certificate | None, now: datetime) -> Remark:
    """Tell of a site's certificate, by what Netlify says of it."""
    if certificate is None and not site.custom_domain:
        return Remark(Level.OK, "", f"{site.name} has a domain of Netlify's, and its certificate")
    if certificate is None:
        need = "one, or no user reaches it by HTTPS"
        return Remark(Level.FAULT, "", f"{site.name} has no certificate", need, _provision(site))
    ends = certificate.expires_at
    if certificate.state not in ISSUED or ends is None:
        what = f"the certificate of {site.name} is {certificate.state or 'in no known state'}"
        return Remark(Level.WARNING, "", what, "one that is issued", _provision(site))
    left = datetime.fromisoformat(ends) - now
    told = f"the certificate of {site.name} ends {ends[:10]}"
    if left < timedelta(0):
        return Remark(Level.FAULT, "", told, "one that is valid", _provision(site))
    return Remark(Level.WARNING if left < SOON else Level.OK, "", f"{told}, in {left.days} days")


async def of_redirect(site: Site) -> Remark:
    """Ask the site by plain HTTP and tell whether it leads to HTTPS."""
    plain = "http://" + site.address.partition("://")[2]
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE, verify=trust()) as client:
            answer = await client.get(plain)
    except httpx2.HTTPError as error:
        what = f"whether {plain} leads to HTTPS: {str(error) or type(error).__name__}"
        return Remark(Level.UNKNOWN, "", what, "a site that answers")
    if answer.is_redirect and answer.headers.get("location", "").startswith("https://"):
        return Remark(Level.OK, "", f"{plain} leads to HTTPS")
    need = "Force HTTPS, in the site's domain settings"
    return Remark(Level.WARNING, "", f"{plain} answers {answer.status_code} and does not lead to HTTPS", need)


def _provision(site: Site) -> str:
    return f"see the site's domain settings: {site.admin_url or 'at Netlify'}"
