"""Serve emulators on local ports, to try a configuration without an account.

    python -m abreast.testing.platforms --netlify 9001 --site shop --render 9002 --service 'api:python -m app'
    python -m abreast.testing.platforms --huggingface 9003 --space owner/worker

prints the variables to export, and serves until interrupted. ``--github 9004`` serves a copy of the repository in the
working directory as one at GitHub. Render's services run from the commits of the
repository in the working directory; a TYPE such as background_worker makes another than a web service.
``--fault 'render POST /deploys$ 503 x3'`` injects a fault.
"""

import signal
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from abreast.testing.github import GitHubEmulator
from abreast.testing.platforms.fault_injection import SPEC_FORM, FaultInjector, InjectedFault, parse_fault
from abreast.testing.platforms.huggingface import TOKEN as HUGGINGFACE_TOKEN
from abreast.testing.platforms.huggingface import HuggingFaceEmulator
from abreast.testing.platforms.netlify import TOKEN as NETLIFY_TOKEN
from abreast.testing.platforms.netlify import NetlifyEmulator
from abreast.testing.platforms.render import TOKEN as RENDER_TOKEN
from abreast.testing.platforms.render import RenderEmulator, ServiceKind
from abreast.testing.platforms.threaded_server import ThreadedServer

GITHUB_TOKEN = "ghs_emulated"  # noqa: S105 (the emulator's own)
PORT = click.IntRange(1, 65535)


class FaultSpec(click.ParamType[tuple[str, InjectedFault]]):
    """A fault to inject, as ``parse_fault`` reads it."""

    name = "spec"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, InjectedFault]:
        """Return the platform and the fault."""
        try:
            return parse_fault(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--netlify", type=PORT, help="Serve Netlify's API on this port.")
@click.option("--site", "sites", multiple=True, default=("shop",), help="Add a Netlify site. May be repeated.")
@click.option("--render", type=PORT, help="Serve Render's API on this port.")
@click.option("--service", "services", multiple=True, help="Add a Render service, as NAME[=TYPE]:COMMAND.")
@click.option("--huggingface", type=PORT, help="Serve the Hugging Face Hub's API on this port.")
@click.option("--space", "spaces", multiple=True, help="Add a Space, as OWNER/NAME or OWNER/NAME:SDK. May be repeated.")
@click.option("--github", type=PORT, help="Serve GitHub's API, and this folder's repository by git, on this port.")
@click.option(
    "--fault", "faults", multiple=True, type=FaultSpec(), help=f"Inject a fault: {SPEC_FORM}. May be repeated."
)
def main(
    netlify: int | None, sites: tuple[str, ...], render: int | None, services: tuple[str, ...],
    huggingface: int | None, spaces: tuple[str, ...], github: int | None,
    faults: tuple[tuple[str, InjectedFault], ...],
) -> None:  # fmt: skip
    """Serve emulators of platforms until interrupted."""
    if not netlify and not render and not huggingface and not github:
        raise click.UsageError("nothing to serve: use --netlify, --render, --huggingface or --github, with a PORT")
    with ExitStack() as resources:
        injectors: dict[str, FaultInjector] = {}
        if netlify:
            injectors["netlify"] = _serve_netlify(resources, netlify, sites)
        if render:
            injectors["render"] = _serve_render(resources, render, services)
        if huggingface:
            injectors["huggingface"] = _serve_huggingface(resources, huggingface, spaces)
        if github:
            injectors["github"] = _serve_github(resources, github)
        for platform, fault in faults:
            if platform not in injectors:
                raise click.UsageError(f"--fault names {platform!r}; needed: one of {', '.join(injectors)}")
            injectors[platform].planned.append(fault)
        _wait_for_signal()


def _wait_for_signal() -> None:
    """Wait for SIGINT or SIGTERM, whichever thread the kernel gives it to. What was started can then be ended."""
    received = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: received.set())
    received.wait()


def _serve_netlify(resources: ExitStack, port: int, sites: tuple[str, ...]) -> FaultInjector:
    emulator = NetlifyEmulator()
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export NETLIFY_API_URL={url} NETLIFY_AUTH_TOKEN={NETLIFY_TOKEN}")
    for name in sites:
        emulator.add_site(name)
        click.echo(f"# {name} is served at {url}/s/{name}/")
    return emulator.faults


def _serve_render(resources: ExitStack, port: int, services: tuple[str, ...]) -> FaultInjector:
    emulator = RenderEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export RENDER_API_URL={url} RENDER_API_KEY={RENDER_TOKEN}")
    emulator.rate_limits.enforced = True
    for spec in services:
        named, _, command = spec.partition(":")
        name, _, kind = named.partition("=")
        service = emulator.add_service(name, Path.cwd(), command, kind=_service_kind(kind))
        address = f"is served at {url}/r/{name}/" if service.is_public else "has no public address"
        click.echo(f"# {service.id} {address}")
    return emulator.faults


def _service_kind(name: str) -> ServiceKind:
    try:
        return ServiceKind(name or ServiceKind.WEB)
    except ValueError as error:
        raise click.BadParameter(f"expected one of {', '.join(ServiceKind)}, found {name!r}") from error


def _serve_huggingface(resources: ExitStack, port: int, spaces: tuple[str, ...]) -> FaultInjector:
    emulator = HuggingFaceEmulator(Path(resources.enter_context(tempfile.TemporaryDirectory())))
    resources.callback(emulator.close)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export HF_ENDPOINT={url} HF_TOKEN={HUGGINGFACE_TOKEN}")
    for spec in spaces:
        space_id, _, sdk = spec.partition(":")
        emulator.add_space(space_id, sdk or "docker")
        click.echo(f"# {space_id} is served at {url}/h/{space_id}/")
    return emulator.faults


def _serve_github(resources: ExitStack, port: int) -> FaultInjector:
    emulator = GitHubEmulator()
    copy = Path(resources.enter_context(tempfile.TemporaryDirectory())) / "copy.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ".", str(copy)], check=True)
    repository = emulator.add_repository("octo", Path.cwd().name, copy)
    token = emulator.add_token(GITHUB_TOKEN)
    url = resources.enter_context(ThreadedServer(emulator.app, port)).url
    click.echo(f"export GITHUB_API_URL={url} GITHUB_TOKEN={token.value} GITHUB_REPOSITORY={repository.full_name}")
    return emulator.faults


if __name__ == "__main__":
    main()
