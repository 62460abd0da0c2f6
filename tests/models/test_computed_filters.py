"""A filter or bias that is computed gives what the same constant gives, at every stage and every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FilterCase:
    """One convolution, stated twice in a model: with run-time operands and with constants."""

    op: str
    x: tuple[int, ...]
    filter: tuple[int, ...]
    bias: int | None = None
    group: int = 1
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    why: str = ""

    def __str__(self) -> str:
        return f"{self.op}-{'x'.join(map(str, self.x))}-{'x'.join(map(str, self.filter))}-{self.why}"


CASES = [
    FilterCase("ConvTranspose", (1, 4, 5, 5), (4, 4, 2, 2), why="the_founding_case"),
    FilterCase(
        "ConvTranspose", (1, 4, 5, 6), (4, 3, 3, 2), bias=3, strides=(2, 2), pads=(1, 0, 1, 1), why="bias"
    ),
    FilterCase("ConvTranspose", (1, 4, 5, 5), (4, 3, 2, 2), bias=6, group=2, why="grouped"),
    FilterCase("ConvTranspose", (2, 65, 4, 4), (65, 66, 3, 3), strides=(2, 2), why="past_the_lanes"),
    FilterCase("Conv", (1, 4, 6, 6), (4, 4, 2, 2), why="plain"),
    FilterCase("Conv", (1, 4, 6, 7), (6, 2, 3, 3), bias=6, group=2, pads=(1, 1, 1, 1), why="grouped_bias"),
    FilterCase("Conv", (1, 8, 6, 6), (8, 1, 3, 3), bias=8, group=8, strides=(2, 1), why="depthwise_bias"),
    FilterCase("Conv", (2, 66, 9, 9), (70, 66, 3, 3), bias=70, why="past_the_lanes"),
]


class Stage(Protocol):
    """What a module and a bmodel have in common."""

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]: ...


def build(case: FilterCase, weights: dict[str, Array], path: Path) -> Path:
    """A model with inputs x, w and b whose outputs `computed` and `constant` state the same convolution."""
    out = helper.make_tensor_value_info
    operands = ["w"] + (["b"] if case.bias else [])
    kernel = list(case.filter[2:])
    attributes: dict[str, Any] = {
        "group": case.group,
        "strides": case.strides,
        "pads": case.pads,
        "kernel_shape": kernel,
    }
    nodes = [
        helper.make_node(case.op, ["x", *operands], ["computed"], name="with_inputs", **attributes),
        helper.make_node(
            case.op, ["x", *(f"{o}_const" for o in operands)], ["constant"], name="with_weights", **attributes
        ),
    ]
    inputs = [out("x", TensorProto.FLOAT, case.x)]
    inputs += [out(o, TensorProto.FLOAT, weights[o].shape) for o in operands]
    outputs = [out(name, TensorProto.FLOAT, None) for name in ("computed", "constant")]
    initializers = [numpy_helper.from_array(weights[o], f"{o}_const") for o in operands]
    graph = helper.make_graph(nodes, "filters", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def draw(case: FilterCase, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"x": case.x, "w": case.filter}
    if case.bias:
        shapes["b"] = (case.bias,)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_computed_operands_equal_constants_at_every_stage(case: FilterCase, tmp_path: Path) -> None:
    import onnxruntime as ort

    first, second = draw(case, 1), draw(case, 2)
    path = build(case, first, tmp_path / "filters.onnx")
    session = ort.InferenceSession(path)

    top = tpumlir.load_onnx(path)
    tpu = top.lower(quantize="F32")
    stages: dict[str, Stage] = {
        "top": tpumlir.ModuleInterpreter(top),
        "tpu": tpumlir.ModuleInterpreter(tpu),
        "bmodel": tpu.compile(),
    }
    for name, stage in stages.items():
        # One loaded module, two runs: what the first run packed must not leak into the second.
        for inputs in (first, second, first):
            want = session.run(["computed", "constant"], dict(inputs))
            got = stage.run(inputs)
            for key, reference in zip(("computed", "constant"), want, strict=True):
                np.testing.assert_allclose(got[key], reference, rtol=1e-4, atol=1e-4, err_msg=f"{name} {key}")
        same = stage.run(first)
        np.testing.assert_allclose(same["computed"], same["constant"], rtol=1e-5, atol=1e-5, err_msg=name)
        changed = stage.run(second)
        assert not np.allclose(changed["computed"], changed["constant"]), (
            f"{name} ignores the run-time filter"
        )
