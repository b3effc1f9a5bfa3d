"""Backup encryption: a dump is compressed and encrypted while it is written; plain text never reaches the store.

Compression is zstd (RFC 8878), encryption is age (https://age-encryption.org/v1). Both have their own command-line
tools, so a backup can be opened without abreast.
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
from abreast.database.dump_process import CHUNK_SIZE
from abreast.machine.files import widen_pipe
from abreast.storage.object_store import ObjectStore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

COMPRESSION_LEVEL = 1
"""The zstd level: faster than the default level, at the cost of a few percent of size."""


class BackupKeys:
    """The keys that open a backup: those of ``recipients``, the key in ``file``, or the passphrase.

    With ``create`` a missing key file is created.

    Each backup also gets a key of its own, so that the process that encrypted it can verify it. With a passphrase,
    this key is stored beside the backup, encrypted with the passphrase.
    """

    def __init__(
        self,
        recipients: Sequence[str],
        file: Path | None,
        passphrase: Callable[[], Secret] | None = None,
        *,
        create: bool = False,
    ) -> None:
        self._recipients = recipients
        self._file = file
        self._create = create
        self._passphrase = passphrase

    @property
    def are_here(self) -> bool:
        """Whether backups are meant to be opened on this machine, not only by recipients elsewhere."""
        return self._file is not None or self._passphrase is not None

    def new_cipher(self) -> "BackupCipher":
        """Return the cipher for a new backup; raises DatabaseError for an invalid recipient."""
        if self._create and self._file:
            _create_key_file(self._file)
        backup_key = pyrage.x25519.Identity.generate()
        recipients = [_parse_recipient(recipient) for recipient in self._recipients]
        recipients += [identity.to_public() for identity in self._read_identities()]
        wrapped_key = b""
        if self._passphrase:
            wrapped_key = pyrage.passphrase.encrypt(str(backup_key).encode(), self._passphrase().reveal())
        return BackupCipher([*recipients, backup_key.to_public()], [backup_key], wrapped_key)

    def cipher_for(self, wrapped_key: bytes | None) -> "BackupCipher":
        """Return the cipher that opens a backup; ``wrapped_key`` is its passphrase-encrypted key, if it has one."""
        identities = self._read_identities()
        if wrapped_key and self._passphrase:
            try:
                backup_key = pyrage.passphrase.decrypt(wrapped_key, self._passphrase().reveal())
            except pyrage.DecryptError as error:
                raise DatabaseError(
                    "the passphrase does not open this backup", need="the passphrase that it was encrypted with"
                ) from error
            identities = [*identities, pyrage.x25519.Identity.from_str(backup_key.decode())]
        if not identities:
            raise DatabaseError(
                "no key to open a backup",
                need=f"{self._file or 'the file that `backups: key` names'}, or the passphrase",
                next="copy the key to that file, with mode 0600",
            )
        return BackupCipher([], identities, b"")

    def _read_identities(self) -> list[Any]:
        if self._file is None or not self._file.exists():
            return []
        lines = [line.strip() for line in self._file.read_text().splitlines()]
        try:
            return [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
        except pyrage.IdentityError as error:
            raise DatabaseError(
                f"{self._file} is not an age key",
                need="a key file as age-keygen writes it",
                next=f"age-keygen -o {self._file}",
            ) from error


class BackupCipher:
    """Encrypts to ``recipients`` and decrypts with ``identities``; ``wrapped_key`` is b"" without a passphrase."""

    def __init__(self, recipients: Sequence[Any], identities: Sequence[Any], wrapped_key: bytes) -> None:
        self._recipients = list(recipients)
        self._identities = list(identities)
        self.wrapped_key = wrapped_key

    def encrypt(self, content: bytes) -> bytes:
        """Return a small content encrypted."""
        return bytes(pyrage.encrypt(content, self._recipients))

    def decrypt(self, content: bytes, subject: str) -> bytes:
        """Return a small content decrypted; ``subject`` names it in errors."""
        with _decryption_errors(subject):
            return bytes(pyrage.decrypt(content, self._identities))

    def encrypt_to_store(self, objects: ObjectStore, path: str, write: Callable[[IO[bytes]], T]) -> tuple[T, str, int]:
        """Encrypt what ``write`` writes into an object; return its result, the object's digest and its size in bytes.

        The object is stored completely or not at all. Memory use does not grow with the size.
        """

        def upload(source: IO[bytes]) -> tuple[str, int]:
            def encrypt(store: Any) -> tuple[str, int]:  # noqa: ANN401 (one of the library's stores)
                with open_writer(store, path, buffer_size=8 << 20) as target:
                    hashing = _HashingWriter(target)
                    pyrage.encrypt_io(source, hashing, self._recipients)
                    if worker.writer_failed:
                        raise DatabaseError("the backup was interrupted")  # the writer then stores no object
                return f"sha256:{hashing.digest.hexdigest()}", hashing.size

            return objects.call(encrypt)  # type: ignore[no-any-return]

        worker = _PipeWorker(upload)
        with worker.writer() as pipe, _compressor(pipe) as target:
            result = write(target)
        return result, *worker.result()

    def decrypt_from_store(self, objects: ObjectStore, path: str, into: Path, digest: str) -> None:
        """Decrypt an object into the file ``into``; raises DatabaseError if its digest is not ``digest``."""

        def decompress(source: IO[bytes]) -> None:
            with _decompressor(source) as plain, into.open("wb") as file:
                while chunk := plain.read(CHUNK_SIZE):
                    write_chunk(file, chunk, into)

        into.touch(mode=0o600)
        worker = _PipeWorker(decompress)
        stream = _ChunkReader(objects, objects.call(lambda store: store.get(path).stream(min_chunk_size=CHUNK_SIZE)))
        try:
            with _decryption_errors(path), worker.writer() as target:
                pyrage.decrypt_io(stream, target, self._identities)
        except DatabaseError as error:
            raise stream.error or error from error.__cause__
        worker.result()
        if digest and f"sha256:{stream.digest.hexdigest()}" != digest:
            raise DatabaseError(f"the content of the backup {path} has changed", need="the content that was stored")


def write_chunk(file: IO[bytes], chunk: bytes, path: Path) -> None:
    """Write to a file of this machine. Raises DatabaseError that says which, if that fails."""
    try:
        file.write(chunk)
    except OSError as error:
        raise DatabaseError(f"cannot write {path}: {error.strerror}", need="free disk space") from error


class _PipeWorker:
    """A thread that reads from a pipe what the caller writes; the first error of the two is raised."""

    def __init__(self, work: Callable[[IO[bytes]], Any]) -> None:
        read, self._write = os.pipe()
        widen_pipe(self._write, CHUNK_SIZE)
        self.writer_failed = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work, read), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[IO[bytes]], Any], read: int) -> None:
        with os.fdopen(read, "rb", CHUNK_SIZE) as source:
            try:
                self._result = work(source)
            except BaseException as error:  # noqa: BLE001 (raised in the waiting thread)
                self._error = error

    @contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        target = os.fdopen(self._write, "wb", CHUNK_SIZE)
        try:
            yield target
            target.close()
        except BaseException as error:
            self.writer_failed, worker_error = True, self._error
            with suppress(OSError):
                target.close()
            self._thread.join()
            if worker_error:
                raise worker_error from error
            raise
        self._thread.join()

    def result(self) -> Any:  # noqa: ANN401 (what the work returned)
        if self._error:
            raise self._error
        return self._result


class _HashingWriter:
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
        """Do nothing: the caller flushes and closes the target."""


class _ChunkReader:
    """A store's chunks as a file; ``error`` keeps the store's error, which the decryption library swallows."""

    def __init__(self, objects: ObjectStore, chunks: Any) -> None:  # noqa: ANN401 (an iterator of buffers)
        self._objects = objects
        self._chunks = iter(chunks)
        self._buffer = memoryview(b"")
        self.digest = hashlib.sha256()
        self.error: DatabaseError | None = None

    def read(self, size: int = -1) -> bytes:
        if not self._buffer:
            try:
                chunk = bytes(self._objects.call(lambda _: next(self._chunks, b"")))
            except DatabaseError as error:
                self.error = error
                raise
            self.digest.update(chunk)
            self._buffer = memoryview(chunk)
        size = len(self._buffer) if size < 0 else size
        data, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
        return data


@contextmanager
def _compressor(target: IO[bytes]) -> Iterator[Any]:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: COMPRESSION_LEVEL,
        zstd.CompressionParameter.nb_workers: min(4, os.cpu_count() or 1),
        zstd.CompressionParameter.checksum_flag: 1,
    }
    with zstd.ZstdFile(target, "wb", options=options) as file:
        yield file


@contextmanager
def _decompressor(source: IO[bytes]) -> Iterator[Any]:
    try:
        with zstd.ZstdFile(source, "rb") as file:
            yield file
    except (zstd.ZstdError, EOFError) as error:
        raise DatabaseError(
            f"the backup cannot be decompressed: {error}", need="the content that was stored"
        ) from error


@contextmanager
def _decryption_errors(subject: str) -> Iterator[None]:
    try:
        yield
    except pyrage.DecryptError as error:
        wrong_key = "matching keys" in str(error)
        raise DatabaseError(
            f"the key does not open {subject}" if wrong_key else f"{subject} is truncated or was changed: {error}",
            need="the key that it was encrypted for" if wrong_key else "the content that was stored",
            next="abreast db list",
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DatabaseError(
            f"{subject} is truncated or was changed: {error}", need="the content that was stored"
        ) from error


def _create_key_file(file: Path) -> None:
    if not file.exists():
        identity = pyrage.x25519.Identity.generate()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        unfinished.touch(mode=0o600)
        unfinished.write_text(f"# public key: {identity.to_public()}\n{identity}\n")
        with suppress(FileExistsError):
            file.hardlink_to(unfinished)
        unfinished.unlink()


def _parse_recipient(text: str) -> Any:  # noqa: ANN401 (one of the library's)
    try:
        kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise DatabaseError(f"{text[:24]}… is not an age recipient", need="age1… or an SSH public key") from error
