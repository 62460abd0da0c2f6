"""Named tensors in files: npz read without pickles, written atomically, with errors that name the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, TpumlirError
from tpumlir.files import atomic_write

Array = npt.NDArray[np.generic]


def load(path: str | Path) -> dict[str, Array]:
    """All tensors of an npz file by name, in the file's order.

    Raises: TpumlirError: missing, truncated or not an npz file, or one that holds pickled objects.
    """
    path = Path(path)
    try:
        # numpy leaves the file open if it is not a complete archive, so it is opened here.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            if not isinstance(data, np.lib.npyio.NpzFile):
                raise TpumlirError(Diagnostic(f"{path}: expected an npz file, got a single npy array"))
            return {name: data[name] for name in data.files}
    except FileNotFoundError:
        raise TpumlirError(Diagnostic(f"{path}: no such file")) from None
    except (IsADirectoryError, PermissionError) as error:
        raise TpumlirError(Diagnostic(f"{path}: {error.strerror}")) from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError) as error:
        raise TpumlirError(
            Diagnostic(f"{path}: expected a complete npz file, got {_reason(error)}")
        ) from None


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
