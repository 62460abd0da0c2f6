"""Functions of halves on the chip, for every number that a half can be: how far from the exact one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from onnx import TensorProto, helper

Array = npt.NDArray[Any]
_SHAPE = (1, 64, 16, 64)

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.where(
        x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-np.maximum(x, 0)))
    )


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


FUNCTIONS: dict[str, tuple[str, dict[str, Any], Callable[[Array], Array]]] = {
    "sigmoid": ("Sigmoid", {}, _sigmoid),
    "tanh": ("Tanh", {}, np.tanh),
    "exp": ("Exp", {}, np.exp),
    "erf": ("Erf", {}, _erf),
    "elu": ("Elu", {"alpha": 1.0}, lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x)),
    "softplus": ("Softplus", {}, _softplus),
    "mish": ("Mish", {}, lambda x: x * np.tanh(_softplus(x))),
    "gelu": ("Gelu", {}, lambda x: x / 2 * _erfc(-x / math.sqrt(2))),
}


def _every_half() -> Array:
    values = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16).astype(np.float32)
    return np.where(np.isfinite(values), values, 0).astype(np.float32).reshape(_SHAPE)


@pytest.mark.parametrize("mode", ["F16", "BF16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_an_eighth_of_the_rounding(name: str, mode: str) -> None:
    kind, attributes, exact = FUNCTIONS[name]
    node = helper.make_node(kind, ["x"], ["y"], name="f", **attributes)
    infos = [helper.make_tensor_value_info(key, TensorProto.FLOAT, _SHAPE) for key in ("x", "y")]
    graph = helper.make_graph([node], "m", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    x = _every_half()
    tpu = tpumlir.load_onnx(model).lower(mode, plain_half=True)
    assert [op.results[0].dtype for op in tpu.ops() if op.kind == "tpu.Active"] == [mode.lower()]
    got = tpu.compile().run({"x": x})["y"].astype(np.float64)
    digits, least, most = (11, 2.0**-14, 65504.0) if mode == "F16" else (8, 2.0**-126, 3e38)
    given = x.astype(np.float64)
    if mode == "BF16":  # what the chip's cast makes of the input
        bits = x.view(np.uint32)
        given = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32).astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        want = exact(given)
    # 1 + erf(x) of F32 has few digits where it is next to nothing; numbers below the normal ones are zero.
    least = max(least, {"gelu": 0.02, "mish": 1e-30}.get(name, 0.0))
    taken = (
        np.isfinite(want)
        & (np.abs(want) < most / 2)
        & (np.abs(want) > 2 * least)
        & (np.abs(given) > 2.0**-13)
    )
    ulp = np.exp2(np.floor(np.log2(np.abs(want[taken]))) - digits + 1)
    assert taken.sum() > 10_000
    assert (np.abs(got[taken] - want[taken]) / ulp).max() <= 0.5 + 0.13
