"""What ``abreast status`` says of services on platforms where others can publish too."""

import asyncio
import time
from collections.abc import Collection, Mapping

from abreast.cli.redaction import redact
from abreast.cli.selection import locate_workspace
from abreast.core.errors import AbreastError
from abreast.deploy.live_state import PublishedState, PublishedVersion, published_versions
from abreast.wiring.assembly import Assembly

MIN_INTERVAL = 30.0
"""Seconds between two questions to the platforms: they limit requests, and ``status --watch`` prints each second."""


class PublishedStates:
    """What the platforms have published of each environment, asked at most every ``MIN_INTERVAL`` seconds."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, Mapping[str, PublishedVersion]]] = {}

    def add_to(self, environment: str, services: Mapping[str, dict[str, object]]) -> None:
        """Add ``published`` to each service, as far as its platform reports it.

        If something else is published, the service has no release, commit and artifact.
        """
        now = time.monotonic()
        at, published = self._answers.get(environment, (now - MIN_INTERVAL, {}))
        if now - at >= MIN_INTERVAL:
            published = _ask_platforms(environment, services)
            self._answers[environment] = now, published
        for name, answer in published.items():
            service = services.get(name, {})
            service["published"] = {"state": answer.state.value, "version": answer.version, "why": redact(answer.why)}
            if answer.health:
                service["health"] = answer.health
            if answer.state in {PublishedState.OTHER, PublishedState.NOTHING}:
                service |= {"release": None, "commit": None, "artifact": None}


PUBLISHED = PublishedStates()


def _ask_platforms(environment: str, services: Collection[str]) -> Mapping[str, PublishedVersion]:
    try:
        assembly = Assembly(locate_workspace())
        with assembly.workspace.open_ledger() as ledger:
            live = ledger.live_services(environment)
        asked = [live[name] for name in services if name in live]
        return asyncio.run(published_versions(assembly.platforms(environment), asked))
    except AbreastError as error:
        return dict.fromkeys(services, PublishedVersion(PublishedState.UNKNOWN, why=error.what))
