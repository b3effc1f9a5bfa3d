"""A project on this machine, and the parts of abreast put together for it."""

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

from abreast.artifacts.folder import FolderArtifacts
from abreast.artifacts.interface import Artifacts
from abreast.artifacts.remote import RemoteArtifacts
from abreast.checks.http import HttpCheck
from abreast.commands.shell import run as run_command
from abreast.config import schema
from abreast.config.load import PluginSettings, Project, find, load
from abreast.config.variables import filled, missing, resolve
from abreast.core.errors import AbreastError, ConfigError, UsageError
from abreast.core.model import Environment, Plan, Service
from abreast.core.secrets import Secret, around
from abreast.database.interface import Database, Vault
from abreast.database.postgres.database import SCHEMES, PostgresDatabase
from abreast.database.sealing import Keys
from abreast.database.sqlite.database import SqliteDatabase
from abreast.database.vault import SealedVault
from abreast.deploy.engine import Engine
from abreast.deploy.ports import Folders, Ports, Retention
from abreast.deploy.session import Desk
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import Platform, PlatformContext
from abreast.source.git import Git
from abreast.wiring.plugins import GATES, PLATFORMS
from abreast.wiring.registry import LazyMapping

PLUGIN_SETTINGS = PluginSettings(
    platforms=LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].settings),
    gates=LazyMapping(GATES, lambda name: GATES[name].settings),
)
"""What abreast.yml may say under the name of each platform and each gate."""

LEDGER: type[SqliteLedger] = SqliteLedger
"""The ledger that commands open; a test may put one here that crashes."""

INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_BUILDKIT",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""What every child sees of the caller's environment; all else is asked for in abreast.yml."""


@dataclass(frozen=True, slots=True)
class Said:
    """What abreast.yml says of what is kept."""

    artifacts: schema.Artifacts = field(default_factory=schema.Artifacts)
    backups: schema.Backups = field(default_factory=schema.Backups)


@dataclass(frozen=True, slots=True)
class Place:
    """A project on this machine: the folder of its abreast.yml, and where abreast keeps its state."""

    root: Path
    state: Path
    variables: Mapping[str, str]

    @classmethod
    def at(cls, start: Path, variables: Mapping[str, str]) -> "Place":
        """Return the project that ``start`` is in; raises ConfigError if there is none."""
        root = find(start).parent
        return cls(root, state_folder(root, variables), variables)

    def project(self) -> Project:
        """Read abreast.yml; raises ConfigError with every fault."""
        return load(self.root / "abreast.yml", self.variables, PLUGIN_SETTINGS)

    def ledger(self) -> SqliteLedger:
        """Open the ledger; raises StateError."""
        return LEDGER.open(self.state)

    def lock(self, environment: str) -> EnvironmentLock:
        """Return the lock of an environment."""
        return EnvironmentLock(self.state / "locks", environment)

    def secrets(self, environment: Environment) -> frozenset[str]:
        """Return the values of an environment's secrets that are at hand."""
        known = [one for service in environment.services for one in service.secrets.values()]
        return frozenset(filled(one, self.variables) for one in known if not missing(one, self.variables))

    def platforms(self, environment: str) -> Mapping[str, Platform]:
        """Return the platforms as they serve one environment; each is made when it is first used."""
        return LazyMapping(PLATFORMS, lambda name: PLATFORMS[name].create(self._context(name, environment)))

    def _context(self, platform: str, environment: str) -> PlatformContext:
        return PlatformContext(
            state=self.state / platform / environment,
            logs=self.state / "logs" / environment,
            inherited=self._inherited(),
            variable=self.variables.get,
            secret=self._secret,
        )

    def _secret(self, name: str) -> Secret | None:
        value = self.variables.get(name)
        return Secret(name, value) if value else None

    def ports(self, environment: str, ledger: SqliteLedger) -> Ports:
        """Return the seams that a deployment in ``environment`` uses."""
        said = self._said()
        kept = said.artifacts
        return Ports(
            ledger=ledger,
            platforms=self.platforms(environment),
            check=HttpCheck(),
            command=run_command,
            gates=LazyMapping(GATES, lambda name: GATES[name].evaluate),
            source=Git(self.root),
            artifacts=self._artifacts(kept.store),
            retention=Retention(kept.keep, kept.within),
            folders=Folders(work=self.state / "work", logs=self.state / "logs" / "deployments"),
            reveal=self._reveal,
            known=around(self.variables),
            fingerprint=self._fingerprint,
            inherited=self._inherited(),
            now=utc_now,
            database=lambda service: self.database(environment, service),
            vault=self._vault(said.backups),
            around=lambda: self._around(environment),
        )

    def database(self, environment: str, service: Service) -> Database:
        """Return a service's database; raises UsageError where it has none or its URL is not set."""
        used = service.database
        if used is None:
            raise UsageError(f"{service.name} has no database", need="services: …: database: in abreast.yml")
        named = {"url": used.url, **({"scratch": used.scratch} if used.scratch else {})}
        found = {name: secret.reveal() for name, secret in resolve(named, self.variables).items()}
        if found["url"].startswith("sqlite:///"):
            return SqliteDatabase(found["url"], self.state / "local" / environment / "data" / service.name)
        if found["url"].startswith(SCHEMES):
            return PostgresDatabase(found["url"], found.get("scratch"))
        raise UsageError(f"the database of {service.name} is none that is known", need="sqlite:///… or postgresql://…")

    def vault(self) -> Vault:
        """Return where backups are kept."""
        return self._vault(self._said().backups)

    def _vault(self, said: schema.Backups) -> Vault:
        url = said.store or f"file://{self.state / 'backups'}"
        asked = {"passphrase": said.passphrase} if said.passphrase else {}
        passphrase = (lambda: resolve(asked, self.variables)["passphrase"]) if asked else None
        own = not (said.recipients or asked or said.key)
        file = self.state / "backup.key" if own else self.root / said.key if said.key else None
        return SealedVault(url, Keys(said.recipients, file, passphrase, make=own), said.keep, said.within)

    def _around(self, environment: str) -> dict[str, object]:
        """Return what belongs to a backup beside the data: the configuration, and the variables that it names."""
        with suppress(OSError, AbreastError):
            described = self.project().environment(environment)
            known = {
                service.name: {
                    **service.env,
                    **{name: one.reveal() for name, one in self._reveal(service).items()},
                }
                for service in described.services
            }
            return {"abreast.yml": (self.root / "abreast.yml").read_text(), "variables": known}
        return {}

    def desk(
        self,
        environment: str,
        ledger: SqliteLedger,
        say: Callable[[str], None],
        begin: Callable[[Plan], None],
    ) -> Desk:
        """Return what a deploying command works with."""
        return Desk(
            ports=self.ports(environment, ledger),
            lock=self.lock(environment),
            engine=lambda: Engine(self.state / "engine" / f"{environment}.db", environment),
            new_id=new_id,
            say=say,
            begin=begin,
        )

    def _fingerprint(self, secret: Secret) -> str:
        """Return a few bytes that tell a new value from the old, and from which no value can be guessed."""
        file = self.state / "fingerprint.key"
        if not file.exists():
            made = file.with_name(f"{file.name}.{os.getpid()}")
            made.touch(mode=0o600)
            made.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                file.hardlink_to(made)
            made.unlink()
        return hmac.digest(file.read_bytes(), secret.reveal().encode(errors="surrogateescape"), "sha256")[:4].hex()

    def _said(self) -> Said:
        """Return what abreast.yml says of artifacts and backups; what was begun goes on without it too."""
        try:
            project = self.project()
        except ConfigError:
            return Said()
        return Said(project.artifacts, project.backups)

    def _artifacts(self, store: str | None) -> Artifacts:
        here = FolderArtifacts(self.state / "artifacts")
        return RemoteArtifacts(here, store) if store else here

    def _reveal(self, service: Service) -> Mapping[str, Secret]:
        return resolve(service.secrets, self.variables)

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in self.variables.items() if name in INHERITED or name.startswith("LC_")}


def state_folder(root: Path, variables: Mapping[str, str]) -> Path:
    """Return the folder that ``ABREAST_STATE`` names (``sqlite:///path/ledger.db``, or a folder), else ``.abreast``."""
    told = variables.get("ABREAST_STATE", "")
    if not told:
        return root / ".abreast"
    if told.startswith("sqlite:///"):
        return Path(told.removeprefix("sqlite:///")).absolute().parent
    if "://" in told:
        raise UsageError(
            f"ABREAST_STATE={told.split('://', 1)[0]}://… is not a place that this version can use",
            need="sqlite:///PATH/ledger.db or a folder",
        )
    return Path(told).absolute()


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def who() -> str:
    """Return the name of the person at this terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def new_id() -> str:
    """Return a ULID: 26 letters that sort by time, then by chance (https://github.com/ulid/spec)."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))
