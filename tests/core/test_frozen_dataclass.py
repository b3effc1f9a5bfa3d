"""The quick dataclass against the one of the standard library, of which it is a part."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    size: int = 3
    labels: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Loud(Quick):
    volume: float = 1.5

    def __repr__(self) -> str:
        return "LOUD"


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    name: str
    size: int = 3
    labels: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


ARGUMENTS: list[dict[str, Any]] = [
    {"name": "a"}, {"name": "a", "size": 4}, {"name": "a", "labels": ("x",)}, {"name": "a", "env": {"b": "c"}}, {"name": "b"},
]  # fmt: skip


def test_equality_and_text_are_the_standard_ones() -> None:
    for one in ARGUMENTS:
        assert repr(Quick(**one)) == repr(Standard(**one)).replace("Standard", "Quick")
        for two in ARGUMENTS:
            assert (Quick(**one) == Quick(**two)) == (Standard(**one) == Standard(**two))
    assert Quick("a") != Loud("a")
    other: object = "a"
    assert Quick("a") != other
    assert repr(Loud("a")) == "LOUD"


@dataclass(frozen=True, slots=True)
class Hashed:
    name: str
    size: int


def test_equal_values_have_one_hash_and_what_is_mutable_has_none() -> None:
    assert len({Hashed("a", 1), Hashed("a", 1), Hashed("a", 2)}) == 2
    for kind in (Quick, Standard):
        with pytest.raises(TypeError, match="unhashable"):
            hash(kind("a"))


@pytest.mark.parametrize("kind", [Quick, Standard, Loud])
def test_it_is_frozen(kind: type[Any]) -> None:
    value = kind("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'size'"):
        value.size = 4
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'size'"):
        del value.size
    with pytest.raises((AttributeError, TypeError)):
        value.other = 1
    assert value == kind("a")
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("kind", [Quick, Standard])
def test_the_tools_of_the_standard_library_take_it(kind: type[Any]) -> None:
    value = kind("a", 2, env={"b": "c"})
    assert dataclasses.asdict(value) == {"name": "a", "size": 2, "labels": (), "env": {"b": "c"}}
    assert dataclasses.replace(value, size=5) == kind("a", 5, env={"b": "c"})
    assert [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))] == [value] * 3
    match value:
        case kind(name, 2):
            assert name == "a"
        case _:
            pytest.fail("no match")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        kind()


def test_other_kinds_of_dataclasses_are_refused() -> None:
    with pytest.raises(TypeError, match="expected frozen=True"):
        dataclass(frozen=False, slots=True)


def compilations(module: str) -> int:
    code = f"""
import sys
from {module} import dataclass
count = 0
def hook(event, arguments):
    global count
    count += event == "compile"
source = compile("@dataclass(frozen=True, slots=True)\\nclass Point:\\n    'A point.'\\n    x: int\\n    y: int = 2\\n", "-", "exec")
sys.addaudithook(hook)
exec(source)
print(count)
"""
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_it_compiles_one_function_for_a_class() -> None:
    assert compilations("abreast.core.frozen_dataclass") == 1
