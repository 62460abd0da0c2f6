"""Damaged npz and npy files: one error that names the file, and no more memory than the file has bytes."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tpumlir import npz
from tpumlir.data.sources import load_npy
from tpumlir.errors import InputError, TpumlirError


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


GOOD = npy(header("(2,)"), bytes(8))
DAMAGED = [
    ("extents_of_an_exabyte", npy(header("(1152921504606846976,)"), bytes(8))),
    ("extents_of_64_gib", npy(header("(4096, 4194304)"), bytes(8))),
    ("an_extent_below_0", npy(header("(-1,)"), b"")),
    ("a_truth_value_as_extent", npy(header("(True,)"), bytes(4))),
    ("less_data", npy(header("(2,)"), bytes(7))),
    ("more_data", npy(header("(2,)"), bytes(9))),
    ("a_header_cut_off", GOOD[:20]),
    ("an_open_string", npy("{'descr")),
    ("an_open_bracket", npy("{'descr': ('<f4'")),
    ("no_literal", npy("__import__('os')")),
    ("no_type", npy(header("(2,)", "'<q9'"), bytes(8))),
    ("an_odd_type", npy(header("(2,)", "3"), bytes(8))),
    ("pickled_objects", npy(header("(1,)", "'|O'"), bytes(8))),
    ("another_version", npy(header("(2,)"), bytes(8), b"\7\0")),
    ("no_array", b"hello"),
    ("nothing", b""),
]


@pytest.mark.parametrize("content", [case[1] for case in DAMAGED], ids=[case[0] for case in DAMAGED])
def test_a_damaged_array_is_refused(content: bytes, tmp_path: Path) -> None:
    single, archive = tmp_path / "x.npy", tmp_path / "x.npz"
    single.write_bytes(content)
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("x.npy", content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"x\.npy: expected an npy file, got"):
            load_npy(single)
        with pytest.raises(TpumlirError, match=r"x\.npz: expected a complete npz file, got"):
            npz.load(archive)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_archives_that_zipfile_does_not_read_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.npy", GOOD)
    data = out.getvalue()
    entry = data.index(b"PK\1\2")
    path = tmp_path / "x.npz"
    # In the directory: needed version, flags (encrypted, patched, strong), method, offset of the member.
    for place, value in ((6, 99), (8, 1), (8, 1 << 5), (8, 1 << 6), (10, 99), (42, 2**31)):
        size = 4 if place == 42 else 2
        damaged = bytearray(data)
        damaged[entry + place : entry + place + size] = value.to_bytes(size, "little")
        path.write_bytes(damaged)
        with pytest.raises(TpumlirError, match=r"x\.npz: expected a complete npz file, got"):
            npz.load(path)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", GOOD)
        archive.writestr("x", GOOD)
    with pytest.raises(TpumlirError, match="two arrays of the name 'x'"):
        npz.load(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes_is_read(compressed: bool, tmp_path: Path) -> None:
    tensors = {
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.int8),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big_endian": np.arange(4, dtype=">i4"),
        "truth": np.array([True, False]),
        "large": np.arange(1 << 19, dtype=np.float32),
    }
    path = tmp_path / "x.npz"
    (np.savez_compressed if compressed else np.savez)(path, **tensors)  # type: ignore[arg-type]
    read = npz.load(path)
    assert list(read) == list(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype
        assert read[name].flags.writeable
    np.save(tmp_path / "x.npy", tensors["columns"])
    np.testing.assert_array_equal(load_npy(tmp_path / "x.npy"), tensors["columns"])
