"""Convert values of the core to JSON values and back."""

from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import TypeForm

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_adapters: "dict[object, TypeAdapter[Any]]" = {}


def dump(value: object, kind: object = None) -> Any:  # noqa: ANN401 (JSON has no better type)
    """Return ``value`` as JSON-compatible values. ``kind`` is its type, if not its class."""
    return _adapter(type(value) if kind is None else kind).dump_python(value, mode="json")


def load(kind: TypeForm[T], data: object) -> T:
    """Return the value of type ``kind`` from the output of ``dump``. Raises ValueError for other data."""
    value: T = _adapter(kind).validate_python(data)
    return value


def _adapter(kind: Any) -> "TypeAdapter[Any]":  # noqa: ANN401 (a type form: class, union or generic)
    """Return the adapter of a type, cached because building one is slow."""
    if kind not in _adapters:
        from pydantic import TypeAdapter  # noqa: PLC0415 (slow, and a rollback begins without it)

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
