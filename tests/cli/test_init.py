"""The first command: an abreast.yml for what is there, and a render.yaml for what abreast.yml says."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import fork_server
from abreast.cli.commands.init import without_faults
from detection_examples import EXPRESS, HELLO, NODE_API, SERVER, Files
from sample_project import SampleProject, eventually, free_ports
from terminal import Terminal, print_screen_on_failure


def init(folder: Path, *arguments: str, code: int = 0) -> str:
    done = fork_server.run_command(folder, "init", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def write(folder: Path, files: Files) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def commit(folder: Path) -> None:
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@localhost commit -qm Start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)


@pytest.mark.exhaustive
def test_what_lies_in_a_repository_is_described_and_deploys(tmp_path: Path) -> None:
    web = "web: exec python3 -m http.server --bind 127.0.0.1 $PORT\n"
    write(tmp_path, {"pages/index.html": "hello", "api/Procfile": f"worker: x\n{web}"})
    told = init(tmp_path)
    assert "next: abreast doctor" in told
    assert "the worker worker runs x, but nothing says how it is built" in told
    written = yaml.safe_load((tmp_path / "abreast.yml").read_text())
    assert written["environments"] == {"local": {}}
    ports = zip(written["services"], free_ports(2), strict=True)  # the usual ones may be taken on this machine
    written["environments"]["local"] = {"settle": "300ms"} | {name: {"local": {"port": port}} for name, port in ports}
    (tmp_path / "abreast.yml").write_text(yaml.safe_dump(written))
    commit(tmp_path)
    try:
        assert fork_server.run_command(tmp_path, "doctor").returncode == 0
        done = fork_server.run_command(tmp_path, "deploy", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        status = json.loads(fork_server.run_command(tmp_path, "status", "--json").stdout)
        assert set(status["environments"]["local"]["services"]) == {"api", "pages"}
    finally:
        fork_server.run_command(tmp_path, "down", "--yes")


def test_what_is_unset_is_told_with_its_command(tmp_path: Path) -> None:
    write(tmp_path, {**NODE_API, "api/.env.example": "ENCRYPTION_KEY=x\nSECRET_KEY=x\nREGION=eu\n"})
    told = init(tmp_path)
    assert "# the first deployment to this machine needs:\nexport ENCRYPTION_KEY=…\n" in told
    assert "export SECRET_KEY" not in told, "it has a value for this machine"
    assert "export REGION" not in told


@pytest.mark.parametrize("content", ["[]", "{", '{"scripts": []}'])
def test_nothing_that_looks_like_a_service(tmp_path: Path, content: str) -> None:
    (tmp_path / "package.json").write_text(content)
    assert "found no service in" in init(tmp_path, code=2)
    assert not (tmp_path / "abreast.yml").exists()


def test_an_error_says_what_was_seen(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yml": "services: {db: {image: 'postgres:18'}}"})
    assert "db (postgres:18) is not deployed" in init(tmp_path, code=2)


def test_the_scan_for_secrets_is_on_where_its_scanner_is(tmp_path: Path) -> None:
    write(tmp_path, NODE_API)
    init(tmp_path)
    assert yaml.safe_load((tmp_path / "abreast.yml").read_text())["gates"] == {"secrets": "block"}, (
        "it is among our extras"
    )


@pytest.mark.exhaustive
def test_a_token_that_was_committed_before_does_not_block(tmp_path: Path) -> None:
    write(tmp_path, {"pages/index.html": "hello", "pages/auth.test.js": f'use("{made_up_token()}")\n'})
    commit(tmp_path)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()
    assert f"what was there at {head[:7]} is reported and does not block" in init(tmp_path)
    written = yaml.safe_load((tmp_path / "abreast.yml").read_text())
    assert written["gates"] == {"secrets": {"since": head}}
    written["environments"]["local"] = {"settle": "300ms", "pages": {"local": {"port": free_ports(1)[0]}}}
    (tmp_path / "abreast.yml").write_text(yaml.safe_dump(written))
    commit(tmp_path)
    try:
        deployed = fork_server.run_command(tmp_path, "deploy", "--yes")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        assert f"secrets passed: 1 in the baseline {head[:7]}: " in deployed.stdout
        assert "in pages/auth.test.js" in deployed.stdout
        write(tmp_path, {"pages/new.js": f'use("{made_up_token()}")\n'})
        commit(tmp_path)
        assert "pages/new.js" in fork_server.run_command(tmp_path, "deploy", "--yes").stdout
    finally:
        fork_server.run_command(tmp_path, "down", "--yes")


def made_up_token() -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890","iat":1516239022}', os.urandom(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def test_nothing_is_replaced_without_its_difference(tmp_path: Path) -> None:
    write(tmp_path, {**NODE_API, "abreast.yml": "project: mine\n"})
    told = init(tmp_path, code=2)
    assert "-project: mine" in told
    assert "+    run: node server.js" in told
    assert "already exists" in told
    assert (tmp_path / "abreast.yml").read_text() == "project: mine\n"
    assert "-project: mine" in init(tmp_path, "--yes")
    assert "nothing to do" in init(tmp_path)


@contextmanager
def terminal(project: SampleProject, *arguments: str) -> Iterator[Terminal]:
    opened = Terminal(project, *arguments)
    try:
        with print_screen_on_failure(opened):
            yield opened
    finally:
        opened.close()


def test_at_a_terminal_it_asks_what_is_equally_good(project: SampleProject) -> None:
    (project.folder / "abreast.yml").unlink()
    write(project.folder, {"package.json": EXPRESS, "package-lock.json": "{}", "yarn.lock": "", "server.js": SERVER})
    with terminal(project, "init") as at:
        eventually(lambda: at.shows("backend: build.install?") and at.shows("2", "yarn install", "(yarn.lock)"))
        at.type("2\n")
        eventually(lambda: at.process.poll() is not None)
        assert at.process.returncode == 0
    assert "install: yarn install --frozen-lockfile" in (project.folder / "abreast.yml").read_text()


@pytest.mark.exhaustive
def test_at_a_terminal_no_is_no(project: SampleProject) -> None:
    before = (project.folder / "abreast.yml").read_text()
    write(project.folder, {"package.json": EXPRESS, "package-lock.json": "{}", "server.js": SERVER})
    with terminal(project, "init") as at:
        eventually(lambda: at.shows("Replace abreast.yml?"))
        at.type("n\n")
        eventually(lambda: at.process.poll() is not None)
    assert (project.folder / "abreast.yml").read_text() == before


def test_the_doctor_tells_where_the_repository_says_otherwise(project: SampleProject) -> None:
    project.config["services"]["backend"]["health"] = "/"
    project.config["services"]["frontend"]["build"]["output"] = "dist"
    write(project.folder, {"api/requirements.txt": "fastapi\nuvicorn\n", "api/main.py": HELLO, "fly.toml": "",
                           "api/fly.toml": '[http_service]\n[[http_service.checks]]\npath="/health"\n',
                           "vercel.json": '{"outputDirectory": "www"}'})  # fmt: skip
    project.commit()
    told = project.run("doctor", code=None).stdout
    assert "health is '/', but api/fly.toml: http_checks says '/health'" in told
    assert "build.output is 'dist', but vercel.json: outputDirectory says 'www'" in told


def on_render(project: SampleProject, **settings: object) -> None:
    project.config["environments"]["local"]["backend"] = {"render": {"service": "srv-api", **settings}}
    project.commit()


def test_a_blueprint_is_written_and_agrees(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"COLOUR": "blue", "API_KEY": "${KEY}"}
    on_render(project, instances=3, pre_deploy="npm run migrate")
    done = project.run("init", "--render", variables={"KEY": "s3cret"})
    (service,) = yaml.safe_load((project.folder / "render.yaml").read_text())["services"]
    assert service == {
        "type": "web", "name": "backend", "runtime": "python", "buildCommand": service["buildCommand"],
        "startCommand": project.config["services"]["backend"]["run"], "preDeployCommand": "npm run migrate",
        "healthCheckPath": "/health", "maxShutdownDelaySeconds": 30, "numInstances": 3, "autoDeployTrigger": "off",
        "envVars": [{"key": "COLOUR", "value": "blue"}, {"key": "API_KEY", "sync": False}],
    }  # fmt: skip
    assert "s3cret" not in done.stdout
    told = project.run("doctor", code=None, variables={"KEY": "s3cret"}).stdout
    assert "(render.yaml)" not in told


def test_a_service_with_a_disk_has_one_instance(project: SampleProject) -> None:
    on_render(project, disk="/data", image="ghcr.io/acme/api:$ABREAST_COMMIT")
    project.run("init", "--render")
    (service,) = yaml.safe_load((project.folder / "render.yaml").read_text())["services"]
    assert service["disk"] == {"name": "data", "mountPath": "/data", "sizeGB": 1}
    assert service["image"] == {"url": "ghcr.io/acme/api"}
    assert "numInstances" not in service


def test_autoscaling_is_written_and_cron_jobs_are_left_out(project: SampleProject) -> None:
    on_render(project, autoscaling={"min": 2, "max": 6, "cpu": 70})
    project.config["environments"]["local"]["frontend"] = {"render": {"service": "crn-report"}}
    project.run("init", "--render")
    (service,) = yaml.safe_load((project.folder / "render.yaml").read_text())["services"]
    assert service["scaling"] == {"minInstances": 2, "maxInstances": 6, "targetCPUPercent": 70}


def test_a_folder_is_the_root_directory_and_what_installs_is_part_of_the_build(project: SampleProject) -> None:
    build = {"install": "npm ci", "run": "npm run build"}
    project.config["services"]["backend"] |= {"folder": "api", "build": build}
    (project.folder / "api").mkdir()
    (project.folder / "api" / "package.json").write_text("{}")
    on_render(project)
    project.run("init", "--render")
    (service,) = yaml.safe_load((project.folder / "render.yaml").read_text())["services"]
    found = {key: service[key] for key in ("rootDir", "buildCommand", "runtime")}
    assert found == {"rootDir": "api", "buildCommand": "npm ci && npm run build", "runtime": "node"}


def test_where_nothing_is_on_render_none_is_written(project: SampleProject) -> None:
    assert "has no service on Render" in project.run("init", "--render", code=2).stderr


def test_what_abreast_yml_leaves_open_is_taken_from_the_blueprint(project: SampleProject) -> None:
    project.config["services"]["backend"] = {"watch": ["**"]}
    blueprint = {"services": [{"name": "backend", "startCommand": "python -m app", "healthCheckPath": "/healthz"}]}
    (project.folder / "render.yaml").write_text(yaml.safe_dump(blueprint))
    project.commit()
    assert "expected `run`" in project.run("plan", code=2).stderr, "only what is on Render"
    on_render(project)
    told = project.run("doctor", code=None).stdout
    assert "expected `run`" not in told
    assert "warning  backend (render.yaml)" in told, "its auto-deploy is on"


def test_what_does_not_agree_is_told(project: SampleProject) -> None:
    said = {"name": "backend", "healthCheckPath": "/ping", "numInstances": 2, "disk": {"mountPath": "/data"}}
    (project.folder / "render.yaml").write_text(yaml.safe_dump({"services": [said, {"name": "other"}, "x"]}))
    on_render(project, instances=3)
    told = project.run("doctor", code=1).stdout
    assert "healthCheckPath is '/ping' there, but '/health' in abreast.yml" in told
    assert "numInstances is 2 there, but 3 in abreast.yml" in told
    assert "2 instances share a disk" in told
    (project.folder / "render.yaml").write_text("services: [a: b: c]")
    assert "render.yaml:1:" in project.run("plan", code=2).stderr


def test_what_is_odd_in_a_blueprint_does_no_harm(project: SampleProject) -> None:
    said = {"name": "backend", "healthCheckPath": "health", "autoDeployTrigger": ["commit"], "numInstances": "two"}
    odd = [{**said, "name": ["backend"]}, said, {"name": "other", "healthCheckPath": "not a path"}]
    (project.folder / "render.yaml").write_text(yaml.safe_dump({"services": odd}))
    on_render(project)
    told = project.run("doctor", code=1).stdout
    assert "healthCheckPath" not in told, "Render takes it with and without the slash"
    assert "auto-deploy is on there" in told


def test_folders_of_any_name(tmp_path: Path) -> None:
    for name in ("my api", "node_modules", "9" * 60):
        write(tmp_path, {f"{name}/Procfile": "web: exec ./run"})
    init(tmp_path)
    services = yaml.safe_load((tmp_path / "abreast.yml").read_text())["services"]
    assert services["my-api"]["folder"] == "my api"
    assert set(services) == {"my-api", "p-" + "9" * 38}


def test_of_two_services_with_the_same_fixed_port_the_second_has_none(tmp_path: Path) -> None:
    for name in ("api", "web"):
        code = "require('express')().listen(3000)\n"
        write(tmp_path, {f"{name}/package.json": EXPRESS, f"{name}/package-lock.json": "{}", f"{name}/server.js": code})
    told = init(tmp_path)
    assert yaml.safe_load((tmp_path / "abreast.yml").read_text())["environments"] == {
        "local": {"api": {"local": {"app_port": 3000}}, "web": {"local": {}}}
    }
    assert "# left out, since abreast refuses it: environments.local.web.local.app_port: port 3000 is also used" in told
    assert "        # app_port: 3000" in told
    commit(tmp_path)
    assert fork_server.run_command(tmp_path, "config").returncode == 0


@pytest.mark.parametrize(
    ("faulty", "line", "expected"),
    [
        ("  api:\n    folder: api\n    build: {}\n    run: ./run\n    helth: /\n", "helth: /", {"run": "./run"}),
        ("  api:\n    # why\n    type: wrker\n    run: ./run\n", "type: wrker", {"run": "./run"}),
        ("  api:\n    run: ./run\n    env:\n      PORT: 80\n", "PORT: 80", {"run": "./run", "env": {}}),
    ],
)
def test_what_is_invalid_is_a_comment_that_says_why(faulty: str, line: str, expected: dict[str, object]) -> None:
    text = without_faults(f"project: shop\nservices:\n{faulty}environments:\n  local: {{}}\n")
    assert expected.items() <= yaml.safe_load(text)["services"]["api"].items()
    before, after = text.split(f"# {line}\n")
    assert before.splitlines()[-2].lstrip().startswith("# left out, since abreast refuses it: services.api")
    assert "environments:" in after


def test_a_file_without_anything_that_is_valid_says_so() -> None:
    text = without_faults("project: shop\nservices:\n  api:\n    test: x\nenvironments:\n  local: {}\n")
    assert "# left out, since abreast refuses it" in text


def test_it_is_quick_because_it_imports_little() -> None:
    heavy = ("pydantic", "asyncio", "sqlite3", "difflib", "httpx")
    script = f"import sys, abreast.cli.commands.init\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
