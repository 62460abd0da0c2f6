"""Modules as Python values: text, files, passes, running, and the errors they raise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.data.inputs import load_inputs
from tpumlir.tensors import TensorSpec, check_inputs, random_inputs

RNG = np.random.default_rng(3)
WEIGHT = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
X = RNG.standard_normal((1, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def module() -> tpumlir.Module:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["y"], name="act"),
            helper.make_node("Exp", ["y"], ["z"], name="exp"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net")


def test_describes_itself(module: tpumlir.Module) -> None:
    assert module.inputs == [TensorSpec("x", (1, 3, 8, 8), "f32")]
    assert module.outputs == [TensorSpec("z", (1, 4, 6, 6), "f32")]
    assert module.attributes["module.state"] == "TOP_F32"
    assert module.tensor_names()[-1] == "z"
    assert "x [1, 3, 8, 8]" in repr(module)
    ops = {op.name: op for op in module.ops()}
    assert ops["z"].kind == "top.Exp"
    assert ops["z"].operands == ["y"]


def test_fusion_keeps_the_name_of_the_last_tensor(module: tpumlir.Module) -> None:
    conv = next(op for op in module.ops() if op.kind == "top.Conv")
    assert conv.name == "y"
    assert conv.attrs["do_relu"] is True


def test_text_goes_there_and_back(module: tpumlir.Module) -> None:
    again = tpumlir.Module.parse(module.print(), module.weights)
    assert again.print() == module.print()
    assert str(module) == module.print()


def test_files_go_there_and_back(module: tpumlir.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.mlir"
    module.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.mlir", "net_weight.npz"]
    again = tpumlir.Module.load(path)
    assert again.attributes["module.weight_file"] == "net_weight.npz"
    want = tpumlir.ModuleInterpreter(module).run({"x": X})["z"]
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(again).run({"x": X})["z"], want)


def test_saving_twice_gives_the_same_bytes(module: tpumlir.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.mlir"
    module.save(path)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    module.clone().save(path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first


def test_a_clone_is_its_own(module: tpumlir.Module) -> None:
    clone = module.clone()
    before = module.print()
    clone.core.set_attribute("module.chip", "other")
    assert module.print() == before


def test_missing_weights_name_the_file(module: tpumlir.Module, tmp_path: Path) -> None:
    module.save(tmp_path / "net.mlir")
    (tmp_path / "net_weight.npz").unlink()
    with pytest.raises(tpumlir.TpumlirError, match=r"net_weight\.npz: no such file"):
        tpumlir.Module.load(tmp_path / "net.mlir")


def test_unreadable_text_is_a_parse_error(tmp_path: Path) -> None:
    with pytest.raises(tpumlir.ParseError, match="no such file"):
        tpumlir.Module.load(tmp_path / "no.mlir")
    (tmp_path / "bytes.mlir").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tpumlir.ParseError, match="binary file"):
        tpumlir.Module.load(tmp_path / "bytes.mlir")
    with pytest.raises(tpumlir.ParseError):
        tpumlir.Module.parse("module {")


def test_an_unknown_pass_is_a_pass_error(module: tpumlir.Module) -> None:
    with pytest.raises(tpumlir.PassError, match="no-such-pass"):
        module.run_pipeline("no-such-pass")


def test_results_by_name(module: tpumlir.Module) -> None:
    interpreter = tpumlir.ModuleInterpreter(module)
    assert list(interpreter.run({"x": X})) == ["z"]
    some = interpreter.run({"x": X}, tensors=["y"])
    assert set(some) == {"y", "z"}
    np.testing.assert_allclose(np.exp(some["y"]), some["z"], rtol=1e-6)
    assert {"y", "z"} <= set(interpreter.run({"x": X}, all_tensors=True))
    with pytest.raises(tpumlir.InputError, match="nope"):
        interpreter.run({"x": X}, tensors=["nope"])


def test_a_module_runs_again_with_other_inputs(module: tpumlir.Module) -> None:
    interpreter = tpumlir.ModuleInterpreter(module)
    first = interpreter.run({"x": X})["z"].copy()
    assert not np.array_equal(interpreter.run({"x": -X})["z"], first)
    np.testing.assert_array_equal(interpreter.run({"x": X})["z"], first)


SPECS = [TensorSpec("a", (2, 2), "f32"), TensorSpec("n", (2,), "i32")]
A, N = np.ones((2, 2), np.float32), np.array([0, 1], np.int32)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"n": N}, "a: expected an input of this name, got n"),
        ({"a": A[0], "n": N}, r"a: expected shape \[2, 2\], got \[2\]"),
        ({"a": A * np.float32("nan"), "n": N}, "a: expected finite values, got 4 NaN and 0 infinities"),
        ({"a": A * np.float32("inf"), "n": N}, "a: expected finite values, got 0 NaN and 4 infinities"),
        ({"a": A, "n": N + 0.5}, "n: expected values that int32 holds exactly"),
        ({"a": A, "n": N.astype(np.int64) + 2**40}, "n: expected values that int32 holds exactly"),
        ({"a": A.astype(str), "n": N}, "a: expected numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(tpumlir.InputError, match=message) as caught:
        check_inputs(inputs, SPECS)
    assert "\n" not in str(caught.value)


def test_all_wrong_inputs_are_named_at_once() -> None:
    with pytest.raises(tpumlir.InputError) as caught:
        check_inputs({"a": A[0]}, SPECS)
    assert [d.node for d in caught.value.diagnostics] == ["a", "n"]


def test_inputs_are_converted_where_nothing_is_lost() -> None:
    got = check_inputs(
        {"a": np.array([[1, 2], [3, 4]], np.uint8), "n": N.astype(np.int64), "extra": A}, SPECS
    )
    assert {name: value.dtype for name, value in got.items()} == {"a": np.float32, "n": np.int32}


def test_random_inputs_repeat() -> None:
    first, second = random_inputs(SPECS), random_inputs(SPECS)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(random_inputs(SPECS, seed=1)["a"], first["a"])
    assert set(np.unique(random_inputs([TensorSpec("n", (99,), "i32")])["n"])) == {0, 1}


def test_inputs_come_from_one_npz_or_a_file_each(tmp_path: Path) -> None:
    npz.save(tmp_path / "both.npz", {"a": A, "n": N})
    np.save(tmp_path / "a.npy", A)
    np.save(tmp_path / "n.npy", N)
    each = [tmp_path / "a.npy", tmp_path / "n.npy"]
    for source in (tmp_path / "both.npz", each, ",".join(map(str, each))):
        np.testing.assert_array_equal(load_inputs(source, SPECS)["n"], N)
    with pytest.raises(tpumlir.InputError, match="a file for each of 2 inputs, got 1"):
        load_inputs(tmp_path / "a.npy", SPECS)
    (tmp_path / "n.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(tpumlir.InputError, match="expected an npy file"):
        load_inputs(each, SPECS)


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    assert "load_onnx" in dir(tpumlir)
    with pytest.raises(AttributeError, match="nope"):
        _ = tpumlir.nope
    assert all(getattr(tpumlir, name) is not None for name in tpumlir.__all__)
