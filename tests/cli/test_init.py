"""The first command: an abreast.yml for what is there, and a render.yaml for what abreast.yml says."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

import fork_server
from sample_project import SampleProject, free_ports


def init(folder: Path, *arguments: str, code: int = 0) -> str:
    done = fork_server.run_command(folder, "init", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_what_lies_in_a_repository_is_described_and_deploys(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("hello")
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "Procfile").write_text("worker: x\nweb: exec python3 -m http.server --bind 127.0.0.1 $PORT\n")
    told = init(tmp_path)
    assert "next: abreast doctor" in told
    written = yaml.safe_load((tmp_path / "abreast.yml").read_text())
    assert written["environments"] == {"local": {}}
    ports = zip(written["services"], free_ports(2), strict=True)  # the usual ones may be taken on this machine
    written["environments"]["local"] = {name: {"local": {"port": port}} for name, port in ports}
    (tmp_path / "abreast.yml").write_text(yaml.safe_dump(written))
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@localhost commit -qm Start"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    assert fork_server.run_command(tmp_path, "doctor").returncode == 0
    plan = json.loads(fork_server.run_command(tmp_path, "plan", "--json").stdout)
    assert set(plan["services"]) == {"api", "pages"}
    assert "already exists" in init(tmp_path, code=2)


def test_packages_of_node(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    vite = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}
    (tmp_path / "web" / "package.json").write_text(json.dumps(vite))
    (tmp_path / "package.json").write_text(json.dumps({"scripts": {"start": "node ."}}))
    init(tmp_path)
    services = yaml.safe_load((tmp_path / "abreast.yml").read_text())["services"]
    assert services["web"]["build"] == {"run": "cd web/ && npm ci && npm run build", "output": "web/dist"}
    assert services["backend"]["run"] == "npm start"


@pytest.mark.parametrize("content", ["[]", "{", '{"scripts": []}'])
def test_nothing_that_looks_like_a_service(tmp_path: Path, content: str) -> None:
    (tmp_path / "package.json").write_text(content)
    assert "found no service in" in init(tmp_path, code=2)
    assert not (tmp_path / "abreast.yml").exists()


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
        (tmp_path / name).mkdir()
        (tmp_path / name / "Procfile").write_text("web: exec ./run")
    init(tmp_path)
    services = yaml.safe_load((tmp_path / "abreast.yml").read_text())["services"]
    assert services["my-api"]["run"] == "cd 'my api/' && exec ./run"
    assert set(services) == {"my-api", "p-" + "9" * 38}
