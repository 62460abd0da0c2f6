"""Child process: fields that the vendor's simulator does not read, one changed at a time.

Usage: unused.py FOLDER

Every row is one command and fields to change in it. The command and the changed one run on the vendor's
simulator from equal memories, each in a process of its own (the library may end it), and both on ours. A row
prints whether the vendor's results are equal, whether ours equal the vendor's, and what the rules say.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isa.test_legality import FOREIGN, LEFTOVERS, LEGAL
from oracle import case, vendor
from tpumlir._core import device, isa
from tpumlir.errors import TpumlirError

DDR_BYTES = 2 << 20
# Fields that a legality test has no need for.
MEANT = {
    "average": {"opd1_addr": 0x3DE38E39},  # 1 / 9
    "rq0": {"opd0_sign": 1, "opd2_sign": 1, "opd2_n_str": 2 << 3},
    "rq1": {"opd0_sign": 1, "opd2_sign": 1, "opd1_const": 1, "opd1_addr": 3, "opd2_addr": 256 - 26},
    "dma": {"dst_nstride": 3000, "src_nstride": 2520},
    "lin": {"tsk_eu_typ": 20},
}
# A lane's bytes that the filter covers move with its address.
FILTERS = {"conv": 2 * 27 * 4, "conv i8": 64 * 9}
INDEXED = {"dma gather": 20}
ALL_LANES = {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}


@dataclass(frozen=True)
class Row:
    """A command of tests/isa/test_legality.py and what changes in it."""

    base: str
    change: dict[str, int]

    @property
    def engine(self) -> Literal["tiu", "gdma"]:
        return "gdma" if LEGAL[self.base][0].startswith("DMA") else "tiu"

    def encode(self, changed: bool) -> bytes:
        name, fields = LEGAL[self.base]
        fields = {**(ALL_LANES if self.engine == "gdma" else {}), **fields, **MEANT.get(self.base, {})}
        return isa.encode(name, {"cmd_id": 1, "cmd_id_en": 1, **fields, **(self.change if changed else {})})


def rows() -> list[Row]:
    """All that foreign commands may hold, and all leftovers that ours may have."""
    found = [Row(broken.base, broken.change) for broken in FOREIGN]
    return found + [Row(base, change) for base, change in LEFTOVERS]


class Pair:
    """Both machines with equal memories."""

    def __init__(self, folder: Path) -> None:
        self.vendor = vendor.VendorMachine(folder, DDR_BYTES)
        rng = np.random.default_rng(7)
        self.lmem = rng.standard_normal((vendor.LANES, vendor.LANE_BYTES // 4)).astype(np.float32)
        self.ddr = rng.standard_normal(DDR_BYTES // 4).astype(np.float32)

    def prepare(self, row: Row, changed: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the memories that a row starts from."""
        lmem, ddr = self.lmem.view(np.uint8).copy(), self.ddr.view(np.uint8).copy()
        if row.base in FILTERS and changed:
            old, size = LEGAL[row.base][1]["opd1_addr"], FILTERS[row.base]
            at = row.change.get("opd1_addr", old)
            lmem[:, at : at + size] = lmem[:, old : old + size].copy()
        if row.base in INDEXED:
            place = LEGAL[row.base][1]["index_start_addr_l32"]
            ddr[place : place + 400].view(np.uint32)[:] = np.arange(100) % INDEXED[row.base]
        return lmem, ddr

    def theirs(self, row: Row, changed: bool) -> str:
        """Return a digest of the results of the vendor's simulator, or how it ended."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            self.vendor.lmem[:], self.vendor.ddr[:] = self.prepare(row, changed)
            self.vendor.execute(vendor.TIU if row.engine == "tiu" else vendor.GDMA, row.encode(changed))
            os.write(writer, digest(row, changed, self.vendor.lmem, self.vendor.ddr).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        return text if status == 0 else f"status {status}"

    def ours(self, row: Row, changed: bool) -> str:
        """Return the same of our simulator."""
        machine = device.Machine(DDR_BYTES)
        lmem, ddr = self.prepare(row, changed)
        for index in range(vendor.LANES):
            machine.lmem(index)[:] = lmem[index]
        machine.write(case.DDR, ddr)
        try:
            machine.execute(row.engine, row.encode(changed))
        except TpumlirError as error:
            return str(error)
        after = np.stack([machine.lmem(index) for index in range(vendor.LANES)])
        return digest(row, changed, after, np.frombuffer(machine.read(case.DDR, DDR_BYTES), np.uint8))


def digest(row: Row, changed: bool, after: np.ndarray, ddr: np.ndarray) -> str:
    """A digest of what was written: the result by itself where it or the filter moved, else all memory."""
    moved = {"res0_addr", "opd1_addr"} & row.change.keys() and row.base not in ("cast", "average", "pool")
    if moved or "res0_addr" in row.change:
        at = row.change.get("res0_addr", 0) if changed else 0
        # Channel c of 70 in rows of 36 words, aligned; 2 n where there are.
        fields = LEGAL[row.base][1]
        plane = fields["res0_h"] * fields["res0_w"] * 4
        pitch = -(-plane // 64) * 64
        count = fields["res0_n"] * -(-fields["res0_c"] // 64)
        result = np.stack([after[:, at + i * pitch : at + i * pitch + plane] for i in range(count)])
        if fields["res0_c"] > 64:  # the second row of channels ends in lane 5
            result[1::2, fields["res0_c"] - 64 :] = 0
        return hashlib.sha256(result.tobytes()).hexdigest()
    return hashlib.sha256(after.tobytes() + ddr.tobytes()).hexdigest()


def main(folder: str) -> Iterator[dict[str, object]]:
    """Yield what happened in each row."""
    pair = Pair(Path(folder))
    for row in rows():
        base, changed = pair.theirs(row, False), pair.theirs(row, True)
        (command,) = isa.decode(row.engine, row.encode(True))
        yield {
            "base": row.base,
            "change": row.change,
            "vendor": "equal" if changed == base else changed,
            "ours": "equal" if pair.ours(row, True) == changed else pair.ours(row, True),
            "ours before": "equal" if pair.ours(row, False) == base else pair.ours(row, False),
            "rules": [str(v) for v in isa.validate_command(command, foreign=True)],
        }


if __name__ == "__main__":
    for line in main(sys.argv[1]):
        sys.stderr.write(json.dumps(line) + "\n")  # the library prints to stdout
        sys.stderr.flush()
