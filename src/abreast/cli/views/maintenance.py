"""What ``abreast maintenance`` prints."""

from collections.abc import Iterator, Mapping

from abreast.core.maintenance import MaintenanceMode, MaintenancePhase

Modes = Mapping[str, Mapping[str, MaintenanceMode]]


def maintenance_document(found: Modes) -> dict[str, object]:
    """Return the services in maintenance, by environment, as JSON values."""
    return {
        environment: {
            service: {
                "state": mode.phase.value, "since": mode.since, "by": mode.by, "reason": mode.reason,
                "message": mode.message, "retry_after": mode.retry_after, "allow": list(mode.allow),
                "deployment": mode.deployment or None,
            }
            for service, mode in modes.items()
        }
        for environment, modes in found.items()
    }  # fmt: skip


def maintenance_lines(found: Modes) -> Iterator[str]:
    """Yield who put each service into maintenance, when and why, and how to end it."""
    for environment, modes in found.items():
        for service, mode in modes.items():
            yield f"{environment}: {service} is in maintenance since {mode.since} by {mode.by}: {mode.reason}"
            if mode.allow:
                yield f"  let through: {', '.join(mode.allow)}"
            if mode.phase is not MaintenancePhase.ON:
                yield f"  interrupted while it was {mode.phase}. next: abreast maintenance off --env {environment}"
            elif mode.deployment:
                yield f"  deployment {mode.deployment} ends it"
