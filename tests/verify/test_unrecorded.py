"""Commands whose results no place records: operands in the form of a kernel, tables in the lanes.

Places describe elements of a tensor by strides. What a kernel packs has others, and which rows a gather
brings is known at run time only. A fault there is seen in the result, and its operation is blamed all the
same.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from faults import Found, commands, edited
from onnx import TensorProto, helper
from tpumlir.bmodel import BModel
from tpumlir.verify import Reference, verify

Array = npt.NDArray[Any]
_SHAPES: dict[str, list[tuple[str, int, tuple[int, ...]]]] = {
    "filter": [("x", TensorProto.FLOAT, (1, 40, 12, 12)), ("w", TensorProto.FLOAT, (24, 40, 3, 3))],
    "transposed": [("x", TensorProto.FLOAT, (1, 40, 6, 6)), ("w", TensorProto.FLOAT, (40, 24, 3, 3))],
    "gather": [("x", TensorProto.FLOAT, (50, 40)), ("i", TensorProto.INT64, (30,))],
    "gather_columns": [("x", TensorProto.FLOAT, (40, 50)), ("i", TensorProto.INT64, (30,))],
    "product": [("x", TensorProto.FLOAT, (2, 30, 100)), ("w", TensorProto.FLOAT, (2, 70, 100))],
}


def nodes(name: str) -> list[onnx.NodeProto]:
    """Two operations, of which the second needs what the first computes in a form of its own."""
    made = helper.make_node
    return {
        "filter": [made("Tanh", ["w"], ["f"], name="make"), made("Conv", ["x", "f"], ["y"], name="use")],
        "transposed": [
            made("Tanh", ["w"], ["f"], name="make"),
            made("ConvTranspose", ["x", "f"], ["y"], name="use", strides=[2, 2]),
        ],
        "gather": [
            made("Gather", ["x", "i"], ["g"], name="make"), made("Tanh", ["g"], ["y"], name="use"),
        ],
        "gather_columns": [
            made("Gather", ["x", "i"], ["g"], name="make", axis=1), made("Tanh", ["g"], ["y"], name="use"),
        ],
        "product": [
            made("Transpose", ["w"], ["t"], name="make", perm=[0, 2, 1]),
            made("MatMul", ["x", "t"], ["y"], name="use"),
        ],
    }[name]  # fmt: skip


class Made(NamedTuple):
    """A model with the commands that no place names and that read memory."""

    model: BModel
    reference: Reference
    unrecorded: list[Found]


@cache
def made(name: str, precision: str, opt: int) -> Made:
    rng = np.random.default_rng(0)
    infos = [helper.make_tensor_value_info(*info) for info in _SHAPES[name]]
    graph = helper.make_graph(nodes(name), name, infos, [helper.make_empty_tensor_value_info("y")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inputs: dict[str, Array] = {
        key: rng.integers(0, 30, shape) if kind == TensorProto.INT64
        else rng.standard_normal(shape).astype(np.float32)
        for key, kind, shape in _SHAPES[name]
    }  # fmt: skip
    final = tpumlir.load_onnx(onnx.shape_inference.infer_shapes(proto)).lower(precision).finalize(opt=opt)
    model = final.compile()
    recorded = {
        (place.group, place.engine, command)
        for place in model.debug.places
        for command in range(place.first, place.command + 1)
    }
    unrecorded = [
        one
        for one in commands(model)
        if (one.group, one.engine, one.id) not in recorded and not one.fields.get("opd0_const")
    ]
    return Made(model, Reference.of(final, inputs), unrecorded)


def elsewhere(found: Found) -> dict[str, int]:
    """Another place for what a command reads first."""
    field, step = ("opd0_addr", 128) if found.engine == "tiu" else ("src_start_addr_l32", 4)
    return {field: found.fields[field] + step}


CASES = [(name, precision, opt) for name in _SHAPES for precision in ("F32", "F16") for opt in (0, 2)]


def test_there_are_such_commands() -> None:
    counts = {name: sum(len(made(*case).unrecorded) for case in CASES if case[0] == name) for name in _SHAPES}
    assert min(counts[name] for name in ("filter", "transposed", "gather", "gather_columns")) > 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_a_wrong_operand_of_such_a_command_is_found_at_its_operation(case: tuple[str, str, int]) -> None:
    model, reference, unrecorded = made(*case)
    assert verify(model, reference).passed
    for one in unrecorded:
        key = one.group, one.engine, one.id
        found = verify(edited(model, {key: elsewhere(one)}), reference)
        assert [(cause.op, cause.node) for cause in found.causes] == [(one.op, one.node)], found.findings
