"""The hardware of Spaces without a GPU (https://huggingface.co/docs/hub/spaces-gpus#hardware-specs)."""

from abreast.core.model import Resources, Service
from abreast.platforms.instance_sizes import InstanceSize, size_of

HARDWARE = (
    InstanceSize("cpu-basic", Resources(2, 16_000_000_000)),
    InstanceSize("cpu-upgrade", Resources(8, 32_000_000_000)),
)
"""From the smallest on. Hardware with a GPU is named by `hardware`."""


def wanted_hardware(service: Service) -> str | None:
    """Return the hardware that abreast.yml asks for, by name or by ``resources``; None: as the Space has it.

    Previews have free hardware.
    """
    if "preview" in service.settings:
        return None
    if named := service.settings.get("hardware"):
        return str(named)
    found = size_of(HARDWARE, service.resources) if service.resources else None
    return found.name if found else None


def hardware_notes(service: Service) -> tuple[str, ...]:
    """Return what a plan says of the hardware that abreast.yml asks for."""
    wanted = wanted_hardware(service)
    return (f"asks for the hardware {wanted}; where the Space has another, that restarts it",) if wanted else ()
