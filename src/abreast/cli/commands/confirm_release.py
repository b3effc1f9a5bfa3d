"""``abreast confirm``: a person says that a release is good."""

import json

from abreast.cli.published import require_published
from abreast.cli.selection import known_environment, locate_workspace
from abreast.core.errors import RefusedError
from abreast.core.rollback import unlock_command
from abreast.deploy.runtime.release_history import (
    confirmed_event,
    kept_out_releases,
    live_deployment,
    refuse_replaced,
)


def confirm_release(release: str, environment: str | None, reason: str, *, as_json: bool) -> int:
    """Record that a person found a release good. Raises RefusedError for one that was rolled back or replaced."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        name = known_environment(workspace, ledger, environment)
        deployment = live_deployment(ledger, name, release)
        if out := kept_out_releases(ledger, name).get(deployment.release):
            raise RefusedError(f"{out}", need="a release that is good", next=unlock_command(name, deployment.release))
        refuse_replaced(ledger, deployment)
        ledger.append_events(confirmed_event(deployment, workspace.operator, reason))
        require_published(ledger)
    if as_json:
        print(json.dumps({"release": deployment.release, "environment": name, "deployment": deployment.id}))
    else:
        print(f"{workspace.operator} confirmed {deployment.release} in {name}")
    return 0
