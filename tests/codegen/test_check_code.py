"""What `check` asks of code generation is what code generation says, without the program."""

from __future__ import annotations

from typing import Any

import pytest

import tpumlir
from onnx import TensorProto, helper
from tpumlir._core import codegen
from tpumlir.errors import TpumlirError
from tpumlir.qtable import MODES


def sorts(*lengths: int) -> Any:
    """A TopK of each length; one of more numbers than the lanes hold is refused by code generation."""
    nodes, infos, outputs = [], [], []
    for i, length in enumerate(lengths):
        infos.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, (1, length)))
        k = helper.make_tensor(f"k{i}", TensorProto.INT64, [1], [length])
        nodes.append(helper.make_node("Constant", [], [f"k{i}"], value=k))
        nodes.append(helper.make_node("TopK", [f"x{i}", f"k{i}"], [f"v{i}", f"i{i}"], name=f"sort{i}"))
        outputs.append(helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, (1, length)))
    graph = helper.make_graph(nodes, "sorts", infos, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def said(call: Any) -> list[tuple[str | None, str]]:
    try:
        call()
    except TpumlirError as error:
        return [(d.node, d.message) for d in error.diagnostics]
    return []


@pytest.mark.parametrize("precision", MODES)
@pytest.mark.parametrize(
    "lengths", [(100, 100), (100_000,), (100, 100_000, 100, 100_000), (100_000, 200_000, 7)], ids=str
)
def test_the_same_refusals(lengths: tuple[int, ...], precision: str) -> None:
    """One op is looked at for all that are like it; each of those that are refused is named."""
    module = tpumlir.load_onnx(sorts(*lengths)).lower(quantize=precision).finalize()
    whole = said(lambda: codegen.compile(module.core))
    assert len(whole) == sum(length > 1000 for length in lengths)
    assert said(lambda: codegen.check_code(module.core)) == whole


def test_an_address_that_is_missing() -> None:
    module = tpumlir.load_onnx(sorts(8)).lower(quantize="F32")
    assert said(lambda: codegen.check_code(module.core)) == said(lambda: codegen.compile(module.core)) != []
