"""What users of the live services really reach, as the platforms report it."""

import asyncio
from collections.abc import Collection, Mapping
from enum import StrEnum

from abreast.core.errors import AbreastError, UnknownVersionError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import LiveService
from abreast.platforms.interface import Observation, Platform, ReportsLiveVersion, VersionRef

ANSWER_TIMEOUT = 10.0
"""Seconds that a platform may take to answer."""


class PublishedState(StrEnum):
    """What a platform has published of a service: what the ledger records, another version, nothing, or unknown."""

    RECORDED = "recorded"
    OTHER = "other"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """What a platform has published of a service. ``version``: the other version, if it is known.

    ``why``: why the state is unknown, or how the recorded version ended. ``health``: what the platform says of a
    service without an address, ``healthy`` or ``unhealthy``; "" for others.
    """

    state: PublishedState
    version: str = ""
    why: str = ""
    health: str = ""


@dataclass(frozen=True, slots=True)
class ReachedServices:
    """What users reach of the live services: those whose version is ``running``, and those that another replaced."""

    running: frozenset[str]
    replaced: frozenset[str]


async def reached_services(platforms: Mapping[str, Platform], services: Collection[LiveService]) -> ReachedServices:
    """Return which services users reach. A service on a platform that is not installed any more is not running."""
    published = await published_versions(platforms, services)
    states = {
        state: frozenset(name for name, version in published.items() if version.state is state)
        for state in PublishedState
    }
    present = await _present_services(platforms, services)
    return ReachedServices(present - states[PublishedState.NOTHING], states[PublishedState.OTHER])


async def _present_services(platforms: Mapping[str, Platform], services: Collection[LiveService]) -> frozenset[str]:
    """Return the services whose version exists on its platform."""
    present: set[str] = set()
    for name in {live.platform for live in services} & platforms.keys():
        by_id = {live.version.id: live for live in services if live.platform == name}
        references = [VersionRef(live.definition, id_, live.version.handle) for id_, live in by_id.items()]
        seen = await platforms[name].observe(references)
        present |= {by_id[id_].service for id_, observation in seen.items() if observation.present}
    return frozenset(present)


async def published_versions(
    platforms: Mapping[str, Platform], services: Collection[LiveService]
) -> Mapping[str, PublishedVersion]:
    """Return what each platform has published, by service.

    Leaves out services on a platform where nobody but abreast publishes.
    """
    found = await asyncio.gather(*(_published_version(platforms, live) for live in services))
    return {live.service: published for live, published in zip(services, found, strict=True) if published}


async def _published_version(platforms: Mapping[str, Platform], live: LiveService) -> PublishedVersion | None:
    try:
        platform = platforms[live.platform]
        if not isinstance(platform, ReportsLiveVersion):
            return None
        async with asyncio.timeout(ANSWER_TIMEOUT):
            return await _reported_version(platform, live, platform)
    except AbreastError as error:
        return PublishedVersion(
            PublishedState.UNKNOWN, why=f"{error.what}; needed: {error.need}" if error.need else error.what
        )
    except TimeoutError:
        why = f"{live.platform} did not answer within {ANSWER_TIMEOUT:g} s"
        return PublishedVersion(PublishedState.UNKNOWN, why=why)


async def _reported_version(platform: Platform, live: LiveService, reporter: ReportsLiveVersion) -> PublishedVersion:
    try:
        version = await reporter.live_version(live.definition)
    except UnknownVersionError:  # then only whether the recorded version is where it was
        seen = await _observe(platform, live)
        return PublishedVersion(PublishedState.RECORDED if seen.present else PublishedState.OTHER, why=seen.exit_reason)
    if version is None:
        return PublishedVersion(PublishedState.NOTHING)
    if not live.version.handle.items() <= version.handle.items():
        return PublishedVersion(PublishedState.OTHER, version.id)
    if live.version.url:
        return PublishedVersion(PublishedState.RECORDED)
    seen = await _observe(platform, live)
    health = "healthy" if seen.present and not seen.waiting else "unhealthy"
    return PublishedVersion(PublishedState.RECORDED, why=seen.waiting or seen.exit_reason, health=health)


async def _observe(platform: Platform, live: LiveService) -> Observation:
    (seen,) = (await platform.observe([VersionRef(live.definition, live.version.id, live.version.handle)])).values()
    return seen
