"""Projects whose workflows tests write, and the programs that look at them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import fork_server

SOURCE = "acme/abreast@" + "0123456789" * 4
SERVICES: dict[str, Any] = {
    "frontend": {
        "watch": ["web/**"],
        "build": {"run": "npm ci && npm run build", "output": "dist"},
        "test": "npm test",
    },
    "backend": {
        "python": "3.12",
        "run": "python -m app --port $PORT",
        "env": {
            "STRIPE": {"value": "${STRIPE_LIVE}", "secret": True},
            "LOG_LEVEL": "${LOG_LEVEL:-info}",
            "DATABASE_URL": "${DATABASE_URL}",
        },
        "database": {"url": "${DATABASE_URL}", "migrations": "db"},
    },
}
CLOUDS = {"frontend": {"netlify": {"site": "shop"}}, "backend": {"render": {"service": "srv-1"}}}
STORES = {
    "artifacts": {"store": "s3://shop/artifacts"},
    "backups": {"store": "s3://shop/backups", "passphrase": "${BACKUP_PASSPHRASE}", "timezone": "Europe/Berlin"},
}
PROJECTS: dict[str, dict[str, Any]] = {
    "clouds": {
        **STORES,
        "services": SERVICES,
        "gates": {"secrets": "block", "lint": "ruff check"},
        "environments": {
            "local": {},
            "staging": {**CLOUDS, "preview": True},
            "production": {**CLOUDS, "may_skip": ["lint"], "approval": {"by": ["ada"]}, "backend": {**CLOUDS["backend"], "env": {"SENTRY": "${SENTRY_DSN}"}}},
        },
    },
    "promotion": {
        "services": SERVICES,
        "environments": {
            "staging": CLOUDS,
            "production": {"extends": "staging", "promotion": {"source": "staging", "soak": "30m"}, "approval": {"by": ["ada"]}},
        },
    },
    "one page": {
        "services": {"frontend": {"build": {"output": "public"}}},
        "environments": {"production": {"frontend": {"netlify": {"site": "shop"}}}},
    },
    "a machine of its own": {
        "services": {"backend": {"run": "python app.py", "database": "sqlite:///shop.db"}},
        "environments": {"local": {}, "production": {"preview": {"database": "backup"}}},
    },
    "branches": {
        "services": {"frontend": {"build": {"output": "public"}}},
        "environments": {
            name: {"branch": branch, "frontend": {"netlify": {"site": name}}}
            for name, branch in (("staging", "main"), ("preview", "next"))
        },
    },
}  # fmt: skip


def write_project(folder: Path, config: Mapping[str, Any]) -> Path:
    """Write a repository with an abreast.yml, and lock files of its package managers."""
    folder.mkdir(exist_ok=True)
    (folder / "abreast.yml").write_text(yaml.safe_dump({"project": "shop", **config}, sort_keys=False))
    for name in ("package-lock.json", "requirements.txt", ".nvmrc"):
        (folder / name).write_text("{}\n")
    for command in ("init -q -b main", "add -A", "-c user.name=t -c user.email=t@localhost commit -qm Start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


def init(folder: Path, *arguments: str, code: int = 0) -> str:
    done = fork_server.run_command(folder, "init", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
