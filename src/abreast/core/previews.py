"""Previews: an environment for each pull request, named after the one that it is derived from."""

import re
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass

_NAME = re.compile(r"(?P<base>[a-z][a-z0-9-]*?)-pr-(?P<number>[1-9]\d{0,8})")


@dataclass(frozen=True, slots=True)
class PreviewName:
    """The name of a preview: of the pull request ``number``, derived from the environment ``base``."""

    base: str
    number: int

    @classmethod
    def parse(cls, environment: str) -> "PreviewName | None":
        """Return what the name of an environment says, such as ``staging-pr-17``; None if it names no preview."""
        found = _NAME.fullmatch(environment)
        return cls(found["base"], int(found["number"])) if found else None

    @property
    def database_copy(self) -> str:
        """The name of its copy of a database, among the copies of that database."""
        return f"preview-{self.number}"

    def __str__(self) -> str:
        return f"{self.base}-pr-{self.number}"


class PreviewData(StrEnum):
    """What a preview's databases start with: nothing but migrations, or the newest backup of its base."""

    EMPTY = "empty"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class PreviewSettings:
    """How previews of an environment are made. They are removed ``ttl`` seconds after their last deployment."""

    ttl: float
    database: PreviewData
