"""Variables are validated before anything is built: all faults at once, with their place, without their values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.variable_formats import FORMATS, expected_format
from sample_project import SampleProject, get_json


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("url", ["https://a.b/c?d", "postgres://u:p@h:5432/n", "redis://h"], ["a.b/c", "https://", "http://a b", "http://h:x", ""]),
        ("email", ["a@b.c"], ["a@b", "a b@c.d", "@b.c"]), ("integer", ["0", "-12"], ["1.5", "", "1e3", "٣"]),
        ("number", ["1", "-1.5", ".5", "1e-3"], ["", "x", "1,5"]), ("boolean", ["true", "OFF", "1"], ["maybe", ""]),
        ("port", ["1", "65535"], ["0", "65536", "-1", "x"]), ("json", ["{}", "3"], ["{", "", "nope"]),
        ("base64", ["YWI="], ["YWI", "?", ""]), ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123", "x" * 36]),
        ("host", ["a.b", "127.0.0.1", "::1x"[2:], "localhost"], ["a b", "-a", "http://a"]),
    ],
)  # fmt: skip
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    assert not [value for value in good if expected_format(value, name, None)]
    assert not [value for value in bad if not expected_format(value, name, None)]


@pytest.mark.exhaustive
@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=40))
def test_a_value_is_never_told(name: str, value: str) -> None:
    assert expected_format(value, name, None) in {"", FORMATS[name][0]}


def test_all_that_is_wrong_is_told_at_once_and_no_value(project: SampleProject) -> None:
    env: dict[str, Any] = {
        "DATABASE_URL": {"required": True, "secret": True, "format": "url"},
        "REGION": {"value": "${REGION}", "pattern": "[a-z]{2}-[a-z]+-[0-9]"},
        "WORKERS": {"value": "many", "format": "integer"},
        "API_TOKEN": "${API_TOKEN}",
        "OPTIONAL": {"required": False, "format": "port"},
    }
    project.config["services"]["backend"]["env"] = env
    project.commit()
    variables = {"DATABASE_URL": "xq7-not-a-url", "REGION": "xq7-nowhere", "OPTIONAL": "xq7"}
    error = project.run("deploy", "--yes", code=2, variables=variables).stderr
    for told in (
        "the value of DATABASE_URL is not a URL such as", "the value of REGION is not a text matching [a-z]{2}",
        "the value of WORKERS is not a whole number", "${API_TOKEN} is not set", "the value of OPTIONAL is not a port",
    ):  # fmt: skip
        assert told in error
    assert error.count("abreast.yml:") == 5
    assert "xq7" not in error
    assert not project.build_log.exists()


@pytest.mark.exhaustive
def test_what_need_not_be_set_is_left_out(project: SampleProject) -> None:
    project.config["services"]["backend"] |= {
        "env": {"OPTIONAL": {"required": False}, "NAMED": {}},
        "build": "test -z ${OPTIONAL+set} && test $NAMED = here",
    }
    project.commit()
    project.deploy(variables={"NAMED": "here"})


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"format": "uri"}, "expected 'url', 'email'"), ({"pattern": "("}, "not a regular expression"),
        ({"generate": True, "value": "${NAME}"}, "not allowed with `generate`"), ({"value": "plain", "secret": True}, "plain-text secret"), ({"rotate_after": "soon"}, 'rotate_after: expected a duration such as 500ms, 2s or 5m, found "soon"'),
    ],
)  # fmt: skip
def test_faults(project: SampleProject, variable: dict[str, Any], told: str) -> None:
    project.config["services"]["backend"]["env"] = {"NAME": variable}
    project.commit()
    assert told in project.run("plan", code=2).stderr


@pytest.mark.exhaustive
def test_down_needs_no_variables(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"NAMED": {}}
    project.commit()
    project.deploy(variables={"NAMED": "here"})
    project.run("down", "--yes")
    assert project.status()["services"] == {}


GENERATED = {
    "env": {"SESSION_SECRET": {"generate": True}},
    "build": "printenv SESSION_SECRET > made; cat made",
}


@pytest.mark.exhaustive
def test_a_generated_secret_stays_the_same_and_is_told_to_nobody(project: SampleProject) -> None:
    del project.config["services"]["frontend"], project.config["environments"]["local"]["frontend"]
    project.config["services"]["backend"] |= GENERATED
    show = '    return (200 if open("made").read().strip() == os.environ["SESSION_SECRET"] else 500), {"value": os.environ["SESSION_SECRET"]}\n'
    values = []
    for _ in range(2):
        project.commit(app_py=project.app_source(show))
        said = project.deploy("--force")
        values.append(get_json(project.backend_port, "/health")["value"])
        assert values[-1] not in said.stdout + said.stderr
    assert len(values[0]) == 64
    assert values[0] == values[1]
    (file,) = (project.folder / ".abreast" / "generated" / "local").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    written = [path for path in (project.folder / ".abreast").rglob("*") if path.is_file() and path.name != "made"]
    assert not [path for path in written if values[0].encode() in path.read_bytes()]
    project.commit()
    project.deploy("--force", variables={"SESSION_SECRET": "of-a-person-who-knows"})
    assert get_json(project.backend_port, "/health")["value"] == "of-a-person-who-knows"


def test_another_platform_wants_a_value_of_a_person(project: SampleProject) -> None:
    project.config["services"]["backend"] |= GENERATED
    project.config["environments"]["local"]["backend"] = {"render": {"service": "srv-1"}}
    project.commit()
    error = project.run("plan", code=2).stderr
    assert "${SESSION_SECRET} is not set, and abreast makes up values on `local` only" in error
    assert "export NAME=…" in error
