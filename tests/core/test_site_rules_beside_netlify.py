"""Netlify's own parsers and its own matcher, from its command line, beside ours: on documented cases and on random ones."""

import json
import random
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from abreast.core.site_rules.path_patterns import canonical_path
from abreast.core.site_rules.redirects import Redirect, is_url
from abreast.core.site_rules.rules import RULE_FILES, SiteRules, parse_rules
from abreast.core.site_rules.site import SiteRequest, StaticSite
from netlify_cli import cli_program
from random_sites import Rules, random_site
from site_answers import request_of
from static_site_cases import CASES, Ask

SCRIPT = Path(__file__).parents[1] / "netlify_rules.mjs"

ODD_REDIRECTS = (
    "", "\n\n  \n", "# only\n", "/a", "/a b", "/a /b c", "/a /b 301! Country=de,at  Language=de", "/a\t/b\t302",
    "/a 404.html", "/a/* 200", "/a/* 200!", "/a/* 301", "/a id=:id", "/a id=:id x /b", "/a id=1=2 /b", "/a /b abc",
    "/a /b 30x!", "/a /b -1", "/a /b 99999", "a /b", "/a b /c", "http:// /b", "https://x.example/y* /b",
    "http://X.example:8080/y /b 301!", "http://x.example /b", "/.netlify/a /b", "http://x.example/.netlify/a /b",
    "/a http://x.example/:splat 200 Signed=KEY", "/a /b 200 Sign=KEY", "/a /b 200 signed=KEY Role=a,b", "/a # /b",
    "/a /b#c", "/a /b # c", "/a /b?x=1 302 role=admin", "/a /b 200 Cookie=c", "/a /b\n/c /d\n/a /b\n", "/é /ü",
)  # fmt: skip
ODD_TABLES = (
    'redirects = "x"', "redirects = [1]", "[[redirects]]\n", '[[redirects]]\nfrom = "/a"', '[[redirects]]\nto = "/a"',
    '[[redirects]]\nfrom = "/a/*"\nstatus = 200', '[[redirects]]\nfrom = "/a/*"\nstatus = 301',
    '[[redirects]]\nfrom = "/a"\nto = "/b"\nstatus = "x"', '[[redirects]]\nfrom = "/a"\nto = "/b"\nstatus = ""',
    '[[redirects]]\norigin = "/a"\ndestination = "/b"\nparameters = {x = "1"}\nsign = "KEY"\nforce = true',
    '[[redirects]]\nfrom = "/a"\nto = "/b"\nheaders = "x"', '[[redirects]]\nfrom = "/a"\nto = "/b"\nheaders = {X = "1"}',
    '[[redirects]]\nfrom = "/a"\nto = "/b"\nconditions = {country = "de, at", Language = ["de"], Role = ["x"]}',
    '[[redirects]]\nfrom = "/a"\nto = "/b"\n[[redirects]]\nfrom = "/.netlify/x"\nto = "/b"', "[[redirects",
    'headers = "x"', "headers = [1]", "[[headers]]\n", '[[headers]]\nfor = 1', '[[headers]]\nfor = "/a"',
    '[[headers]]\nfor = "/a"\nvalues = {}', '[[headers]]\nfor = "/a"\nvalues = "x"', '[[headers]]\nfor = "a "\nvalues = {A = " b , c "}',
    '[[headers]]\nfor = "/a"\nvalues = {A = 1}', '[[headers]]\nfor = "/a"\nvalues = {A = ["b", "c"]}',
    '[[headers]]\nfor = "/a"\nvalues = {A = ["b", 1]}', '[[headers]]\nfor = "/a"\nvalues = {" " = "b"}',
)  # fmt: skip
ODD_HEADERS = (
    "", "# only", "/a", "/a\n", "/a\n  X: 1\n", "X: 1\n/a\n", "/a\n  X\n  Y: 2\n", "/a\n  : 1\n", "/a\n  X:\n", "/a\n X: 1\n X: 2\n",
    "/a\n  X: a:b\n/a\n  X: 2\n", "  /a  \n  X :  1 \n", "/a\n  X: 1\n/a\n  X: 1\n", "/a\n  X: http://x, http://y\n", "/*\n X: 1\n/a/:b\n Y: 1",
)  # fmt: skip


def all_sites() -> Iterator[tuple[Rules, list[Ask]]]:
    """Yield the documented cases, odd files, and random ones."""
    for case in CASES:
        yield {name: text for name, text in case.contents.items() if name in RULE_FILES}, list(case.asks)
    yield from (({"_redirects": text}, []) for text in ODD_REDIRECTS)
    yield from (({"_headers": text}, []) for text in ODD_HEADERS)
    yield from (({"netlify.toml": text}, []) for text in ODD_TABLES)
    chance = random.Random(4)
    yield from (random_site(chance) for _ in range(400))


UNSENDABLE = {"content-length", "x spaced"}
"""Headers that rules of the cases name and no server sends: a fixed one, and one that is not a name."""


def request_for_matcher(ask: Ask) -> SiteRequest:
    """Return a request with the path as a matcher gets it."""
    request = request_of(ask)
    return replace(request, path=canonical_path(request.path))


def comparable(rule: Redirect) -> dict[str, Any]:
    """Return a redirect in the shape of Netlify's parser."""
    shape = {key: value for key, value in asdict(rule).items() if value not in (None, "") or key == "to"}
    shape["from"] = shape.pop("origin")
    lists = ("Role", "Language", "Country")
    conditions = {name: list(values) if name in lists else ",".join(values) for name, values in rule.conditions.items()}
    return {**shape, "conditions": conditions, "proxy": rule.status == 200 and is_url(rule.to)}


def lowered(values: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in values.items()}


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_netlifys_own_parsers_and_matcher_agree(tmp_path: Path) -> None:
    sites = list(all_sites())
    inputs = []
    for number, (files, asks) in enumerate(sites):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        requests = [asdict(request_for_matcher(ask)) for ask in asks]
        inputs.append({"folder": str(folder), "requests": requests})
    modules = cli_program().parent.parent
    done = subprocess.run(
        ["node", SCRIPT, modules], input=json.dumps(inputs), check=True, capture_output=True, text=True
    )
    met = 0
    for (files, asks), theirs in zip(sites, json.loads(done.stdout), strict=True):
        rules = parse_rules(files)
        assert [comparable(rule) for rule in rules.redirects] == theirs["redirects"], files
        assert [{"path": rule.path, "values": rule.values} for rule in rules.headers] == theirs["headers"], files
        assert bool(rules.faults) == bool(theirs["errors"]), files
        met += compare_matches(rules, asks, theirs)
    assert met > 300, "random requests met too few rules to tell anything"


def compare_matches(rules: SiteRules, asks: list[Ask], theirs: Mapping[str, Any]) -> int:
    """Compare which rule each request meets. Returns how many met one."""
    site = StaticSite((), rules)
    for ask, match, headers in zip(asks, theirs["matches"], theirs["matching"], strict=True):
        request = request_for_matcher(ask)
        found = site.find_redirect(request)
        ours = found and {"to": found[1], "status": found[0].status, "force": found[0].rule.force}
        leads_to_itself = match and canonical_path(match["to"].partition("?")[0]).rstrip("/") == request.path.rstrip(
            "/"
        )
        assert ours == match or leads_to_itself, (ask, rules.redirects)
        wanted = {name: value for name, value in lowered(headers).items() if name not in UNSENDABLE}
        assert site.headers_of(request.path) == wanted, (ask, rules.headers)
    return sum(match is not None for match in theirs["matches"])
