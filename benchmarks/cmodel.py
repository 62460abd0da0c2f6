"""Time of one convolution on our simulator and on the vendor's, same commands, results compared bit for bit.

    TPUMLIR_ORACLE=FOLDER python benchmarks/cmodel.py [--rounds 3]

1 x 64 x 56 x 56 with a 3 x 3 kernel to 64 channels (116 million products). Both run in this process, in
turns; the vendor's F16 takes seconds per round. Prints the best time of each side and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from oracle import values, vendor
from tpumlir._core import device, isa

CASES: tuple[tuple[str, values.DType, values.DType], ...] = (
    ("F32", "f32", "f32"),
    ("INT8", "i8", "i32"),
    ("F16", "f16", "f16"),
    ("F16 -> F32", "f16", "f32"),
    ("BF16", "bf16", "bf16"),
)
INPUT, WEIGHT, RESULT = 0, 0x4000, 0x8000


def command(operand: values.DType, result: values.DType) -> bytes:
    """Encode the convolution."""
    codes = values.CODES
    return isa.encode(
        "sCONV",
        {
            "cmd_id": 1, "opd0_prec": codes[operand], "res0_prec": codes[result], "opd0_up_pad": 1,
            "opd0_dn_pad": 1, "opd0_lf_pad": 1, "opd0_rt_pad": 1, "res_op_x_str": 1, "res_op_y_str": 1,
            "opd3_const": 1, "opd2_const": 1, "res0_n": 1, "res0_c": 64, "res0_h": 56, "res0_w": 56,
            "opd0_c": 64, "opd0_h": 56, "opd0_w": 56, "opd1_h": 3, "opd1_w": 3, "opd0_addr": INPUT,
            "opd1_addr": WEIGHT, "res0_addr": RESULT, "opd0_sign": 1, "opd1_sign": 1,
        },
    )  # fmt: skip


def seconds(run: Callable[[], None]) -> float:
    """Return the time of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> int:
    """Print one line per data type; 1 if the results differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = os.environ.get("TPUMLIR_ORACLE")
    if not folder:
        parser.error("TPUMLIR_ORACLE: expected the folder with the vendor's libraries")
    other = vendor.VendorMachine(Path(folder), 1 << 20)
    ours = device.Machine(1 << 20)
    rng = np.random.default_rng(0)
    report = {}
    for name, operand, result in CASES:
        code = command(operand, result)
        for lane in range(vendor.LANES):
            for at, count in ((INPUT, 56 * 56), (WEIGHT, 64 * 9)):
                data = values.make(rng, operand, count, "plain" if operand != "i8" else "bits")
                other.lmem[lane, at : at + data.size] = data
                ours.lmem(lane)[at : at + data.size] = data
        mine: list[float] = []
        theirs: list[float] = []
        for _ in range(args.rounds):
            mine.append(seconds(partial(ours.execute, "tiu", code)))
            theirs.append(seconds(partial(other.execute, vendor.TIU, code)))
        size = 56 * 56 * values.SIZES[result]
        same = all(
            np.array_equal(ours.lmem(i)[RESULT : RESULT + size], other.lmem[i, RESULT : RESULT + size])
            for i in range(vendor.LANES)
        )
        ratio = min(theirs) / min(mine)
        report[name] = {"ours_s": min(mine), "vendor_s": min(theirs), "ratio": ratio, "equal": same}
        if not args.json:
            verdict = "bit-equal" if same else "DIFFERENT"
            sys.stdout.write(
                f"{name:11} ours {min(mine) * 1e3:8.2f} ms   vendor {min(theirs) * 1e3:8.1f} ms   "
                f"{ratio:6.0f} x   {verdict}\n"
            )
    if args.json:
        sys.stdout.write(json.dumps(report) + "\n")
    return int(not all(row["equal"] for row in report.values()))


if __name__ == "__main__":
    sys.exit(main())
