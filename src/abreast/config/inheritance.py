"""``extends``: an environment that begins as another one."""

from collections.abc import Iterator, Mapping

from abreast.config import environment_schema, schema
from abreast.config.fault_messages import found_text, suggestion
from abreast.config.yaml_document import Document, KeyPath, YamlValue
from abreast.core.errors import Fault

EXTENDS = "extends"
NOT_INHERITED = frozenset({EXTENDS, "branch", "preview"})
"""Keys of an environment that say who deploys there. Two environments with the same answer are seldom meant."""

ENVIRONMENT_DEPTH = 2
"""The length of the key path of an environment."""


def expand_environments(document: Document) -> tuple[Document, list[Fault]]:
    """Return the document with each environment's own keys on top of those of the environment that it extends.

    Mappings are merged, everything else replaces. What is inherited keeps its position in the file.
    """
    environments = document.value.get("environments") if isinstance(document.value, dict) else None
    if not isinstance(document.value, dict) or not isinstance(environments, dict):
        return document, []
    bases = {
        name: described[EXTENDS]
        for name, described in environments.items()
        if isinstance(described, dict) and EXTENDS in described
    }
    if faults := [fault for name, base in bases.items() for fault in _base_faults(document, environments, name, base)]:
        return document, faults
    expansion = _Expansion(document)
    expanded = {name: expansion.expand(environments, name) for name in environments}
    value = {**document.value, "environments": expanded}
    return Document(document.file, value, expansion.value_positions, expansion.key_positions), []


def _base_faults(
    document: Document, environments: Mapping[str, YamlValue], name: str, base: YamlValue
) -> Iterator[Fault]:
    path = ("environments", name, EXTENDS)
    if not isinstance(base, str) or base not in environments:
        hint = suggestion(base, environments) if isinstance(base, str) else ""
        others = ", ".join(other for other in environments if other != name)
        yield document.fault(path, f"expected another environment ({others}), found {found_text(path, base)}{hint}")
        return
    seen, current = [name], base
    while isinstance(described := environments.get(current), dict) and isinstance(described.get(EXTENDS), str):
        if current in seen:
            break
        seen.append(current)
        current = str(described[EXTENDS])
    if current in seen:
        yield document.fault(path, f"environments that extend each other: {' → '.join([*seen, current])}")


class _Expansion:
    """Merges environments, and gives what is inherited the position that it has in its base."""

    def __init__(self, document: Document) -> None:
        self.value_positions = dict(document.value_positions)
        self.key_positions = dict(document.key_positions)
        self._done: dict[str, YamlValue] = {}

    def expand(self, environments: Mapping[str, YamlValue], name: str) -> YamlValue:
        if name not in self._done:
            own = environments[name]
            self._done[name] = own
            if isinstance(own, dict) and isinstance(base := own.get(EXTENDS), str):
                inherited = self.expand(environments, base)
                known = inherited if isinstance(inherited, dict) else {}
                wanted = {key: value for key, value in known.items() if key not in NOT_INHERITED}
                kept = {key: value for key, value in own.items() if key != EXTENDS}
                self._done[name] = self._merge(wanted, kept, ("environments", base), ("environments", name))
        return self._done[name]

    def _merge(
        self, base: Mapping[str, YamlValue], own: Mapping[str, YamlValue], there: KeyPath, here: KeyPath
    ) -> dict[str, YamlValue]:
        merged: dict[str, YamlValue] = {}
        for key, value in base.items():
            mine = own.get(key)
            if key in own and isinstance(value, dict) and isinstance(mine, dict) and key != "database":
                is_service = len(here) == ENVIRONMENT_DEPTH and key not in environment_schema.Environment.model_fields
                wanted = _without_other_platform(value, mine) if is_service else value
                merged[key] = self._merge(wanted, mine, (*there, key), (*here, key))
            elif key in own:
                merged[key] = value if mine is None and isinstance(value, dict) else mine
            else:
                merged[key] = value
                self._copy_positions((*there, key), (*here, key))
        return {**merged, **{key: value for key, value in own.items() if key not in base}}

    def _copy_positions(self, there: KeyPath, here: KeyPath) -> None:
        for positions in (self.value_positions, self.key_positions):
            found = [(path, place) for path, place in positions.items() if path[: len(there)] == there]
            positions.update({(*here, *path[len(there) :]): place for path, place in found})


def _without_other_platform(base: Mapping[str, YamlValue], own: Mapping[str, YamlValue]) -> Mapping[str, YamlValue]:
    """Return the settings of a service without its platform, if it is on another one here."""
    common = schema.ServiceOverride.model_fields.keys()
    if own.keys() <= common | base.keys():
        return base
    return {key: value for key, value in base.items() if key in common}
