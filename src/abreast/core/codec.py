"""Convert values of the core to JSON values and back."""

from typing import Any, TypeVar

from pydantic import TypeAdapter
from typing_extensions import TypeForm

T = TypeVar("T")

_adapters: dict[object, TypeAdapter[Any]] = {}


def dump(value: object, kind: object = None) -> Any:  # noqa: ANN401 (JSON has no better type)
    """Return ``value`` as JSON-compatible values. ``kind`` is its type, if not its class."""
    return _adapter(type(value) if kind is None else kind).dump_python(value, mode="json")


def load(kind: TypeForm[T], data: object) -> T:
    """Return the value of type ``kind`` from the output of ``dump``. Raises ValueError for other data."""
    value: T = _adapter(kind).validate_python(data)
    return value


def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 (a type form: class, union or generic)
    """Return the adapter of a type, cached because building one is slow."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
