"""The concrete parts of abreast, connected for a project."""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.artifacts.folder import FolderArtifactStore
from abreast.artifacts.interface import ArtifactStore
from abreast.artifacts.remote import RemoteArtifactStore
from abreast.checks.http import HttpCheck
from abreast.commands.shell import end_orphans
from abreast.commands.shell import run as run_command
from abreast.config import schema
from abreast.config.load import PluginSettings, ProjectConfig, load_config
from abreast.config.variables import interpolate, resolve_secrets, unset_references
from abreast.core.approvals.rule import ApprovalRule
from abreast.core.backups import BackupRetention
from abreast.core.database_url import managed_database
from abreast.core.environment import Environment
from abreast.core.errors import AbreastError, ConfigError, UsageError
from abreast.core.maintenance import MAX_PAGE_SIZE, MaintenancePage
from abreast.core.model import DEFAULT_PLATFORM, DatabaseSettings, Service
from abreast.core.plan import Plan
from abreast.core.redaction.automaton import keep_automata
from abreast.core.secrets import Secret, secret_values
from abreast.database.interface import BackupStore, Database, DatabaseServers
from abreast.database.postgres.connection_url import is_postgres_url
from abreast.deploy.runtime.deploy_context import DeployContext
from abreast.deploy.runtime.ports import FINGERPRINTS, ArtifactRetention, Folders, Ports
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.automaton_folder import AutomatonFolder
from abreast.machine.lazy_modules import lazy_module
from abreast.notify.interface import Notifier
from abreast.platforms.interface import Platform, PlatformContext
from abreast.runtimes.folder import FolderInstallStore
from abreast.runtimes.uv import UvPythonProvider
from abreast.wiring.attestor import create_attestor
from abreast.wiring.audit_key import given_seed
from abreast.wiring.brought_programs import find_uv, with_brought_programs
from abreast.wiring.inherited_environment import inherited_environment
from abreast.wiring.machine_variables import MachineVariables
from abreast.wiring.managed_servers import ManagedServers
from abreast.wiring.notifiers import create_notifiers
from abreast.wiring.plugins import GATES, NOTIFIERS, PLATFORMS
from abreast.wiring.random_files import random_bytes
from abreast.wiring.registry import LazyMapping
from abreast.wiring.repository import project_repository
from abreast.wiring.run_reviewers import run_reviewers
from abreast.wiring.state_location import is_elsewhere, state_location
from abreast.wiring.workspace import Workspace, utc_now

if TYPE_CHECKING:
    from abreast.wiring import approval_links
    from abreast.wiring.postgres_server import PostgresServer
else:
    approval_links = lazy_module("abreast.wiring.approval_links")

PLUGIN_SETTINGS = PluginSettings(
    platforms=LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].settings),
    gates=LazyMapping(GATES, lambda name: GATES[name].settings),
    notifiers=LazyMapping(NOTIFIERS, lambda name: NOTIFIERS[name].settings),
)
"""The settings that abreast.yml accepts for each platform, gate and notifier."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long artifacts and backups are kept, as abreast.yml says."""

    artifacts: schema.Artifacts = field(default_factory=schema.Artifacts)
    backups: schema.Backups = field(default_factory=schema.Backups)


@dataclass(frozen=True)
class Assembly:
    """The parts that a project's abreast.yml and variables ask for."""

    workspace: Workspace

    @cached_property
    def project(self) -> ProjectConfig:
        """The content of abreast.yml. Raises ConfigError with every fault."""
        return load_config(self.workspace.config_file, self.workspace.variables, PLUGIN_SETTINGS)

    def secret_values(self, environment: Environment) -> frozenset[str]:
        """Return the values of an environment's secrets, as far as they are set."""
        return frozenset(
            interpolate(reference, variables)
            for service in environment.services
            for variables in (self._variables(environment.name, service),)
            for reference in service.secrets.values()
            if not unset_references(reference, variables)
        )

    def maintenance_page(self, environment: str) -> MaintenancePage:
        """Return an environment's own page. Raises UsageError if it cannot be read, is elsewhere, or is too large."""
        settings = self.project.environment(environment, needs_values=False).maintenance
        if not settings.page:
            return MaintenancePage(url=settings.url)
        try:
            content = _read_page(self.workspace.root, settings.page)
        except ValueError as error:
            raise UsageError(
                f"the maintenance page {settings.page} {error}",
                need=f"an HTML page of the project, of at most {MAX_PAGE_SIZE // 1024} KiB",
                next=f"mend it, or take it out of `maintenance` of {environment}: users get the plain page then",
            ) from error
        return MaintenancePage(content, settings.url)

    def platforms(self, environment: str) -> Mapping[str, Platform]:
        """Return the platforms of one environment by name. Each is created when it is first used."""
        return LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].create(self._context(name, environment)))

    def _context(self, platform: str, environment: str) -> PlatformContext:
        return PlatformContext(
            state=self.workspace.state / platform / environment,
            logs=self.workspace.state / "logs" / environment,
            inherited=self._inherited_environment,
            variable=self.workspace.variables.get,
            secret=self._secret,
        )

    def _secret(self, name: str) -> Secret | None:
        value = self.workspace.variables.get(name)
        return Secret(name, value) if value else None

    def ports(self, environment: str, ledger: SqliteLedger) -> Ports:
        """Return the ports that a deployment to ``environment`` uses."""
        keep_automata(AutomatonFolder())
        settings = self._retention_settings()
        artifacts, inherited = settings.artifacts, self._inherited_environment
        repository = project_repository(self.workspace.root)
        return Ports(
            ledger=ledger,
            platforms=self.platforms(environment),
            check=HttpCheck(self._secret),
            run_command=run_command,
            end_orphans=end_orphans,
            gates=LazyMapping(GATES, lambda name: GATES[name].evaluate),
            source=repository,
            artifacts=self._artifact_store(artifacts.store),
            retention=ArtifactRetention(artifacts.keep, artifacts.within),
            folders=Folders(work=self.workspace.state / "work", logs=self.workspace.deployment_logs),
            reveal_secrets=lambda service: self._reveal_secrets(environment, service),
            known_secrets=secret_values(self.workspace.variables),
            fingerprint=self._fingerprint_secret,
            inherited_environment=inherited,
            now=utc_now,
            open_database=lambda service: self.open_database(environment, service),
            open_vault=cache(lambda: self._build_vault(settings.backups)),
            backup_context=lambda: self._backup_context(environment),
            python=UvPythonProvider(find_uv(inherited), inherited),
            installs=FolderInstallStore(self.workspace.state / "installs"),
            attestor=create_attestor(self.workspace.variables, self.workspace.ci_run, repository.remote_url),
            notifiers=self._notifiers,
            only_here=self._only_here(settings),
            ci_run=self.workspace.ci_run,
            operator=lambda: self.workspace.operator,
            identity=lambda: self.workspace.identity,
            approver_notifiers=lambda plan: self._approver_notifiers(ledger, plan),
            links_refusal=self._links_refusal,
            reviewers=run_reviewers(self.workspace.variables, self.workspace.ci_run),
            maintenance_page=lambda: self.maintenance_page(environment),
            servers=self.servers(environment),
        )

    def _only_here(self, settings: RetentionSettings) -> frozenset[str]:
        """Return what others cannot read, though the record is kept for other machines."""
        stores = {"artifacts": settings.artifacts.store, "backups": settings.backups.store}
        shared = is_elsewhere(state_location(self.workspace.variables))
        unshared = [name for name, store in {**stores, FINGERPRINTS: self._shared_key()}.items() if not store]
        return frozenset(unshared if shared else [])

    def _notifiers(self) -> list[Notifier]:
        """Return who is told about deployments. Nobody if abreast.yml is broken: resuming must still work."""
        with suppress(ConfigError):
            return create_notifiers(self.project.name, self.project.notifiers, self.workspace.variables)
        return []

    def _approver_notifiers(self, ledger: SqliteLedger, plan: Plan) -> list[Notifier]:
        """Return who tells people that a deployment waits for them. Nobody if abreast.yml or the key is broken."""
        with suppress(ConfigError, UsageError):
            if plan.approval:
                return approval_links.approver_notifiers(self.workspace, self.project, ledger, plan)
        return []

    def _links_refusal(self, environment: str, rule: ApprovalRule) -> str:
        return approval_links.links_refusal(self.workspace, self.project, environment, rule)

    def open_database(self, environment: str, service: Service) -> Database:
        """Return a service's database. Raises UsageError if it has none or its URL is not set."""
        settings = service.database
        if settings is None:
            raise UsageError(
                f"{service.name} has no database", need="`database: {url: …}` of the service in abreast.yml"
            )
        templates = {"url": settings.url, "scratch": settings.scratch, "admin": settings.admin}
        references = {name: template for name, template in templates.items() if template}
        urls = {name: secret.reveal() for name, secret in resolve_secrets(references, self.workspace.variables).items()}
        if urls["url"].startswith("sqlite:///"):
            from abreast.database.sqlite.database import SqliteDatabase  # noqa: PLC0415 (slow, and often not needed)

            home = self.workspace.state / "local" / environment
            sqlite = SqliteDatabase(urls["url"], home / "data" / service.name, settings.migrations_table)
            # A relative file is in the folder of the environment, so a preview has one of its own.
            return sqlite.sibling_copy(settings.copy) if settings.copy and not sqlite.is_inside(home) else sqlite
        if managed_database(urls["url"]):
            return self._managed_database(environment, service, settings, urls["url"])
        if is_postgres_url(urls["url"]):
            from abreast.database.postgres.database import PostgresDatabase  # noqa: PLC0415 (slow, as above)

            scratch, admin, table = urls.get("scratch"), urls.get("admin"), settings.migrations_table
            postgres = PostgresDatabase(urls["url"], scratch, admin=admin, migrations_table=table)
            return postgres.sibling_copy(settings.copy, swappable=True) if settings.copy else postgres
        raise UsageError(
            f"the URL of the database of {service.name} is not supported", need="sqlite:///… or postgresql://…"
        )

    def _managed_database(self, environment: str, service: Service, settings: DatabaseSettings, url: str) -> Database:
        """Return a database of the server that abreast runs. A preview has a server of its own, and a copy there."""
        from abreast.database.postgres.managed_database import ManagedDatabase  # noqa: PLC0415 (slow, as above)

        if service.platform != DEFAULT_PLATFORM:
            raise UsageError(
                f"{url}, the database of {service.name}, is of the server that abreast runs on `{DEFAULT_PLATFORM}`",
                need=f"the URL of a server that {service.platform} reaches, in `database: url`",
            )
        table, server = settings.migrations_table, self._postgres_server(environment)
        database = ManagedDatabase(url, server.cluster, migrations_table=table)
        return database.sibling_copy(settings.copy) if settings.copy else database

    def _postgres_server(self, environment: str) -> "PostgresServer":
        from abreast.wiring.postgres_server import PostgresServer  # noqa: PLC0415 (slow, as above)

        home = self.workspace.state / DEFAULT_PLATFORM / environment
        return PostgresServer(home, self.workspace.state / "logs" / environment / "postgres.log")

    def servers(self, environment: str) -> DatabaseServers:
        """Return the servers that abreast runs for databases of an environment."""
        return ManagedServers(lambda: self._postgres_server(environment), self._managed_names)

    def _managed_names(self, services: Sequence[Service]) -> Sequence[str]:
        """Return the databases of services that the server has which abreast runs. A URL that is not set has none."""
        templates = [service.database.url for service in services if service.database]
        variables = self.workspace.variables
        urls = [interpolate(url, variables) for url in templates if not unset_references(url, variables)]
        return list(dict.fromkeys(filter(None, map(managed_database, urls))))

    def open_vault(self) -> BackupStore:
        """Return the store of all backups."""
        return self._build_vault(self._retention_settings().backups)

    def _build_vault(self, settings: schema.Backups) -> BackupStore:
        from abreast.database.backup_encryption import BackupKeys  # noqa: PLC0415 (slow, as above)
        from abreast.database.backup_store import EncryptedBackupStore  # noqa: PLC0415 (slow, as above)

        state, variables = self.workspace.state, self.workspace.variables
        url = settings.store or f"file://{state / 'backups'}"
        references = {"passphrase": settings.passphrase} if settings.passphrase else {}
        passphrase = (lambda: resolve_secrets(references, variables)["passphrase"]) if references else None
        own = not (settings.recipients or references or settings.key)
        file = state / "backup.key" if own else self.workspace.root / settings.key if settings.key else None
        retention = BackupRetention(settings.keep, settings.hourly, settings.daily, settings.weekly)
        return EncryptedBackupStore(url, BackupKeys(settings.recipients, file, passphrase, create=own), retention)

    def _backup_context(self, environment: str) -> dict[str, object]:
        """Return what a backup holds beside the data: abreast.yml, and the variables of each service."""
        with suppress(OSError, AbreastError):
            services = self.project.environment(environment).services
            variables = {
                service.name: {
                    **service.env,
                    **{name: secret.reveal() for name, secret in self._reveal_secrets(environment, service).items()},
                }
                for service in services
            }
            return {"abreast.yml": (self.workspace.config_file).read_text(), "variables": variables}
        return {}

    def deploy_context(
        self,
        environment: str,
        ledger: SqliteLedger,
        report: Callable[[str], None],
        on_start: Callable[[Plan], None],
    ) -> DeployContext:
        """Return the context of a command that deploys."""
        return DeployContext(
            ports=self.ports(environment, ledger),
            lock=self.workspace.environment_lock(environment, ledger),
            new_id=new_id,
            report=report,
            on_start=on_start,
        )

    def _fingerprint_secret(self, secret: Secret) -> str:
        """Return a short keyed digest: it tells a new value from the old, and the value cannot be guessed from it.

        Where the record is kept for all machines, the key is one that they share, if they do, and the digest names it.
        """
        shared = self._shared_key()
        key = shared or random_bytes(self.workspace.state / "fingerprint.key")
        digest = hmac.digest(key, secret.reveal().encode(errors="surrogateescape"), "sha256")[:4].hex()
        return f"{hmac.digest(shared, b'id', 'sha256')[:2].hex()}:{digest}" if shared else digest

    def _shared_key(self) -> bytes:
        """Return a key that all machines have which share the record, empty if there is none."""
        with suppress(UsageError):  # said when the record is signed
            if is_elsewhere(state_location(self.workspace.variables)):
                return given_seed(self.workspace.variables)
        return b""

    def _retention_settings(self) -> RetentionSettings:
        """Return the retention settings. Defaults if abreast.yml is broken: resuming must still work."""
        try:
            project = self.project
        except ConfigError:
            return RetentionSettings()
        return RetentionSettings(project.artifacts, project.backups)

    def _artifact_store(self, store: str | None) -> ArtifactStore:
        local = FolderArtifactStore(self.workspace.state / "artifacts")
        return RemoteArtifactStore(local, store) if store else local

    @cached_property
    def _inherited_environment(self) -> Mapping[str, str]:
        return with_brought_programs(inherited_environment(self.workspace.variables), self.workspace.state / "programs")

    def _reveal_secrets(self, environment: str, service: Service) -> Mapping[str, Secret]:
        return resolve_secrets(service.secrets, self._variables(environment, service))

    def _variables(self, environment: str, service: Service) -> Mapping[str, str]:
        """Return the variables of this machine, with the values that were generated for the environment."""
        variables = self.workspace.variables
        folder = self.workspace.state / "generated" / environment
        unset = [name for name in service.generated if name not in variables]
        return MachineVariables({name: random_bytes(folder / name).hex() for name in unset}, hidden=variables)


def new_id() -> str:
    """Return a ULID: 26 characters that sort by time, then at random (https://github.com/ulid/spec)."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))


def _read_page(root: Path, name: str) -> str:
    """Return the content of a file of the project. Raises ValueError that says why it is no page for users."""
    file = (root / name).resolve()
    if not file.is_relative_to(root.resolve()):  # also by a link: whatever it is, it is shown to everybody
        raise ValueError("is not in the project")
    try:
        content = file.read_text()
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {error}") from error
    if not content.strip() or (size := len(content.encode())) > MAX_PAGE_SIZE:
        raise ValueError("is empty" if not content.strip() else f"is {size} bytes long")
    return content
