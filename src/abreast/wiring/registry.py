"""Plug-ins by name: abreast's own, and those that installed packages register as entry points.

A package registers one in its ``pyproject.toml``; the entry point's name is the name that abreast.yml uses::

    [project.entry-points."abreast.platforms"]
    shelf = "abreast_shelf:PLUGIN"

https://packaging.python.org/en/latest/specifications/entry-points/
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from abreast.core.errors import UsageError

T = TypeVar("T")


class UnknownPluginError(UsageError, KeyError):
    """No installed package provides a plug-in of this name."""


class Registry(Mapping[str, T], Generic[T]):
    """The plug-ins of one kind. Each is imported when it is first used.

    ``built_in`` maps names to ``module:attribute``; it comes first, and installed packages cannot replace it.
    """

    def __init__(self, group: str, kind: type[T], built_in: Mapping[str, str]) -> None:
        self._group = group
        self._kind = kind
        self._built_in = built_in
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load_built_in(name) if name in self._built_in else self._load_installed(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self.installed

    def __len__(self) -> int:
        return len(self._built_in) + len(self.installed)

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self.installed

    @cached_property
    def installed(self) -> Mapping[str, EntryPoint]:
        """Entry points of installed packages, by name. Raises UsageError if two packages claim the same name."""
        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self._group), key=lambda entry: (entry.name, _package(entry))):
            if entry.name in self._built_in or (entry.name in found and found[entry.name].value != entry.value):
                other = "abreast itself" if entry.name in self._built_in else _package(found[entry.name])
                raise UsageError(
                    f"{_package(entry)} registers {entry.name!r} in {self._group}, which {other} also registers",
                    need="one package per name",
                    next=f"pip uninstall {_package(entry)}",
                )
            found[entry.name] = entry
        return found

    def _load_built_in(self, name: str) -> T:
        module, _, attribute = self._built_in[name].partition(":")
        plugin = getattr(import_module(module), attribute)
        assert isinstance(plugin, self._kind)
        return plugin

    def _load_installed(self, name: str) -> T:
        if name not in self.installed:
            raise UnknownPluginError(
                f"no installed package provides {name!r} in {self._group}",
                need=f"one of: {', '.join(self)}",
                next="pip install the package that provides it, beside abreast",
            )
        entry = self.installed[name]
        try:
            plugin = entry.load()
        except Exception as error:
            raise _unusable(entry, f"{type(error).__name__}: {error}") from error
        if not isinstance(plugin, self._kind):
            raise _unusable(entry, f"{entry.value} is a {type(plugin).__name__}, not a {self._kind.__name__}")
        return plugin


class LazyMapping(Mapping[str, T], Generic[T]):
    """A mapping with the given keys. Each value is made when it is first used."""

    def __init__(self, keys: Mapping[str, object], create: Callable[[str], T]) -> None:
        self._keys = keys
        self._create = create
        self._values: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            self._values[name] = self._create(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: object) -> bool:
        return name in self._keys


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def _unusable(entry: EntryPoint, why: str) -> UsageError:
    return UsageError(
        f"the plug-in {entry.name!r} of {_package(entry)} cannot be loaded: {why}",
        need="a version that is compatible with this abreast",
        next=f"pip install --upgrade {_package(entry)}",
    )
