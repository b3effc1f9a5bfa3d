"""Builds and starts what is deployed: processes of commits of the service's repository."""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.render.process import BackgroundProcess
from abreast.testing.platforms.render.service import (
    IN_PROGRESS,
    Deploy,
    EnvGroup,
    Job,
    Service,
    ServiceKind,
    new_id,
)
from abreast.testing.platforms.service_process import ServiceProcess

EARLY_EXIT = 0.3
"""Seconds for which a background worker must run to be live."""


class DeploySettings:
    """What tests change.

    A deploy advances by one status each time it is polled, so tests need not wait. ``queues_deploys``: a new deploy
    gets 202 without a body. ``build_error``: builds fail, with this line in the log. ``stuck_state``: deploys never
    leave this status. ``builds_expired``: earlier builds are deleted, so rollbacks are refused. ``work_seconds``
    returns the time until a deploy can be live.
    """

    def __init__(self) -> None:
        self.queues_deploys = False
        self.build_error: str | None = None
        self.stuck_state: str | None = None
        self.builds_expired = False
        self.work_seconds: Callable[[], float] = float


class DeployEngine:
    """Advances deploys, and runs commands in builds. Folders are made below ``folder``."""

    def __init__(self, folder: Path, groups: Mapping[str, EnvGroup], settings: DeploySettings) -> None:
        self._folder = folder
        self._groups = groups
        self._settings = settings
        self._lock = asyncio.Lock()

    def start_deploy(self, service: Service, commit: str, trigger: str, image: str = "") -> Deploy:
        """Add a deploy, which replaces the one in progress."""
        for other in service.deploys:
            if other.status in IN_PROGRESS:
                _end(service, other, "canceled")
        done_at = time.monotonic() + self._settings.work_seconds()
        deploy = Deploy(new_id("dep"), commit, trigger, image, done_at=done_at)
        service.deploys.append(deploy)
        trigger_details = {
            "firstBuild": len(service.deploys) == 1, "envUpdated": False, "manual": False, "deployedByRender": False,
            "clearCache": False, "rollback": trigger == "rollback",
        }  # fmt: skip
        service.record("deploy_started", deployId=deploy.id, trigger=trigger_details)
        return deploy

    def default_source(self, service: Service) -> tuple[str, str]:
        """Return the commit and the image of a deploy that names none: the newest commit, or the image of the last."""
        if not service.image_path:
            return resolve(service.repo, "HEAD"), ""
        image = next((deploy.image for deploy in reversed(service.deploys)), f"{service.image_path}:latest")
        return service.images.get(image, ""), image

    def start_rollback(self, service: Service, old: Deploy) -> Deploy:
        """Add a deploy that uses the build of an earlier one."""
        deploy = self.start_deploy(service, old.commit, "rollback", old.image)
        deploy.status = "update_in_progress"
        return deploy

    def cancel(self, service: Service, deploy: Deploy) -> None:
        """Cancel a deploy in progress."""
        _end(service, deploy, "canceled")

    async def advance(self, service: Service, deploy: Deploy) -> None:
        """Advance a deploy by one status, or, where ``work_seconds`` is set, as far as time allows."""
        async with self._lock:
            before = ""
            while deploy.status != before:
                before = deploy.status
                await self._advance_once(service, deploy)
                if self._settings.work_seconds is float:
                    break

    async def _advance_once(self, service: Service, deploy: Deploy) -> None:
        waits = deploy.status in IN_PROGRESS - {"created"} and time.monotonic() < deploy.done_at
        if deploy.status == self._settings.stuck_state or waits:
            return
        if deploy.status == "created":
            deploy.status = "build_in_progress"
        elif deploy.status == "build_in_progress":
            await self._build(service, deploy)
        elif deploy.status == "pre_deploy_in_progress":
            done = await asyncio.to_thread(self.run_command, service, deploy.commit, service.pre_deploy)
            if deploy.status == "pre_deploy_in_progress":  # it may have been canceled meanwhile
                deploy.status = "update_in_progress"
                if done.returncode:
                    _end(service, deploy, "pre_deploy_failed")
        elif deploy.status == "update_in_progress":
            await self._go_live(service, deploy)

    async def _build(self, service: Service, deploy: Deploy) -> None:
        failure = await asyncio.to_thread(self._build_failure, service, deploy)
        if deploy.status != "build_in_progress":  # it was canceled meanwhile
            return
        if failure:
            service.write_log("build", failure)
            _end(service, deploy, "build_failed")
        else:
            deploy.status = "pre_deploy_in_progress" if service.pre_deploy else "update_in_progress"

    def _build_failure(self, service: Service, deploy: Deploy) -> str:
        """Return why the build fails, "" if it does not."""
        if self._settings.build_error:
            return self._settings.build_error
        if deploy.image and deploy.image not in service.images:
            service.record("image_pull_failed", imageURL=deploy.image, message="not found")
            return f"no such image: {deploy.image}"
        if not has_commit(service.repo, deploy.commit):
            return f"no such commit in the repository: {deploy.commit}"
        if service.build_command and self.run_command(service, deploy.commit, service.build_command).returncode:
            return "the build command failed"
        return ""

    async def _go_live(self, service: Service, deploy: Deploy) -> None:
        """Start the commit, and switch traffic to it once it is healthy."""
        folder = await asyncio.to_thread(self.checkout, service, deploy.commit)
        failure, new = await self._start(service, deploy, folder)
        if new and (failure or deploy.status != "update_in_progress"):
            await asyncio.to_thread(new.stop)
            _collect(service, new)
        if deploy.status != "update_in_progress":  # it was canceled meanwhile
            return
        if failure:
            service.write_log("app", failure)
            _end(service, deploy, "update_failed")
            return
        if service.live_deploy:
            service.live_deploy.status = "deactivated"
        old, service.live_process, service.live_folder = service.live_process, new, folder
        _end(service, deploy, "live")
        if old:
            await asyncio.to_thread(old.stop)
            _collect(service, old)

    async def _start(
        self, service: Service, deploy: Deploy, folder: Path
    ) -> tuple[str, ServiceProcess | BackgroundProcess | None]:
        """Start what a service runs when it is deployed. Returns why it must not go live, "" if it may."""
        if service.kind is ServiceKind.CRON:
            return "", None
        if service.kind is ServiceKind.STATIC:
            done = await asyncio.to_thread(self._run_in, folder, service, deploy.commit, service.command)
            return ("the build command failed" if done.returncode else ""), None
        new = await asyncio.to_thread(self._build_and_start, service, deploy.commit, folder)
        if isinstance(new, BackgroundProcess):
            await asyncio.sleep(EARLY_EXIT)
            return ("" if new.process.poll() is None else "exited early"), new
        if service.kind is ServiceKind.PRIVATE:
            return ("" if await new.wait_until_listening() else "no open port"), new
        return ("" if await new.wait_until_healthy(service.health_path) else "the health check did not pass"), new

    def _build_and_start(self, service: Service, commit: str, folder: Path) -> ServiceProcess | BackgroundProcess:
        if service.build_command:
            self._run_in(folder, service, commit, service.build_command)
        return self._start_process(service, commit, folder)

    def _start_process(self, service: Service, commit: str, folder: Path) -> ServiceProcess | BackgroundProcess:
        env = {"RENDER": "true", "RENDER_GIT_COMMIT": commit, **self.variables(service)}
        start = BackgroundProcess.start if service.kind is ServiceKind.WORKER else ServiceProcess.start
        return start(["/bin/sh", "-c", service.command], folder / service.root_dir, env, folder / ".log")

    async def restart_if_ended(self, service: Service) -> None:
        """Start a live process again that ended by itself, and record its failure."""
        ended, live = service.live_process, service.live_deploy
        if ended is None or live is None or ended.process.poll() is None:
            return
        code = ended.process.returncode
        reason = {"evicted": False, **({"nonZeroExit": code} if code > 0 else {"earlyExit": True})}
        service.record("server_failed", reason=reason)
        await self.restart(service)
        service.record("server_available")

    async def restart(self, service: Service) -> None:
        """Stop the live process, and start the same build again."""
        old, live = service.live_process, service.live_deploy
        if old is None or live is None:
            return
        await asyncio.to_thread(old.stop)
        _collect(service, old)
        folder = await asyncio.to_thread(self.checkout, service, live.commit)
        service.live_process = await asyncio.to_thread(self._build_and_start, service, live.commit, folder)

    async def stop(self, service: Service) -> None:
        """Stop the live process."""
        if service.live_process:
            await asyncio.to_thread(service.live_process.stop)
            _collect(service, service.live_process)
            service.live_process = None
        service.live_folder = None

    def run_job(self, service: Service, live: Deploy, job: Job) -> None:
        """Run a job in the live build."""
        done = self.run_command(service, live.commit, job.command)
        job.status = "failed" if done.returncode else "succeeded"
        service.record("job_run_ended", jobId=job.id, status=job.status)

    def run_command(self, service: Service, commit: str, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a checkout of a commit; its output goes to the service's log."""
        return self._run_in(self.checkout(service, commit), service, commit, command)

    def _run_in(self, folder: Path, service: Service, commit: str, command: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "RENDER": "true", "RENDER_GIT_COMMIT": commit, **self.variables(service)}
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder / service.root_dir, env=env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        service.write_log("app", *done.stdout.splitlines(), *done.stderr.splitlines())
        return done

    def checkout(self, service: Service, commit: str) -> Path:
        """Return a new folder with the files of a commit and the service's secret files."""
        workdir = Path(tempfile.mkdtemp(dir=self._folder))
        archive = subprocess.run(["git", "archive", commit], cwd=service.repo, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x"], cwd=workdir, input=archive, check=True)
        for name, content in self._merged(service, lambda part: part.secret_files).items():
            (workdir / name).write_text(content)
        return workdir

    def variables(self, service: Service) -> dict[str, str]:
        """Return a service's variables: those of linked groups, replaced by its own."""
        return self._merged(service, lambda part: part.env)

    def _merged(self, service: Service, values_of: Callable[[Service | EnvGroup], Mapping[str, str]]) -> dict[str, str]:
        linked = [group for group in self._groups.values() if service.id in group.service_ids]
        parts: Iterable[Service | EnvGroup] = (*linked, service)
        return {name: value for part in parts for name, value in values_of(part).items()}


def collect_output(service: Service) -> None:
    """Move what the live process printed since to the service's log."""
    if service.live_process:
        _collect(service, service.live_process)


def _collect(service: Service, process: ServiceProcess | BackgroundProcess) -> None:
    text = process.log.read_bytes() if process.log.exists() else b""
    whole = text if process.process.poll() is not None else text.rpartition(b"\n")[0]
    lines = whole.decode(errors="replace").splitlines()
    seen = service.lines_read.get(process.log, 0)
    service.write_log("app", *lines[seen:])
    service.lines_read[process.log] = len(lines)


def _end(service: Service, deploy: Deploy, status: str) -> None:
    """Give a deploy its last status."""
    deploy.status, deploy.finished_at = status, utc_timestamp()
    outcome = {"live": "succeeded", "canceled": "canceled"}.get(status, "failed")
    codes = {"succeeded": 2, "failed": 3, "canceled": 4}
    service.record("deploy_ended", deployId=deploy.id, deployStatus=outcome, status=codes[outcome], reason={})


def has_commit(repo: Path, commit: str) -> bool:
    """Return whether a repository has a commit of this full name."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"], cwd=repo, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return found.returncode == 0 and found.stdout.strip() == commit


def resolve(repo: Path, revision: str) -> str:
    """Return the full name of a commit. Raises CalledProcessError if the repository has none."""
    return subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"], cwd=repo, check=True, capture_output=True, text=True
    ).stdout.strip()
