"""The rows of the table of deployments."""

from typing import Any

from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment

DEPLOYMENT_COLUMNS = (
    "id, project, environment, kind, release, commit_id, state, chapter, started, finished, author, reason,"
    " coalesce((SELECT json_extract(entry, '$.data.run_url') FROM entries"
    " WHERE kind = 'plan' AND subject = deployments.id), '')"
)


def deployment_from_row(row: tuple[Any, ...]) -> Deployment:
    """Return the deployment of a row of these columns."""
    id_, project, environment, kind, release, commit, state, chapter, *when_and_who = row
    return Deployment(
        id_, project, environment, DeploymentKind(kind), release, commit, DeploymentState(state), Chapter(chapter),
        *when_and_who,
    )  # fmt: skip
