"""What a command hides is no variable of the process any more, and is found by its name only."""

import os

import pytest

from abreast.wiring.machine_variables import MachineVariables


def test_hidden_variables_are_found_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_OF_PRODUCTION", "hidden-4711")
    monkeypatch.setenv("TEST_OF_STAGING", "shown-4711")
    variables = MachineVariables(os.environ)
    variables.hide(["TEST_OF_PRODUCTION", "TEST_NOT_SET"])
    assert "TEST_OF_PRODUCTION" not in os.environ
    assert "TEST_OF_PRODUCTION" not in list(variables)
    assert "hidden-4711" not in {**variables}.values()
    assert variables.get("TEST_OF_PRODUCTION") == MachineVariables(os.environ)["TEST_OF_PRODUCTION"] == "hidden-4711"
    assert variables["TEST_OF_STAGING"] == "shown-4711"
    assert "TEST_NOT_SET" not in variables


def test_a_copy_of_the_variables_is_emptied_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "hidden-4712")
    copied = dict(os.environ)
    MachineVariables(copied).hide(["TEST_TOKEN"])
    assert "TEST_TOKEN" not in copied
    assert "TEST_TOKEN" not in os.environ
