"""Packages that hash with MD4, which the OpenSSL of Node 17 and later refuses (ERR_OSSL_EVP_UNSUPPORTED)."""

import re
from collections.abc import Mapping

from abreast.detection.draft import ServiceDraft
from abreast.detection.ecosystems.node_package import NodePackage

_OPTION = "NODE_OPTIONS=--openssl-legacy-provider"
_Span = tuple[tuple[int, ...], tuple[int, ...]]
_BUILDS: Mapping[str, _Span] = {
    "webpack": ((2,), (5,)), "react-scripts": ((1, 1), (5,)), "@vue/cli-service": ((3,), (5,)), "gatsby": ((2,), (3,)),
    "nuxt": ((2,), (3,)), "next": ((9,), (11,)), "@angular/cli": ((6,), (12,)),
}  # fmt: skip
"""From which version on each builds with MD4, and the first one that does not."""
_SERVERS: Mapping[str, _Span] = {"express": ((4, 0), (4, 13))}
"""The same of servers, whose `etag` does."""


def allow_old_hashes(package: NodePackage, draft: ServiceDraft) -> None:
    """Let commands of old packages hash as they did on the Node of their time."""
    for key, spans in (("build.run", _BUILDS), ("run", _SERVERS)):
        command, name = draft.text(key), _old_package(package, spans)
        if command and name:
            draft.replace(key, f"{_OPTION} {command}")
            draft.remarks.append(
                f"{name} {package.dependencies[name]} hashes with MD4, so {key} turns it on in OpenSSL"
            )


def _old_package(package: NodePackage, spans: Mapping[str, _Span]) -> str:
    """Return a package whose version, or the lowest of its range, hashes with MD4; "" if there is none."""
    for name, (first, fixed) in spans.items():
        found = re.match(r"[~^=v]*(\d+)(?:\.(\d+))?", package.dependencies.get(name, ""))
        if found and first <= (int(found[1]), int(found[2] or 0)) < fixed:
            return name
    return ""
