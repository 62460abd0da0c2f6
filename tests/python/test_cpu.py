"""A compile gives the same bytes on every CPU: nothing that oneDNN computes goes into a bmodel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import onnx
from onnx import TensorProto, helper, numpy_helper

ISAS = ("SSE41", "AVX2", "DEFAULT")
COMPILE = """
import hashlib, sys, tpumlir
from tpumlir import bmodel
for precision in ("F32", "F16", "BF16"):
    path = f"{sys.argv[2]}-{precision}.bmodel"
    bmodel.write(path, tpumlir.load_onnx(sys.argv[1]).lower(quantize=precision).compile())
    print(precision, hashlib.sha256(open(path, "rb").read()).hexdigest())
"""


def model() -> onnx.ModelProto:
    """What is folded by every part that folds: BatchNorm into a filter, products of constants, integers."""
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.abs(rng.standard_normal(shape)).astype(np.float32), name)

    bytes_ = {
        "qa": np.full((4, 64), 255, np.uint8),
        "qb": rng.choice([-128, 127], (64, 33)).astype(np.int8),
    }
    initializers = [
        constant("w", 8, 3, 3, 3), *(constant(n, 8) for n in ("scale", "bias", "mean", "var")),
        constant("p", 31, 70), constant("q", 70, 33), constant("m", 33, 33),
        *(numpy_helper.from_array(v, n) for n, v in bytes_.items()),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"]),
        helper.make_node("MatMul", ["p", "q"], ["pq"]),
        helper.make_node("Softmax", ["pq"], ["s"], axis=-1),
        helper.make_node("Tanh", ["s"], ["t"]),
        helper.make_node("Conv", ["x", "w"], ["d"], strides=[2, 2]),
        helper.make_node("MatMulInteger", ["qa", "qb"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["v", "m"], ["vm"]),
        helper.make_node("Add", ["vm", "f"], ["g"]),
        helper.make_node("MatMul", ["t", "v2"], ["h"]),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", (1, 3, 12, 12)), ("v", (4, 33)), ("v2", (33, 4)))
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("n", "d", "g", "h")]
    graph = helper.make_graph(nodes, "folded", infos, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_the_same_bytes_with_every_instruction_set(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), path)
    said = {}
    for isa in ISAS:
        env = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
        command = [sys.executable, "-c", COMPILE, str(path), str(tmp_path / "same")]
        said[isa] = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout
    assert len(said["DEFAULT"].splitlines()) == 3
    assert said["SSE41"] == said["AVX2"] == said["DEFAULT"]
