"""What the rules of the core answer to the requests of cases."""

from urllib.parse import urlsplit

from abreast.core.site_rules.rules import parse_rules
from abreast.core.site_rules.site import (
    FileAnswer,
    MissingAnswer,
    ProxyAnswer,
    RedirectAnswer,
    SiteRequest,
    StaticSite,
    preferred_language,
)
from static_site_cases import OTHER, Ask, SiteCase


def request_of(ask: Ask) -> SiteRequest:
    """Return a request as a site gets it."""
    cookies = dict(part.strip().split("=") for part in ask.send.get("Cookie", "").split(";") if part)
    url = urlsplit(ask.path)
    language = preferred_language(ask.send.get("Accept-Language", ""), cookies.get("nf_lang", ""))
    return SiteRequest(url.path, url.query, "http", ask.send.get("Host", ""), language, cookies)


def answer_of(case: SiteCase, ask: Ask) -> Ask:
    """Return what the site answers, as the request with that answer."""
    answer = StaticSite(case.files, parse_rules(case.contents)).answer(request_of(ask))
    match answer:
        case FileAnswer(file, status, headers):
            return Ask(ask.path, status, file, "", headers)
        case MissingAnswer(_, file, headers):
            return Ask(ask.path, 404, file or "Not Found", "", headers)
        case RedirectAnswer(location, status):
            return Ask(ask.path, status, "", location)
        case ProxyAnswer(to):
            body = " body" if ask.method == "POST" else ""
            return Ask(ask.path, 200, f"other {ask.method} {to.removeprefix(OTHER)}{body}")
