"""The API of artifacts: signed statements about them, and records of where they run, which only organizations have."""

import base64
import json
import re
from typing import Any

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer
from abreast.testing.github.model import Attestation, DeploymentRecord, GitHubState, now

ORGANIZATION = "/orgs/{org}/artifacts"
_PLACE = ("logical_environment", "physical_environment", "cluster", "deployment_name")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ArtifactsApi:
    """Serves attestations and deployment records."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def operations(self) -> list[Operation]:
        """Return the operations."""
        records, write = f"{ORGANIZATION}/{{digest}}/metadata/deployment-records", "artifact_metadata=write"
        return [
            Operation("POST", f"{REPOSITORY}/attestations", "attestations=write", self._attest),
            Operation("GET", f"{REPOSITORY}/attestations/{{digest}}", "attestations=read", self._attestations),
            Operation("POST", f"{ORGANIZATION}/metadata/deployment-record", write, self._record),
            Operation("GET", records, "artifact_metadata=read", self._records),
        ]

    async def _attest(self, call: Call) -> Response:
        body = await call.body(bodies.NewAttestation)
        try:
            statement = json.loads(base64.b64decode(body.bundle.dsseEnvelope["payload"], validate=True))
            digests = [f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]]
        except (KeyError, ValueError, TypeError) as error:
            raise ApiError(422, "Validation Failed: the bundle has no statement about an artifact") from error
        made = Attestation(self._state.next_id(), digests, body.bundle.model_dump())
        call.repository.attestations.append(made)
        return answer({"id": made.id}, 201)

    async def _attestations(self, call: Call) -> Response:
        found = [
            {"bundle": each.bundle, "repository_id": call.repository.id, "bundle_url": ""}
            for each in call.repository.attestations
            if _digest(call) in each.digests
        ]
        page, links = call.page(found, "predicate_type", "before", "after")
        if not found:
            raise ApiError(404, "Not Found")
        return answer({"attestations": page}, headers=links)

    async def _record(self, call: Call) -> Response:
        """Create the record of a deployment, or replace the one of the same place and name."""
        body = await call.body(bodies.DeploymentRecord)
        sent: dict[str, Any] = body.model_dump(exclude={"return_records", "github_repository"})
        owner = call.repository.owner
        if body.github_repository and f"{owner}/{body.github_repository}" not in self._state.repositories:
            raise ApiError(422, "Validation Failed: no such repository in the organization")
        place = tuple(sent[key] for key in _PLACE)
        records = self._state.deployment_records.setdefault(owner, {})
        known = records.get(place)
        created = known.created_at if known else now()
        records[place] = DeploymentRecord(known.id if known else self._state.next_id(), sent, created, now())
        listed = [documents.deployment_record(call, records[place])] if body.return_records else []
        return answer({"total_count": 1, **({"deployment_records": listed} if listed else {})})

    async def _records(self, call: Call) -> Response:
        call.query()
        records = self._state.deployment_records.get(call.repository.owner, {}).values()
        found = [
            documents.deployment_record(call, record) for record in records if record.fields["digest"] == _digest(call)
        ]
        return answer({"total_count": len(found), "deployment_records": found})


def _digest(call: Call) -> str:
    digest = call.param("digest")
    if not _DIGEST.fullmatch(digest):
        raise ApiError(404, "Not Found")
    return digest
