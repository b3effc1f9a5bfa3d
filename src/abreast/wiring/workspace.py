"""A project on this machine, and the concrete parts of abreast connected for it."""

import getpass
import hmac
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from abreast.artifacts.folder import FolderArtifactStore
from abreast.artifacts.interface import ArtifactStore
from abreast.artifacts.remote import RemoteArtifactStore
from abreast.checks.http import HttpCheck
from abreast.commands.shell import run as run_command
from abreast.config import schema
from abreast.config.load import PluginSettings, ProjectConfig, find_config_file, load_config
from abreast.config.variables import interpolate, resolve_secrets, unset_references
from abreast.core.errors import AbreastError, ConfigError, UsageError
from abreast.core.model import Environment, Plan, Service
from abreast.core.secrets import Secret, secret_values
from abreast.database.backup_encryption import BackupKeys
from abreast.database.backup_store import EncryptedBackupStore
from abreast.database.interface import BackupStore, Database
from abreast.database.postgres.database import URL_SCHEMES, PostgresDatabase
from abreast.database.sqlite.database import SqliteDatabase
from abreast.deploy.operations import DeployContext
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.ports import ArtifactRetention, Folders, Ports
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import Platform, PlatformContext
from abreast.source.git import GitRepository
from abreast.wiring.plugins import GATES, PLATFORMS
from abreast.wiring.registry import LazyMapping

PLUGIN_SETTINGS = PluginSettings(
    platforms=LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].settings),
    gates=LazyMapping(GATES, lambda name: GATES[name].settings),
)
"""The settings that abreast.yml accepts for each platform and each gate."""

LEDGER_CLASS: type[SqliteLedger] = SqliteLedger
"""The class of the ledger. Tests replace it by one that crashes."""

INHERITED_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_BUILDKIT",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""The caller's variables that every child process inherits. abreast.yml must name any other."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long artifacts and backups are kept, as abreast.yml says."""

    artifacts: schema.Artifacts = field(default_factory=schema.Artifacts)
    backups: schema.Backups = field(default_factory=schema.Backups)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project on this machine: ``root`` holds abreast.yml, ``state`` everything abreast records."""

    root: Path
    state: Path
    variables: Mapping[str, str]

    @classmethod
    def locate(cls, start: Path, variables: Mapping[str, str]) -> "Workspace":
        """Return the project that the folder ``start`` belongs to. Raises ConfigError if there is none."""
        root = find_config_file(start).parent
        return cls(root, state_folder(root, variables), variables)

    def load_project(self) -> ProjectConfig:
        """Load abreast.yml. Raises ConfigError with every fault."""
        return load_config(self.root / "abreast.yml", self.variables, PLUGIN_SETTINGS)

    def open_ledger(self) -> SqliteLedger:
        """Open the ledger. Raises StateError if it cannot be used."""
        return LEDGER_CLASS.open(self.state)

    def environment_lock(self, environment: str) -> EnvironmentLock:
        """Return the lock of an environment."""
        return EnvironmentLock(self.state / "locks", environment)

    def secret_values(self, environment: Environment) -> frozenset[str]:
        """Return the values of an environment's secrets, as far as they are set."""
        references = [reference for service in environment.services for reference in service.secrets.values()]
        return frozenset(
            interpolate(reference, self.variables)
            for reference in references
            if not unset_references(reference, self.variables)
        )

    def platforms(self, environment: str) -> Mapping[str, Platform]:
        """Return the platforms of one environment by name. Each is created when it is first used."""
        return LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].create(self._context(name, environment)))

    def _context(self, platform: str, environment: str) -> PlatformContext:
        return PlatformContext(
            state=self.state / platform / environment,
            logs=self.state / "logs" / environment,
            inherited=self._inherited_environment(),
            variable=self.variables.get,
            secret=self._secret,
        )

    def _secret(self, name: str) -> Secret | None:
        value = self.variables.get(name)
        return Secret(name, value) if value else None

    def ports(self, environment: str, ledger: SqliteLedger) -> Ports:
        """Return the ports that a deployment to ``environment`` uses."""
        settings = self._retention_settings()
        artifacts = settings.artifacts
        return Ports(
            ledger=ledger,
            platforms=self.platforms(environment),
            check=HttpCheck(),
            run_command=run_command,
            gates=LazyMapping(GATES, lambda name: GATES[name].evaluate),
            source=GitRepository(self.root),
            artifacts=self._artifact_store(artifacts.store),
            retention=ArtifactRetention(artifacts.keep, artifacts.within),
            folders=Folders(work=self.state / "work", logs=self.state / "logs" / "deployments"),
            reveal_secrets=self._reveal_secrets,
            known_secrets=secret_values(self.variables),
            fingerprint=self._fingerprint_secret,
            inherited_environment=self._inherited_environment(),
            now=utc_now,
            open_database=lambda service: self.open_database(environment, service),
            vault=self._build_vault(settings.backups),
            backup_context=lambda: self._backup_context(environment),
        )

    def open_database(self, environment: str, service: Service) -> Database:
        """Return a service's database. Raises UsageError if it has none or its URL is not set."""
        settings = service.database
        if settings is None:
            raise UsageError(
                f"{service.name} has no database", need="`database: {url: …}` of the service in abreast.yml"
            )
        references = {"url": settings.url, **({"scratch": settings.scratch} if settings.scratch else {})}
        urls = {name: secret.reveal() for name, secret in resolve_secrets(references, self.variables).items()}
        if urls["url"].startswith("sqlite:///"):
            return SqliteDatabase(urls["url"], self.state / "local" / environment / "data" / service.name)
        if urls["url"].startswith(URL_SCHEMES):
            return PostgresDatabase(urls["url"], urls.get("scratch"))
        raise UsageError(
            f"the URL of the database of {service.name} is not supported", need="sqlite:///… or postgresql://…"
        )

    def open_vault(self) -> BackupStore:
        """Return the store of all backups."""
        return self._build_vault(self._retention_settings().backups)

    def _build_vault(self, settings: schema.Backups) -> BackupStore:
        url = settings.store or f"file://{self.state / 'backups'}"
        references = {"passphrase": settings.passphrase} if settings.passphrase else {}
        passphrase = (lambda: resolve_secrets(references, self.variables)["passphrase"]) if references else None
        own = not (settings.recipients or references or settings.key)
        file = self.state / "backup.key" if own else self.root / settings.key if settings.key else None
        return EncryptedBackupStore(
            url, BackupKeys(settings.recipients, file, passphrase, create=own), settings.keep, settings.within
        )

    def _backup_context(self, environment: str) -> dict[str, object]:
        """Return what a backup holds beside the data: abreast.yml, and the variables of each service."""
        with suppress(OSError, AbreastError):
            services = self.load_project().environment(environment).services
            variables = {
                service.name: {
                    **service.env,
                    **{name: secret.reveal() for name, secret in self._reveal_secrets(service).items()},
                }
                for service in services
            }
            return {"abreast.yml": (self.root / "abreast.yml").read_text(), "variables": variables}
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
            lock=self.environment_lock(environment),
            engine_factory=lambda: WorkflowEngine(self.state / "engine" / f"{environment}.db", environment),
            new_id=new_id,
            report=report,
            on_start=on_start,
        )

    def _fingerprint_secret(self, secret: Secret) -> str:
        """Return a short keyed digest: it tells a new value from the old, and the value cannot be guessed from it."""
        file = self.state / "fingerprint.key"
        if not file.exists():
            candidate = file.with_name(f"{file.name}.{os.getpid()}")
            candidate.touch(mode=0o600)
            candidate.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                file.hardlink_to(candidate)
            candidate.unlink()
        return hmac.digest(file.read_bytes(), secret.reveal().encode(errors="surrogateescape"), "sha256")[:4].hex()

    def _retention_settings(self) -> RetentionSettings:
        """Return the retention settings. Defaults if abreast.yml is broken: resuming must still work."""
        try:
            project = self.load_project()
        except ConfigError:
            return RetentionSettings()
        return RetentionSettings(project.artifacts, project.backups)

    def _artifact_store(self, store: str | None) -> ArtifactStore:
        local = FolderArtifactStore(self.state / "artifacts")
        return RemoteArtifactStore(local, store) if store else local

    def _reveal_secrets(self, service: Service) -> Mapping[str, Secret]:
        return resolve_secrets(service.secrets, self.variables)

    def _inherited_environment(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.variables.items()
            if name in INHERITED_VARIABLES or name.startswith("LC_")
        }


def state_folder(root: Path, variables: Mapping[str, str]) -> Path:
    """Return the folder that ``ABREAST_STATE`` names (``sqlite:///path/ledger.db`` or a folder), else ``.abreast``."""
    location = variables.get("ABREAST_STATE", "")
    if not location:
        return root / ".abreast"
    if location.startswith("sqlite:///"):
        return Path(location.removeprefix("sqlite:///")).absolute().parent
    if "://" in location:
        raise UsageError(
            f"ABREAST_STATE={location.split('://', 1)[0]}://… is not supported",
            need="sqlite:///PATH/ledger.db or a folder",
        )
    return Path(location).absolute()


def utc_now() -> str:
    """Return the current time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current_user() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def new_id() -> str:
    """Return a ULID: 26 characters that sort by time, then at random (https://github.com/ulid/spec)."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))
