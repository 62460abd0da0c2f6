"""The file around the tables: header, table section, blob, and the digest that we add.

A bmodel of ours carries, in header bytes that the vendor leaves zero and its runtime does not look at, a mark
and the SHA-256 of everything else. The vendor's own check covers the weights only; a changed bit in a command
would still run. The last of these bytes say where notes on the inputs lie, which the vendor has no place for.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import NamedTuple

from tpumlir.bmodel import flat
from tpumlir.errors import BModelError
from tpumlir.files import atomic_write

MAGIC = 0xFF55AAEE
HEADER_BYTES = 64
ALIGNMENT = 4096
"""The blob and every part of it start at a multiple of this; so do the vendor's."""

_FIXED = struct.Struct("<IIIQ")
_MARK = b"TPUMLIR1"
_DIGEST_BYTES = hashlib.sha256().digest_size
_NOTES = struct.Struct("<I")
"""0, or 1 + the number of the page of the blob at which the notes begin; they end with the blob."""


class Blob:
    """Collects the parts of the binary section."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._places: dict[bytes, int] = {}

    def add(self, data: bytes, *, last: bool = False) -> tuple[int, int]:
        """Return the (start, size) of ``data`` in the blob. Equal parts share one, but for the ``last``."""
        digest = hashlib.sha256(data).digest()
        known = None if last else self._places.get(digest)
        if known is not None:
            return known, len(data)
        start = self._places[digest] = self._size
        padding = -len(data) % ALIGNMENT
        self._parts += [data, b"\0" * padding]
        self._size += len(data) + padding
        return start, len(data)

    def bytes(self) -> bytes:
        """Return the whole section."""
        return b"".join(self._parts)


class Container(NamedTuple):
    """A file taken apart: the ``Model`` table and the blob that its byte ranges lie in."""

    path: Path
    model: flat.Table
    blob: memoryview
    blob_offset: int
    size: int
    digest: bytes
    """Our digest, which is right if there is one; empty in a file of the vendor."""
    notes: bytes = b""
    """What we wrote beside the vendor's tables; empty in a file of the vendor."""

    def part(self, what: str, span: tuple[int, int]) -> bytes:
        """Return the bytes of a ``Binary``. Raises: BModelError: outside the blob."""
        start, size = span
        if start + size > len(self.blob):
            raise BModelError(
                f"{self.path}: {what}: expected a byte range inside the blob of {len(self.blob)} bytes, "
                f"got {start}..{start + size}",
                offset=self.blob_offset,
            )
        return bytes(self.blob[start : start + size])


def _digest(fixed: bytes, body: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(fixed)
    digest.update(body)
    return digest.digest()


def write_container(path: str | Path, model: flat.Table, blob: Blob, notes: bytes = b"") -> bytes:
    """Write the file, whole or not at all, and return its digest. The same input gives the same bytes.

    ``notes`` become the last part of the blob, which no table names. Raises: OSError.
    """
    page = blob.add(notes, last=True)[0] // ALIGNMENT + 1 if notes else 0
    tables = flat.encode("Model", model)
    tables += b"\0" * (-(HEADER_BYTES + len(tables)) % ALIGNMENT)
    body = tables + blob.bytes()
    fixed = _FIXED.pack(MAGIC, HEADER_BYTES, len(tables), len(body) - len(tables))
    place = _NOTES.pack(page)
    digest = _digest(fixed + place * bool(page), body)
    header = fixed + _MARK + digest + place
    with atomic_write(path) as stream:
        stream.write(header)
        stream.write(body)
    return digest


def read_container(path: str | Path) -> Container:
    """Read a bmodel of ours or of the vendor and check all that can be checked without knowing its contents.

    Raises: BModelError: not a bmodel, cut off, or changed; OSError.
    """
    path = Path(path)
    data = memoryview(path.read_bytes())
    try:
        return _parse(path, data)
    except BModelError as error:
        if str(error).startswith(str(path)):
            raise
        raise BModelError(f"{path}: {error}", offset=error.offset) from None


def _parse(path: Path, data: memoryview) -> Container:
    def fail(offset: int, rule: str, got: object) -> BModelError:
        return BModelError(f"{path}: expected {rule}, got {got} (at byte {offset})", offset=offset)

    if len(data) < HEADER_BYTES:
        raise fail(len(data), f"a header of {HEADER_BYTES} bytes", f"a file of {len(data)}")
    magic, header_bytes, table_bytes, blob_bytes = _FIXED.unpack_from(data)
    if magic != MAGIC:
        raise fail(0, f"a bmodel (it starts with {MAGIC:#010x})", f"{magic:#010x}")
    if header_bytes != HEADER_BYTES:
        raise fail(4, f"a header of {HEADER_BYTES} bytes", header_bytes)
    expected = HEADER_BYTES + table_bytes + blob_bytes
    if len(data) != expected:
        kind = "it is cut off" if len(data) < expected else "bytes were added"
        raise fail(8, f"a file of {expected} bytes, as its header says", f"{len(data)} ({kind})")

    reserved = bytes(data[_FIXED.size : HEADER_BYTES])
    body = data[HEADER_BYTES:]
    if any(reserved):
        if not reserved.startswith(_MARK):
            raise fail(_FIXED.size, "zeros or the mark of a digest", reserved[: len(_MARK)].hex())
        place = reserved[-_NOTES.size :]
        want = _digest(bytes(data[: _FIXED.size]) + place * any(place), body)
        if reserved[len(_MARK) : -_NOTES.size] != want:
            raise fail(
                _FIXED.size + len(_MARK),
                "the digest that the file was written with",
                "another (its bytes have changed)",
            )
    blob_offset = HEADER_BYTES + table_bytes
    model = flat.decode("Model", body[:table_bytes], base=HEADER_BYTES)
    digest = reserved[len(_MARK) : len(_MARK) + _DIGEST_BYTES] if any(reserved) else b""
    (page,) = _NOTES.unpack(reserved[-_NOTES.size :])
    notes = bytes(data[blob_offset + (page - 1) * ALIGNMENT :]).rstrip(b"\0") if page else b""
    return Container(path, model, data[blob_offset:], blob_offset, len(data), digest, notes)
