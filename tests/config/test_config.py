"""abreast.yml: every fault with its place, at once; never a traceback."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abreast.config import reference
from abreast.config.environment_variables import referenced_variables
from abreast.config.load import ProjectConfig, load_config
from abreast.core.codec import dump
from abreast.core.errors import AbreastError, ConfigError, UsageError
from abreast.core.model import ReleaseCommand, ServiceType
from abreast.wiring.assembly import PLUGIN_SETTINGS

VALID = """project: shop
services:
  web: {build: {output: public}}
  api: {run: serve}
environments:
  local: {}
"""


def read(tmp_path: Path, content: str | bytes, **variables: str) -> ProjectConfig:
    file = tmp_path / "abreast.yml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_config(file, variables, PLUGIN_SETTINGS)


def faults(tmp_path: Path, content: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content)
    assert caught.value.exit_code == 2
    return [f"{fault.line}:{fault.column}: {fault.message}" for fault in caught.value.faults]


def test_the_example_is_as_it_says(tmp_path: Path) -> None:
    project = read(tmp_path, (Path(__file__).parents[2] / "examples" / "storefront" / "abreast.yml").read_text())
    environment = project.environment("local")
    frontend, backend = environment.services
    assert (project.name, project.environments, environment.settle) == ("storefront", ("local",), 3.0)
    assert (frontend.run, frontend.build.output, frontend.settings) == (None, "frontend/dist", {"port": 8080})
    assert (backend.instances, backend.health.path, backend.settings) == (2, "/api/health", {"port": 8081})


def test_ports_are_given_in_order_around_those_that_are_taken(tmp_path: Path) -> None:
    text = VALID.replace("local: {}", "local: {web: {local: {port: 8081}}}")
    services = read(tmp_path, text).environment("local").services
    assert [service.settings["port"] for service in services] == [8081, 8080]


def test_a_folder_on_local_needs_to_answer_once_and_what_can_crash_stays_up_for_a_second(tmp_path: Path) -> None:
    held = "  held: {build: {output: held}, health: {hold: 3s}}\nenvironments:"
    live = "  live: {web: {netlify: {site: web}}, held: {netlify: {site: held}}}\n"
    text = VALID.replace("environments:", held) + live
    project = read(tmp_path, text)
    holds = {
        name: {service.name: service.health.hold for service in project.environment(name).services}
        for name in ("local", "live")
    }
    assert holds["local"] == {"web": 0.0, "held": 3.0, "api": 1.0}
    assert holds["live"] == {"web": 1.0, "held": 3.0, "api": 1.0}


def test_a_worker_and_a_scheduled_command_have_no_port(tmp_path: Path) -> None:
    jobs = "jobs: {run: work, type: worker, release: migrate, health: {command: check}}"
    nightly = 'nightly: {run: report, schedule: "0 3 * * *"}'
    text = VALID.replace("services:", f"services:\n  {jobs}\n  {nightly}")
    worker, scheduled, web, api = read(tmp_path, text).environment("local").services
    assert (web.settings, api.settings, worker.settings, scheduled.settings) == ({"port": 8080}, {"port": 8081}, {}, {})
    assert (worker.type, scheduled.type, web.type) == (ServiceType.WORKER, ServiceType.SCHEDULED, ServiceType.WEB)
    assert (worker.health.command, worker.instances, scheduled.instances) == ("check", 2, 1)
    assert (worker.release, scheduled.schedule) == (ReleaseCommand("migrate"), "0 3 * * *")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("run: serve", "rnu: serve", [
            "4:9: services.api.rnu: unknown key (did you mean 'run'?), expected one of: type, folder, python, node, watch, uses, needs, routes, build, run, schedule, timezone, release, instances, test, health, env, database, resources, strategy",
        ]),
        ("project: shop", "project: Shop", [
            '1:10: project: expected a name such as api or web-2: lower-case letters, digits and hyphens, at most 40, found "Shop"']),
        ("project: shop\n", "", ["1:1: project: required key is missing"]),
        ("{run: serve}", "{run: serve, health: {within: soon}}", ['4:38: services.api.health.within: expected a duration such as 500ms, 2s or 5m, found "soon"']),
        ("{run: serve}", "{run: serve, watch: ['a{b']}", [
            "4:29: services.api.watch[0]: not a glob: { is not closed",
        ]),
        ("{run: serve}", "{run: serve, instances: 0}", ["4:32: services.api.instances: expected 1 or more, found 0"]),
        ("{run: serve}", "{run: serve, instances: many}", ['4:32: services.api.instances: expected a whole number, found "many"']),
        ("{run: serve}", "{run: serve, needs: [db]}", ["4:29: services.api.needs[0]: unknown service 'db'"]),
        ("{run: serve}", "{run: serve, needs: [api]}", ["4:29: services.api.needs[0]: a service cannot need itself"]),
        ("{run: serve}", "{run: serve, needs: [web]}\n  two: {run: x, needs: [api, three]}\n  three: {run: y, needs: [two]}", [
            "6:26: services.three.needs: dependency cycle: three → two → three"]),
        ("{output: public}}", "{output: public}, routes: {api: api}}", [
            '3:43: services.web.routes.api: expected a path such as /api, which stands for all paths below, too, found "api"']),
        ("{output: public}}", "{output: public}, routes: {/api/*: api}}", [
            '3:43: services.web.routes."/api/*": expected a path such as /api, which stands for all paths below, too, found "/api/*"']),
        ("{output: public}}", "{output: public}, routes: {/: api}}", [
            '3:43: services.web.routes."/": expected a path such as /api, which stands for all paths below, too, found "/"']),
        ("{output: public}}", "{output: public}, routes: {/api: db}}", [
            '3:49: services.web.routes."/api": expected a service with `run` (api), found \'db\'']),
        ("{output: public}}", "{output: public}, routes: {/api: web}}", [
            '3:49: services.web.routes."/api": expected a service with `run` (api), found the frontend \'web\'']),
        ("{output: public}}", "{output: public}, routes: {/api: two}}\n  two: {build: {output: x}}", [
            '3:49: services.web.routes."/api": expected a service with `run` (api), found the frontend \'two\'']),
        ("{output: public}}", "{output: public}, routes: {/api: jobs}}\n  jobs: {type: worker, run: work}", [
            '3:49: services.web.routes."/api": expected a service with `run` (api), found the worker \'jobs\'']),
        ("{run: serve}", "{run: serve, routes: {/web: two}}\n  two: {run: x}", [
            "4:21: services.api.routes: only a frontend (without `run`) routes to services"]),
        ("{output: public}}\n  api: {run: serve}", "{output: public}, routes: {/api: api}}\n  api: {run: serve, needs: [web]}", [
            "4:28: services.api.needs: dependency cycle: api → web → api"]),
        ("{output: public}", "{output: ../public}", [
            '3:25: services.web.build.output: expected a folder inside the project, such as frontend/dist, found "../public"']),
        ("{output: public}", "{run: make}", ["3:3: services.web: expected `run` (backend) or `build.output` (frontend), found neither"]),
        ("local: {}", "local: {settle: -1}", ["6:19: environments.local.settle: expected a duration such as 500ms, 2s or 5m, found -1"]),
        ("local: {}", "local: {wbe: {}}", ["6:11: environments.local.wbe: neither a setting nor a service (did you mean 'web'?)"]),
        ("local: {}", "local: {web: {lokal: {}}}", ["6:17: environments.local.web.lokal: unknown key (did you mean 'local'?), expected one of: instances, env, database, health, resources, strategy, local, huggingface, netlify, render, static-dir"]),
        ("local: {}", "local: {web: {local: {port: 80}}}", ["6:31: environments.local.web.local.port: expected 1024 or more, found 80"]),
        ("local: {}", "local: {web: {local: {port: 9000}}, api: {local: {port: 9000}}}", [
            "6:31: environments.local.web.local.port: port 9000 is also used by api; set another port, or a host for each",
            "6:59: environments.local.api.local.port: port 9000 is also used by web; set another port, or a host for each"]),
        ("local: {}", "local: {}\n  local: {}", ["7:3: environments.local: duplicate key, first set at 6:3"]),
        ("{run: serve}", "{run: serve, env: {PORT: 1}}", ["4:27: services.api.env.PORT: set by abreast; choose another name"]),
        ("{run: serve}", "{run: serve, env: {API_TOKEN: abc}}", [
            "4:38: services.api.env.API_TOKEN: plain-text secret; write ${API_TOKEN} and set that variable where abreast runs"]),
        ("{run: serve}", "{run: serve --key $API_TOKEN, env: {API_TOKEN: '${API_TOKEN}'}}", [
            "4:14: services.api.run: $API_TOKEN would be visible in the process list; read it from the environment instead"]),
        ("{run: serve}", "{run: serve, database: 'mysql://db/shop'}", ["4:31: services.api.database.url: expected a URL that starts with sqlite:/// or postgresql://, found another text"]),
        ("{run: serve}", "{run: serve, database: {url: 'sqlite:///s.db', migrations: m, command: up}}", [
            "4:70: services.api.database.command: expected `migrations` or `command`, found both"]),
        ("{run: serve}", "{run: serve, database: {url: 'sqlite:///s.db', migrations: m, down: back}}", [
            "4:70: services.api.database.down: only allowed with `command`"]),
        ("{run: serve}", "{run: serve, database: {url: 'postgresql://shop:pa55word@db/shop'}}", [
            "4:37: services.api.database.url: plain-text secret; write ${NAME} and set that variable where abreast runs"]),
        ("{run: serve}", "{run: serve, database: {url: 'postgresql:///s', variables: {DB_URL: mysql+aiomysql}}}", [
            ("4:76: services.api.database.variables.DB_URL: expected host, port, user, password, database, connectionString, "
            'or the scheme of a URL such as postgresql+asyncpg, found "mysql+aiomysql"')]),
        ("{run: serve}", "{run: serve, database: {url: 'sqlite:///s.db', variables: {PORT: port, DB_HOST: host}}}", [
            "4:55: services.api.database.variables: only a URL of PostgreSQL has such parts, and this one is of SQLite",
            "4:67: services.api.database.variables.PORT: set by abreast; choose another name"]),
        ("{run: serve}", "{run: serve, database: {url: 'postgresql:///shop', admin: '${ADMIN}'}}", [
            "4:59: services.api.database.admin: not needed: abreast runs the server of this URL itself"]),
        ("run: serve}\nenvironments:\n  local: {}", "run: serve, database: 'postgresql:///shop'}\nenvironments:\n  live: {api: {render: {service: srv-1}}}", [
            '4:31: services.api.database.url: abreast runs PostgreSQL for services on `local`, and api is on render in live; set the variable in it, or write environments: {live: {api: {database: {url: "${DATABASE_URL}"}}}}']),
        ("{run: serve}", "{run: serve, type: daemon}", ["4:27: services.api.type: expected 'web' or 'worker', found \"daemon\""]),
        ("{run: serve}", "{type: worker}", ["4:9: services.api.type: a worker needs `run`"]),
        ("{run: serve}", "{run: serve, schedule: 0 3 * * *, timezone: Europe/Atlantis}", [
            '4:52: services.api.timezone: expected a time zone that this machine knows, such as Europe/Berlin, found "Europe/Atlantis"']),
        ("{run: serve}", "{run: serve, timezone: Europe/Berlin}", ["4:21: services.api.timezone: only a `schedule` has a time zone"]),
        ("{run: serve}", "{schedule: 0 3 * * *}", ["4:9: services.api.schedule: a scheduled command needs `run`"]),
        ("{run: serve}", "{run: serve, schedule: daily}", ['4:31: services.api.schedule: expected a cron schedule such as 0 3 * * * (wrong number of fields), found "daily"']),
        ("{run: serve}", "{run: serve, type: worker, schedule: 0 3 * * *}", ["4:35: services.api.schedule: a worker always runs; remove `type: worker`, or `schedule`"]),
        ("{run: serve}", "{run: serve, schedule: 0 3 * * *, instances: 3}", ["4:42: services.api.instances: a scheduled command has none"]),
        ("{run: serve}", "{run: serve, type: worker, health: /ok}", ["4:35: services.api.health: a worker has no address; write `health: {command: …}`, or leave it out"]),
        ("{run: serve}", "{run: serve, health: {command: check}}", ["4:30: services.api.health.command: only a worker (`type: worker`) has one"]),
        ("{run: serve}", "{run: serve, release: check $API_TOKEN, env: {API_TOKEN: '${API_TOKEN}'}}", [
            "4:30: services.api.release.run: $API_TOKEN would be visible in the process list; read it from the environment instead"]),
        ("run: serve}\nenvironments:\n  local: {}", "run: serve, type: worker}\nenvironments:\n  local: {api: {local: {port: 9000}}}", ["6:25: environments.local.api.local.port: only a web service has a port"]),
        ("run: serve", "run: [serve]", ["4:14: services.api.run: expected a command (text), found a list"]),
        ("services:", "services: {}\nx:", ["2:11: services: expected at least one entry, found a mapping", "3:1: x: unknown key, expected one of: project, services, environments, on_failure, gates, artifacts, backups, groups, people, notify, allow, flags"]),
        ("environments:\n  local: {}", "people: {ada: ada@example.com, linus: }\ngroups: {release: [Ada, grace]}\nenvironments:\n  local: {approval: {by: [releas, linus, mallory]}}", [
            "6:25: groups.release[1]: nobody 'grace', expected one of: ada, linus",
            "8:27: environments.local.approval.by[0]: nobody 'releas' (did you mean 'release'?), expected one of: release, ada, linus",
            "8:42: environments.local.approval.by[2]: nobody 'mallory', expected one of: release, ada, linus"]),
        ("environments:\n  local: {}", "people: {ada: {email: ada at example.com}}\nenvironments:\n  local: {approval: {by: [ada], url: 'https://x.example/?a=b'}}", [
            '5:23: people.ada.email: expected an address such as ada@example.com, found "ada at example.com"',
            "7:38: environments.local.approval.url: expected an address such as https://deploy.example.com, without ? and #, found a text"]),
        ("  local: {}", "\tlocal: {}", ["6:1: not valid YAML: found character '\\t' that cannot start any token"]),
        ("shop", "!!python/object/apply:os.system [ls]", ["1:10: project: expected a text, found a list"]),
        ("shop", "!!python/name:os.system x", ["1:10: project: unknown tag tag:yaml.org,2002:python/name:os.system"]),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert VALID.count(old) == 1
    assert faults(tmp_path, VALID.replace(old, new)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "1:1: expected project, services and environments, found nothing"),
        (b"a: \xff\n", "1:4: expected UTF-8, found another encoding"),
        (b"a: b\n---\nc: d\n", "2:1: not valid YAML: but found another document"),
        (b"a: \x00\n", "1:4: not valid YAML: special characters are not allowed"),
        (b"- " * 3000, "1:1: cannot be parsed as YAML: RecursionError"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, content: bytes, expected: str) -> None:
    assert faults(tmp_path, content) == [expected]


def test_a_bomb_of_aliases_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (fault,) = faults(tmp_path, "\n".join(lines))
    assert "20000 nodes" in fault


def test_words_of_yaml_1_1_are_texts(tmp_path: Path) -> None:
    text = VALID.replace(
        "{run: serve}", "{run: serve, env: {A: on, B: no, C: 0o17, D: 012, E: 1:30, F: true, G: 2026-11-21}}"
    )
    api = read(tmp_path, text).environment("local").services[1]
    assert api.env == {"A": "on", "B": "no", "C": "15", "D": "12", "E": "1:30", "F": "true", "G": "2026-11-21"}


def test_variables_are_looked_up_and_secrets_stay_templates(tmp_path: Path) -> None:
    text = VALID.replace(
        "{run: serve}",
        "{run: serve, env: {URL: '${API_URL:-http://x}', COST: '$$5', DB: '${DATABASE_URL}', S: {value: '${X}', secret: true},"
        " L: '${LINK}', TOKEN: {value: open, secret: false}}}",
    )
    given_ = {"DATABASE_URL": "sentinel-1", "X": "sentinel-2", "LINK": "postgres://me:sentinel-3@db/shop"}
    environment = read(tmp_path, text, **given_).environment("local")
    api = environment.services[1]
    assert api.env == {"URL": "http://x", "COST": "$5", "TOKEN": "open"}
    assert dict(api.secrets) == {"DB": "${DATABASE_URL}", "S": "${X}", "L": "${LINK}"}
    assert "sentinel" not in f"{environment!r}{dump(environment)}"


def test_variables_that_are_not_set_are_told_together(tmp_path: Path) -> None:
    project = read(tmp_path, VALID.replace("{run: serve}", "{run: serve, env: {A: '${ONE}', B: '${TWO}'}}"))
    with pytest.raises(ConfigError) as caught:
        project.environment("local")
    assert [str(fault) for fault in caught.value.faults] == [
        "abreast.yml:4:30: services.api.env.A: ${ONE} is not set",
        "abreast.yml:4:43: services.api.env.B: ${TWO} is not set",
    ]


def test_an_unknown_environment_lists_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'local'") as caught:
        read(tmp_path, VALID).environment("locla")
    assert "one of: local" in str(caught.value)


# ── whatever stands in the file ────────────────────────────────────────────────────────────────

KEYS = st.sampled_from(
    ["project", "services", "environments", "local", "web", "api", "build", "run", "output", "health", "path", "within",
     "env", "A", "needs", "watch", "instances", "settle", "on_failure", "port", "value", "secret", "x", "", "1"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["web", "1s", "${X}", "together"])
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text(":-{}[]&*!|>'\"%@`#,? \n\tab1<$", max_size=120).map(str.encode))
def test_any_bytes_give_a_project_or_faults_with_places(tmp_path: Path, content: bytes) -> None:
    check_anything(tmp_path, content)


@pytest.mark.exhaustive
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.fixed_dictionaries({"project": SCALARS, "services": TREES, "environments": TREES}) | TREES)
def test_any_structure_gives_a_project_or_faults_with_places(tmp_path: Path, tree: object) -> None:
    check_anything(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))


def check_anything(tmp_path: Path, content: bytes) -> None:
    try:
        project = read(tmp_path, content)
        for name in project.environments:
            project.environment(name)
    except ConfigError as error:
        assert error.faults
        assert all(fault.line >= 1 and fault.column >= 1 and fault.message for fault in error.faults)
    except AbreastError:
        pytest.fail("only faults with places come from a file")


# ── the reference ──────────────────────────────────────────────────────────────────────────────


def test_the_reference_is_what_the_schema_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    assert page.read_text() == reference.markdown(PLUGIN_SETTINGS.platforms, PLUGIN_SETTINGS.notifiers), "make docs"


@pytest.mark.parametrize("name", sorted(reference.examples()))
def test_every_example_of_the_reference_is_valid(tmp_path: Path, name: str) -> None:
    project = read(tmp_path, reference.examples()[name], API_TOKEN="x")
    assert project.environment(project.environments[0]).services


def test_the_schema_knows_every_key_of_the_example() -> None:
    schema = reference.json_schema(PLUGIN_SETTINGS.platforms, PLUGIN_SETTINGS.notifiers)
    assert schema["properties"]["notify"]["properties"]["slack"] == {"$ref": "#/$defs/SlackSettings"}
    assert schema["$defs"]["InEnvironment"]["properties"]["local"] == {"$ref": "#/$defs/LocalSettings"}
    assert set(schema["properties"]) == {
        "project",
        "services",
        "environments",
        "on_failure",
        "gates",
        "artifacts",
        "backups",
        "groups",
        "people",
        "notify",
        "allow",
        "flags",
    }


def test_ports_of_instances_are_not_for_users(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, VALID.replace("local: {}", "local: {web: {local: {port: 20000}}}"))
    assert fault.startswith("6:31: environments.local.web.local.port: expected a port outside 20000-29999")


def test_postgresql_that_abreast_runs_is_a_default_where_it_can_run_it_only(tmp_path: Path) -> None:
    text = """project: shop
services: {api: {run: serve, database: "${DATABASE_URL:-postgresql+asyncpg:///shop}"}}
environments: {local: {}, live: {api: {render: {service: srv-1}}}}
"""
    project = read(tmp_path, text)
    assert project.environment("local").services[0].database
    with pytest.raises(ConfigError, match="is on render in live; set the variable in it"):
        read(tmp_path, text, X="y").environment("live")
    given = {"DATABASE_URL": "postgresql+psycopg://shop@db.example/shop"}
    assert read(tmp_path, text, **given).environment("live").services[0].database
    required = {
        name: referenced_variables(project.resolver, name)["DATABASE_URL"].is_required for name in ("local", "live")
    }
    assert required == {"local": False, "live": True}
