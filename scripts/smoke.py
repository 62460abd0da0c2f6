"""Does an installed tpumlir work? Compiles a small network, runs the bmodel, compares with ONNX Runtime.

Needs nothing but the package; `make wheels` runs it in a new virtual environment for every wheel.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort

import onnx
import tpumlir
import tpumlir.bmodel
from onnx import TensorProto, helper, numpy_helper


def network() -> onnx.ModelProto:
    """Convolution, Relu, average pool: a weight, a padded window and a reduction."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal((8, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(random.standard_normal(8).astype(np.float32), "b"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["y"], name="pool"),
    ]
    graph = helper.make_graph(
        nodes,
        "smoke",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 1, 1])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def command(name: str, *words: str | Path) -> None:
    """Run one of the package's commands, found where this environment has them."""
    subprocess.run(
        [Path(sysconfig.get_path("scripts"), name), *map(str, words)], check=True, stdout=subprocess.DEVNULL
    )


def main() -> int:
    """0 if the chip computes what ONNX Runtime does."""
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        source, target, values = (Path(folder, name) for name in ("smoke.onnx", "smoke.bmodel", "x.npz"))
        onnx.save(network(), source)
        np.savez(values, x=x)
        command("tpumlir", "compile", source, "-o", target, "--test_input", values)
        chip = tpumlir.bmodel.read(target).run({"x": x})
    (expected,) = ort.InferenceSession(network().SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    (got,) = chip.values()
    worst = float(np.max(np.abs(np.asarray(got) - expected)))
    version = f"tpumlir {tpumlir.__version__} on CPython {platform.python_version()}"
    if worst > 1e-5:
        print(
            f"{version}: expected ONNX Runtime's result, got one that differs by {worst:g}", file=sys.stderr
        )
        return 1
    print(f"{version}: compiled, validated and run; differs from ONNX Runtime by {worst:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
