"""Where an abreast.yml and the repository that it deploys say different things."""

import re
from collections.abc import Iterator, Sequence

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.environment import Environment
from abreast.core.model import Service
from abreast.detection.draft import Authority, Kind, ServiceDraft

_OPTIONS = re.compile(r"\s+(-{1,2}[\w.-]+)([ =]\S+)?")


def compare_with_repository(environment: Environment, drafts: Sequence[ServiceDraft]) -> Iterator[Diagnostic]:
    """Yield a warning for each service whose commands, output or health the repository says otherwise."""
    for service in environment.services:
        draft = _same_service(service, drafts)
        if draft is None:
            continue
        for key, ours in (
            ("build.output", service.build.output),
            ("run", service.run),
            ("health", service.health.path),
        ):
            chosen = draft.chosen(key)
            if (
                chosen is None
                or chosen.authority < _needed_authority(key)
                or not isinstance(chosen.value, str)
                or not ours
            ):
                continue
            if not _means_the_same(key, ours, chosen.value, draft.folder):
                what = f"{key} is {ours!r}, but {chosen.source} says {chosen.value!r}"
                yield Diagnostic(
                    DiagnosticSeverity.WARNING,
                    f"{service.name} (repository)",
                    what,
                    "the one that is right in both places",
                )


def _needed_authority(key: str) -> Authority:
    """Return how sure a source must be to be told. A run command is often another one on purpose."""
    return Authority.CONVENTION if key == "build.output" else Authority.CONTAINER


def _same_service(service: Service, drafts: Sequence[ServiceDraft]) -> ServiceDraft | None:
    """Return the draft of a service: of the same name, or else the only one of its kind."""
    kinds = {Kind.SITE} if service.run is None else {Kind.WEB}
    named = [draft for draft in drafts if draft.name == service.name and draft.kind in kinds]
    alike = [draft for draft in drafts if draft.kind in kinds]
    return named[0] if named else alike[0] if len(alike) == 1 else None


def _means_the_same(key: str, ours: str, theirs: str, folder: str) -> bool:
    if key == "build.output":
        return ours in {theirs, f"{folder}/{theirs}"}
    if key == "health":
        return ours.rstrip("/") == theirs.rstrip("/") or ours != "/"
    return _program(theirs) in ours


def _program(command: str) -> str:
    """Return the program of a command and what it runs, without its options."""
    words = [word for word in _OPTIONS.sub(" ", f" {command}").split() if "=" not in word]
    return words[-1] if words else ""
