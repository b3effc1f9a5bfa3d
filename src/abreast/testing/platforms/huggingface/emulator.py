"""The emulator: one application of all routes, and what tests read and change."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.huggingface.access import (
    HubError,
    bad_request_response,
    error_response,
    not_emulated_response,
)
from abreast.testing.platforms.huggingface.account_api import AccountApi
from abreast.testing.platforms.huggingface.download_api import DownloadApi
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore
from abreast.testing.platforms.huggingface.repository_api import RepositoryApi
from abreast.testing.platforms.huggingface.repository_views import card_data
from abreast.testing.platforms.huggingface.runtime_api import RuntimeApi
from abreast.testing.platforms.huggingface.space_runtime import RuntimeSettings, Space, SpaceRuntime
from abreast.testing.platforms.huggingface.upload_api import UploadApi
from abreast.testing.platforms.huggingface.xet_api import XetApi

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class HuggingFaceEmulator(RuntimeSettings):
    """Serve ``app`` with ``ThreadedServer``. Spaces run below ``folder``.

    Tests read and change ``spaces``, ``repository``, ``faults.planned``, ``refused_objects`` (why the storage does
    not take a large file, by its SHA-256) and the inherited settings.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.spaces: dict[str, Space] = {}
        self.repository = RepositoryStore()
        self.refused_objects: dict[str, str] = {}
        self._runtime = SpaceRuntime(folder, self.repository, self)
        self._accounts = AccountApi(self.spaces, self.repository, self._runtime)
        routes = [
            *self._accounts.routes(),
            *RepositoryApi(self.spaces, self.repository, self._build_head).routes(),
            *UploadApi(self.spaces, self.repository, self.refused_objects, self._build_head).routes(),
            *DownloadApi(self.spaces, self.repository).routes(),
            *XetApi(self.spaces, self.repository).routes(),
            *RuntimeApi(self.spaces, self.repository, self._runtime).routes(),
            Route("/{path:path}", not_emulated_response, methods=_METHODS),
        ]
        handlers = {HubError: error_response, KeyError: bad_request_response, ValueError: bad_request_response}
        self.faults = FaultInjector(Starlette(routes=routes, exception_handlers=handlers))
        self.app = self.faults

    def add_space(self, space_id: str, sdk: str = "docker") -> Space:
        """Add a Space whose only file is its card."""
        return self._accounts.add_space(space_id, sdk)

    def close(self) -> None:
        """Stop all processes."""
        for space in self.spaces.values():
            self._runtime.stop(space)

    def head(self, space_id: str) -> Commit:
        """Return the newest commit of a Space's main branch."""
        return self.repository.resolve(self.spaces[space_id].branches, "main")

    def _build_head(self, space: Space) -> None:
        """Build what was pushed, as its card asks."""
        commit = self.head(space.id)
        space.sdk = str(card_data(self.repository, commit).get("sdk", space.sdk))
        self._runtime.queue_build(space, commit)
