"""Time of the search for layer groups on generated models, and what it finds.

    python benchmarks/grouping.py [--ops 100 1000 5000] [--levels 1 2 3] [--quantize F16] [--json]

The model is a chain of convolutions, activations and sums with branches. `seconds`, of the processor, is
`finalize` with groups less `finalize` without them; `cycles` are those of `tpumlir profile`, with and without
groups.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.bmodel.profile import profile

CHANNELS, SIZE = 32, 28


def model(count: int) -> onnx.ModelProto:
    """About ``count`` nodes: residual blocks of Conv, Relu, Conv, Sigmoid, Mul and Add."""
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def op(kind: str, *operands: str, **attributes: Any) -> str:
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, operands, [name], name=f"node_{name}", **attributes))
        return name

    def conv(x: str, kernel: int) -> str:
        scale = (CHANNELS * kernel * kernel) ** -0.5
        w = rng.standard_normal((CHANNELS, CHANNELS, kernel, kernel)) * scale
        constants.append(numpy_helper.from_array(w.astype(np.float32), f"w{len(constants)}"))
        return op("Conv", x, constants[-1].name, pads=[kernel // 2] * 4)

    x = "x"
    while len(nodes) < count:
        left = op("Relu", conv(x, 3))
        right = conv(left, 1)
        x = op("Add", x, op("Mul", right, op("Sigmoid", left)))
    shape = [1, CHANNELS, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def measure(count: int, levels: list[int], quantize: str) -> list[dict[str, float]]:
    """One row per level."""
    tpu = tpumlir.load_onnx(model(count)).lower(quantize=quantize)
    seconds, cycles = [], []
    for level in [0, *levels]:
        start = time.process_time()
        final = tpu.finalize(opt=level)
        seconds.append(time.process_time() - start)
        cycles.append(profile(final.compile(), names=False).cycles)
    return [
        {"ops": count, "level": level, "seconds": s - seconds[0], "cycles": c, "cycles_without": cycles[0]}
        for level, s, c in zip(levels, seconds[1:], cycles[1:], strict=True)
    ]


def main() -> int:
    """Print the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ops", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--levels", type=int, nargs="+", choices=(1, 2, 3), default=[1, 2, 3])
    parser.add_argument("--quantize", default="F16")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [row for count in args.ops for row in measure(count, args.levels, args.quantize)]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    print("  ops  level  seconds       cycles    without groups")
    for row in rows:
        print(
            f"{row['ops']:5}  {row['level']:5}  {row['seconds']:7.2f}  {row['cycles']:11,}  "
            f"{row['cycles_without']:16,}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
