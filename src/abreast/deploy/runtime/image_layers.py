"""Layers of images are built once: the next build takes them from images that the ledger knows, in their registry."""

from collections.abc import Awaitable, Callable, Sequence

from abreast.core import container_image
from abreast.core.plan import DeploymentKind
from abreast.core.previews import PreviewName
from abreast.ledger.interface import Ledger

MAX_IMAGES = 3
"""How many images a build looks at."""

_DEPLOYMENTS = 10


def earlier_images(ledger: Ledger, environment: str, service: str, name: str) -> tuple[str, ...]:
    """Return images ``name`` of a service, by digest, whose layers its next build may take: the newest first.

    They were built for the environment, or for the one that it is a preview of. Nobody else takes layers that the code
    of a pull request made: an image can say of any layer that it is what another command makes.
    """
    preview = PreviewName.parse(environment)
    deployments = ledger.deployments(environment, _DEPLOYMENTS)
    built = [deployment.release for deployment in deployments if deployment.kind is DeploymentKind.DEPLOY]
    live = [ledger.live_services(each).get(service) for each in (environment, *([preview.base] if preview else []))]
    releases = dict.fromkeys((*built, *(version.release for version in live if version)))
    parts = [ledger.release(release).parts.get(service) for release in releases]
    images = dict.fromkeys(part.image for part in parts if part and part.image.startswith(f"{name}@"))
    return tuple(images)[:MAX_IMAGES]


async def cache_options(
    name: str, images: Sequence[str], succeeds: Callable[[str], Awaitable[bool]], *, build_again: bool
) -> tuple[str, ...]:
    """Return the options by which ``docker build`` takes layers from images. ``succeeds`` runs a command.

    With ``build_again`` it takes none, not even those on this machine.
    """
    if await succeeds(container_image.IS_BUILDKIT):
        return (*container_image.buildkit_cache_options(() if build_again else images), *_no_cache(build_again))
    if images and not build_again and await succeeds(container_image.pull_command(name, images[0])):
        return container_image.cache_sources(images[:1])
    return _no_cache(build_again)


def _no_cache(build_again: bool) -> tuple[str, ...]:
    return ("--no-cache",) if build_again else ()
