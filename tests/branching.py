"""A module with branches, results that several operations read, and an operation of two results."""

from __future__ import annotations

import numpy as np

import tpumlir
from onnx import TensorProto, helper, numpy_helper

_RNG = np.random.default_rng(5)
INPUTS = {name: _RNG.standard_normal((1, 4, 6, 6)).astype(np.float32) for name in ("x", "side")}


def top_module() -> tpumlir.Module:
    """Two inputs and two outputs; `a` is read three times, `p` and `q` are results of one operation.

    x -> conv -> a -+-> exp -> e -+-> add -> y
                    +-> mul(side) +
                    +-> split -> p, q -> sub -> z
    """
    weight = _RNG.standard_normal((4, 4, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
            helper.make_node("Exp", ["a"], ["e"], name="exp"),
            helper.make_node("Mul", ["a", "side"], ["m"], name="mul"),
            helper.make_node("Add", ["e", "m"], ["y"], name="add"),
            helper.make_node("Split", ["a"], ["p", "q"], name="parts", axis=1),
            helper.make_node("Sub", ["p", "q"], ["z"], name="sub"),
        ],
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in INPUTS.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "z")],
        [numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net")
