"""Render's emulator with three services, and Render's own client for Python (PyPI: render) to ask it."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from render.public_api import AuthenticatedClient, api, models

from abreast.testing.platforms.render import TOKEN, RenderEmulator, ServiceKind
from abreast.testing.platforms.threaded_server import ThreadedServer
from sample_project import APP_SOURCE, SampleProject, eventually


def _modules() -> dict[str, ModuleType]:
    found = {}
    for group in pkgutil.iter_modules(api.__path__):
        package = importlib.import_module(f"{api.__name__}.{group.name}")
        for call in pkgutil.iter_modules(package.__path__):
            found[f"{group.name}.{call.name}"] = importlib.import_module(f"{package.__name__}.{call.name}")
    return found


MODULES = _modules()


class Shop:
    """A web service with two deploys that were live, a worker and a cron job, and an environment group."""

    def __init__(self, emulator: RenderEmulator, url: str, commits: tuple[str, str]) -> None:
        self.emulator, self.url, self.commits = emulator, url, commits
        self.client = AuthenticatedClient(base_url=f"{url}/v1", token=TOKEN)
        self.stranger = AuthenticatedClient(base_url=f"{url}/v1", token="wrong")
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def ask(self, name: str, /, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 (any model of the client)
        """Make a call that must succeed, and return what the client understood."""
        self.asked.append((name, arguments, more))
        response = MODULES[name].sync_detailed(*arguments, client=self.client, **more)
        assert response.status_code < 300, response.content
        assert not isinstance(response.parsed, models.Error)
        assert response.parsed is not None or response.content == b""
        return response.parsed

    def status(self, name: str, /, *arguments: Any, **more: Any) -> int:  # noqa: ANN401
        return int(MODULES[name].sync_detailed(*arguments, client=self.client, **more).status_code)

    def deploy(self, service: str, commit: str) -> Any:  # noqa: ANN401
        made = self.ask("deploys.create_deploy", service, body=models.CreateDeployBody(commit_id=commit))
        eventually(lambda: self.ask("deploys.retrieve_deploy", service, made.id).status == "live")
        return made

    def first_deploy(self, service: str) -> str:
        listed = self.ask("deploys.list_deploys", service, status=[models.DeployStatus.DEACTIVATED])
        return str(listed[-1].deploy.id)

    @property
    def group(self) -> str:
        return next(iter(self.emulator.env_groups))


@contextmanager
def render_shop(project: SampleProject, folder: Path) -> Iterator[Shop]:
    """Serve the emulator with the services deployed."""
    emulator = RenderEmulator(folder)
    emulator.work_seconds = lambda: 0.0
    python = f"ABREAST_RELEASE=- ABREAST_COMMIT=$RENDER_GIT_COMMIT exec {sys.executable} -S"
    worker = "import time\nprint('at work', flush=True)\ntime.sleep(600)\n"
    (project.folder / "worker.py").write_text(worker)
    (project.folder / "report.py").write_text("print('reported')\n")
    service = emulator.add_service("api", project.folder, f"{python} app.py", "/health")
    emulator.add_service("mailer", project.folder, f"{python} worker.py", kind=ServiceKind.WORKER)
    emulator.add_service("report", project.folder, f"{python} report.py", kind=ServiceKind.CRON)
    emulator.add_env_group("shared", service, COLOUR="blue")
    with ThreadedServer(emulator.app) as served:
        found = Shop(emulator, served.url, (project.commit(app_py=APP_SOURCE), project.commit()))
        first, second = found.commits
        with found.client, found.stranger:
            for name, commit in (("srv-api", first), *((name, second) for name in emulator.services)):
                found.deploy(name, commit)
            yield found
    emulator.close()
