"""What `check` asks of code generation is what code generation says, without the program."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir._core import codegen
from tpumlir.errors import TpumlirError
from tpumlir.precision.formats import FLOATS

LIMIT = 15  # dilations that a convolution's command can say
CHANNELS = 64  # too many to have a window's columns beside each other


def convolutions(dilations: tuple[int, ...], precision: str) -> tpumlir.Module:
    """A Tpu module with a convolution of each dilation, past the lowering, which unfolds large ones."""
    nodes, infos, outputs = [], [], []
    weight = numpy_helper.from_array(np.ones((2, CHANNELS, 3, 3), np.float32), "w")
    for i in range(len(dilations)):
        infos.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, (1, CHANNELS, 99, 99)))
        nodes.append(
            helper.make_node(
                "Conv", [f"x{i}", "w"], [f"y{i}"], name=f"conv{i}", dilations=[2, 2], pads=[2] * 4
            )
        )
        outputs.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "convolutions", infos, outputs, [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    module = tpumlir.load_onnx(proto).lower(quantize=precision)
    given = iter(dilations)

    def widen(_match: re.Match[str]) -> str:
        d = next(given)
        return f"dilations = [{d}, {d}]"

    # The padding that keeps the shape follows in the same operation.
    text = re.sub(r"dilations = \[2, 2\]", widen, module.print())
    text = re.sub(
        r"dilations = \[(\d+), \d+\](.*?)pads = \[2, 2, 2, 2\]",
        r"dilations = [\1, \1]\2pads = [\1, \1, \1, \1]",
        text,
    )
    return tpumlir.Module.parse(text, module.weights)


def said(call: Any) -> list[tuple[str | None, str]]:
    try:
        call()
    except TpumlirError as error:
        return [(d.node, d.message) for d in error.diagnostics]
    return []


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("dilations", [(2, 2), (40,), (2, 40, 2, 40), (40, 41, 3)], ids=str)
def test_the_same_refusals(dilations: tuple[int, ...], precision: str) -> None:
    """One op is looked at for all that are like it; each of those that are refused is named."""
    module = convolutions(dilations, precision).finalize()
    whole = said(lambda: codegen.compile(module.core))
    assert len(whole) == sum(dilation > LIMIT for dilation in dilations)
    assert said(lambda: codegen.check_code(module.core)) == whole


def test_an_address_that_is_missing() -> None:
    module = convolutions((2,), "F32")
    assert said(lambda: codegen.check_code(module.core)) == said(lambda: codegen.compile(module.core)) != []
