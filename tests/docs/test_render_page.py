"""Every example of the page about Render is run, against the emulator, by the commands that the page names."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import fork_server
from abreast.testing.platforms.render import HOOK_KEY, TOKEN, RenderEmulator, ServiceKind
from abreast.testing.platforms.threaded_server import ThreadedServer
from sample_project import APP_SOURCE, eventually, free_ports, get_text

PAGE = (Path(__file__).parents[2] / "docs" / "render.md").read_text()
BLOCKS = re.findall(
    r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", "## Start\n" + PAGE.partition("\n")[2], re.MULTILINE | re.DOTALL
)
MAILER = "import time\nprint('mailing', flush=True)\ntime.sleep(600)\n"
FILES = {
    "app.py": "import os\nos.environ.setdefault('ABREAST_RELEASE', '-')\n"
    "os.environ['ABREAST_COMMIT'] = os.environ['RENDER_GIT_COMMIT']\n" + APP_SOURCE,
    "mailer.py": MAILER,
    "report.py": "import os\nprint('report of', os.environ['RENDER_GIT_COMMIT'])\n",
    "migrate.py": "print('migrated')\n",
    "reindex.py": "print('reindexed')\n",
}


def blocks(heading: str, language: str) -> list[str]:
    """Return the page's blocks of a language under a heading."""
    found, here = [], ""
    for title, kind, text in BLOCKS:
        here = title or here
        if (here, kind) == (heading, language):
            found.append(text)
    assert found, heading
    return found


def merged(base: Any, change: Any) -> Any:  # noqa: ANN401 (YAML has no better type)
    if not isinstance(base, dict) or not isinstance(change, dict) or "render" in change:
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


@dataclass
class Reader:
    """Someone who follows the page in ``folder``: a repository with a remote, and variables of the shell."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def write_config(self, *blocks: str, settle: str = "1s") -> None:
        """Write and commit what the blocks say, one after the other."""
        config: Any = {}
        for block in (*blocks, f"environments: {{staging: {{settle: {settle}}}}}"):
            config = merged(config, yaml.safe_load(block))
        self.commit(**{"abreast.yml": yaml.safe_dump(config)})

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "Change")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def follow(self, block: str) -> None:
        """Run each line after a prompt; the lines below it must be in what it prints."""
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *expected = part.splitlines()
            output = " ".join(self.run(command).split())
            for line in expected:
                assert " ".join(line.split()) in output, f"{command}: {line!r} is not in: {output}"

    def run(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "export":
            self.variables |= {name: os.path.expandvars(value.replace("…", TOKEN)) for name, value in _pairs(words[1:])}
            return ""
        if words[0] == "abreast":
            return self.abreast(*words[1:])
        env = {**os.environ, **self.variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        if words[-1] == "&":
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command[:-1]}"], cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE
            )
            self.started.append(process)
            assert process.stdout
            return "".join(process.stdout.readline() for _ in range(command.count("--service") + 1))
        return subprocess.run(
            command, shell=True, cwd=self.folder, env=env, check=True, capture_output=True, text=True
        ).stdout

    def abreast(self, *arguments: str, code: int = 0) -> str:
        consent = ("--yes",) if arguments[0] == "deploy" and "--yes" not in arguments else ()
        done = fork_server.run_command(self.folder, *arguments, *consent, variables=self.variables)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "remote"], check=True)
    (tmp_path / "shop").mkdir()
    found = Reader(tmp_path / "shop")
    found.git("init", "-q", "-b", "main")
    found.git("remote", "add", "origin", str(tmp_path / "remote"))
    found.commit(**FILES)
    found.git("push", "-q", "-u", "origin", "main")
    yield found
    for process in found.started:
        process.terminate()
        process.communicate()


@contextmanager
def render(reader: Reader) -> Iterator[RenderEmulator]:
    """Serve Render, with the services that the page names."""
    folder = reader.folder.parent / "render"
    folder.mkdir()
    emulator = RenderEmulator(folder)
    emulator.work_seconds = lambda: 0.0
    python = f"exec {sys.executable} -S"
    emulator.add_service("api", reader.folder, f"{python} app.py", "/health")
    emulator.add_service("mailer", reader.folder, f"{python} mailer.py", kind=ServiceKind.WORKER)
    emulator.add_service("report", reader.folder, f"{python} report.py", kind=ServiceKind.CRON)
    with ThreadedServer(emulator.app) as served:
        reader.variables |= {"RENDER_API_URL": served.url, "RENDER_API_KEY": TOKEN}
        yield emulator
    emulator.close()


def live_commits(emulator: RenderEmulator) -> set[str]:
    found = [service.live_deploy for service in emulator.services.values()]
    return {deploy.commit if deploy else "" for deploy in found}


@pytest.mark.executes("docs/render.md", 1, 2, 7)
@pytest.mark.exhaustive
def test_the_first_example_deploys_three_services_as_one_release_and_back_if_the_worker_fails(reader: Reader) -> None:
    with render(reader) as emulator:
        reader.write_config(*blocks("Start", "yaml"))
        first = reader.git("rev-parse", "HEAD").strip()
        for block in (*blocks("Start", "console"), *blocks("Generate a render.yaml", "console")):
            reader.follow(block)
        assert live_commits(emulator) == {first}
        (reader.folder / "render.yaml").unlink()
        second = reader.commit(**{"mailer.py": "raise SystemExit('no queue')\n"})
        told = reader.abreast("deploy", "--env", "staging", code=1)
        assert "no queue" in told
        assert live_commits(emulator) == {first}
        assert first in get_text(f"{reader.variables['RENDER_API_URL']}/r/api/")
        attempted = {deploy.commit for service in emulator.services.values() for deploy in service.deploys}
        assert attempted == {first, second}


@pytest.mark.exhaustive
def test_a_worker_that_ends_while_it_is_watched_turns_all_back(reader: Reader) -> None:
    with render(reader) as emulator:
        reader.write_config(*blocks("Start", "yaml"))
        first = reader.git("rev-parse", "HEAD").strip()
        reader.abreast("deploy", "--env", "staging")
        crash = reader.folder.parent / "crash"
        waits = f"import time\nfrom pathlib import Path\nwhile not Path({str(crash)!r}).exists():\n    time.sleep(0.01)\nraise SystemExit('queue is gone')\n"
        (reader.folder / "mailer.py").write_text(waits)
        reader.write_config(*blocks("Start", "yaml"), settle="60s")
        begun = fork_server.StartedCommand(
            reader.folder, "deploy", "--env", "staging", "--yes", variables=reader.variables,
            stdout=str(reader.folder.parent / "out"), stderr=str(reader.folder.parent / "out"),
        )  # fmt: skip
        eventually(lambda: '"watch"' in reader.abreast("status", "--json"))
        crash.touch()
        assert begun.wait() == 1
        assert "exit code 1" in begun.output
        assert live_commits(emulator) == {first}


@pytest.mark.exhaustive
def test_a_static_site_and_a_private_service_are_of_the_same_release(reader: Reader) -> None:
    more = """
        services:
          web: {build: {run: mkdir site && cp change.txt site/index.html, output: site}}
          internal: {run: python app.py, health: /health}
        environments: {staging: {web: {render: {service: srv-web}}, internal: {render: {service: srv-internal}}}}
    """
    with render(reader) as emulator:
        build = "mkdir site && cp change.txt site/index.html"
        emulator.add_service("web", reader.folder, build, kind=ServiceKind.STATIC).publish_path = "site"
        emulator.add_service("internal", reader.folder, f"exec {sys.executable} -S app.py", kind=ServiceKind.PRIVATE)
        (reader.folder / "change.txt").write_text("first")
        reader.write_config(*blocks("Start", "yaml"), more)
        told = reader.abreast("deploy", "--env", "staging")
        assert "a private service has no public address" in told
        first = reader.git("rev-parse", "HEAD").strip()
        assert live_commits(emulator) == {first}
        broken = reader.commit(**{"change.txt": "second", "mailer.py": "raise SystemExit('no queue')\n"})
        reader.abreast("deploy", "--env", "staging", code=1)
        assert live_commits(emulator) == {first}
        assert emulator.services["srv-web"].deploys[-1].commit in {first, broken}
        assert get_text(f"{reader.variables['RENDER_API_URL']}/r/web/") == "first"


def _no_change(_: Reader, __: RenderEmulator) -> None:
    """Nothing is needed for the example."""


def _with_image(reader: Reader, emulator: RenderEmulator) -> None:
    commit = reader.git("rev-parse", "HEAD").strip()
    emulator.services["srv-api"].image_path = "ghcr.io/acme/api"
    emulator.services["srv-api"].images = {f"ghcr.io/acme/api:{commit}": commit}


def _with_hook(reader: Reader, _: RenderEmulator) -> None:
    url = reader.variables["RENDER_API_URL"]
    reader.variables["API_DEPLOY_HOOK"] = f"{url}/deploy/srv-api?key={HOOK_KEY}"
    config = (reader.folder / "abreast.yml").read_text()
    reader.commit(**{"abreast.yml": config.replace("https://api.onrender.com", f"{url}/r/api")})


def _with_key(reader: Reader, _: RenderEmulator) -> None:
    reader.variables["APP_KEY"] = "s3cr3t-app-key"


Check = Callable[[RenderEmulator], object]
EXAMPLES: Mapping[str, tuple[str, int, Callable[[Reader, RenderEmulator], None], Check, object]] = {
    "settings": (
        "Options", 0, _no_change,
        lambda render: (render.services["srv-api"].instances, render.services["srv-api"].log_texts), (3, ["migrated", "reindexed"]),
    ),
    "image": ("Options", 1, _with_image, lambda render: bool(render.services["srv-api"].deploys[-1].image), True),
    "autoscaling": ("Options", 2, _no_change, lambda render: (render.services["srv-mailer"].autoscaling or {})["max"], 6),
    "secret files": (
        "Variables and secret files", 0, _with_key,
        lambda render: render.services["srv-api"].secret_files, {"app.key": "s3cr3t-app-key"},
    ),
    "hook": (
        "Deploy hooks: without an API key", 0, _with_hook,
        lambda render: render.services["srv-api"].deploys[-1].trigger, "deploy_hook",
    ),
}  # fmt: skip


@pytest.mark.executes("docs/render.md", 3, 4, 5, 6, 8)
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_other_examples_can_be_deployed(reader: Reader, name: str) -> None:
    heading, number, prepare, found, expected = EXAMPLES[name]
    with render(reader) as emulator:
        reader.write_config(*blocks("Start", "yaml"), blocks(heading, "yaml")[number])
        prepare(reader, emulator)
        reader.abreast("deploy", "--env", "staging")
        assert found(emulator) == expected


def test_every_example_is_among_those_that_are_run() -> None:
    run = [
        ("Start", "yaml"),
        ("Start", "console"),
        ("Generate a render.yaml", "console"),
        ("Try it without an account", "console"),
    ]
    run += [(heading, "yaml") for heading, *_ in EXAMPLES.values()]
    here, found = "", []
    for title, kind, _ in BLOCKS:
        here = title or here
        found += [(here, kind)] if kind else []
    assert sorted(found) == sorted(run)


@pytest.mark.executes("docs/render.md", 9)
@pytest.mark.exhaustive
def test_it_can_be_tried_without_an_account(reader: Reader) -> None:
    reader.write_config(*blocks("Start", "yaml"))
    port = str(free_ports(1)[0])
    (block,) = blocks("Try it without an account", "console")
    without_install = re.sub(r"^\$ pip install .*\n", "", block, flags=re.MULTILINE)  # it is installed
    assert without_install != block
    reader.follow(without_install.replace("9002", port))
