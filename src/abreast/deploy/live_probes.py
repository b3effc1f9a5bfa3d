"""Asks what is live whether it is well, by the URLs that users have."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from abreast.core.model import Address, LiveService
from abreast.deploy.runtime.ports import Ports


async def live_faults(ports: Ports, services: Sequence[LiveService]) -> Mapping[str, str]:
    """Return what is wrong with services that have an address, by service; nothing of those that are well."""
    asked = [service for service in services if service.version.url]
    probes = [
        ports.check(replace(each.version, probes=(Address(each.version.url),)), each.definition.health, each.commit)
        for each in asked
    ]
    results = await asyncio.gather(*probes)
    return {each.service: found.why for each, found in zip(asked, results, strict=True) if not found.success}
