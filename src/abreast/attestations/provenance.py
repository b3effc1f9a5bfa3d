"""The statement about a build: in-toto (https://in-toto.io/Statement/v1) with SLSA provenance (https://slsa.dev/provenance/v1).

The build type is GitHub's own: https://actions.github.io/buildtypes/workflow/v1.
"""

from collections.abc import Mapping
from typing import Any

from abreast import __version__
from abreast.attestations.interface import BuiltArtifact

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://actions.github.io/buildtypes/workflow/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def provenance(built: BuiltArtifact, claims: Mapping[str, Any], server_url: str) -> dict[str, Any]:
    """Return the statement. ``claims`` are those of the run's identity token; the certificate repeats them."""
    repository = f"{server_url}/{claims['repository']}"
    path, _, ref = str(claims["workflow_ref"]).removeprefix(f"{claims['repository']}/").partition("@")
    source = f"git+{repository}@{claims['ref']}" if built.commit == claims["sha"] else f"git+{repository}"
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for name, digest in built.subjects.items()
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"workflow": {"ref": ref, "repository": repository, "path": path}},
                "internalParameters": {
                    "github": {
                        key: claims[key]
                        for key in ("event_name", "repository_id", "repository_owner_id", "runner_environment")
                    },
                    "abreast": {
                        "service": built.service,
                        "release": built.release,
                        "environment": built.environment,
                        "command": built.command,
                        "inputs": built.inputs,
                    },
                },
                "resolvedDependencies": [{"uri": source, "digest": {"gitCommit": built.commit}}],
            },
            "runDetails": {
                "builder": {
                    "id": f"{server_url}/{claims['job_workflow_ref']}",
                    "version": {"abreast": __version__},
                },
                "metadata": {
                    "invocationId": f"{repository}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}",
                    "finishedOn": built.finished,
                },
            },
        },
    }


def statement_fault(statement: Mapping[str, Any], digest: str) -> str:
    """Return what a statement lacks to be one about the build of an artifact, "" if it is one."""
    if statement.get("predicateType") != PREDICATE_TYPE:
        return f"it states {statement.get('predicateType')}, not {PREDICATE_TYPE}"
    digests = [subject.get("digest", {}).get("sha256") for subject in statement.get("subject", [])]
    return "" if digest.removeprefix("sha256:") in digests else "it is about another artifact"


def built_commit(statement: Mapping[str, Any]) -> str:
    """Return the commit that a statement says was built, "" if it says none."""
    for source in statement.get("predicate", {}).get("buildDefinition", {}).get("resolvedDependencies", []):
        if commit := source.get("digest", {}).get("gitCommit"):
            return str(commit)
    return ""
