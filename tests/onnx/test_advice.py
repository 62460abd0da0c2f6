"""Advice is followed: the cut that a refusal names is of computed tensors, and then nothing is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from onnx import TensorProto, helper
from tpumlir.onnx.importer import import_onnx
from tpumlir.onnx.refusals import UnsupportedModelError

F, I64, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
_node, _value = helper.make_node, helper.make_tensor_value_info


def _model(nodes: list[Any], outputs: list[tuple[str, int]]) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [_value("x", F, [4, 6]), _value("c", B, [4])],
        [_value(name, kind, None) for name, kind in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


NZ = _node("NonZero", ["r"], ["i"], name="where")
RELU = _node("Relu", ["x"], ["r"])
CASES: dict[str, tuple[Any, list[str]]] = {
    "tail": (_model([RELU, NZ], [("i", I64)]), ["r"]),
    "reads_an_input": (_model([_node("NonZero", ["x"], ["i"], name="where")], [("i", I64)]), []),
    "input_and_tensor": (
        _model([RELU, _node("Compress", ["r", "c"], ["i"], name="pick", axis=0)], [("i", F)]),
        ["r"],
    ),
    "a_second_behind": (
        _model([RELU, NZ, _node("Cast", ["i"], ["j"], to=F), _node("Unique", ["j"], ["u"])], [("u", F)]),
        ["r"],
    ),
    "another_output": (_model([RELU, NZ, _node("Exp", ["r"], ["e"])], [("i", I64), ("e", F)]), ["r", "e"]),
    "a_constant_before": (
        _model(
            [
                _node("Constant", [], ["k"], value_floats=[1.0, 0.0]),
                _node("NonZero", ["x"], ["i"], name="where"),
                _node("Add", ["k", "k"], ["kk"]),
                _node("Unique", ["kk"], ["u"]),
            ],
            [("i", I64)],
        ),
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cut_that_is_named_imports(name: str) -> None:
    model, want = CASES[name]
    with pytest.raises(UnsupportedModelError) as caught:
        import_onnx(model)
    remedies = " ".join(node.remedy for node in caught.value.nodes)
    found = re.search(r"--output_names (\S+)", remedies)
    assert (found[1].split(",") if found else []) == want
    if want:
        import_onnx(model, output_names=want)
    else:
        assert "take it out of the source model and run it on the host: nothing is comp" in remedies
