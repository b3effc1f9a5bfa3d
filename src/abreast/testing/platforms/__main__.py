"""Emulators on ports of this machine, to try a configuration without an account.

    python -m abreast.testing.platforms --netlify 9001 --site shop --render 9002 --service 'api:python -m app'

prints what to export, and serves until it is interrupted. Render's services run from the commits of the
repository in this folder.
"""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from abreast.testing.platforms.netlify import TOKEN, NetlifyEmulator
from abreast.testing.platforms.render import TOKEN as KEY
from abreast.testing.platforms.render import RenderEmulator
from abreast.testing.platforms.server import Served

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--netlify", type=PORT, help="Netlify's API on this port.")
@click.option("--site", "sites", multiple=True, default=("shop",), help="A site of Netlify; may be repeated.")
@click.option("--render", type=PORT, help="Render's API on this port.")
@click.option("--service", "services", multiple=True, help="A service of Render, as NAME:COMMAND; may be repeated.")
def main(netlify: int | None, sites: tuple[str, ...], render: int | None, services: tuple[str, ...]) -> None:
    """Serve emulators of platforms until interrupted."""
    if not netlify and not render:
        raise click.UsageError("which platform? --netlify PORT, --render PORT")
    with ExitStack() as running:
        if netlify:
            _netlify(running, netlify, sites)
        if render:
            _render(running, render, services)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _netlify(running: ExitStack, port: int, sites: tuple[str, ...]) -> None:
    emulator = NetlifyEmulator()
    url = running.enter_context(Served(emulator.app, port)).url
    click.echo(f"export NETLIFY_API_URL={url} NETLIFY_AUTH_TOKEN={TOKEN}")
    for name in sites:
        emulator.add_site(name)
        click.echo(f"# {name} is served at {url}/s/{name}/")


def _render(running: ExitStack, port: int, services: tuple[str, ...]) -> None:
    emulator = RenderEmulator(Path(running.enter_context(tempfile.TemporaryDirectory())))
    running.callback(emulator.close)
    url = running.enter_context(Served(emulator.app, port)).url
    click.echo(f"export RENDER_API_URL={url} RENDER_API_KEY={KEY}")
    for told in services:
        name, _, command = told.partition(":")
        service = emulator.add_service(name, Path.cwd(), command)
        click.echo(f"# {service.id} is served at {url}/r/{name}/")


if __name__ == "__main__":
    main()
