"""Child process: runs random commands on both simulators and prints one JSON line per case.

Usage: differential.py FOLDER FAMILY SEED COUNT [OP [DTYPE]]
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import cases
import numpy as np
import numpy.typing as npt
import values
import vendor

from tpumlir._core import device
from tpumlir.errors import TpumlirError

DDR_BYTES = 8 << 20
Bytes = npt.NDArray[np.uint8]


class Ours:
    """Our machine with the memories as arrays, like the vendor's."""

    def __init__(self) -> None:
        self.machine = device.Machine(DDR_BYTES)
        self.lanes = [self.machine.lmem(i) for i in range(vendor.LANES)]

    def lmem(self) -> Bytes:
        return np.stack(self.lanes)


class Pair:
    """Both machines, with equal memories between cases."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.vendor = vendor.VendorMachine(folder, DDR_BYTES)
        self.ours = Ours()
        rng = np.random.default_rng(seed)
        self.vendor.lmem[:] = rng.integers(0, 256, self.vendor.lmem.shape, dtype=np.uint8)
        self.vendor.ddr[:] = rng.integers(0, 256, DDR_BYTES, dtype=np.uint8)
        for lane, data in zip(self.ours.lanes, self.vendor.lmem, strict=True):
            lane[:] = data
        self.ours.machine.write(cases.DDR, self.vendor.ddr)
        self.vendor.smem[:] = np.frombuffer(self.ours.machine.read(cases.SMEM, vendor.SMEM_BYTES), np.uint8)

    def fill(self, rng: np.random.Generator, fill: cases.Fill) -> None:
        size = values.SIZES[fill.dtype]
        rows = 1 if fill.ddr else vendor.LANES
        count = rows * fill.count
        if fill.limit:
            kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[size]
            data = rng.integers(0, fill.limit, count).astype(kind).view(np.uint8)
        else:
            data = values.make(rng, fill.dtype, count, fill.profile)
        end = fill.offset + fill.count * size
        if fill.ddr:
            self.vendor.ddr[fill.offset : end] = data
            self.ours.machine.write(cases.DDR + fill.offset, data)
            return
        block = data.reshape(vendor.LANES, -1)
        self.vendor.lmem[:, fill.offset : end] = block
        for lane, row in zip(self.ours.lanes, block, strict=True):
            lane[fill.offset : end] = row

    def difference(self, with_ddr: bool) -> tuple[int, str]:
        """Number of differing bytes and the first of them; ours becomes equal again."""
        count, first = 0, ""
        for index, (lane, want) in enumerate(zip(self.ours.lanes, self.vendor.lmem, strict=True)):
            if lane.tobytes() == want.tobytes():
                continue
            bad = np.flatnonzero(lane != want)
            count += bad.size
            if not first:
                at = int(bad[0]) & ~3
                first = f"lane {index} byte {bad[0]}: got {lane[at : at + 4]}, want {want[at : at + 4]}"
            lane[:] = want
        if with_ddr:
            ours = np.frombuffer(self.ours.machine.read(cases.DDR, DDR_BYTES), np.uint8)
            if ours.tobytes() != self.vendor.ddr.tobytes():
                bad = np.flatnonzero(ours != self.vendor.ddr)
                count += bad.size
                first = first or f"ddr byte {bad[0]}: got {ours[bad[0]]}, want {self.vendor.ddr[bad[0]]}"
                self.ours.machine.write(cases.DDR, self.vendor.ddr)
        return count, first


def run_case(pair: Pair, generator: cases.Generator, seed: int) -> dict[str, object]:
    """One case on both machines."""
    rng = np.random.default_rng(seed)
    case = generator(rng)
    for fill in case.fills:
        pair.fill(rng, fill)
    command = case.encode()
    row: dict[str, object] = {"op": case.op, "dtype": case.dtype, "seed": seed}
    pair.vendor.execute(vendor.TIU if case.engine == "tiu" else vendor.GDMA, command)
    try:
        pair.ours.machine.execute("tiu" if case.engine == "tiu" else "gdma", command)
    except TpumlirError as error:
        row["fault"] = str(error)
    mismatches, first = pair.difference(case.engine == "gdma")
    row["mismatches"] = mismatches
    if mismatches:
        row["first"] = first
        row["fields"] = case.fields
    return row


def main(folder: str, family: str, seed: str, count: str, op: str = "", dtype: str = "") -> None:
    out = sys.stderr  # the library prints to stdout
    pair = Pair(Path(folder), int(seed))
    for index, (name, kind, generator) in enumerate(cases.FAMILIES[family]):
        if op not in ("", name) or dtype not in ("", kind):
            continue
        for i in range(int(count)):
            case_seed = (int(seed) * 1000 + index) * 1000 + i
            out.write(json.dumps({"start": case_seed, "op": name, "dtype": kind}) + "\n")
            out.flush()
            try:
                row = run_case(pair, generator, case_seed)
            except Exception:
                traceback.print_exc()
                raise
            out.write(json.dumps(row) + "\n")
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
