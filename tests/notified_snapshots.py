"""Deployments as notifiers see them, made by hand."""

from collections.abc import Sequence
from typing import Any

from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, LiveService, Service, Version
from abreast.core.plan import Action, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.states import DeploymentState
from abreast.notify.interface import SentMessages, Snapshot

COMMIT = "3f9c2ab" + "0" * 33
DEPLOYMENT = "01K5DEPLOYMENT000000000000"


class Memory(SentMessages):
    """What was sent, in a dictionary. ``writes`` counts the records."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def find(self, key: str) -> str | None:
        return self.known.get(key)

    async def record(self, key: str, value: str = "") -> None:
        self.known.setdefault(key, value)


def snapshot(
    state: DeploymentState = DeploymentState.SUCCEEDED,
    *,
    kind: DeploymentKind = DeploymentKind.DEPLOY,
    environment: str = "production",
    services: Sequence[str] = ("frontend", "backend"),
    failure: str = "",
    log: Sequence[str] = (),
    deployment: str = DEPLOYMENT,
    finished: str | None = "2026-11-27T10:02:40.000Z",
    subject: str = "Add a basket",
    **fields: Any,  # noqa: ANN401 (fields of a plan)
) -> Snapshot:
    """Return a deployment of two services on Render, which are live if it succeeded."""
    parts = tuple(ServicePlan(Service(name, "render"), Action.DEPLOY, "changed", COMMIT) for name in services)
    plan = Plan(
        deployment, kind, "shop", environment, "v7", COMMIT, parts, 1.0, 1.0, OnFailure.TOGETHER,
        run_url="https://ci.example/runs/1", **fields,
    )  # fmt: skip
    is_live = state is DeploymentState.SUCCEEDED
    live = {
        part.name: LiveService(
            part.name, "render", "v7" if is_live else "v6", COMMIT, "", deployment if is_live else "OLD", "",
            Version(f"{part.name}-x", part.name, (), f"https://{part.name}.example"), part.service,
        )
        for part in parts
    }  # fmt: skip
    at = "2026-11-27T10:00:05.000Z"
    events = [Event(deployment, "s", EventKind.STATE, state=state, seq=1, at=at)]
    if failure:
        data = {"log": list(log)}
        events.append(
            Event(deployment, "f", EventKind.FAILED, failure, "backend", Chapter.BUILD, data=data, seq=2, at=at)
        )
    over = finished if state.is_final else None
    return Snapshot(plan, state, Chapter.BUILD, "2026-11-27T10:00:00.000Z", over, tuple(events), live, subject)
