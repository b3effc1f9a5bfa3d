"""Render: workers, private services, static sites and cron jobs as services of a release."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.model import HealthSettings, ReleaseCommand, ServiceType
from abreast.testing.platforms.render import TOKEN, ServiceKind
from render_stage import Stage, render_stage
from sample_project import SampleProject, eventually

WORKER = "import os, time\nprint('at work on', os.environ['RENDER_GIT_COMMIT'], os.environ.get('PORT'), flush=True)\n"
STEADY, CRASHES_EARLY = f"{WORKER}time.sleep(600)\n", f"{WORKER}raise SystemExit('no queue')\n"
CRASHES_LATER = (
    f"{WORKER}from pathlib import Path\n"
    "while not Path(os.environ['CRASH']).exists():\n    time.sleep(0.01)\nraise SystemExit('queue is gone')\n"
)
RUN = f"exec {sys.executable} -S worker.py"


@pytest.fixture
def stage(request: pytest.FixtureRequest, project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    command = {ServiceKind.STATIC: "mkdir -p public && cp change.txt public/index.html"}.get(request.param, RUN)
    with ExitStack() as resources:
        found = resources.enter_context(render_stage(project, tmp_path, request.param, command))
        if request.param is ServiceKind.PRIVATE:
            found.service.command = f"ABREAST_RELEASE=- ABREAST_COMMIT=- exec {sys.executable} -S app.py"
        found.service.publish_path = "public"
        yield found


def of(*kinds: ServiceKind) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", kinds, indirect=True, ids=[kind.value for kind in kinds])


def worker(stage: Stage, source: str = STEADY) -> str:
    (stage.project.folder / "worker.py").write_text(source)
    return stage.project.commit()


@pytest.mark.exhaustive
@of(ServiceKind.WORKER)
def test_a_worker_goes_live_without_an_address_and_the_one_before_comes_back(stage: Stage) -> None:
    first, second = worker(stage), worker(stage)
    version = stage.deploy(first)
    assert (version.url, version.probes, version.live_probes) == ("", (), ())
    before = stage.present()
    version = stage.deploy(second)
    assert stage.observe(version).present
    assert not stage.observe(before).present
    stage.turn(before)
    assert stage.observe(before).present
    assert stage.statuses == ["deactivated", "deactivated", "live"]
    logs = stage.run(lambda render: render.recent_logs(stage.on_render, 50))
    assert [text for _, text in logs] == [f"at work on {commit} None" for commit in (first, second, first)]


@of(ServiceKind.WORKER)
def test_a_worker_that_ends_at_once_does_not_go_live(stage: Stage) -> None:
    first = worker(stage)
    stage.deploy(first)
    with pytest.raises(PlatformError, match="update_failed") as raised:
        stage.deploy(worker(stage, CRASHES_EARLY))
    assert "no queue" in str(raised.value)
    live = stage.service.live_deploy
    assert live
    assert live.commit == first


@of(ServiceKind.WORKER)
def test_a_worker_that_ends_later_is_seen(stage: Stage) -> None:
    crash = stage.project.folder.parent / "crash"
    stage.service.env["CRASH"] = str(crash)
    version = stage.deploy(worker(stage, CRASHES_LATER))
    assert (stage.observe(version).restarts, stage.observe(version).waiting) == (0, "")
    crash.touch()
    eventually(lambda: stage.observe(version).restarts > 0)
    seen = stage.observe(version)
    assert (seen.present, seen.exit_reason) == (True, "exit code 1")
    assert "queue is gone" in seen.log_tail


@of(ServiceKind.WORKER)
def test_a_worker_without_an_instance_is_not_healthy(stage: Stage) -> None:
    version = stage.deploy(worker(stage))
    httpx2.post(f"{stage.url}/v1/services/srv-api/suspend", headers={"Authorization": f"Bearer {TOKEN}"})
    assert stage.observe(version).waiting == "Render runs no instance of it"


@of(ServiceKind.WORKER, ServiceKind.PRIVATE)
def test_the_plan_says_that_nobody_can_probe_it(stage: Stage) -> None:
    judged = f"a {stage.service.kind.replace('_', ' ')} has no public address"
    assert stage.notes()[-1] == f"is judged by Render's status alone: {judged}"
    stage.on_render = replace(stage.on_render, health=HealthSettings("/health"))
    assert stage.notes()[-1] == f"is judged by Render's status alone, not by /health: {judged}"
    assert stage.notes()[0].startswith("goes live in the turn")


@of(ServiceKind.PRIVATE)
def test_a_private_service_goes_live_where_nobody_outside_reaches_it(stage: Stage) -> None:
    version = stage.deploy(stage.project.commit())
    assert (version.url, version.live_probes) == ("", ())
    assert stage.observe(version).present
    assert httpx2.get(f"{stage.url}/r/api/").status_code == 404


@of(ServiceKind.CRON)
def test_a_cron_job_runs_the_new_build_from_its_next_run_on(stage: Stage) -> None:
    first, second = worker(stage, WORKER), worker(stage, WORKER)
    assert stage.notes() == (
        "runs from its next run on (0 3 * * *), not in the turn",
        "abreast turns off its auto-deploy",
        "is judged by Render's status alone: a cron job has no public address",
    )
    stage.deploy(first)
    before = stage.present()
    version = stage.deploy(second)
    assert stage.service.log_texts == []
    assert run_now(stage) == f"at work on {second} None"
    assert stage.observe(version).present
    stage.turn(before)
    assert run_now(stage) == f"at work on {first} None"


def run_now(stage: Stage) -> str:
    """Run the cron job once, and return what it printed last."""
    seen = len(stage.service.log)
    answer = httpx2.post(f"{stage.url}/v1/cron-jobs/crn-api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    eventually(lambda: len(stage.service.log) > seen)
    return stage.service.log_texts[-1]


@of(ServiceKind.STATIC)
def test_a_static_site_goes_live_at_its_address_and_comes_back(stage: Stage) -> None:
    pages = []
    for _ in range(2):
        stage.deploy(stage.project.commit())
        pages.append(stage.served)
        assert stage.served == (stage.project.folder / "change.txt").read_text()
    first = next(deploy for deploy in stage.service.deploys if deploy.status == "deactivated")
    stage.emulator.services["srv-api"].command = "false"
    with pytest.raises(PlatformError, match="failed"):
        stage.deploy(stage.project.commit())
    assert stage.served == pages[1]
    stage.service.command = "mkdir -p public && cp change.txt public/index.html"
    stage.deploy(first.commit)
    assert stage.served == pages[0]


@pytest.mark.parametrize(("stage", "settings", "unfit"), [
    (ServiceKind.STATIC, {"instances": 2, "pre_deploy": "true"}, "is a static site, which takes no instances, pre_deploy"),
    (ServiceKind.CRON, {"autoscaling": {"min": 1, "max": 2, "cpu": 70}}, "is a cron job, which takes no autoscaling"),
], indirect=["stage"])  # fmt: skip
def test_a_setting_that_its_type_does_not_take_is_refused_in_the_plan(
    stage: Stage, settings: dict[str, int], unfit: str
) -> None:
    stage.set(**settings)
    with pytest.raises(PlatformError, match=unfit):
        stage.live()


@of(*ServiceKind)
def test_doctor_finds_no_fault_in_a_service_of_any_type(stage: Stage) -> None:
    found = stage.run(lambda render: render.diagnose(stage.on_render))
    assert DiagnosticSeverity.FAULT not in {diagnostic.level for diagnostic in found}
    assert f"({stage.service.kind.replace('_', ' ')})" in found[0].what


@of(ServiceKind.CRON)
def test_the_schedule_of_abreast_yml_is_set_in_the_turn_and_comes_back(stage: Stage) -> None:
    stage.deploy(worker(stage, WORKER))
    before = stage.present()
    stage.on_render = replace(stage.on_render, type=ServiceType.SCHEDULED, schedule="30 4 * * *")
    assert "its schedule at Render is 0 3 * * *; the turn sets 30 4 * * *" in stage.notes()
    restored = stage.present()
    stage.deploy(worker(stage, WORKER))
    assert stage.service.schedule == "30 4 * * *"
    assert "render: api runs at 30 4 * * *; it was 0 3 * * *" in stage.told
    assert not [note for note in stage.notes() if "the turn sets" in note]
    stage.turn(restored)
    assert stage.service.schedule == "0 3 * * *"
    assert before.handle["of"] == restored.handle["of"]


@of(ServiceKind.WORKER)
def test_a_release_command_is_the_pre_deploy_command_and_the_one_before_comes_back(stage: Stage) -> None:
    stage.service.pre_deploy = "true # a person's"
    stage.deploy(worker(stage))
    ran = stage.project.folder.parent / "ran"
    stage.on_render = replace(
        stage.on_render, type=ServiceType.WORKER, release=ReleaseCommand(f"echo $ABREAST_RELEASE >> {ran}")
    )
    assert any("runs at Render before each new build goes live" in note for note in stage.notes())
    before = stage.present()
    stage.deploy(worker(stage), ABREAST_RELEASE="v7")
    assert ran.read_text() == "v7\n"
    stage.turn(before)
    assert stage.service.pre_deploy == "true # a person's"


@pytest.mark.parametrize(("stage", "declared", "why"), [
    (ServiceKind.WEB, {"type": ServiceType.WORKER}, "api is a worker, and the Render service api is a web service"),
    (ServiceKind.CRON, {"type": ServiceType.WORKER}, "api is a worker, and the Render service api is a cron job"),
    (ServiceKind.WORKER, {"type": ServiceType.SCHEDULED, "schedule": "0 3 * * *"},
     "api is a scheduled command, and the Render service api is a background worker"),
    (ServiceKind.CRON, {"type": ServiceType.SCHEDULED, "schedule": "0 0 3 * * *"}, "Render knows no seconds"),
    (ServiceKind.CRON, {"type": ServiceType.SCHEDULED, "schedule": "CRON_TZ=Europe/Berlin 0 3 * * *"},
     r"0 3 \* \* \* \(Europe/Berlin\), and Render starts cron jobs in UTC"),
    (ServiceKind.STATIC, {"release": ReleaseCommand("x")}, "on Render it runs as a static site, which has none"),
], indirect=["stage"])  # fmt: skip
def test_what_is_not_what_abreast_yml_says_is_refused_in_the_plan(
    stage: Stage, declared: dict[str, Any], why: str
) -> None:
    stage.on_render = replace(stage.on_render, **declared)
    with pytest.raises(PlatformError, match=why):
        stage.live()


@of(ServiceKind.CRON)
def test_the_emulator_refuses_what_is_no_schedule(stage: Stage) -> None:
    headers, stage.asks_wrongly = {"Authorization": f"Bearer {TOKEN}"}, True
    for text in ("daily", "* * *", "0 0 3 * * *", "61 * * * *"):
        body = {"serviceDetails": {"schedule": text}}
        assert httpx2.patch(f"{stage.url}/v1/services/crn-api", json=body, headers=headers).status_code == 400
    assert stage.service.schedule == "0 3 * * *"
