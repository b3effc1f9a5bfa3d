"""Maintenance at Render is its own maintenance mode: of paid web services, with its page or that of a URL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.maintenance import MaintenanceMode, MaintenancePage
from abreast.core.model import Service
from abreast.platforms.interface import MaintenanceMove, SupportsMaintenance
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.render import ServiceKind
from abreast.testing.platforms.threaded_server import ThreadedServer
from render_stage import Stage, render_stage
from sample_project import SampleProject

MODE = MaintenanceMode("a new disk", "ada", "2026-11-27T00:00:00.000Z")


@pytest.fixture
def stage(project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    with render_stage(project, tmp_path) as found:
        yield found


def switch(stage: Stage, mode: MaintenanceMode | None) -> None:
    stage.run(lambda render: render.switch_maintenance([MaintenanceMove(stage.on_render, mode)], stage.tell))


def faults(stage: Stage, mode: MaintenanceMode = MODE, service: Service | None = None) -> list[str]:
    move = MaintenanceMove(service or stage.on_render, mode)
    found = stage.run(lambda render: render.inspect_maintenance(move))
    return [each.what for each in found if each.level is DiagnosticSeverity.FAULT]


def answer(stage: Stage) -> tuple[int, str]:
    response = httpx2.get(f"{stage.url}/r/api/")
    return response.status_code, response.text


def test_it_goes_on_and_off_and_a_deploy_goes_live_behind_it(stage: Stage) -> None:
    first = stage.deploy(stage.project.commit())
    switch(stage, MODE)
    assert answer(stage) == (503, "<h1>Down for maintenance</h1>")
    second = stage.deploy(commit := stage.project.commit())
    assert stage.observe(second).present
    assert answer(stage)[0] == 503
    for _ in range(2):
        switch(stage, None)
    assert answer(stage)[0] == 200
    assert commit in answer(stage)[1]
    assert stage.told.count("render: maintenance of api is off") == 1
    assert [event.details for event in stage.service.events if event.type == "maintenance_mode_enabled"] == [
        {"enabled": True}, {"enabled": False},
    ]  # fmt: skip
    assert first.id != second.id


def test_a_page_of_a_url_is_served(stage: Stage) -> None:
    page = Starlette(routes=[Route("/away", lambda _: HTMLResponse("ours"))])
    stage.deploy(stage.project.commit())
    with ThreadedServer(page) as served:
        switch(stage, replace(MODE, page=MaintenancePage(url=f"{served.url}/away")))
        assert answer(stage) == (503, "ours")
        switch(stage, MODE)
        assert answer(stage)[1] == "<h1>Down for maintenance</h1>"


def test_a_lost_answer_is_looked_up(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    stage.emulator.faults.planned.append(InjectedFault("PATCH", "/services/", FaultKind.RESPONSE_LOST))
    switch(stage, MODE)
    assert answer(stage)[0] == 503


def test_what_render_cannot_do_is_said(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    assert isinstance(stage.run(_itself), SupportsMaintenance)
    assert faults(stage) == []
    assert faults(stage, replace(MODE, allow=("203.0.113.0/24",))) == ["Render cannot let addresses through"]
    own = replace(MODE, page=MaintenancePage(url=f"{stage.url}/r/api/away"))
    assert faults(stage, own) == [f"{stage.url}/r/api/away is a page of api itself"]
    hook = Service("api", "render", {"hook": "HOOK", "url": "http://localhost"})
    assert faults(stage, service=hook) == ["a deploy hook at Render has no maintenance mode"]
    stage.service.plan = "free"
    assert faults(stage) == ["Render has a maintenance mode for paid plans only, and api is on the free one"]
    stage.asks_wrongly = True
    with pytest.raises(PlatformError, match="available only for paid"):
        switch(stage, MODE)


def test_a_worker_has_none(project: SampleProject, tmp_path: Path) -> None:
    with render_stage(project, tmp_path, ServiceKind.WORKER) as stage:
        assert "web services only, and api is a background worker" in faults(stage)[0]


async def _itself(render: SupportsMaintenance) -> SupportsMaintenance:
    return render
