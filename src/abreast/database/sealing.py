"""Sealing: what is written is compressed, encrypted and put away as it comes; nothing of it lies about in clear.

Compression is zstd (RFC 8878), encryption age (https://age-encryption.org/v1); both have tools of their own, so that
a backup can be opened without abreast.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pyrage  # type: ignore[import-untyped]
from obstore import open_writer

from abreast.core.errors import DatabaseError
from abreast.core.secrets import Secret
from abreast.database.programs import CHUNK, widen
from abreast.machine.objects import Objects

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

LEVEL = 1
"""Of zstd: a backup is done sooner, and is a few percent larger than with its usual level, or none."""


class Keys:
    """Who can open what is sealed: ``recipients``, the holder of the key in ``file``, or of the passphrase.

    With ``make`` the file is made where there is none.

    A key of its own is made for each backup too: what was sealed can be opened again by the process that sealed it,
    to see that it can. With a passphrase that key lies beside the backup, sealed with the passphrase.
    """

    def __init__(
        self,
        recipients: Sequence[str],
        file: Path | None,
        passphrase: Callable[[], Secret] | None = None,
        *,
        make: bool = False,
    ) -> None:
        self._recipients = recipients
        self._file = file
        self._make = make
        self._passphrase = passphrase

    def fresh(self) -> "Sealer":
        """Return what seals one backup; raises DatabaseError for a recipient that is none."""
        if self._make and self._file:
            _made(self._file)
        own = pyrage.x25519.Identity.generate()
        to = [_recipient(one) for one in self._recipients]
        to += [identity.to_public() for identity in self._identities()]
        wrapped = b""
        if self._passphrase:
            wrapped = pyrage.passphrase.encrypt(str(own).encode(), self._passphrase().reveal())
        return Sealer([*to, own.to_public()], [own], wrapped)

    def opener(self, wrapped: bytes | None) -> "Sealer":
        """Return what opens a backup, whose ``wrapped`` key lies beside it."""
        identities = self._identities()
        if wrapped and self._passphrase:
            try:
                own = pyrage.passphrase.decrypt(wrapped, self._passphrase().reveal())
            except pyrage.DecryptError as error:
                raise DatabaseError(
                    "the passphrase does not open this backup", need="the one that it was made with"
                ) from error
            identities = [*identities, pyrage.x25519.Identity.from_str(own.decode())]
        if not identities:
            raise DatabaseError(
                "there is no key here that could open a backup",
                need="the file that `backups: key` names, or the passphrase",
                next="put the key there, mode 0600",
            )
        return Sealer([], identities, b"")

    def _identities(self) -> list[Any]:
        if self._file is None or not self._file.exists():
            return []
        lines = [line.strip() for line in self._file.read_text().splitlines()]
        try:
            return [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
        except pyrage.IdentityError as error:
            raise DatabaseError(
                f"{self._file} is no key of age",
                need="a file that age-keygen writes",
                next=f"age-keygen -o {self._file}",
            ) from error


class Sealer:
    """Seals to ``recipients`` and opens with ``identities``; ``wrapped`` is the sealed key, b"" where there is none."""

    def __init__(self, recipients: Sequence[Any], identities: Sequence[Any], wrapped: bytes) -> None:
        self._recipients = list(recipients)
        self._identities = list(identities)
        self.wrapped = wrapped

    def seal(self, content: bytes) -> bytes:
        """Return a small content, encrypted."""
        return bytes(pyrage.encrypt(content, self._recipients))

    def open(self, content: bytes, what: str) -> bytes:
        """Return a small content as it was."""
        with _opening(what):
            return bytes(pyrage.decrypt(content, self._identities))

    def put(self, objects: Objects, path: str, write: Callable[[IO[bytes]], T]) -> tuple[T, str, int]:
        """Seal all that ``write`` writes into an object; returns its answer, the object's digest, and its size.

        The object is there whole, or not at all; memory is bounded, however much is written.
        """

        def away(source: IO[bytes]) -> tuple[str, int]:
            def sealing(store: Any) -> tuple[str, int]:  # noqa: ANN401 (one of the library's stores)
                with open_writer(store, path, buffer_size=8 << 20) as target:
                    hashing = _Hashing(target)
                    pyrage.encrypt_io(source, hashing, self._recipients)
                    if end.failed:
                        raise DatabaseError("what is sealed was cut off")  # the writer then leaves no object
                return f"sha256:{hashing.digest.hexdigest()}", hashing.size

            return objects.ask(sealing)  # type: ignore[no-any-return]

        end = _Piped(away)
        with end.feeding() as raw, _compressing(raw) as target:
            answer = write(target)
        return answer, *end.result()

    def fetch(self, objects: Objects, path: str, into: Path, digest: str) -> None:
        """Put the object's content, as it was written, into a file; raises DatabaseError where it is not that."""

        def away(source: IO[bytes]) -> None:
            with _compressed(source) as plain, into.open("wb") as file:
                while chunk := plain.read(CHUNK):
                    _write(file, chunk, into)

        into.touch(mode=0o600)
        end = _Piped(away)
        stream = _Stream(objects, objects.ask(lambda store: store.get(path).stream(min_chunk_size=CHUNK)))
        try:
            with _opening(path), end.feeding() as target:
                pyrage.decrypt_io(stream, target, self._identities)
        except DatabaseError as error:
            raise stream.error or error from error.__cause__
        end.result()
        if digest and f"sha256:{stream.digest.hexdigest()}" != digest:
            raise DatabaseError(f"the backup {path} is not what was put there", need="its bytes as they were")


def _write(file: IO[bytes], chunk: bytes, path: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise DatabaseError(f"{path} could not be written: {error.strerror}", need="room on the disk") from error


class _Piped:
    """Work in a thread that reads what this one feeds it through a pipe; the first of the two to fail is told."""

    def __init__(self, work: Callable[[IO[bytes]], Any]) -> None:
        read, self._write = os.pipe()
        widen(self._write)
        self.failed = False
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work, read), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[IO[bytes]], Any], read: int) -> None:
        with os.fdopen(read, "rb", CHUNK) as source:
            try:
                self._answer = work(source)
            except BaseException as error:  # noqa: BLE001 (told by the thread that waits)
                self._error = error

    @contextmanager
    def feeding(self) -> Iterator[IO[bytes]]:
        target = os.fdopen(self._write, "wb", CHUNK)
        try:
            yield target
            target.close()
        except BaseException as error:
            self.failed, first = True, self._error
            with suppress(OSError):
                target.close()
            self._thread.join()
            if first:
                raise first from error
            raise
        self._thread.join()

    def result(self) -> Any:  # noqa: ANN401 (what the work returned)
        if self._error:
            raise self._error
        return self._answer


class _Hashing:
    def __init__(self, target: Any) -> None:  # noqa: ANN401 (whatever takes bytes)
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self.size += len(chunk)
        self._target.write(bytes(chunk))
        return len(chunk)

    def flush(self) -> None:
        """The target is closed by whoever opened it."""


class _Stream:
    """Chunks of a store as a file; ``error`` is what the store failed with, which who reads does not hand on."""

    def __init__(self, objects: Objects, chunks: Any) -> None:  # noqa: ANN401 (an iterator of buffers)
        self._objects = objects
        self._chunks = iter(chunks)
        self._held = memoryview(b"")
        self.digest = hashlib.sha256()
        self.error: DatabaseError | None = None

    def read(self, size: int = -1) -> bytes:
        if not self._held:
            try:
                chunk = bytes(self._objects.ask(lambda _: next(self._chunks, b"")))
            except DatabaseError as error:
                self.error = error
                raise
            self.digest.update(chunk)
            self._held = memoryview(chunk)
        size = len(self._held) if size < 0 else size
        answer, self._held = bytes(self._held[:size]), self._held[size:]
        return answer


@contextmanager
def _compressing(target: IO[bytes]) -> Iterator[Any]:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: LEVEL,
        zstd.CompressionParameter.nb_workers: min(4, os.cpu_count() or 1),
        zstd.CompressionParameter.checksum_flag: 1,
    }
    with zstd.ZstdFile(target, "wb", options=options) as file:
        yield file


@contextmanager
def _compressed(source: IO[bytes]) -> Iterator[Any]:
    try:
        with zstd.ZstdFile(source, "rb") as file:
            yield file
    except (zstd.ZstdError, EOFError) as error:
        raise DatabaseError(f"the backup cannot be unpacked: {error}", need="its bytes as they were") from error


@contextmanager
def _opening(what: str) -> Iterator[None]:
    try:
        yield
    except pyrage.DecryptError as error:
        wrong_key = "matching keys" in str(error)
        raise DatabaseError(
            f"the key does not open {what}" if wrong_key else f"{what} was cut off or changed: {error}",
            need="the key that it was sealed for" if wrong_key else "its bytes as they were",
            next="abreast db list",
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DatabaseError(f"{what} was cut off or changed: {error}", need="its bytes as they were") from error


def _made(file: Path) -> None:
    if not file.exists():
        own = pyrage.x25519.Identity.generate()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        unfinished.touch(mode=0o600)
        unfinished.write_text(f"# public key: {own.to_public()}\n{own}\n")
        with suppress(FileExistsError):
            file.hardlink_to(unfinished)
        unfinished.unlink()


def _recipient(text: str) -> Any:  # noqa: ANN401 (one of the library's)
    try:
        kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise DatabaseError(f"{text[:24]}… is no recipient of age", need="age1… or an ssh public key") from error
