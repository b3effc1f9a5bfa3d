"""Brings a service's settings, variables and secret files to what a version needs, before its deploy."""

from collections.abc import Callable, Mapping

from pydantic import BaseModel

from abreast.core.errors import PlatformError
from abreast.core.model import Service, Version
from abreast.core.secrets import Secret
from abreast.platforms.interface import Reporter, TrafficMove
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.plans import plan_for
from abreast.platforms.render.resources import Autoscaling, Criteria, Criterion, EnvGroup, RenderService

SETTINGS_KEY = "settings"
"""Where a version's handle has the settings that it was live with."""

DEFAULT_PERCENTAGE = 80
"""The percentage of a criterion that is off."""

SecretLookup = Callable[[str], Secret | None]
"""Returns the value of a variable of the machine, by name."""


class LiveSettings(BaseModel):
    """The settings of a service that a deployment may change, and a turn-back restores; None: not ours to change."""

    instances: int | None
    autoscaling: Autoscaling | None
    pre_deploy: str | None
    schedule: str | None = None
    plan: str | None = None

    @classmethod
    def of(cls, found: RenderService, service: Service) -> "LiveSettings":
        """Return what the service is set to; a command, a schedule and a plan only where abreast.yml sets others."""
        details = found.details
        command = (details.env_specific.pre_deploy or "") if _pre_deploy_command(service) else None
        schedule = details.schedule if service.schedule else None
        plan = details.plan if service.resources else None
        return cls(
            instances=details.instances,
            autoscaling=details.autoscaling,
            pre_deploy=command,
            schedule=schedule,
            plan=plan,
        )

    def declared_by(self, service: Service) -> "LiveSettings":
        """Return these settings with those that abreast.yml sets; all others stay."""
        declared = service.settings
        changes: dict[str, object] = {"instances": declared["instances"]} if "instances" in declared else {}
        if command := _pre_deploy_command(service):
            changes["pre_deploy"] = command
        if service.schedule:
            changes["schedule"] = service.schedule
        if plan := plan_for(service.resources):
            changes["plan"] = plan
        if isinstance(autoscaling := declared.get("autoscaling"), Mapping):
            changes["autoscaling"] = _autoscaling(autoscaling)
        return self.model_copy(update=changes)


class Configuration:
    """The settings of existing services. ``secrets`` looks up the contents of secret files."""

    def __init__(self, render: RenderClient, secrets: SecretLookup) -> None:
        self._render = render
        self._secrets = secrets

    async def apply(self, move: TrafficMove, version: Version, found: RenderService, report: Reporter) -> None:
        """Set what the version needs, or what it was live with before."""
        now = LiveSettings.of(found, move.service)
        kept = version.handle.get(SETTINGS_KEY)
        wanted = LiveSettings.model_validate_json(kept) if kept else now.declared_by(move.service)
        await self._apply_settings(move.service.name, found, now, wanted, report)
        await self._set_variables(found, move.env)
        await self._set_secret_files(move.service, found.id)

    async def _apply_settings(
        self, name: str, found: RenderService, now: LiveSettings, wanted: LiveSettings, report: Reporter
    ) -> None:
        if wanted.plan and wanted.plan != found.details.plan:
            await self._render.set_plan(found.id, wanted.plan)
            await report(name, f"render: {found.name} gets the plan {wanted.plan}; it had {found.details.plan}")
        if wanted.autoscaling != now.autoscaling:
            await self._render.set_autoscaling(found.id, wanted.autoscaling)
            await report(name, f"render: autoscaling of {found.name}: {wanted.autoscaling or 'removed'}")
        autoscales = wanted.autoscaling and wanted.autoscaling.enabled
        if wanted.instances and wanted.instances != now.instances and not autoscales:
            await self._render.scale(found.id, wanted.instances)
            await report(name, f"render: {found.name} was scaled to {wanted.instances}")
        if wanted.pre_deploy is not None and wanted.pre_deploy != now.pre_deploy:
            await self._render.set_pre_deploy_command(found.id, wanted.pre_deploy)
        if wanted.schedule and wanted.schedule != now.schedule:
            await self._render.set_schedule(found.id, wanted.schedule)
            await report(name, f"render: {found.name} runs at {wanted.schedule}; it was {found.details.schedule}")

    async def _set_variables(self, found: RenderService, env: Mapping[str, str]) -> None:
        """Set the variables that differ from the service's own and its groups'; leave all others."""
        have = await self._render.get_variables(found.id) if env else {}
        if env.keys() - have.keys():
            have = {**_shared_variables(await self._render.linked_groups(found.owner_id, found.id)), **have}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(found.id, name, value)

    async def _set_secret_files(self, service: Service, id_: str) -> None:
        """Set the secret files that differ and whose content is known; leave all others."""
        wanted = {name: secret.reveal() for name, secret in self._secret_files(service).items() if secret}
        have = await self._render.get_secret_files(id_) if wanted else {}
        for name, content in wanted.items():
            if have.get(name) != content:
                await self._render.set_secret_file(id_, name, content)

    def require_secret_files(self, service: Service) -> dict[str, str]:
        """Return the content of each secret file that abreast.yml names. Raises PlatformError if one is not set."""
        files = self._secret_files(service)
        if unset := [name for name, secret in files.items() if secret is None]:
            variables = [str(_declared_files(service)[name]) for name in unset]
            raise PlatformError(
                f"{', '.join(variables)} is not set",
                need=f"the content of {', '.join(unset)} of {service.name}",
                next=f"export {variables[0]}=…",
            )
        return {name: secret.reveal() for name, secret in files.items() if secret}

    def _secret_files(self, service: Service) -> dict[str, Secret | None]:
        return {name: self._secrets(str(variable)) for name, variable in _declared_files(service).items()}


def _pre_deploy_command(service: Service) -> str | None:
    """Return what runs in each new build before it goes live, if abreast.yml says it."""
    command = service.settings.get("pre_deploy")
    return str(command) if command else service.release.run if service.release else None


def _declared_files(service: Service) -> Mapping[str, str | int]:
    """Return the variable of each secret file that abreast.yml names."""
    declared = service.settings.get("secret_files")
    return declared if isinstance(declared, Mapping) else {}


def _shared_variables(groups: list[EnvGroup]) -> dict[str, str]:
    """Return the variables of linked groups, without those of which two groups have different values."""
    values: dict[str, set[str]] = {}
    for group in groups:
        for variable in group.variables:
            values.setdefault(variable.key, set()).add(variable.value)
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def _autoscaling(declared: Mapping[str, str | int]) -> Autoscaling:
    criteria = Criteria(cpu=_criterion(declared.get("cpu")), memory=_criterion(declared.get("memory")))
    return Autoscaling(enabled=True, min=int(declared["min"]), max=int(declared["max"]), criteria=criteria)


def _criterion(percentage: str | int | None) -> Criterion:
    return Criterion(enabled=percentage is not None, percentage=int(percentage or DEFAULT_PERCENTAGE))
