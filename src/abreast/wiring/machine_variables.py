"""The variables of this machine, and which of them a command for one environment leaves alone."""

import os
from collections.abc import Collection, Iterator, Mapping, MutableMapping

_TAKEN: dict[str, str] = {}
"""What was hidden in this process. A command that loads its target again still finds it by name."""


class MachineVariables(Mapping[str, str]):
    """``visible`` variables, and ``hidden`` ones that are found by their name only.

    What looks at all variables, such as a redactor or a process that is started, does not get the hidden ones.
    """

    def __init__(self, visible: Mapping[str, str], hidden: Mapping[str, str] | None = None) -> None:
        self._visible = visible
        self._hidden = _TAKEN if hidden is None else hidden

    def hide(self, names: Collection[str]) -> None:
        """Hide variables, also from all processes that this one starts from now on."""
        _TAKEN.update({name: self._visible[name] for name in names if name in self._visible})
        for variables in (self._visible, os.environ):
            if isinstance(variables, MutableMapping):
                for name in names:
                    variables.pop(name, None)

    def __getitem__(self, name: str) -> str:
        return self._visible[name] if name in self._visible else self._hidden[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible)

    def __len__(self) -> int:
        return len(self._visible)
