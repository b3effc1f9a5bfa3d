"""Render's own client for Python (PyPI: render) against the emulator: every call that it has, and what becomes of it."""

import datetime
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from render.public_api import AuthenticatedClient, models
from render.public_api.types import UNSET

from abreast.testing.platforms.render import OWNER_ID, TOKEN, RenderEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from render_shop import MODULES, Shop, render_shop
from sample_project import SampleProject, eventually, get_text

PAGE = (Path(__file__).parents[3] / "docs" / "render.md").read_text()
HEADING = "## Calls of Render's client for Python"

NOT_EMULATED = {
    "services": "services have no shell, preview, edge cache or addresses of their own",
    "logs": "only `list_logs` is",
    "workspaces": "there is one workspace, of one member",
    "audit_logs": "nothing is recorded of who did what",
    "blueprints": "abreast reads `render.yaml` itself",
    "build_sources": "builds come from deploys only",
    "custom_domains": "services are reached at the emulator's address",
    "dedicated_i_ps": "services are reached at the emulator's address",
    "disks": "a disk is told of, not kept",
    "key_value": "services only",
    "maintenance": "services only",
    "metrics": "nothing is measured",
    "notification_settings": "nobody is notified",
    "object_storage": "services only",
    "postgres": "services only",
    "projects_environments": "services only",
    "redis_deprecated": "services only",
    "registry_credentials": "images are commits of the repository",
    "sandboxes": "services only",
    "services_headers": "a service's own answer is passed on as it is",
    "services_routes": "a service's own answer is passed on as it is",
    "webhooks": "nobody is notified",
    "workflow_flows": "services only",
    "workflow_tasks": "services only",
    "workflows": "services only",
}
"""Why the calls of a group are not emulated."""


@pytest.fixture
def shop(project: SampleProject, tmp_path: Path) -> Iterator[Shop]:
    with render_shop(project, tmp_path) as found:
        yield found


Call = Callable[[Shop], None]
WORKING: dict[str, Call] = {}


def works(*names: str) -> Callable[[Call], Call]:
    """Register what shows that calls work."""

    def register(call: Call) -> Call:
        WORKING.update(dict.fromkeys(names, call))
        return call

    return register


@works("services.list_services", "services.retrieve_service")
def _services_are_listed(shop: Shop) -> None:
    listed = shop.ask("services.list_services")
    assert [(item.service.name, item.service.type_.value) for item in listed] == [
        ("api", "web_service"), ("mailer", "background_worker"), ("report", "cron_job"),
    ]  # fmt: skip
    details = [type(item.service.service_details).__name__ for item in listed]
    assert details == ["WebServiceDetails", "BackgroundWorkerDetails", "CronJobDetails"]
    assert [item.service.name for item in shop.ask("services.list_services", name=["report", "api"])] == [
        "api",
        "report",
    ]
    workers = shop.ask("services.list_services", type_=[models.ServiceType.BACKGROUND_WORKER])
    assert [item.service.id for item in workers] == ["srv-mailer"]
    rest = shop.ask("services.list_services", limit=2, cursor=listed[0].cursor)
    assert [item.service.name for item in rest] == ["mailer", "report"]
    assert shop.ask("services.retrieve_service", "crn-report").service_details.schedule == "0 3 * * *"
    assert shop.status("services.list_services", limit=101) == 400


@works("services.create_service")
def _a_service_is_created(shop: Shop) -> None:
    repo = shop.ask("services.retrieve_service", "srv-api").repo
    commands = models.DockerDetailsPOST(docker_command=shop.emulator.services["srv-api"].command)

    def body(kind: str, name: str, details: Any, **more: Any) -> models.ServicePOST:  # noqa: ANN401
        source: dict[str, Any] = {"repo": repo, **more}
        return models.ServicePOST(models.ServiceType(kind), name, OWNER_ID, service_details=details, **source)

    docker: dict[str, Any] = {"runtime": models.ServiceRuntime.DOCKER, "env_specific_details": commands}
    web = models.WebServiceDetailsPOST(**docker, health_check_path="/health", plan=models.Plan.FREE)
    variables = [models.EnvVarKeyValue("ABREAST_RELEASE", "-"), models.EnvVarKeyGenerateValue("KEY", True)]
    made = shop.ask("services.create_service", body=body("web_service", "second", web, env_vars=variables))
    assert (made.service.name, made.service.service_details.plan) == ("second", "free")
    eventually(lambda: shop.ask("deploys.retrieve_deploy", made.service.id, made.deploy_id).status == "live")
    assert shop.commits[1] in get_text(f"{shop.url}/r/second/")
    assert len(shop.ask("services.retrieve_env_var", made.service.id, "KEY").value) > 20
    site = models.StaticSiteDetailsPOST(build_command="mkdir public", publish_path="public")
    assert shop.ask("services.create_service", body=body("static_site", "site", site)).service.type_ == "static_site"
    cron = models.CronJobDetailsPOST(**docker, schedule="0 4 * * *")
    assert shop.ask("services.create_service", body=body("cron_job", "nightly", cron)).service.id.startswith("crn-")

    def refusal(kind: str, name: str, details: Any, **more: Any) -> int:  # noqa: ANN401
        return shop.status("services.create_service", body=body(kind, name, details, **more))

    assert refusal("web_service", "second", web) == 409, "names are unique"
    assert refusal("web_service", "third", web, repo="https://example.org/unknown") == 400
    assert refusal("web_service", "third", web, repo=UNSET) == 400
    assert refusal("web_service", "third", models.WebServiceDetailsPOST()) == 400, "no runtime"
    native = models.NativeEnvironmentDetailsPOST("pip install .", "python app.py")
    wrong = models.WebServiceDetailsPOST(runtime=models.ServiceRuntime.DOCKER, env_specific_details=native)
    assert refusal("web_service", "third", wrong) == 400, "a container has no build command"
    assert refusal("background_worker", "third", web) == 400, "a worker has no health check path"
    free = models.WebServiceDetailsPOST(**docker, plan=models.Plan.FREE)
    assert refusal("background_worker", "third", free) == 400, "a worker has no free plan"
    assert refusal("cron_job", "third", models.CronJobDetailsPOST(**docker, schedule="soon")) == 400
    image = models.Image(OWNER_ID, "ghcr.io/acme/unknown:1")
    assert refusal("web_service", "third", web, repo=UNSET, image=image) == 400


@works("services.update_service")
def _a_service_is_changed(shop: Shop) -> None:
    details = models.WebServiceDetailsPATCH(pre_deploy_command="true", health_check_path="/")
    body = models.ServicePATCH(auto_deploy=models.AutoDeploy.NO, service_details=details)
    changed = shop.ask("services.update_service", "srv-api", body=body)
    assert (changed.auto_deploy, changed.service_details.health_check_path) == ("no", "/")
    assert changed.service_details.env_specific_details.pre_deploy_command == "true"
    cron = models.ServicePATCH(service_details=models.WebServiceDetailsPATCH(pre_deploy_command="true"))
    assert shop.status("services.update_service", "crn-report", body=cron) == 400
    mode = models.MaintenanceMode(enabled=True, uri="")
    body = models.ServicePATCH(service_details=models.WebServiceDetailsPATCH(maintenance_mode=mode))
    assert shop.ask("services.update_service", "srv-api", body=body).service_details.maintenance_mode.enabled
    assert "Down for maintenance" in get_text(f"{shop.url}/r/api/")
    assert shop.status("services.update_service", "srv-mailer", body=body) == 400, "a worker has no maintenance mode"
    plan = models.ServicePATCH(service_details=models.WebServiceDetailsPATCH(plan=models.Plan.PRO))
    assert shop.ask("services.update_service", "srv-api", body=plan).service_details.plan == "pro"
    root = models.ServicePATCH(root_dir="elsewhere")
    assert shop.status("services.update_service", "srv-api", body=root) == 501


@works("services.suspend_service", "services.resume_service", "services.restart_service", "services.delete_service")
def _a_service_stops_and_starts(shop: Shop) -> None:
    shop.ask("services.restart_service", "srv-api")
    eventually(lambda: shop.commits[1] in get_text(f"{shop.url}/r/api/"))
    shop.ask("services.suspend_service", "srv-api")
    assert shop.status("deploys.create_deploy", "srv-api", body=models.CreateDeployBody()) == 400
    assert shop.ask("services.retrieve_service", "srv-api").suspended == "suspended"
    shop.ask("services.resume_service", "srv-api")
    newest = shop.ask("deploys.list_deploys", "srv-api")[0].deploy
    assert newest.trigger == "service_resumed"
    assert shop.status("services.restart_service", "crn-report") == 400
    shop.ask("services.delete_service", "srv-mailer")
    assert shop.status("services.retrieve_service", "srv-mailer") == 404


@works(
    "services.scale_service",
    "services.autoscale_service",
    "services.delete_autoscaling_config",
    "services.list_instances",
)
def _a_service_is_scaled(shop: Shop) -> None:
    def instances() -> int:
        return len(shop.ask("services.list_instances", "srv-mailer"))

    shop.ask("services.scale_service", "srv-mailer", body=models.ScaleServiceBody(3))
    assert instances() == 3
    on, off = models.AutoscalingCriteriaPercentage(70, enabled=True), models.AutoscalingCriteriaPercentage(80)
    config = models.AutoscalingConfig(2, 6, models.AutoscalingCriteria(on, off), enabled=True)
    assert shop.ask("services.autoscale_service", "srv-mailer", body=config).max_ == 6
    shop.ask("services.scale_service", "srv-mailer", body=models.ScaleServiceBody(5))
    assert instances() == 2, "the number is ignored while autoscaling is on"
    shop.ask("services.delete_autoscaling_config", "srv-mailer")
    assert instances() == 3
    assert shop.status("services.scale_service", "srv-mailer", body=models.ScaleServiceBody(0)) == 400
    assert shop.status("services.scale_service", "crn-report", body=models.ScaleServiceBody(2)) == 400


@works("services.list_events", "events.retrieve_event")
def _events_are_told(shop: Shop) -> None:
    types = [item.event.type_.value for item in shop.ask("services.list_events", "srv-api")]
    assert types == ["deploy_ended", "deploy_started"] * 2
    ended = shop.ask("services.list_events", "srv-api", type_=models.ServiceEventType.DEPLOY_ENDED, limit=1)[0].event
    assert ended.to_dict()["details"]["deployStatus"] == "succeeded"
    assert shop.ask("events.retrieve_event", ended.id).service_id == "srv-api"
    none = shop.ask(
        "services.list_events", "srv-api", start_time=datetime.datetime.now(datetime.UTC) + datetime.timedelta(1)
    )
    assert none == []


@works("deploys.create_deploy", "deploys.list_deploys", "deploys.retrieve_deploy", "deploys.cancel_deploy")
def _a_commit_is_deployed(shop: Shop) -> None:
    assert shop.commits[1] in get_text(f"{shop.url}/r/api/")
    made = shop.ask("deploys.create_deploy", "srv-api", body=models.CreateDeployBody(commit_id=shop.commits[0]))
    assert (made.status, made.trigger) == ("created", "api")
    assert shop.ask("deploys.cancel_deploy", "srv-api", made.id).status == "canceled"
    assert shop.status("deploys.cancel_deploy", "srv-api", made.id) == 400
    only = models.CreateDeployBody(clear_cache=UNSET, deploy_mode=models.DeployMode.DEPLOY_ONLY)
    assert shop.ask("deploys.create_deploy", "srv-api", body=only).status == "update_in_progress"
    both = models.CreateDeployBody(commit_id=shop.commits[0], deploy_mode=models.DeployMode.DEPLOY_ONLY)
    assert shop.status("deploys.create_deploy", "srv-api", body=both) == 400
    image = models.CreateDeployBody(image_url="ghcr.io/acme/other:1")
    assert shop.status("deploys.create_deploy", "srv-api", body=image) == 400
    unknown = shop.ask("deploys.create_deploy", "srv-api", body=models.CreateDeployBody(commit_id="0" * 40))
    eventually(lambda: shop.ask("deploys.retrieve_deploy", "srv-api", unknown.id).status == "build_failed")
    assert shop.ask("deploys.list_deploys", "srv-api", limit=1)[0].deploy.status == "build_failed"
    shop.emulator.queues_deploys = True
    assert shop.ask("deploys.create_deploy", "srv-api", body=models.CreateDeployBody()) is None


@works("deploys.rollback_deploy")
def _a_deploy_is_rolled_back(shop: Shop) -> None:
    old = shop.first_deploy("srv-api")
    made = shop.ask("deploys.rollback_deploy", "srv-api", body=models.RollbackDeployBody(old))
    assert made.trigger == "rollback"
    eventually(lambda: shop.ask("deploys.retrieve_deploy", "srv-api", made.id).status == "live")
    assert shop.commits[0] in get_text(f"{shop.url}/r/api/")
    failed = shop.ask("deploys.create_deploy", "srv-api", body=models.CreateDeployBody(commit_id="0" * 40))
    eventually(lambda: shop.ask("deploys.retrieve_deploy", "srv-api", failed.id).status == "build_failed")
    assert shop.status("deploys.rollback_deploy", "srv-api", body=models.RollbackDeployBody(failed.id)) == 400


@works("one_off_jobs.post_job", "one_off_jobs.list_job", "one_off_jobs.retrieve_job", "one_off_jobs.cancel_job")
def _a_job_runs(shop: Shop) -> None:
    job = shop.ask("one_off_jobs.post_job", "srv-api", body=models.PostJobBody("echo reindexed"))
    eventually(lambda: shop.ask("one_off_jobs.retrieve_job", "srv-api", job.id).status == "succeeded")
    other = shop.ask("one_off_jobs.post_job", "srv-api", body=models.PostJobBody("sleep 600"))
    assert shop.ask("one_off_jobs.cancel_job", "srv-api", other.id).status == "canceled"
    assert [item.job.id for item in shop.ask("one_off_jobs.list_job", "srv-api")] == [other.id, job.id]


@works("services_cron_jobs.run_cron_job", "services_cron_jobs.cancel_cron_job_run")
def _a_cron_job_runs(shop: Shop) -> None:
    def ends() -> list[str]:
        listed = shop.ask("services.list_events", "crn-report", type_=models.ServiceEventType.CRON_JOB_RUN_ENDED)
        return [item.event.to_dict()["details"]["status"] for item in listed]

    assert shop.ask("services_cron_jobs.run_cron_job", "crn-report").status == "pending"
    eventually(lambda: ends() == ["successful"])
    shop.emulator.services["crn-report"].command = "sleep 600"
    shop.ask("services_cron_jobs.run_cron_job", "crn-report")
    shop.ask("services_cron_jobs.cancel_cron_job_run", "crn-report")
    assert ends() == ["canceled", "successful"]
    assert shop.status("services_cron_jobs.run_cron_job", "srv-api") == 404


@works(
    "services.get_env_vars_for_service", "services.retrieve_env_var", "services.update_env_var",
    "services.delete_env_var", "services.update_env_vars_for_service",
)  # fmt: skip
def _variables_are_set(shop: Shop) -> None:
    assert shop.ask("services.update_env_var", "srv-api", "COLOUR", body=models.EnvVarValue("red")).value == "red"
    made = shop.ask("services.update_env_var", "srv-api", "TOKEN", body=models.EnvVarGenerateValue(True))
    assert len(made.value) > 20
    listed = shop.ask("services.get_env_vars_for_service", "srv-api")
    assert [item.env_var.key for item in listed] == ["COLOUR", "TOKEN"]
    body = [models.EnvVarKeyValue("SIZE", "big")]
    replaced = shop.ask("services.update_env_vars_for_service", "srv-api", body=body)
    assert [item.env_var.key for item in replaced] == ["SIZE"], "all others go"
    assert shop.ask("services.retrieve_env_var", "srv-api", "SIZE").value == "big"
    shop.ask("services.delete_env_var", "srv-api", "SIZE")
    assert shop.status("services.retrieve_env_var", "srv-api", "SIZE") == 404


@works(
    "services.list_secret_files_for_service", "services.retrieve_secret_file", "services.add_or_update_secret_file",
    "services.delete_secret_file", "services.update_secret_files_for_service",
)  # fmt: skip
def _secret_files_are_set(shop: Shop) -> None:
    body = models.AddOrUpdateSecretFileBody("s3cr3t")
    assert shop.ask("services.add_or_update_secret_file", "srv-api", "a.key", body=body).content == "s3cr3t"
    assert [item.secret_file.name for item in shop.ask("services.list_secret_files_for_service", "srv-api")] == [
        "a.key"
    ]
    files = [models.SecretFileInput("b.key", "other")]
    shop.ask("services.update_secret_files_for_service", "srv-api", body=files)
    assert shop.status("services.retrieve_secret_file", "srv-api", "a.key") == 404
    assert shop.ask("services.retrieve_secret_file", "srv-api", "b.key").content == "other"
    shop.ask("services.delete_secret_file", "srv-api", "b.key")
    assert shop.ask("services.list_secret_files_for_service", "srv-api") == []


@works(
    "environment_groups.create_env_group", "environment_groups.list_env_groups", "environment_groups.retrieve_env_group",
    "environment_groups.update_env_group", "environment_groups.delete_env_group",
    "environment_groups.link_service_to_env_group", "environment_groups.unlink_service_from_env_group",
)  # fmt: skip
def _groups_are_linked(shop: Shop) -> None:
    body = models.EnvGroupPOSTInput("more", OWNER_ID, [models.EnvVarKeyValue("SIZE", "big")])
    made = shop.ask("environment_groups.create_env_group", body=body)
    linked = shop.ask("environment_groups.link_service_to_env_group", made.id, "srv-mailer")
    assert [link.type_.value for link in linked.service_links] == ["worker"]
    assert [group.name for group in shop.ask("environment_groups.list_env_groups")] == ["shared", "more"]
    renamed = shop.ask("environment_groups.update_env_group", made.id, body=models.EnvGroupPATCHInput("most"))
    assert renamed.name == "most"
    shop.ask("environment_groups.unlink_service_from_env_group", made.id, "srv-mailer")
    assert shop.ask("environment_groups.retrieve_env_group", made.id).service_links == []
    shop.ask("environment_groups.delete_env_group", made.id)
    assert shop.status("environment_groups.retrieve_env_group", made.id) == 404


@works(
    "environment_groups.retrieve_env_group_env_var", "environment_groups.update_env_group_env_var",
    "environment_groups.delete_env_group_env_var", "environment_groups.retrieve_env_group_secret_file",
    "environment_groups.update_env_group_secret_file", "environment_groups.delete_env_group_secret_file",
)  # fmt: skip
def _a_group_has_variables_and_files(shop: Shop) -> None:
    name, part = shop.group, "environment_groups"
    assert shop.ask(f"{part}.retrieve_env_group_env_var", name, "COLOUR").value == "blue"
    changed = shop.ask(f"{part}.update_env_group_env_var", name, "COLOUR", body=models.EnvVarValue("red"))
    assert changed.env_vars[0].value == "red"
    shop.ask(f"{part}.delete_env_group_env_var", name, "COLOUR")
    assert shop.status(f"{part}.retrieve_env_group_env_var", name, "COLOUR") == 404
    body = models.UpdateEnvGroupSecretFileBody("s3cr3t")
    shop.ask(f"{part}.update_env_group_secret_file", name, "a.key", body=body)
    assert shop.ask(f"{part}.retrieve_env_group_secret_file", name, "a.key").content == "s3cr3t"
    shop.ask(f"{part}.delete_env_group_secret_file", name, "a.key")
    assert shop.status(f"{part}.retrieve_env_group_secret_file", name, "a.key") == 404


@works("logs.list_logs")
def _logs_are_listed(shop: Shop) -> None:
    shop.deploy("srv-mailer", shop.commits[0])
    page = shop.ask("logs.list_logs", owner_id=OWNER_ID, resource=["srv-mailer"])
    assert [(line.message, page.has_more) for line in page.logs] == [("at work", False)] * 2
    one = shop.ask(
        "logs.list_logs", owner_id=OWNER_ID, resource=["srv-mailer"], limit=1, direction=models.LogDirection.FORWARD
    )
    assert (len(one.logs), one.has_more) == (1, True)
    assert shop.status("logs.list_logs", owner_id="tea-other", resource=["srv-mailer"]) == 400


@works("workspaces.list_owners", "workspaces.retrieve_owner", "users.get_user")
def _the_workspace_is_named(shop: Shop) -> None:
    assert [item.owner.id for item in shop.ask("workspaces.list_owners")] == [OWNER_ID]
    assert shop.ask("workspaces.retrieve_owner", OWNER_ID).type_ == "team"
    assert shop.ask("users.get_user").email


@pytest.mark.parametrize("shown", [*dict.fromkeys(WORKING.values())], ids=lambda shown: shown.__name__.strip("_"))
def test_what_works_is_understood_by_the_client_and_refused_to_strangers(shop: Shop, shown: Call) -> None:
    asked = len(shop.asked)
    shown(shop)
    made = {name: (arguments, more) for name, arguments, more in shop.asked[asked:]}
    assert {name for name, call in WORKING.items() if call is shown} <= made.keys()
    for name, (arguments, more) in made.items():
        assert MODULES[name].sync_detailed(*arguments, client=shop.stranger, **more).status_code == 401
        if arguments:
            assert shop.status(name, "srv-unknown", *arguments[1:], **more) == 404, name


class _Anything(str):
    """Fits as any argument of a call."""

    __slots__ = ()
    value = "x"

    def to_dict(self) -> dict[str, str]:
        return {}

    def to_multipart(self) -> dict[str, tuple[str, bytes]]:
        return {"file": ("x", b"x")}

    def isoformat(self) -> str:
        return "2026-01-01T00:00:00Z"


def _request(call: ModuleType) -> dict[str, Any]:
    """Return the request that the client makes of a call, with arguments that mean nothing."""
    needed = {
        name: [_Anything("x")] if str(parameter.annotation).startswith("list") else _Anything("x")
        for name, parameter in inspect.signature(call._get_kwargs).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    request: dict[str, Any] = call._get_kwargs(**needed)
    return request


@pytest.mark.exhaustive
def test_what_is_not_emulated_is_said_and_never_done(tmp_path: Path) -> None:
    emulator = RenderEmulator(tmp_path)
    with (
        ThreadedServer(emulator.app) as served,
        AuthenticatedClient(base_url=f"{served.url}/v1", token=TOKEN) as client,
    ):
        for name in MODULES.keys() - WORKING.keys():
            answer = client.get_httpx_client().request(**_request(MODULES[name]))
            assert (answer.status_code, answer.json()["message"][:12]) == (501, "not emulated"), name


def table() -> str:
    """Return the table of the page: each group's calls that work, and those that do not, and why."""
    rows = []
    for group in sorted({name.partition(".")[0] for name in MODULES}):
        calls = {name.partition(".")[2]: name in WORKING for name in sorted(MODULES) if name.startswith(f"{group}.")}
        working = [name for name, does in calls.items() if does]
        if working:
            rows.append(f"| `{group}`: {', '.join(working)} | works |")
        if others := [name for name, does in calls.items() if not does]:
            named = ", ".join(others) if working else f"all {len(others)}"
            rows.append(f"| `{group}`: {named} | not emulated: {NOT_EMULATED[group]} |")
    return "\n".join(rows)


def test_the_page_says_what_becomes_of_each_call() -> None:
    section = PAGE.partition(f"{HEADING}\n")[2]
    assert table() in section, table()
    assert f"Of the client's {len(MODULES)} calls, {len(WORKING)} work" in section
