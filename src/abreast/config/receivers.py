"""The receivers under ``notify``: ``slack``, or several of one kind, ``slack-team`` and ``slack-alerts``."""

from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel

from abreast.config.fault_messages import suggestion
from abreast.config.yaml_document import Document
from abreast.core.errors import Fault


def receiver_kind(name: str, kinds: Collection[str]) -> str | None:
    """Return the kind of a receiver: its name, or the longest kind that its name begins with, None if it has none."""
    if name in kinds:
        return name
    return max((kind for kind in kinds if name.startswith(f"{kind}-")), key=len, default=None)


def unknown_receiver(document: Document, name: str, kinds: Collection[str]) -> Fault:
    """Return the fault of a receiver that has no kind."""
    expected = f"expected one of: {', '.join(kinds)}, or one of them with a name, such as slack-alerts"
    return document.fault(("notify", name), f"unknown key{suggestion(name, kinds)}, {expected}", at_key=True)


def route_faults(
    document: Document, receivers: Mapping[str, BaseModel], environments: Collection[str]
) -> Iterator[Fault]:
    """Yield the faults of routes to environments that do not exist: nobody would ever be told."""
    for name, settings in receivers.items():
        for number, pattern in enumerate(getattr(settings, "environments", ())):
            is_preview = any(pattern.startswith(f"{environment}-pr-") for environment in environments)
            if pattern not in environments and "*" not in pattern and not is_preview:
                is_set = "environments" in settings.model_fields_set
                path = ("notify", name, "environments", number) if is_set else ("notify", name)
                hint = suggestion(pattern, environments) if is_set else ", the default of `environments`"
                yield document.fault(path, f"no environment {pattern!r}{hint}")
