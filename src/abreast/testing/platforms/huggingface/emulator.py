"""The emulator: one application of all routes, and what tests read and change."""

from pathlib import Path

from starlette.applications import Starlette

from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.huggingface.access import not_found_response, refused_response
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore
from abreast.testing.platforms.huggingface.repository_api import RepositoryApi
from abreast.testing.platforms.huggingface.runtime_api import RuntimeApi
from abreast.testing.platforms.huggingface.space_runtime import RuntimeSettings, Space, SpaceRuntime

SPACE_CARD = b"---\ntitle: Emulated\nsdk: docker\napp_port: 7860\n---\n"


class HuggingFaceEmulator(RuntimeSettings):
    """Serve ``app`` with ``ThreadedServer``. Spaces run below ``folder``.

    Tests read and change ``spaces``, ``repository``, ``faults.planned`` and the inherited settings.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.spaces: dict[str, Space] = {}
        self.repository = RepositoryStore()
        runtime = SpaceRuntime(folder, self.repository, self)
        routes = [
            *RepositoryApi(self.spaces, self.repository, runtime, self.add_space).routes(),
            *RuntimeApi(self.spaces, self.repository, runtime).routes(),
        ]
        handlers = {KeyError: not_found_response, PermissionError: refused_response}
        self.faults = FaultInjector(Starlette(routes=routes, exception_handlers=handlers))
        self.app = self.faults

    def add_space(self, space_id: str) -> Space:
        """Add a Space whose only file is its card."""
        space = Space(space_id)
        self.spaces[space_id] = space
        tree = {"README.md": self.repository.store_blob(SPACE_CARD)}
        space.branches["main"] = [self.repository.store_commit("initial commit", tree, ()).id]
        return space

    def close(self) -> None:
        """Stop all processes."""
        for space in self.spaces.values():
            for process in (space.live_process, space.next_process):
                if process:
                    process.stop()

    def head(self, space_id: str) -> Commit:
        """Return the newest commit of a Space's main branch."""
        return self.repository.resolve(self.spaces[space_id].branches, "main")
