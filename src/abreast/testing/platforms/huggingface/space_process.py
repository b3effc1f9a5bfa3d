"""The application of a Space: what its files ask to build and start, as a process on this machine."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abreast.testing.platforms.huggingface.card import DEFAULT_PORT
from abreast.testing.platforms.huggingface.dockerfile import Container, apply, parse_dockerfile
from abreast.testing.platforms.service_process import ServiceProcess, reserve_port


class BuildError(Exception):
    """A build that fails, and the stage of the Space after it."""

    def __init__(self, stage: str, why: str) -> None:
        super().__init__(why)
        self.stage = stage


@dataclass
class Application:
    """A built application: its command line, folder and variables, and the port on which a Space expects it."""

    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    port: int

    def start(self, variables: Mapping[str, str]) -> ServiceProcess:
        """Start it. A Space gives no ``$PORT``; many Spaces share this machine, so its port becomes a free one.

        The port is replaced where the variables, the command or the entry point name it.
        """
        reserved = reserve_port()
        mapped = str(reserved.getsockname()[1])
        own = {**self.env, **variables}
        env = {name: mapped if value == str(self.port) else value for name, value in own.items()}
        inherited = {name: value for name, value in os.environ.items() if name != "PORT"}
        argv = [re.sub(rf"(?<!\d){self.port}(?!\d)", mapped, word) for word in self.argv]
        log = self.folder.parent / f"{self.folder.name}.{mapped}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, cwd=self.folder, env={**inherited, **env}, start_new_session=True, stdout=output, stderr=output
            )
        return ServiceProcess(process, reserved, log)


async def accepts_other_hosts(process: ServiceProcess) -> bool:
    """Return whether a process that listens could be reached from outside a container: not on 127.0.0.1 alone."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.2", process.port)
    except OSError:
        return False
    writer.close()
    return True


def build_application(card: Mapping[str, object], context: Path, root: Path, log: list[str]) -> Application:
    """Build the application of a checkout, as the ``sdk`` of its card asks. Raises BuildError.

    ``root`` is an empty folder for what a Dockerfile copies; ``log`` gets the lines of the build.
    """
    if not card:
        raise BuildError("CONFIG_ERROR", "Missing configuration in README")
    if card.get("sdk") == "docker":
        return _build_image(card, context, root, log)
    if card.get("sdk") == "gradio":
        name = str(card.get("app_file", "app.py"))
        if not (context / name).is_file():
            raise BuildError("NO_APP_FILE", f"no {name}")
        env = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": str(DEFAULT_PORT)}  # noqa: S104 (as in a Space)
        return Application((sys.executable, name), context, env, DEFAULT_PORT)
    raise BuildError("CONFIG_ERROR", f"not emulated: the SDK {card.get('sdk')}")


def _build_image(card: Mapping[str, object], context: Path, root: Path, log: list[str]) -> Application:
    """Follow a Dockerfile: its RUN lines run on this machine, in the folder that stands for the image."""
    dockerfile = context / "Dockerfile"
    if not dockerfile.is_file():
        raise BuildError("NO_APP_FILE", "no Dockerfile")
    container = Container(root)
    for name, argument in parse_dockerfile(dockerfile.read_text()):
        log.append(f"{name} {argument}")
        if name == "RUN":
            _run(container, argument, log)
            continue
        try:
            apply(container, name, argument, context)
        except ValueError as error:
            log.append(f"error: {error}")
            raise BuildError("BUILD_ERROR", str(error)) from error
    if not container.argv:
        raise BuildError("BUILD_ERROR", "no CMD and no ENTRYPOINT")
    container.folder.mkdir(parents=True, exist_ok=True)
    port = int(str(card.get("app_port", DEFAULT_PORT)))
    return Application(container.argv, container.folder, container.env, port)


def _run(container: Container, command: str, log: list[str]) -> None:
    container.folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=container.folder, env={**os.environ, **container.env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    log += [*done.stdout.splitlines(), *done.stderr.splitlines()]
    if done.returncode:
        raise BuildError("BUILD_ERROR", f"`{command}` exited with {done.returncode}")
