"""An object store that several machines can share: S3, Google Cloud Storage, Azure, or a folder."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abreast.core.errors import AbreastError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

FILE_SCHEME = "file://"
RETRY_CONFIG: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


class ObjectStore:
    """The store at ``url``. Failures raise ``error``, with ``label`` as the store's name."""

    def __init__(self, url: str, label: str, error: type[AbreastError]) -> None:
        self.url = url
        self._label = label
        self._error = error
        self._opened: Any = None

    def call(self, work: Callable[[Any], Any]) -> Any:  # noqa: ANN401 (what the work returns)
        """Call ``work`` with the store. Raises FileNotFoundError for a missing object."""
        try:
            return work(self._store)
        except (FileNotFoundError, AbreastError):
            raise
        except Exception as error:
            raise self._error(
                f"the {self._label} {self.url} could not be used: {str(error).splitlines()[0][:300]}",
                need="a store that this machine can reach and write to, with free space",
                next="abreast doctor",
            ) from error

    def read(self, path: str) -> bytes | None:
        """Return an object's content, None if it does not exist."""
        with suppress(FileNotFoundError):
            return bytes(self.call(lambda store: store.get(path).bytes()))
        return None

    def has(self, path: str) -> bool:
        """Return whether an object exists."""
        with suppress(FileNotFoundError):
            return bool(self.call(lambda store: store.head(path)))
        return False

    def delete_stale_uploads(self, below: str, before: datetime) -> None:
        """Delete remains of uploads interrupted before ``before``. Folders only; buckets have lifecycle rules."""
        if self.url.startswith(FILE_SCHEME):
            folder = Path(self.url.removeprefix(FILE_SCHEME), below)
            self.call(lambda _: _delete_stale_uploads(folder, before))

    @property
    def _store(self) -> Any:  # noqa: ANN401 (one of the library's stores)
        if self._opened is None:
            from obstore.store import from_url  # noqa: PLC0415 (slow, and only a store needs it)

            if self.url.startswith(FILE_SCHEME):
                Path(self.url.removeprefix(FILE_SCHEME)).mkdir(mode=0o700, parents=True, exist_ok=True)
                self._opened = from_url(self.url)
                return self._opened
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"
            client: ClientConfig = {"timeout": "5m", "connect_timeout": "10s", "allow_http": plain}
            self._opened = from_url(self.url, client_options=client, retry_config=RETRY_CONFIG)
        return self._opened


def _delete_stale_uploads(folder: Path, before: datetime) -> None:
    for upload in folder.glob("*#[0-9]*"):
        with suppress(FileNotFoundError):  # another process deleted it first
            if upload.stat().st_mtime < before.timestamp():
                upload.unlink()
