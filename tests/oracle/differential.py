"""Child process: runs random commands on both simulators and prints one JSON line per case.

Usage: differential.py FOLDER FAMILY SEED COUNT [OP [DTYPE]]

The vendor's library ends the process on what it does not take, hence a child. Each case starts from equal
memories; the whole local memory, and for GDMA the whole DDR, is compared after it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracle import cases, values, vendor
from tpumlir._core import device
from tpumlir.errors import TpumlirError

DDR_BYTES = 2 << 20
Bytes = npt.NDArray[np.uint8]
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def _equal(a: Bytes, b: Bytes) -> bool:
    return bool(_memcmp(a.ctypes.data, b.ctypes.data, a.nbytes) == 0)


class Pair:
    """Both machines, with equal memories between cases."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.vendor = vendor.VendorMachine(folder, DDR_BYTES)
        self.machine = device.Machine(DDR_BYTES)
        self.lanes = [self.machine.lmem(i) for i in range(vendor.LANES)]
        rng = np.random.default_rng(seed)
        self.vendor.lmem[:] = rng.integers(0, 256, self.vendor.lmem.shape, dtype=np.uint8)
        self.vendor.ddr[:] = rng.integers(0, 256, DDR_BYTES, dtype=np.uint8)
        for lane, data in zip(self.lanes, self.vendor.lmem, strict=True):
            lane[:] = data
        self.machine.write(cases.DDR, self.vendor.ddr)
        # On this path the library leaves static memory to its caller.
        self.vendor.smem[:] = np.frombuffer(self.machine.read(cases.SMEM, vendor.SMEM_BYTES), np.uint8)

    def fill(self, rng: np.random.Generator, fill: cases.Fill) -> None:
        """Write random operands of a case into both memories."""
        size = values.SIZES[fill.dtype]
        count = fill.count * (1 if fill.ddr else vendor.LANES)
        if fill.limit:
            kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[size]
            data = rng.integers(0, fill.limit, count).astype(kind).view(np.uint8)
        else:
            data = values.make(rng, fill.dtype, count, fill.profile)
        end = fill.offset + fill.count * size
        if fill.ddr:
            self.vendor.ddr[fill.offset : end] = data
            self.machine.write(cases.DDR + fill.offset, data)
            return
        block = data.reshape(vendor.LANES, -1)
        for at in (i * fill.pitch for i in range(fill.copies)):
            self.vendor.lmem[:, at + fill.offset : at + end] = block
            for lane, row in zip(self.lanes, block, strict=True):
                lane[at + fill.offset : at + end] = row

    def difference(self, *, with_ddr: bool) -> tuple[int, str]:
        """Return the number of differing bytes and the first of them; ours becomes equal again."""
        count, first = 0, ""
        for index, (lane, want) in enumerate(zip(self.lanes, self.vendor.lmem, strict=True)):
            if _equal(lane, want):
                continue
            bad = np.flatnonzero(lane != want)
            count += int(bad.size)
            at = int(bad[0]) & ~3
            first = first or f"lane {index} byte {bad[0]}: got {lane[at : at + 4]}, want {want[at : at + 4]}"
            lane[:] = want
        if with_ddr:
            ours = np.frombuffer(self.machine.read(cases.DDR, DDR_BYTES), np.uint8)
            if not _equal(ours, self.vendor.ddr):
                bad = np.flatnonzero(ours != self.vendor.ddr)
                count += int(bad.size)
                first = first or f"ddr byte {bad[0]}: got {ours[bad[0]]}, want {self.vendor.ddr[bad[0]]}"
                self.machine.write(cases.DDR, self.vendor.ddr)
        return count, first


def run_case(pair: Pair, generator: cases.Generator, seed: int) -> dict[str, object]:
    """Run one case on both machines and say how they differ."""
    rng = np.random.default_rng(seed)
    case = generator(rng)
    for fill in case.fills:
        pair.fill(rng, fill)
    command = case.encode()
    row: dict[str, object] = {"op": case.op, "dtype": case.dtype, "seed": seed}
    pair.vendor.execute(vendor.TIU if case.engine == "tiu" else vendor.GDMA, command)
    try:
        pair.machine.execute(case.engine, command)
    except TpumlirError as error:
        row["fault"] = str(error)
    row["mismatches"], first = pair.difference(with_ddr=case.engine == "gdma")
    if first:
        row |= {"first": first, "fields": case.fields}
    return row


def rows(
    folder: str, family: str, seed: str, count: str, op: str = "", dtype: str = ""
) -> Iterator[dict[str, object]]:
    """Yield what happened in each case; a case is announced before it runs."""
    pair = Pair(Path(folder), int(seed))
    for index, (name, kind, generator) in enumerate(cases.FAMILIES[family]):
        if op not in ("", name) or dtype not in ("", kind):
            continue
        for i in range(int(count)):
            case_seed = (int(seed) * 1000 + index) * 1000 + i
            yield {"start": case_seed, "op": name, "dtype": kind}
            yield run_case(pair, generator, case_seed)


if __name__ == "__main__":
    for line in rows(*sys.argv[1:]):
        sys.stderr.write(json.dumps(line) + "\n")  # the library prints to stdout
        sys.stderr.flush()
