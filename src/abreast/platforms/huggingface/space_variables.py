"""The variables and secrets of a Space: writes only what differs, since each write restarts the application.

What abreast sets, it marks in the description. A secret cannot be read back: its mark holds a keyed digest of the value
and the time, by which a later deployment knows it again.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from abreast.core.model import Service
from abreast.core.secrets import Secret, looks_secret
from abreast.platforms.huggingface.client import HubClient, SpaceVariable

MARK = "set by abreast"
"""How the description of a variable or secret begins that abreast has set."""

_MARK_OF_SECRET = re.compile(rf"{MARK} (\S+\+00:00) ([0-9a-f]{{32}})")

VARIABLES_IN_TREE = frozenset({"ABREAST_RELEASE", "ABREAST_COMMIT"})
"""Variables passed by a file of the tree. Set as variables, they would reach the previous version too."""

VARIABLES_OF_ABREAST = frozenset({"ABREAST_SERVICE", "ABREAST_ENVIRONMENT"})

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How much later than its mark the Hub may say that a secret was updated. Later, somebody else has set it."""


@dataclass(frozen=True, slots=True)
class SpaceState:
    """The variables and secrets that a Space has; secrets are without values."""

    variables: Mapping[str, SpaceVariable]
    secrets: Mapping[str, SpaceVariable]


@dataclass(frozen=True, slots=True)
class VariableChange:
    """One write. ``value`` None deletes."""

    name: str
    is_secret: bool
    value: str | None = None
    description: str = MARK

    def __str__(self) -> str:
        kind = "secret" if self.is_secret else "variable"
        return f"{'deleting' if self.value is None else 'setting'} the {kind} {self.name}"


class SpaceVariables:
    """Compares and sets the variables and secrets of Spaces. ``key`` is the token: it keys the digests."""

    def __init__(self, hub: HubClient, key: Secret | None) -> None:
        self._hub = hub
        self._key = key

    async def read(self, id: str) -> SpaceState:
        """Return what a Space has."""
        return SpaceState(await self._hub.get_variables(id), await self._hub.get_secrets(id))

    async def apply(self, id: str, change: VariableChange) -> None:
        """Carry out one write, which restarts a running Space."""
        if change.value is None:
            await self._hub.delete_variable(id, change.name, secret=change.is_secret)
        else:
            await self._hub.set_variable(
                id, change.name, change.value, secret=change.is_secret, description=change.description
            )

    def changes(
        self, id: str, have: SpaceState, variables: Mapping[str, str], secrets: Mapping[str, str] | None
    ) -> list[VariableChange]:
        """Return the writes that lead to the given values. With None, their values are unknown and secrets stay.

        What somebody else has set and no value is given for stays. What abreast has set and no version needs goes, and
        so does a variable that becomes a secret, or the reverse.
        """
        wanted = {name: value for name, value in variables.items() if name not in VARIABLES_IN_TREE}
        changes = list(_deletions(have.variables, wanted, secrets or {}, is_secret=False))
        if secrets is not None:
            changes += _deletions(have.secrets, secrets, wanted, is_secret=True)
            changes += self._secret_writes(id, have, secrets)
        changes += [
            VariableChange(name, is_secret=False, value=value)
            for name, value in wanted.items()
            if _value(have, name) != value
        ]
        return changes

    def _secret_writes(self, id: str, have: SpaceState, secrets: Mapping[str, str]) -> Iterator[VariableChange]:
        for name, value in secrets.items():
            if not self._is_known(id, name, value, have.secrets.get(name)):
                yield VariableChange(name, is_secret=True, value=value, description=self._describe(id, name, value))

    def _is_known(self, id: str, name: str, value: str, have: SpaceVariable | None) -> bool:
        """Return whether a Space has this value of a secret, as far as its mark tells."""
        mark = _MARK_OF_SECRET.fullmatch(have.description) if have else None
        if have is None or mark is None or have.updated is None:
            return False
        was_replaced = have.updated > datetime.fromisoformat(mark[1]) + CLOCK_TOLERANCE
        return not was_replaced and hmac.compare_digest(mark[2], self._digest(id, name, value))

    def _describe(self, id: str, name: str, value: str) -> str:
        return f"{MARK} {datetime.now(UTC).isoformat(timespec='seconds')} {self._digest(id, name, value)}"

    def _digest(self, id: str, name: str, value: str) -> str:
        key = self._key.reveal() if self._key else ""
        return hmac.digest(key.encode(), f"{id}\0{name}\0{value}".encode(), hashlib.sha256).hex()[:32]


def _deletions(
    have: Mapping[str, SpaceVariable], wanted: Mapping[str, str], other_kind: Mapping[str, str], *, is_secret: bool
) -> Iterator[VariableChange]:
    for name, variable in have.items():
        if name not in wanted and (name in other_kind or variable.description.startswith(MARK)):
            yield VariableChange(name, is_secret=is_secret)


def restored_variables(have: SpaceState, variables: Mapping[str, str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as they were when ``recorded``, which has none that look secret.

    Those get the previous version's values, as far as ``variables`` has them.
    """
    now = {name: variable.value or "" for name, variable in have.variables.items()}
    hidden = {name: value for name, value in {**now, **variables}.items() if looks_secret(name, value)}
    return {**hidden, **recorded}


def restorable(state: SpaceState) -> dict[str, str]:
    """Return the variables that a plan may hold, to restore them: those that do not look secret."""
    return {
        name: variable.value
        for name, variable in state.variables.items()
        if variable.value is not None and not looks_secret(name, variable.value)
    }


def names_to_write(service: Service, state: SpaceState) -> tuple[list[str], list[str]]:
    """Return, before the values of secrets are known, which names a deployment writes, and which it may write."""
    wanted = [name for name, value in service.env.items() if _value(state, name) != value]
    wanted += [name for name in sorted(VARIABLES_OF_ABREAST) if name not in state.variables]
    secrets = [*service.secrets, *(service.database.variable_names if service.database else ())]
    unknown = [name for name in secrets if not _has_mark(state, name)]
    return [*wanted, *unknown], [name for name in secrets if name not in unknown]


def _value(state: SpaceState, name: str) -> str | None:
    return state.variables[name].value if name in state.variables else None


def _has_mark(state: SpaceState, name: str) -> bool:
    return name in state.secrets and state.secrets[name].description.startswith(MARK)
