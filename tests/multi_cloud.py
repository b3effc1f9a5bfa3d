"""The small project as one release across three clouds: a site, an API and a worker; nothing of it runs here."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import validate_emulator
from sample_project import SampleProject, get_text


@dataclass
class MultiCloudProject:
    """The emulators, and the project that is deployed to them."""

    project: SampleProject
    netlify: netlify.NetlifyEmulator
    render: render.RenderEmulator
    huggingface: huggingface.HuggingFaceEmulator
    urls: dict[str, str]

    def deploy(self, *arguments: str, code: int | None = 0) -> tuple[int, str]:
        """Deploy, and return the exit code and what was said."""
        done = self.project.run("deploy", "--yes", *arguments, code=code, variables=self.variables)
        return done.returncode, done.stdout + done.stderr

    @property
    def variables(self) -> dict[str, str]:
        return {
            "NETLIFY_API_URL": self.urls["netlify"], "NETLIFY_AUTH_TOKEN": netlify.TOKEN,
            "RENDER_API_URL": self.urls["render"], "RENDER_API_KEY": render.TOKEN,
            "HF_ENDPOINT": self.urls["huggingface"], "HF_TOKEN": huggingface.TOKEN,
        }  # fmt: skip

    @property
    def served_commits(self) -> dict[str, str]:
        """The commit that users of each service reach."""
        where = {
            "frontend": f"{self.urls['netlify']}/s/shop/",
            "backend": f"{self.urls['render']}/r/api/",
            "worker": f"{self.urls['huggingface']}/h/owner/worker/",
        }
        return {name: _parse_commit(get_text(url)) for name, url in where.items()}

    def all_at_commit(self, commit: str) -> dict[str, str]:
        """Return what is served when all services are of one commit."""
        return dict.fromkeys(("frontend", "backend", "worker"), commit)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        for emulator in (self.netlify, self.render, self.huggingface):
            emulator.faults.planned = []
            emulator.stuck_state = None
        self.netlify.build_error = self.render.build_error = None
        self.render.queues_deploys = False


def _parse_commit(page: str) -> str:
    return str(json.loads(page)["commit"]) if page.startswith("{") else page


RELEASE_FILE = "abreast-release.json"
WORKER_COMMAND = f'ABREAST_RELEASE=- ABREAST_COMMIT=$(sed \'s/.*commit": "//;s/".*//\' {RELEASE_FILE}) exec {sys.executable} -S app.py'
DOCKERFILE = (
    f"FROM python:3\nENV PORT=7860 HOST=0.0.0.0\nCOPY . .\nCMD {json.dumps(['/bin/sh', '-c', WORKER_COMMAND])}\n"
)


@contextmanager
def multi_cloud_project(project: SampleProject, folder: Path) -> Iterator[MultiCloudProject]:
    """Serve the emulators, and lead the project's services there."""
    at_netlify, on_render = netlify.NetlifyEmulator(netlify.UNLIMITED), render.RenderEmulator(folder)
    at_hub = huggingface.HuggingFaceEmulator(folder)
    at_netlify.add_site("shop")
    api = on_render.add_service("api", project.folder, f"exec {sys.executable} -S app.py", "/health")
    at_hub.add_space("owner/worker")
    here = project.config["environments"]["local"]
    here["frontend"], here["backend"] = {"netlify": {"site": "shop"}}, {"render": {"service": api.id}}
    here["worker"] = {"huggingface": {"space": "owner/worker"}}
    project.config["services"]["worker"] = {
        **project.config["services"]["backend"],
        "build": {"run": "true", "timeout": "6s"},
    }
    project.commit("Three clouds", Dockerfile=DOCKERFILE)
    with (
        validate_emulator(at_netlify, "netlify"), validate_emulator(on_render, "render"),
        ThreadedServer(at_netlify.app) as one, ThreadedServer(on_render.app) as two, ThreadedServer(at_hub.app) as three,
    ):  # fmt: skip
        urls = {"netlify": one.url, "render": two.url, "huggingface": three.url}
        yield MultiCloudProject(project, at_netlify, on_render, at_hub, urls)
    on_render.close()
    at_hub.close()
