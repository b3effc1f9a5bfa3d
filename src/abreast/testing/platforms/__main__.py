"""Emulators on ports of this machine, to try a configuration without an account.

    python -m abreast.testing.platforms --netlify 9001 --site shop

prints what to export, and serves until it is interrupted.
"""

import signal

import click

from abreast.testing.platforms.netlify import TOKEN, NetlifyEmulator
from abreast.testing.platforms.server import Served


@click.command()
@click.option("--netlify", "port", type=click.IntRange(1, 65535), required=True, help="Netlify's API on this port.")
@click.option("--site", "sites", multiple=True, help="A site that is there; may be given more than once.")
def main(port: int, sites: tuple[str, ...]) -> None:
    """Serve emulators of platforms until interrupted."""
    emulator = NetlifyEmulator()
    for name in sites or ("shop",):
        emulator.add_site(name)
    with Served(emulator.app, port) as served:
        click.echo(f"export NETLIFY_API_URL={served.url} NETLIFY_AUTH_TOKEN={TOKEN}")
        for site in emulator.sites.values():
            click.echo(f"# {site.name} is served at {served.url}/s/{site.name}/")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
