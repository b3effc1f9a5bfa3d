"""Modules that are slow to import, and that many commands do not need."""

import sys
from importlib import import_module
from types import ModuleType


def lazy_module(name: str) -> ModuleType:
    """Return a module that is imported when its first attribute is used, from any thread.

    Raises ModuleNotFoundError then, if it is missing.
    """
    return sys.modules.get(name) or _LazyModule(name)


class _LazyModule(ModuleType):
    """Stands for a module that was not imported yet."""

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self.__name__), name)
