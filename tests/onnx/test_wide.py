"""Integers that leave 32 bits: named by a run at the node, and expected by intervals before any run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.cli import main as tpumlir_main
from tpumlir.cli import model_runner
from tpumlir.errors import OutOfRangeError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.road.check import check_model
from tpumlir.road.compile import transform

I64 = np.int64
LEAST, MOST = -(2**31), 2**31 - 1


def code(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"node_{output}", **attributes)


def model(
    nodes: list[onnx.NodeProto], inputs: dict[str, Any], to: Any = I64, opset: int = 18, **constants: Any
) -> onnx.ModelProto:
    """A model of ``nodes`` whose inputs have the types and shapes of ``inputs``."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, code(v.dtype), v.shape) for n, v in inputs.items()],
        [helper.make_tensor_value_info("y", code(to), None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def ints(*values: int, dtype: Any = I64) -> Any:
    return np.array(values, dtype)


def run(proto: onnx.ModelProto, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    return ModuleInterpreter(tpumlir.load_onnx(proto, **options)).run(inputs)


TWO_17, FLOATS = ints(1, 2**17), np.array([1.0, 3e9], np.float32)
# What is computed, the operands, the value that has no room, where it is.
LEAVING: list[tuple[str, onnx.NodeProto, dict[str, Any], dict[str, Any], int, int | None]] = [
    ("mul", node("Mul", "a b"), {"a": TWO_17, "b": TWO_17}, {}, 2**34, 1),
    ("mul_constant", node("Mul", "a b"), {"a": ints(3, 5000)}, {"b": np.int64(10**6)}, 5 * 10**9, 1),
    ("add", node("Add", "a b"), {"a": ints(MOST, 1), "b": ints(1, 1)}, {}, 2**31, 0),
    ("add_constant", node("Add", "a b"), {"a": ints(0, 2)}, {"b": ints(MOST)}, 2**31 + 1, 1),
    ("sub", node("Sub", "a b"), {"a": ints(LEAST, 1), "b": ints(1, 1)}, {}, LEAST - 1, 0),
    ("sub_from", node("Sub", "b a"), {"a": ints(0, LEAST)}, {"b": np.int64(5)}, 2**31 + 5, 1),
    ("neg", node("Neg", "a"), {"a": ints(1, LEAST)}, {}, 2**31, 1),
    ("abs", node("Abs", "a"), {"a": ints(1, LEAST)}, {}, 2**31, 1),
    ("div", node("Div", "a b"), {"a": ints(LEAST, 8), "b": ints(-1, 2)}, {}, 2**31, 0),
    ("pow", node("Pow", "a b"), {"a": ints(2, 2), "b": ints(30, 31)}, {}, 2**31, 1),
    ("pow_far", node("Pow", "a b"), {"a": ints(-2, 2)}, {"b": np.int64(40)}, 2**40, 0),
    ("sum", node("Sum", "a b a"), {"a": ints(10**9), "b": ints(5 * 10**8)}, {}, 25 * 10**8, 0),
    ("reduce", node("ReduceSum", "a", keepdims=0), {"a": ints(*[2**29] * 4)}, {}, 2**31, None),
    ("square", node("ReduceSumSquare", "a"), {"a": ints(2, 2**17)}, {}, 2**34, 1),
    ("norm", node("ReduceL1", "a"), {"a": ints(-(2**30), 2**30)}, {}, 2**31, 0),
    ("product", node("ReduceProd", "a"), {"a": ints(2**20, 2**20, 4)}, {}, 2**42, 0),
    ("mean", node("ReduceMean", "a"), {"a": ints(MOST, MOST)}, {}, 2 * MOST, 0),
    ("running", node("CumSum", "a axis"), {"a": ints(2**30, 2**29, 2**29)}, {"axis": np.int64(0)}, 2**31, 2),
    ("scatter", node("ScatterElements", "a i a", reduction="add"), {"a": ints(2**29, 2**30)},
     {"i": ints(1, 1)}, 2**31 + 2**29, 1),
    ("scatter_nd", node("ScatterND", "a i b", reduction="mul"), {"a": ints(1, 2**20), "b": ints(2**12)},
     {"i": ints(1)[:, None]}, 2**32, 1),
    ("cast", node("Cast", "a", to=TensorProto.INT64), {"a": FLOATS}, {}, 3 * 10**9, 1),
    ("cast_unsigned", node("Cast", "a", to=TensorProto.UINT32), {"a": FLOATS}, {}, 3 * 10**9, 1),
    ("matmul", node("MatMul", "a b"), {"a": ints(2**16, 1)[None], "b": ints(2**16, 1)[:, None]}, {},
     2**32 + 1, 0),
    ("matmul_constant", node("MatMul", "a b"), {"a": ints(2**16, 1)[None]}, {"b": ints(2**16, 1)[:, None]},
     2**32 + 1, 0),
    ("gemm", node("Gemm", "a b", transB=1, alpha=3.0), {"a": ints(2**15, 1)[None], "b": ints(2**15, 1)[None]},
     {}, 3 * (2**30 + 1), 0),
    ("difference_of_unsigned", node("Sub", "a b"),
     {"a": ints(1, dtype=np.uint64), "b": ints(2, dtype=np.uint64)}, {}, -1, 0),
    ("shift", node("BitShift", "a b", direction="LEFT"),
     {"a": ints(3, dtype=np.uint64), "b": ints(33, dtype=np.uint64)}, {}, 3 * 2**33, 0),
]  # fmt: skip


def result_type(proto: onnx.NodeProto, inputs: dict[str, Any]) -> Any:
    if proto.op_type == "Cast":
        return helper.tensor_dtype_to_np_dtype(proto.attribute[0].i)
    return next(iter(inputs.values())).dtype


@pytest.mark.parametrize(
    ("proto", "inputs", "constants", "value", "place"), [r[1:] for r in LEAVING], ids=[r[0] for r in LEAVING]
)
@pytest.mark.parametrize("optimize", [True, False], ids=["", "as_imported"])
def test_a_run_names_node_and_value(
    proto: Any, inputs: Any, constants: Any, value: int, place: int | None, optimize: bool
) -> None:
    built = model([proto], inputs, result_type(proto, inputs), **constants)
    with pytest.raises(OutOfRangeError, match="32 bits") as caught:
        run(built, inputs, optimize=optimize)
    (found,) = caught.value.diagnostics
    assert found.node == "node_y"
    assert f"got {value} in " in found.message
    if place is not None:
        assert f"{place}] (" in found.message


def hashed() -> list[onnx.NodeProto]:
    return [node("Mul", "a k", "p"), node("Add", "p b", "h"), node("Mod", "h m")]


FITS: list[tuple[str, list[onnx.NodeProto], dict[str, Any], dict[str, Any], Any]] = [
    ("limits", [node("Add", "a b")], {"a": ints(MOST - 1, LEAST + 1), "b": ints(1, -1)}, {}, I64),
    ("hash", hashed(), {"a": ints(1000), "b": ints(7)}, {"k": np.int64(31), "m": np.int64(97)}, I64),
    ("int32_wraps", [node("Mul", "a b")], {n: ints(2**17, 3, dtype=np.int32) for n in "ab"}, {}, np.int32),
    ("int32_sum_wraps", [node("Add", "a a")], {"a": ints(MOST, 1, dtype=np.int32)}, {}, np.int32),
    ("uint8_wraps", [node("Add", "a b")], {n: ints(200, 3, dtype=np.uint8) for n in "ab"}, {}, np.uint8),
    ("power", [node("Pow", "a b")], {"a": ints(2, -2), "b": ints(30, 31)}, {}, I64),
    ("cut", [node("Cast", "a", to=TensorProto.INT64)], {"a": np.array([0.5, -7.5], np.float32)}, {}, I64),
    ("matmul", [node("MatMul", "a b")], {"a": ints(2**15, 7)[None], "b": ints(2**15, -7)[:, None]}, {}, I64),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "inputs", "constants", "to"), [r[1:] for r in FITS], ids=[r[0] for r in FITS]
)
def test_what_fits_is_what_onnx_computes(nodes: Any, inputs: Any, constants: Any, to: Any) -> None:
    done = transform(model(nodes, inputs, to, **constants), test_input=inputs)
    assert done.validation is not None
    assert done.validation.passed


def test_uint32_is_right_as_bits_until_it_is_read_as_a_number() -> None:
    inputs = {"a": ints(2**16, 5, dtype=np.uint32), "b": ints(2**15 + 1, 5, dtype=np.uint32)}
    done = transform(model([node("Mul", "a b")], inputs, np.uint32), test_input=inputs)
    assert done.validation is not None
    assert done.validation.passed
    rest = model([node("Mul", "a b", "p"), node("Mod", "p m")], inputs, np.uint32, m=np.uint32(97))
    with pytest.raises(OutOfRangeError, match=rf"read as a number by node_y, got {2**31 + 2**16} in p\[0\]"):
        run(rest, inputs)


def test_only_the_branch_that_was_taken_counts() -> None:
    def branch(op: str) -> Any:
        result = helper.make_tensor_value_info("z", TensorProto.INT64, None)
        return helper.make_graph([helper.make_node(op, ["a", "a"], ["z"])], op, [], [result])

    select = helper.make_node("If", ["c"], ["y"], then_branch=branch("Mul"), else_branch=branch("Sub"))
    inputs = {"c": np.array([True]), "a": ints(2**17, 1)}
    module = tpumlir.load_onnx(model([select], inputs))
    with pytest.raises(OutOfRangeError, match=f"got {2**34} in"):
        ModuleInterpreter(module).run({**inputs, "c": np.array([1])})
    result = ModuleInterpreter(module).run({**inputs, "c": np.array([0])})
    assert result["y"].tolist() == [0, 0]


def test_the_first_of_several_is_named() -> None:
    inputs = {"a": ints(2**20), "b": ints(2**20)}
    nodes = [node("Mul", "a b", "p"), node("Mul", "p p", "q"), node("Add", "q a")]
    with pytest.raises(OutOfRangeError) as caught:
        run(model(nodes, inputs), inputs)
    assert caught.value.tensors == ("p",)


def test_products_of_matrices_are_named_as_in_the_file() -> None:
    inputs = {"a": ints(2**16, 1), "b": ints(2**16, 1)}
    with pytest.raises(OutOfRangeError, match=f"got {2**32 + 1} in y "):
        run(model([node("MatMul", "a b")], inputs), inputs)


def test_fused_operations_are_watched() -> None:
    inputs = {"a": ints(3000, 2)}
    nodes = [node("Mul", "a k", "p"), node("Mul", "p k", "q"), node("Reshape", "q s")]
    with pytest.raises(OutOfRangeError, match=f"got {3 * 10**9} in q"):
        run(model(nodes, inputs, k=np.int64(1000), s=ints(2, 1)), inputs)


def test_bodies_of_loops_are_watched() -> None:
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "s": TensorProto.INT64}
    values = [helper.make_tensor_value_info(n, k, [2] if n == "s" else []) for n, k in kinds.items()]
    results = [helper.make_tensor_value_info("go", TensorProto.BOOL, []),
               helper.make_tensor_value_info("t", TensorProto.INT64, [2])]  # fmt: skip
    body = helper.make_graph([helper.make_node("Mul", ["s", "k"], ["t"])], "body", values, results)
    loop = helper.make_node("Loop", ["n", "", "a"], ["y"], body=body)
    inputs = {"a": ints(1, 7)}
    with pytest.raises(OutOfRangeError, match=f"got {7 * 31**6} in"):
        run(model([loop], inputs, n=np.int64(8), k=np.int64(31)), inputs)
    assert run(model([loop], inputs, n=np.int64(5), k=np.int64(31)), inputs)["y"].tolist() == [
        31**5,
        7 * 31**5,
    ]


def test_files_remember_what_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = {"a": ints(2**17), "b": ints(2**17)}
    onnx.save(model([node("Mul", "a b")], inputs), "m.onnx")
    np.savez("in.npz", **inputs)
    tpumlir.load_onnx("m.onnx").save("m.mlir")
    assert isinstance(Module.load("m.mlir"), Module)
    assert model_runner.main(["--model", "m.mlir", "--input", "in.npz"]) == 1
    assert (
        f"node_y: expected int64 values of 32 bits with a sign, got {2**34} in y[0]"
        in capsys.readouterr().err
    )
    assert tpumlir_main.main(["compile", "m.onnx", "--test_input", "in.npz"]) == 1
    err = capsys.readouterr().err
    assert f"got {2**34} in y[0]" in err
    assert not Path("m.bmodel").exists()


# --- before any run ---------------------------------------------------------------------

A, SMALL = {"a": ints(1, 2)}, {"a": ints(1, 2, dtype=np.uint8)}
AB, MASK = {"a": ints(1, 2), "b": ints(1, 2)}, {"attention_mask": np.ones((1, 4096), I64)}
WARNED: list[tuple[str, list[onnx.NodeProto], dict[str, Any], dict[str, Any]]] = [
    ("product", [node("Mul", "a b")], AB, {}),
    ("large_factor", [node("Mul", "a k")], A, {"k": np.int64(10**6)}),
    ("square", [node("Pow", "a k")], A, {"k": np.int64(2)}),
    ("open_power", [node("Pow", "a b")], AB, {}),
    ("polynomial", [node("Mul", "a k", "p"), node("Add", "p b", "q"), node("Mul", "q k", "r"),
                    node("Add", "r a", "s"), node("Mul", "s k")], AB, {"k": np.int64(31)}),
    ("sum_of_squares", [node("ReduceSumSquare", "a")], A, {}),
    ("all_factors", [node("ReduceProd", "a")], A, {}),
    ("near_the_limit", [node("Add", "a k")], A, {"k": np.int64(MOST - 5)}),
    ("known_sum", [node("Cast", "a", "w", to=TensorProto.INT64), node("Mul", "w k", "p"),
                   node("ReduceSum", "p")], SMALL, {"k": np.int64(2**23 - 1)}),
    ("matmul", [node("MatMul", "a b")], AB, {}),
]  # fmt: skip
QUIET: list[tuple[str, list[onnx.NodeProto], dict[str, Any], dict[str, Any]]] = [
    ("offset", [node("Add", "a k")], A, {"k": np.int64(2)}),
    ("stride", [node("Mul", "a k", "p"), node("Add", "p b")], AB, {"k": np.int64(640)}),
    ("hash_step", hashed(), AB, {"k": np.int64(31), "m": np.int64(97)}),
    ("positions", [node("CumSum", "attention_mask one", "s"), node("Mul", "s attention_mask", "p"),
                   node("Add", "p one")], MASK, {"one": np.int64(1)}),
    ("sum", [node("ReduceSum", "a")], {"a": np.ones((1, 65536), I64)}, {}),
    ("remainder", [node("Mod", "a m", "r"), node("Mul", "r k")], A,
     {"m": np.int64(97), "k": np.int64(10**6)}),
    ("truth", [node("Greater", "a b", "t"), node("Cast", "t", "i", to=TensorProto.INT64), node("Mul", "i k")],
     AB, {"k": np.int64(10**9)}),
    ("places", [node("ArgMax", "a", "i"), node("Mul", "i k")], A, {"k": np.int64(10**9)}),
    ("clipped", [node("Clip", "a l h", "c"), node("Mul", "c k")], A,
     {"l": np.int64(0), "h": np.int64(100), "k": np.int64(10**7)}),
    ("bytes", [node("Cast", "a", "w", to=TensorProto.INT64), node("Mul", "w w")], SMALL, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "inputs", "constants"), [r[1:] for r in WARNED], ids=[r[0] for r in WARNED]
)
def test_check_warns(nodes: Any, inputs: Any, constants: Any) -> None:
    report = check_model(model(nodes, inputs, **constants))
    assert report.passed
    (warning,) = report.warnings
    assert warning.node == "node_y"
    assert "may leave 32 bits" in warning.message


@pytest.mark.parametrize("made", [False, True])
def test_a_constant_output_beyond_is_refused_by_name(made: bool) -> None:
    """The end of a slice, say, that is an output too: no node of the chip program has it."""
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="r")]
    nodes += [helper.make_node("Add", ["w", "w"], ["far"], name="a")] if made else []
    name = "far" if made else "w"
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info(name, TensorProto.INT64, [1]),
        ],
        [numpy_helper.from_array(np.array([2**40], np.int64), "w")],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(tpumlir.UnsupportedError, match=rf"^{name}: .*32 bits.*--output_names"):
        tpumlir.load_onnx(proto)
    assert tpumlir.load_onnx(proto, output_names=["y"])


@pytest.mark.parametrize(("nodes", "inputs", "constants"), [r[1:] for r in QUIET], ids=[r[0] for r in QUIET])
def test_usual_arithmetic_of_indices_is_no_reason_to_warn(nodes: Any, inputs: Any, constants: Any) -> None:
    report = check_model(model(nodes, inputs, **constants))
    assert report.passed
    assert not report.warnings


def test_integers_of_32_bits_may_wrap() -> None:
    inputs = {name: value.astype(np.int32) for name, value in AB.items()}
    assert not check_model(model([node("Mul", "a b")], inputs, np.int32)).warnings


def test_many_warnings_are_counted() -> None:
    nodes = [node("Mul", "a b", f"p{i}") for i in range(8)]
    nodes += [node("Max", " ".join(f"p{i}" for i in range(8)))]
    warnings = check_model(model(nodes, AB)).warnings
    assert len(warnings) == 6
    assert warnings[-1].message.startswith("3 more nodes")


def test_commands_warn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model([node("Mul", "a b")], AB), "m.onnx")
    for command in ("check", "compile"):
        assert tpumlir_main.main([command, "m.onnx"]) == 0
        assert "warning: node_y: Mul: its int64 result may leave 32 bits" in capsys.readouterr().err
    assert tpumlir_main.main(["check", "m.onnx", "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith("node_y: Mul")
