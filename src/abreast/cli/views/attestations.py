"""What is known of the attestations of what a deployment deployed."""

from collections.abc import Mapping, Sequence

from abreast.core.attestations import Attestation, AttestationVerdict
from abreast.core.codec import load
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter


def attestations(events: Sequence[Event]) -> Mapping[str, Attestation]:
    """Return the attestation of each service that has an artifact in a deployment, by the service's name."""
    built = {
        event.service: Attestation(AttestationVerdict.MISSING)
        for event in events
        if event.service and event.chapter is Chapter.BUILD and event.kind is EventKind.FINISHED
    }
    looked_at = {
        event.service: load(Attestation, event.data["attestation"])
        for event in events
        if event.service and "attestation" in event.data
    }
    return {**built, **looked_at}
