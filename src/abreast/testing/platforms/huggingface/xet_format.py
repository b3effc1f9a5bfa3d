"""The two formats of Xet storage: xorbs, which hold compressed chunks, and shards, which list files.

https://huggingface.co/docs/xet. The hash of a xorb is taken as given; files are checked by their SHA-256.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SHARD_TAG = b"HFRepoMetaData\0"
_SHARD_HEADER_SIZE, _ENTRY_SIZE = 48, 48
_BOOKEND = b"\xff" * 32
_HAS_VERIFICATION, _HAS_METADATA = 1 << 31, 1 << 30
_XORB_FOOTER = b"XETBLOB"
_LZ4_MAGIC = 0x184D2204


@dataclass(frozen=True)
class Segment:
    """Chunks ``start`` to ``end`` (exclusive) of a xorb, of ``length`` bytes when they are decompressed."""

    xorb: str
    start: int
    end: int
    length: int


@dataclass(frozen=True)
class ShardFile:
    """A file by its Xet hash. ``sha256`` is "" where the shard does not name it."""

    hash: str
    segments: tuple[Segment, ...]
    sha256: str = ""


@dataclass(frozen=True)
class Chunk:
    """A chunk in a xorb: from byte ``start`` to ``end`` (exclusive), and its content."""

    start: int
    end: int
    content: bytes


def hash_text(raw: bytes) -> str:
    """Return a hash as the API writes it: four little-endian words in hexadecimal digits."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def parse_shard(data: bytes) -> list[ShardFile]:
    """Return the files of a shard. Raises ValueError for other data."""
    if not data.startswith(_SHARD_TAG):
        raise ValueError("not a shard")
    files, position = [], _SHARD_HEADER_SIZE
    try:
        while data[position : position + 32] != _BOOKEND:
            raw_hash, flags, count = struct.unpack_from("<32sII", data, position)
            entries = position + _ENTRY_SIZE
            segments = tuple(_segment(data, entries + number * _ENTRY_SIZE) for number in range(count))
            position = entries + count * _ENTRY_SIZE * (2 if flags & _HAS_VERIFICATION else 1)
            sha256 = ""
            if flags & _HAS_METADATA:
                sha256 = hash_text(data[position : position + 32])
                position += _ENTRY_SIZE
            files.append(ShardFile(hash_text(raw_hash), segments, sha256))
    except struct.error as error:
        raise ValueError(f"a truncated shard: {error}") from error
    return files


def _segment(data: bytes, position: int) -> Segment:
    raw_hash, _, length, start, end = struct.unpack_from("<32sIIII", data, position)
    return Segment(hash_text(raw_hash), start, end, length)


def parse_xorb(data: bytes) -> list[Chunk]:
    """Return the chunks of a xorb. Raises ValueError for other data."""
    return list(_chunks(data))


def _chunks(data: bytes) -> Iterator[Chunk]:
    position = 0
    while position < len(data) and not data.startswith(_XORB_FOOTER, position):
        version, scheme = data[position], data[position + 4]
        compressed = int.from_bytes(data[position + 1 : position + 4], "little")
        length = int.from_bytes(data[position + 5 : position + 8], "little")
        end = position + 8 + compressed
        if version or scheme > 2 or end > len(data):
            raise ValueError("not a xorb")
        content = _decompress(scheme, data[position + 8 : end])
        if len(content) != length:
            raise ValueError(f"a chunk of {len(content)} bytes that should have {length}")
        yield Chunk(position, end, content)
        position = end


def _decompress(scheme: int, data: bytes) -> bytes:
    """Return a chunk's content: stored (0), LZ4 (1), or LZ4 of every fourth byte together (2)."""
    if scheme == 0:
        return data
    content = decompress_lz4(data)
    if scheme == 1:
        return content
    grouped, start = bytearray(len(content)), 0
    for lane in range(4):
        size = (len(content) + 3 - lane) // 4
        grouped[lane::4] = content[start : start + size]
        start += size
    return bytes(grouped)


def decompress_lz4(data: bytes) -> bytes:
    """Return the content of an LZ4 frame. Raises ValueError for other data. Checksums are not checked."""
    if len(data) < 7 or int.from_bytes(data[:4], "little") != _LZ4_MAGIC:
        raise ValueError("not an LZ4 frame")
    flags = data[4]
    position, content = 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0), bytearray()
    while size := int.from_bytes(data[position : position + 4], "little"):
        block = data[position + 4 : position + 4 + (size & 0x7FFFFFFF)]
        if size >> 31:
            content += block
        else:
            _decompress_block(block, content)
        position += 4 + len(block) + (4 if flags & 16 else 0)
    return bytes(content)


def _decompress_block(block: bytes, content: bytearray) -> None:
    position = 0
    while position < len(block):
        token = block[position]
        literals, position = _length(block, position + 1, token >> 4)
        content += block[position : position + literals]
        position += literals
        if position >= len(block):
            return
        offset = int.from_bytes(block[position : position + 2], "little")
        matched, position = _length(block, position + 2, token & 15)
        matched += 4
        if not 0 < offset <= len(content):
            raise ValueError("an LZ4 match before the beginning")
        source = content[-offset:]
        content += (source * (matched // offset + 1))[:matched]


def _length(block: bytes, position: int, length: int) -> tuple[int, int]:
    """Return a length that may go on in further bytes, and the position behind it."""
    if length == 15:
        while block[position] == 255:
            length, position = length + 255, position + 1
        length, position = length + block[position], position + 1
    return length, position
