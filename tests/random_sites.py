"""Rules of sites and requests, at random, which have a chance to meet."""

import random
from collections.abc import Mapping

from static_site_cases import OTHER, Ask

Rules = Mapping[str, str]

HEADER_PATHS = ("/*", "/a", "/a/", "/a/*", "/a/:x", "/a/:x/c", "/a/*/c", "/a*", "/a*/c", "/*.js", "/A/b", "/a/b.c")

SEGMENTS = ("a", "b", "ab", "a.b", "*", ":x", ":y", "p*", "a-b", "c%20d", "a+b", "(a)")
VALUES = ("a", "b", "ab", "q", "a.b", "axb", "pq", "p", "c%20d", "x-y", "c.js", "a+b", "(a)")
TARGETS = ("/t/:x", "/t/:splat", "/:y/:x", f"{OTHER}/:splat", "/plain", "/t?z=:x", "/t/:q", "/:xy/:x")


def random_segments(chance: random.Random) -> list[str]:
    """Return the segments of a rule's path. What two splats mean is documented nowhere."""
    segments = [chance.choice(SEGMENTS) for _ in range(chance.randint(1, 4))]
    return segments if "".join(segments).count("*") < 2 else random_segments(chance)


def random_site(chance: random.Random) -> tuple[Rules, list[Ask]]:
    """Return rules and requests that have a chance to meet."""
    lines = []
    for _ in range(chance.randint(1, 5)):
        segments = random_segments(chance)
        path = "".join(f"/{segment}" for segment in segments) + chance.choice(["", "", "/"])
        query = chance.choice(["", "", "", "id=:q", "id=1", "tag=:q id=2"])
        condition = chance.choice(["", "", "", "", "Language=de,fr-CH", "Cookie=ck", "Country=xx", "Unknown=1"])
        status = chance.choice(["200", "301", "302!", "404", "200!"])
        lines.append(f"{path} {query} {chance.choice(TARGETS)} {status} {condition}")
    headers = "".join(f"{path}\n  X-{number}: {number}\n" for number, path in enumerate(chance.sample(HEADER_PATHS, 4)))
    asks = []
    for _ in range(12):
        path = "/" + "/".join(chance.choice(VALUES) for _ in range(chance.randint(0, 4)))
        query = chance.choice(["", "", "?id=1", "?id=", "?tag=a%20b&id=2", "?id", "?id=1&id=%2F"])
        send = {
            "Accept-Language": chance.choice(["", "de-AT", "fr"]),
            "Cookie": chance.choice(["", "ck=1", "nf_lang=fr-CH"]),
        }
        asks.append(Ask(path + (chance.choice(["", "/"]) if path != "/" else "") + query, 0, send=send))
    return {"_redirects": "\n".join(lines), "_headers": headers}, asks
