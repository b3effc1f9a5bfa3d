"""What the plan says about functions that users lose, and about Netlify's limits of deploys and of rewrites."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Service
from abreast.platforms.netlify.client import Deploy, Site
from abreast.platforms.netlify.source_check import BUNDLED

DAY = timedelta(days=1)
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
"""How the API writes times in UTC, up to the second: in order as text."""

REWRITE_TIMEOUT = 26
"""Seconds after which Netlify ends a request that it passes on."""

DEPLOYS_PER_DAY, MANY_DEPLOYS = 100, 80
"""How many deploys Netlify accepts in a day, and from how many on that is said."""


def lost_function_diagnostics(service: Service, live: Deploy | None) -> Iterator[Diagnostic]:
    """Yield a warning if users have functions that a release without functions takes off."""
    if live and live.function_names and service.settings.get("functions") != BUNDLED:
        yield Diagnostic(
            DiagnosticSeverity.WARNING,
            "",
            f"the live deploy {live.id} has functions ({', '.join(live.function_names)}), "
            "and users lose those that this release does not have",
        )


def unknown_content_diagnostics(service: Service, branch: str, served: Deploy | None) -> Iterator[Diagnostic]:
    """Yield a warning if users of a branch are on a deploy that abreast cannot lead back to."""
    if served:
        outcome = "takes the preview off" if "preview" in service.settings else "cannot lead back to it"
        yield Diagnostic(
            DiagnosticSeverity.WARNING,
            "",
            f"nothing lists the files of the deploy {served.id}, which the branch {branch} serves: "
            f"a deployment that fails {outcome}",
        )


def deploy_limit_diagnostics(site: Site, deploys: Sequence[Deploy], now: datetime) -> Iterator[Diagnostic]:
    """Yield a warning if a site's deploys of the last 24 hours come near the limit of Netlify's API."""
    since = (now - DAY).strftime(TIME_FORMAT)
    recent = sum(deploy.created_at > since for deploy in deploys)
    if recent >= MANY_DEPLOYS:
        yield Diagnostic(
            DiagnosticSeverity.WARNING,
            "",
            f"{site.name} had {recent} deploys in the last 24 hours, and Netlify accepts {DEPLOYS_PER_DAY} a day",
            "fewer deploys: a release makes one, a release to a branch two",
        )


def preview_notes(service: Service) -> Iterator[str]:
    """Yield what a preview is."""
    if "preview" in service.settings:
        branch, site = service.settings["branch"], service.settings["site"]
        yield f"is the branch deploy {branch} of {site}, whose own users notice nothing"
        yield "gets the variables that are set at Netlify for all contexts and for branch deploys"


def rewrite_notes(routes: Iterable[str]) -> Iterator[str]:
    """Yield what requests that Netlify passes on to services cannot do."""
    if paths := ", ".join(routes):
        yield f"{paths}: Netlify passes requests on for at most {REWRITE_TIMEOUT} s, and no websockets"
