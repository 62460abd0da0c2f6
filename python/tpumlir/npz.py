"""Named tensors in files: npz read without pickles, written atomically, with errors that name the file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, TpumlirError
from tpumlir.files import atomic_write

Array = npt.NDArray[np.generic]

_NPY_MAGIC = b"\x93NUMPY"
_HEADERS = {
    b"\x01\x00": np.lib.format.read_array_header_1_0,
    b"\x02\x00": np.lib.format.read_array_header_2_0,
}
_CHUNK = 1 << 20


def load(path: str | Path) -> dict[str, Array]:
    """All tensors of an npz file by name, in the file's order.

    Raises: TpumlirError: missing, truncated or not an npz file, or one that holds pickled objects.
    """
    path = Path(path)
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise TpumlirError(Diagnostic(f"{path}: no such file")) from None
    except (IsADirectoryError, PermissionError) as error:
        raise TpumlirError(Diagnostic(f"{path}: {error.strerror}")) from None
    with stream:
        try:
            return _members(stream)
        # On damaged bytes zipfile and zlib raise a dozen classes, NotImplementedError and OSError among them.
        except Exception as error:
            raise TpumlirError(
                Diagnostic(f"{path}: expected a complete npz file, got {_reason(error)}")
            ) from None


def _members(stream: BinaryIO) -> dict[str, Array]:
    if stream.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
        raise ValueError("a single npy array")
    result: dict[str, Array] = {}
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in result:
                raise ValueError(f"two arrays of the name {name!r}")
            with archive.open(info) as member:
                result[name] = read_array(member)
    return result


def read_array(stream: IO[bytes]) -> Array:
    """The array of an npy stream. Memory grows with what the stream holds, not with what its header says.

    Raises: ValueError: damaged, cut off, longer than it says, or pickled objects.
    """
    magic = stream.read(len(_NPY_MAGIC) + 2)
    read_header = _HEADERS.get(magic[len(_NPY_MAGIC) :])
    if not magic.startswith(_NPY_MAGIC) or read_header is None:
        raise ValueError("something that is no npy array")
    try:
        shape, fortran, dtype = read_header(stream)
    except Exception:  # numpy has the header parsed as Python: SyntaxError, TokenError, TypeError ...
        raise ValueError("an npy array with a damaged header") from None
    if dtype.hasobject:
        raise ValueError("pickled objects")
    # True is an integer to numpy's check of the header, and it takes extents below 0.
    if any(isinstance(extent, bool) or extent < 0 for extent in shape):
        raise ValueError(f"an npy array of shape {shape}")
    size = math.prod(shape) * dtype.itemsize
    data = bytearray()
    while len(data) < size and (chunk := stream.read(min(size - len(data), _CHUNK))):
        data += chunk
    rest = len(stream.read(1))
    if len(data) != size or rest:
        got = "more" if rest else len(data)
        raise ValueError(f"an npy array of {size} bytes by its header with {got}")
    result: Array = np.ndarray(shape, dtype, data, order="F" if fortran else "C")
    return result


def save(path: str | Path, tensors: Mapping[str, Array]) -> None:
    """Write ``tensors`` to an npz file; the file appears whole or not at all. Raises: OSError."""
    with atomic_write(path) as stream:
        write(stream, tensors)


def write(stream: BinaryIO, tensors: Mapping[str, Array]) -> None:
    """Write ``tensors`` as an npz archive; the same tensors give the same bytes.

    numpy's own savez takes names as keyword arguments, so it refuses some of them ("file").
    """
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, value in tensors.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as member:
                # np.asarray keeps a scalar a scalar; ascontiguousarray would make it 1-D.
                np.lib.format.write_array(member, np.asarray(value, order="C"), allow_pickle=False)


def to_f32_from_bf16_bits(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The float32 values of bfloat16 bit patterns (exact)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bf16_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bfloat16 bit patterns nearest to float32 values, ties to even; NaN stays a quiet NaN."""
    bits = np.ascontiguousarray(values, np.float32).reshape(np.shape(values)).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), ((bits >> 16) | 0x40).astype(np.uint16), rounded)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "pickle" in text.lower():
        return "something else (or pickled objects, which are not read)"
    return " ".join(text.split())
