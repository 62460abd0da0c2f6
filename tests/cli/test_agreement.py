"""What ``check`` passes compiles, what it refuses does not, in each precision; and its advice works."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

import onnx
import ops_table
import tpumlir
from harness import PRECISIONS, OpCase
from onnx import TensorProto, helper, numpy_helper
from tpumlir.errors import TpumlirError
from tpumlir.road.check import check_model

SHARDS, PER_OPERATOR = 6, 3
F, I64, I32, U8, I8, B = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.BOOL,
)
_node = helper.make_node


def refused_by_check(model: onnx.ModelProto, **options: Any) -> set[str]:
    """The precisions in which ``check`` refuses something; all if it refuses the model."""
    try:
        report = check_model(model, **options)
    except TpumlirError:
        return set(PRECISIONS)
    found = {precision for refusal in report.refusals for precision in refusal.precisions}
    assert report.passed == (not found)
    return found


def refused_by_compile(model: onnx.ModelProto, **options: Any) -> set[str]:
    """The precisions in which importing, lowering or compiling raises."""
    try:
        top = tpumlir.load_onnx(model, **options)
    except TpumlirError:
        return set(PRECISIONS)
    found: set[str] = set()
    for precision in PRECISIONS:
        try:
            top.lower(precision).compile()
        except TpumlirError:
            found.add(precision)
    return found


@cache
def sample() -> list[OpCase]:
    """Rows of the op table: a few of every operator."""
    rng = random.Random(8)
    return [
        case
        for cases in ops_table.collect().values()
        for case in rng.sample(cases, min(len(cases), PER_OPERATOR))
    ]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_rows_of_the_op_table(shard: int) -> None:
    wrong = []
    for case in sample()[shard::SHARDS]:
        checked, compiled = refused_by_check(case.proto), refused_by_compile(case.proto)
        if checked != compiled:
            wrong.append(f"{case!r}: check refuses {checked}, compile {compiled}")
        case.forget()
    assert not wrong


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, list[int]]],
    outputs: str,
    constants: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # The types of the outputs are those that ONNX infers.
    known = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.output}
    for value in model.graph.output:
        kind = known[value.name].type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind or F, None))
    return model


def _branch(kind: str, output: str) -> onnx.GraphProto:
    return helper.make_graph(
        [_node(kind, ["r"], [output])], output, [], [helper.make_tensor_value_info(output, F, None)]
    )


def _if(*after: onnx.NodeProto, outputs: str = "y", then: str = "Exp") -> onnx.ModelProto:
    branches = {"then_branch": _branch(then, "a"), "else_branch": _branch("Neg", "b")}
    nodes = [_node("Relu", ["x"], ["r"]), _node("If", ["c"], ["y"], name="if", **branches), *after]
    return _model(nodes, {"x": (F, [4, 6]), "c": (B, [])}, outputs)


LONG = {"x": (F, [1, 4, 9000, 1])}
K = {"k": np.array([9000])}
SORT = _node("TopK", ["r", "k"], ["d", "places"], axis=2, name="sort")
RELU = _node("Relu", ["x"], ["r"])
PART = {"from": np.array([1]), "to": np.array([1])}

MODELS: dict[str, onnx.ModelProto] = {
    # Sequences that are known at import.
    "split_to_sequence": _model(
        [
            _node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0),
            _node("SequenceAt", ["s", "i"], ["t"]),
            _node("Relu", ["t"], ["y"]),
        ],
        {"x": (F, [2, 3])},
        "y",
        {"i": np.int64(-1)},
    ),
    "a_sequence_at_run_time": _model(
        [
            _node("SplitToSequence", ["x"], ["s"], axis=1),
            _node("SequenceAt", ["s", "i"], ["y"]),
        ],
        {"x": (F, [2, 3]), "i": (I64, [])},
        "y",
    ),
    # Rank 0.
    "scalars": _model(
        [
            _node("Add", ["x", "i"], ["s"]),
            _node("BitShift", ["u", "u"], ["b"], direction="LEFT"),
            _node("Where", ["c", "s", "x"], ["y"]),
        ],
        {"x": (F, []), "i": (F, []), "u": (U8, []), "c": (B, [])},
        "y b",
    ),
    "a_scalar_reduced": _model([_node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": (F, [])}, "y"),
    "a_condition_at_run_time": _if(),
    "a_branch_that_is_refused": _if(then="NonZero"),
    "nonzero_behind_a_condition": _if(_node("NonZero", ["y"], ["z"]), outputs="z"),
    # Integers.
    "product_of_integers": _model(
        [_node("MatMul", ["x", "z"], ["y"])], {"x": (I32, [3, 4]), "z": (I32, [4, 5])}, "y"
    ),
    "product_of_long_integers": _model(
        [_node("MatMul", ["x", "z"], ["y"])], {"x": (I64, [3, 400]), "z": (I64, [400, 5])}, "y"
    ),
    "narrow_integers": _model(
        [
            _node("Add", ["x", "x"], ["s"]),
            _node("Max", ["s", "x"], ["m"]),
            _node("Cast", ["m"], ["y"], to=I8),
        ],
        {"x": (U8, [3, 4])},
        "y",
    ),
    "division_of_integers": _model(
        [_node("Div", ["x", "z"], ["q"]), _node("Mod", ["q", "z"], ["y"])],
        {"x": (I32, [7]), "z": (I32, [7])},
        "y",
    ),
    "integers_in_softmax": _model(
        [_node("Cast", ["x"], ["f"], to=F), _node("Softmax", ["f"], ["y"])], {"x": (I64, [2, 5])}, "y"
    ),
    # Outputs that nothing computes.
    "no_element": _model([_node("Slice", ["x", "from", "to"], ["y"])], LONG, "y", PART),
    "no_element_of_one_output": _model(
        [RELU, _node("Slice", ["r", "from", "to"], ["y"])], LONG, "r y", PART
    ),
    "an_input_without_elements": _model([RELU], {"x": (F, [0, 3])}, "r"),
    "a_constant": _model([_node("Add", ["k", "k"], ["y"])], LONG, "y", K),
    "a_copy_of_an_input": _model([_node("Identity", ["x"], ["y"])], LONG, "y"),
    "an_input_as_output": _model([RELU], LONG, "r x"),
    "two_names": _model([RELU, _node("Identity", ["r"], ["y"])], LONG, "r y"),
    # Refused by the lowering or by code generation.
    "sort": _model([RELU, SORT, _node("Exp", ["d"], ["y"])], LONG, "y", K),
    "sort_of_the_input": _model([_node("Identity", ["x"], ["r"]), SORT], LONG, "d", K),
    "sort_at_once": _model(
        [_node("TopK", ["x", "k"], ["d", "places"], axis=2, name="sort")], LONG, "d places", K
    ),
    "sort_beside": _model([RELU, SORT, _node("Sin", ["r"], ["z"])], LONG, "d z", K),
    "sort_and_nonzero": _model(
        [RELU, SORT, _node("NonZero", ["d"], ["y"]), _node("NonZero", ["r"], ["z"])], LONG, "y z", K
    ),
    "sort_twice": _model(
        [RELU, SORT, _node("Exp", ["d"], ["e"]), _node("TopK", ["e", "k"], ["y", ""], axis=2)], LONG, "y", K
    ),
    "sort_of_a_convolution": _model(
        [
            _node("Conv", ["x", "w"], ["v"], pads=[1, 0, 1, 0]),
            _node("Relu", ["v"], ["r"]),
            SORT,
        ],
        LONG,
        "d",
        {**K, "w": np.ones((4, 4, 3, 1), np.float32)},
    ),
    "names_with_blanks": _model(
        [_node("Relu", ["x"], ["a b"]), _node("TopK", ["a b", "k"], ["d", ""], axis=2)], LONG, "d", K
    ),
    "scatter": _model(
        [RELU, _node("ScatterElements", ["r", "i", "u"], ["y"], reduction="add", axis=0)],
        {"x": (F, [70000]), "i": (I64, [70000]), "u": (F, [70000])},
        "y",
    ),
    "more_than_the_memory": _model(
        [_node("Expand", ["x", "s"], ["e"]), _node("Exp", ["e"], ["y"])],
        {"x": (F, [1, 1])},
        "y",
        {"s": np.array([40000, 40000])},
    ),
}  # fmt: skip
WITH_CUT = [
    "nonzero_behind_a_condition", "sort", "sort_of_the_input", "sort_beside", "sort_and_nonzero",
    "sort_twice", "sort_of_a_convolution", "names_with_blanks", "scatter",
]  # fmt: skip
WITHOUT_CUT = ["sort_at_once", "more_than_the_memory"]


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    assert refused_by_check(MODELS[name]) == refused_by_compile(MODELS[name])


def _cut(remedy: str) -> list[str]:
    found = re.search(r"--output_names ('[^']*'|\S+)(?: |$)", remedy)
    return found[1].strip("'").split(",") if found else []


@pytest.mark.parametrize("name", WITH_CUT)
def test_the_cut_that_check_names_compiles(name: str) -> None:
    cuts = [_cut(refusal.remedy) for refusal in check_model(MODELS[name]).refusals]
    assert cuts
    for cut in cuts:
        assert cut
        for names in [cut, *([single] for single in cut)]:
            assert check_model(MODELS[name], output_names=names).passed
            assert not refused_by_compile(MODELS[name], output_names=names)


def test_a_scatter_in_parts_compiles_as_its_refusal_says() -> None:
    (refusal,) = check_model(MODELS["scatter"]).refusals
    assert "split the updates over several nodes" in refusal.reason
    nodes = [
        _node("ScatterElements", [source, f"i{part}", f"u{part}"], [result], reduction="add", axis=0)
        for part, (source, result) in enumerate([("x", "r"), ("r", "y")])
    ]
    parts = {f"{name}{part}": (kind, [4096]) for part in (0, 1) for name, kind in (("i", I64), ("u", F))}
    model = _model(nodes, {"x": (F, [70000]), **parts}, "y")
    assert not refused_by_check(model)
    assert not refused_by_compile(model)


@pytest.mark.parametrize("name", WITHOUT_CUT)
def test_no_cut_is_named_where_none_works(name: str) -> None:
    remedies = [refusal.remedy for refusal in check_model(MODELS[name]).refusals]
    assert remedies
    assert not any("--output_names" in remedy for remedy in remedies)
