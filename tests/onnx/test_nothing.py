"""Tensors without elements among the operands of run-time nodes."""

from __future__ import annotations

import numpy as np
import pytest

import tpumlir
from onnx import parser
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.check import check_model

# Of x [2, 3] and e [0, 3]: what comes before r, which is joined with x or counted.
GRAPHS = (
    "r = Add(e, v)",
    "r = Mul(v, e)",
    "b = Greater(e, v) r = Cast<to=1>(b)",
    "b = Greater(e, v) r = Where(b, e, v)",
    "m = MatMul(e, q) r = Identity(m)",
    "r = Max(e, v)",
    "r = Gather<axis=0>(x, none)",
    "s = Concat<axis=0>(e, e) a = Sub(s, v) r = Relu(a)",
    "r = Gemm(e, q)",
    "a = Add(e, v) r = LayerNormalization(a, v)",
)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_result_without_elements_is_a_constant(graph: str) -> None:
    proto = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,3] y) {{
            shape = Constant<value_ints=[0, 3]>() e = ConstantOfShape(shape)
            zero = Constant<value_ints=[0]>() none = ConstantOfShape<value = int64[1] {{0}}>(zero)
            v = ReduceMax<axes=[0], keepdims=0>(x) u = Transpose(x) q = MatMul(u, x)
            {graph} y = Concat<axis=0>(x, r) }}""")
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    want = run_onnx(load(proto), {"x": values})["y"]
    module = tpumlir.load_onnx(proto)
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run({"x": values})["y"], want)
    np.testing.assert_array_equal(module.lower("F32").compile().run({"x": values})["y"], want)
    assert check_model(proto).passed
