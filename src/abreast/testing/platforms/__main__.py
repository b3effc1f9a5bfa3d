"""Serve emulators on local ports, to try a configuration without an account.

    python -m abreast.testing.platforms --netlify 9001 --site shop --render 9002 --service 'api:python -m app'
    python -m abreast.testing.platforms --huggingface 9003 --space owner/worker

prints the variables to export, and serves until interrupted. Render's services run from the commits of the
repository in the working directory.
"""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from abreast.testing.platforms.huggingface import TOKEN as HUGGINGFACE_TOKEN
from abreast.testing.platforms.huggingface import HuggingFaceEmulator
from abreast.testing.platforms.netlify import TOKEN as NETLIFY_TOKEN
from abreast.testing.platforms.netlify import NetlifyEmulator
from abreast.testing.platforms.render import TOKEN as RENDER_TOKEN
from abreast.testing.platforms.render import RenderEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--netlify", type=PORT, help="Serve Netlify's API on this port.")
@click.option("--site", "sites", multiple=True, default=("shop",), help="Add a Netlify site. May be repeated.")
@click.option("--render", type=PORT, help="Serve Render's API on this port.")
@click.option("--service", "services", multiple=True, help="Add a Render service, as NAME:COMMAND. May be repeated.")
@click.option("--huggingface", type=PORT, help="Serve the Hugging Face Hub's API on this port.")
@click.option("--space", "spaces", multiple=True, help="Add a Docker Space, as OWNER/NAME. May be repeated.")
def main(
    netlify: int | None, sites: tuple[str, ...], render: int | None, services: tuple[str, ...],
    huggingface: int | None, spaces: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve emulators of platforms until interrupted."""
    if not netlify and not render and not huggingface:
        raise click.UsageError("no platform given: use --netlify PORT, --render PORT or --huggingface PORT")
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
    click.echo(f"export NETLIFY_API_URL={url} NETLIFY_AUTH_TOKEN={NETLIFY_TOKEN}")
    for name in sites:
        emulator.add_site(name)
        click.echo(f"# {name} is served at {url}/s/{name}/")


def _serve_render(resources: ExitStack, port: int, services: tuple[str, ...]) -> None:
    emulator = RenderEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export RENDER_API_URL={url} RENDER_API_KEY={RENDER_TOKEN}")
    for spec in services:
        name, _, command = spec.partition(":")
        service = emulator.add_service(name, Path.cwd(), command)
        click.echo(f"# {service.id} is served at {url}/r/{name}/")


def _serve_huggingface(resources: ExitStack, port: int, spaces: tuple[str, ...]) -> None:
    emulator = HuggingFaceEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export HF_ENDPOINT={url} HF_TOKEN={HUGGINGFACE_TOKEN}")
    for space_id in spaces:
        emulator.add_space(space_id)
        click.echo(f"# {space_id} is served at {url}/h/{space_id}/")


if __name__ == "__main__":
    main()
