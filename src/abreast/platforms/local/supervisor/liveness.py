"""Liveness: an instance that listens and answers nothing hangs."""

import asyncio
from collections.abc import Callable

from abreast.core.probes import USER_AGENT
from abreast.platforms.local.supervisor.client import Liveness

PROBES = 6
"""Unanswered probes in a row after which an instance hangs."""


class LivenessWatch:
    """Probes an instance while it listens. Calls ``on_hung`` at each unanswered probe from the PROBES-th in a row on.

    It counts probes, not seconds. So a machine that was suspended costs an instance one probe, however long it was.
    """

    def __init__(self, liveness: Liveness, endpoint: Callable[[], int | None], on_hung: Callable[[], None]) -> None:
        self._liveness, self._endpoint, self._on_hung = liveness, endpoint, on_hung
        self._unanswered = 0
        self._silent_until = self._recovering_until = 0.0
        self.on_started()
        self._task = asyncio.ensure_future(self._run())

    @property
    def is_recovering(self) -> bool:
        """Whether it was ended because it hung, and may still answer again."""
        return asyncio.get_running_loop().time() < self._recovering_until

    def on_started(self) -> None:
        """Give the instance time to start. It is over with its first answer."""
        self._unanswered = 0
        self._silent_until = asyncio.get_running_loop().time() + self._liveness.start

    def on_ended(self) -> None:
        """Expect an instance that was ended because it hung to answer again."""
        patience = self._liveness.start + self._liveness.patience
        self._recovering_until = asyncio.get_running_loop().time() + patience

    def close(self) -> None:
        """Probe no more."""
        self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self._liveness.patience / PROBES
        while True:
            began = loop.time()
            if port := self._endpoint():
                self._count(began, answered=await _is_answered(port, self._liveness.path, interval))
            await asyncio.sleep(began + interval - loop.time())

    def _count(self, began: float, *, answered: bool) -> None:
        if answered:
            self._unanswered = 0
            self._silent_until = self._recovering_until = 0.0
        elif began >= self._silent_until:
            self._unanswered += 1
            if self._unanswered >= PROBES:
                self._on_hung()


async def _is_answered(port: int, path: str, timeout: float) -> bool:
    """Whether a request gets an answer. Its status does not matter: a server that reports an error does not hang."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request.encode())
                return bool(await reader.read(1))
            finally:
                writer.transport.abort()
    except OSError:  # TimeoutError too
        return False
