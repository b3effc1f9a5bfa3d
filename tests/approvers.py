"""People who approve: as persons of a CI system, and by links that a test signs as the project would."""

import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from abreast.core.approvals import paseto
from abreast.core.approvals.link import LinkClaims, make_link
from sample_project import SampleProject

RUN = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_SERVER_URL": "https://github.example",
       "GITHUB_REPOSITORY": "octo/shop", "ABREAST_STATE": ".abreast"}  # fmt: skip

SEED = b"abreast signs this with 32 bytes"
KEY = {"ABREAST_AUDIT_KEY": "YWJyZWFzdCBzaWducyB0aGlzIHdpdGggMzIgYnl0ZXM="}


def as_person(login: str) -> dict[str, str]:
    """Return the variables of a run that this person started."""
    return {**RUN, "GITHUB_ACTOR": login, "GITHUB_TOKEN": ""}


def link_for(project: SampleProject, person: str, deployment: str, variables: Mapping[str, str] = KEY) -> str:
    """Return the link that somebody with the key makes by hand."""
    return project.run("approve", deployment, "--link-for", person, variables=variables).stdout.strip()


def read_claims(link: str) -> LinkClaims:
    """Return what a link is for, whoever signed it."""
    return LinkClaims.parse(paseto.unverified_message(link.partition("#")[2]))


def signed(claims: LinkClaims, seed: bytes = SEED) -> str:
    """Return a link with these claims."""
    return make_link(Ed25519PrivateKey.from_private_bytes(seed), claims).reveal()


def votes(project: SampleProject, variables: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return the approvals and rejections of the audit trail, but for refused commands."""
    lines = project.run("audit", "export", variables=variables).stdout.splitlines()
    return [
        act for act in map(json.loads, lines) if act["what"] in {"approve", "reject"} and act["outcome"] != "refused"
    ]
