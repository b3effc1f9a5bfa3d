"""Emulators on ports of this machine, to try a configuration without an account.

    python -m abreast.testing.platforms --netlify 9001 --site shop --render 9002 --service 'api:python -m app'
    python -m abreast.testing.platforms --huggingface 9003 --space owner/worker

prints what to export, and serves until it is interrupted. Render's services run from the commits of the
repository in this folder.
"""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from abreast.testing.platforms.huggingface import TOKEN as HUB_TOKEN
from abreast.testing.platforms.huggingface import HuggingFaceEmulator
from abreast.testing.platforms.netlify import TOKEN, NetlifyEmulator
from abreast.testing.platforms.render import TOKEN as KEY
from abreast.testing.platforms.render import RenderEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--netlify", type=PORT, help="Netlify's API on this port.")
@click.option("--site", "sites", multiple=True, default=("shop",), help="A site of Netlify; may be repeated.")
@click.option("--render", type=PORT, help="Render's API on this port.")
@click.option("--service", "services", multiple=True, help="A service of Render, as NAME:COMMAND; may be repeated.")
@click.option("--huggingface", type=PORT, help="The Hugging Face Hub's API on this port.")
@click.option("--space", "spaces", multiple=True, help="A Docker Space, as OWNER/NAME; may be repeated.")
def main(
    netlify: int | None, sites: tuple[str, ...], render: int | None, services: tuple[str, ...],
    huggingface: int | None, spaces: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve emulators of platforms until interrupted."""
    if not netlify and not render and not huggingface:
        raise click.UsageError("which platform? --netlify PORT, --render PORT, --huggingface PORT")
    with ExitStack() as resources:
        if netlify:
            _serve_netlify(resources, netlify, sites)
        if render:
            _serve_render(resources, render, services)
        if huggingface:
            _serve_huggingface(resources, huggingface, spaces)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _serve_netlify(resources: ExitStack, port: int, sites: tuple[str, ...]) -> None:
    emulator = NetlifyEmulator()
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export NETLIFY_API_URL={url} NETLIFY_AUTH_TOKEN={TOKEN}")
    for name in sites:
        emulator.add_site(name)
        click.echo(f"# {name} is served at {url}/s/{name}/")


def _serve_render(resources: ExitStack, port: int, services: tuple[str, ...]) -> None:
    emulator = RenderEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export RENDER_API_URL={url} RENDER_API_KEY={KEY}")
    for spec in services:
        name, _, command = spec.partition(":")
        service = emulator.add_service(name, Path.cwd(), command)
        click.echo(f"# {service.id} is served at {url}/r/{name}/")


def _serve_huggingface(resources: ExitStack, port: int, spaces: tuple[str, ...]) -> None:
    emulator = HuggingFaceEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export HF_ENDPOINT={url} HF_TOKEN={HUB_TOKEN}")
    for id_ in spaces:
        emulator.add_space(id_)
        click.echo(f"# {id_} is served at {url}/h/{id_}/")


if __name__ == "__main__":
    main()
