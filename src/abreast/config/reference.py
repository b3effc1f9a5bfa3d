"""The reference of abreast.yml, generated from the models: a JSON Schema for editors, a Markdown page for people."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from abreast.config import environment_schema, gate_schema, instance_schema, schema
from abreast.core.errors import UsageError

SettingsModels = Mapping[str, type[BaseModel]]

_EXAMPLES: dict[str, str] = {
    "Project": """project: storefront
services:
  frontend:
    build: {run: npm ci && npm run build, output: frontend/dist}
  backend:
    run: python -m app --port $PORT
environments:
  local: {}
""",
    "Service": """project: storefront
services:
  api:
    folder: api
    python: "3.12"
    build: {install: pip install -r requirements.txt}
    run: python -m shop
    instances: 3
    health: {path: /api/health, within: 2s}
    env:
      LOG_LEVEL: info
      API_TOKEN: ${API_TOKEN}
environments:
  local: {}
""",
    "ReleaseCommand": """project: storefront
services:
  backend:
    run: python -m app --port $PORT
    release: {run: python -m app.warm_cache, timeout: 5m}
  emails:
    type: worker
    run: python -m app.emails
    health: {command: python -m app.queue_check}
  report:
    schedule: "0 3 * * *"
    run: python -m app.report
environments:
  local: {}
""",
    "Gates": """project: storefront
services:
  backend:
    run: python -m app
    test: pytest -q --cov --cov-report=xml --junitxml=junit.xml
  frontend:
    build: {run: npm ci && npm run build, output: dist}
    test: {run: npm ci && npm test, coverage: coverage/lcov.info}
gates:
  coverage: {total: 70%, changed: 80%}
  lint: {run: ruff check}
  secrets: block
  dependencies: {block: high, unknown: allow}
allow:
  - {gate: dependencies, rule: GHSA-35jh-r3h4-6jhm, owner: ada, reason: not reachable, expires: 2027-01-31}
environments:
  staging: {may_skip: [lint]}
  production: {gates: full}
""",
    "Database": """project: storefront
services:
  backend:
    run: python -m app
    database: {url: "sqlite:///shop.db", migrations: backend/migrations}
environments:
  local: {}
  production: {breaking: block, objectives: {rto: 10m, rpo: 24h}}
backups: {store: "s3://backups/shop", schedule: "0 3 * * *"}
""",
    "Environment": """project: storefront
services:
  backend: {run: python -m app}
  frontend: {build: {output: public}, needs: [backend]}
environments:
  local:
    settle: 5s
    drain: 1m
    on_failure: alone
    backend: {local: {port: 9000}, instances: 1}
""",
    "Approval": """project: storefront
services:
  backend: {run: python -m app}
groups:
  release: [ada, grace]
environments:
  production:
    approval: {by: [release, linus], required: 2, expires: 8h}
""",
    "Person": """project: storefront
services:
  backend: {run: python -m app}
people:
  ada: ada@example.com
  grace: {email: grace@example.com}
  linus: {}
groups:
  release: [ada, grace]
environments:
  production:
    approval: {by: [release, linus], url: "https://deploy.example.com"}
notify:
  email: {server: "${SMTP_URL}", sender: abreast <deployments@example.com>, to: [ops@example.com]}
""",
    "Freeze": """project: storefront
services:
  backend: {run: python -m app}
environments:
  production:
    freeze:
      - {starts: "Fri 16:00", ends: "Mon 08:00", timezone: Europe/Berlin, reason: nobody is there}
      - {starts: "2026-12-20 18:00", ends: "2027-01-04 08:00"}
    may_skip: [freeze]
""",
    "Promotion": """project: storefront
services:
  backend: {run: python -m app}
environments:
  staging: {branch: main}
  production: {promotion: {source: staging, soak: 30m, max_age: 14d}}
""",
    "Maintenance": """project: storefront
services:
  backend: {run: python -m app, database: {url: "${DATABASE_URL}", migrations: backend/migrations}}
environments:
  production:
    breaking: maintenance
    maintenance: {page: maintenance.html}
""",
    "Preview": """project: storefront
services:
  frontend: {build: {output: public}, routes: {/api: backend}}
  backend: {run: python -m app, database: "${DATABASE_URL}"}
environments:
  staging: {preview: {ttl: 3d, database: backup}}
""",
}


def json_schema(platforms: SettingsModels, notifiers: SettingsModels) -> dict[str, Any]:
    """Return the JSON Schema of abreast.yml.

    The settings of platforms are under the services of an environment, those of notifiers under ``notify``.
    """
    project_schema = schema.Project.model_json_schema()
    definitions = project_schema["$defs"]
    definitions["InEnvironment"] = schema.ServiceOverride.model_json_schema(ref_template="#/$defs/{model}")
    definitions["InEnvironment"].pop("$defs", None)
    for name, settings in platforms.items():
        definitions[settings.__name__] = settings.model_json_schema()
        definitions["InEnvironment"]["properties"][name] = {"$ref": f"#/$defs/{settings.__name__}"}
    for name, settings in notifiers.items():
        definitions[settings.__name__] = settings.model_json_schema()
        notify, reference = project_schema["properties"]["notify"], {"$ref": f"#/$defs/{settings.__name__}"}
        notify.setdefault("properties", {})[name] = reference
        notify.setdefault("patternProperties", {})[f"^{name}-."] = reference
    definitions["Environment"]["additionalProperties"] = {"$ref": "#/$defs/InEnvironment"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "abreast.yml", **project_schema}


def examples() -> Mapping[str, str]:
    """Return the examples of the reference by model. Each is a complete abreast.yml."""
    return _EXAMPLES


def markdown(platforms: SettingsModels, notifiers: SettingsModels, section: str | None = None) -> str:
    """Return the reference as Markdown, or one section of it. Raises UsageError for an unknown section."""
    parts = {
        **_SECTIONS,
        **{f"platform {name}": model for name, model in platforms.items()},
        **{f"notifier {name}": model for name, model in notifiers.items()},
    }
    if section is not None and section not in (*parts, "reference"):
        raise UsageError(
            f"there is no section {section!r} in the reference",
            need=f"one of: {', '.join(parts)}",
            next="abreast docs",
        )
    if section in parts:
        return "\n".join(_section_lines(str(section), parts[str(section)])) + "\n"
    lines = ["# abreast.yml: the reference", "", "Generated from the schema: `abreast docs reference`.", ""]
    for name, model in parts.items():
        lines += [*_section_lines(name, model), ""]
    return "\n".join(lines).rstrip() + "\n"


_SECTIONS: dict[str, type[BaseModel]] = {
    "project": schema.Project,
    "service": schema.Service,
    "build": schema.Build,
    "test": gate_schema.Test,
    "health": instance_schema.Health,
    "resources": instance_schema.Resources,
    "release": schema.ReleaseCommand,
    "database": schema.Database,
    "variable": schema.Variable,
    "gates": gate_schema.Gates,
    "coverage": gate_schema.Coverage,
    "gate": gate_schema.GateCommand,
    "scan": gate_schema.Scan,
    "secrets": gate_schema.SecretScan,
    "images": gate_schema.ImageScan,
    "allow": gate_schema.AllowedFinding,
    "artifacts": schema.Artifacts,
    "backups": schema.Backups,
    "objectives": environment_schema.Objectives,
    "environment": environment_schema.Environment,
    "preview": environment_schema.Preview,
    "approval": environment_schema.Approval,
    "person": environment_schema.Person,
    "freeze": environment_schema.Freeze,
    "promotion": environment_schema.Promotion,
    "maintenance": environment_schema.Maintenance,
    "service in an environment": schema.ServiceOverride,
}


def _section_lines(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield inspect.getdoc(model) or ""
    yield ""
    yield "| key | default | what |"
    yield "|---|---|---|"
    for key, field in model.model_fields.items():
        default = "" if field.is_required() else f"`{_default_text(field.get_default(call_default_factory=True))}`"
        yield f"| `{key}` | {default} | {field.description or ''} |"
    if example := _EXAMPLES.get(model.__name__):
        yield ""
        yield f"```yaml\n{example}```"


def _default_text(default: Any) -> str:  # noqa: ANN401 (a field's default)
    if isinstance(default, BaseModel):
        return "{}"
    return "none" if default is None else str(default)
