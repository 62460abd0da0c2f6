"""Inputs as users give them: names, types, defaults, constants, infinities, and what the commands say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from command_line import run
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from tpumlir import npz
from tpumlir.bmodel import write
from tpumlir.errors import InputError, Note, TpumlirError
from tpumlir.road.compile import compile_onnx, deploy, transform
from tpumlir.road.run import run_file

Array = npt.NDArray[Any]
Declared = Mapping[str, tuple[int, Sequence[int | str]]]
RNG = np.random.default_rng(11)
X = RNG.standard_normal((2, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, made the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(kind: str, values: Any) -> npt.NDArray[Any]:
    """An array of a type."""
    return np.array(values, kind)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Declared,
    outputs: Mapping[str, int] | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """A model; outputs are floats of no declared shape unless said otherwise."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(n, kind, list(shape)) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, k, None) for n, k in (outputs or {"y": T.FLOAT}).items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """``node("Add", "a b", "c")``."""
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def everywhere(
    proto: onnx.ModelProto, inputs: Mapping[str, Array], *flags: str, nonfinite: bool = False
) -> dict[str, dict[str, Array]]:
    """The outputs by command: compile's bmodel, and what model_runner gives for every file on the road."""
    onnx.save(proto, "m.onnx")
    npz.save("in.npz", inputs)
    finite = ("--allow_nonfinite",) if nonfinite else ()
    given = ("--test_input", "in.npz", *finite)
    assert run("compile", "m.onnx", *given, *flags, "-o", "c.bmodel") == 0
    transformed = ("--test_result", "top.npz", "--mlir", "m.mlir")
    assert run("model_transform", "--model_def", "m.onnx", *given, *flags, *transformed) == 0
    reference = ("--test_reference", "top.npz", "--model", "m.bmodel")
    assert run("model_deploy", "--mlir", "m.mlir", *given, *reference) == 0
    results = {}
    for file in ("m.onnx", "m.mlir", "m_tpu.mlir", "m_final.mlir", "m.bmodel", "c.bmodel"):
        assert run("model_runner", "--model", file, "--input", "in.npz", "--output", "o.npz", *finite) == 0
        results[file] = npz.load("o.npz")
    return results


def agree(results: Mapping[str, Mapping[str, Array]], want: Mapping[str, Array], rtol: float = 1e-5) -> None:
    for file, got in results.items():
        assert list(got) == list(want), file
        for name, value in want.items():
            assert got[name].shape == value.shape, (file, name)
            np.testing.assert_allclose(got[name], value, rtol=rtol, atol=1e-6, err_msg=f"{file} {name}")


# --- names ---------------------------------------------------------------------------------------

TWO = model([node("Add", "x z", "y")], {"x": (T.FLOAT, [2, 4]), "z": (T.FLOAT, [2, 4])})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["x", "z", "w"],
            "w: expected the name of a model input, got one that it does not have (there are: x, z)",
        ),
        (["x"], "z: expected an input of this name, got x"),
        (["x", "Z"], "Z: expected the name of a model input"),
    ],
    ids=["one too many", "one missing", "wrong case"],
)
def test_names_must_be_those_of_the_model(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(TWO, "m.onnx")
    npz.save("in.npz", dict.fromkeys(given, X))
    npz.save("good.npz", {"x": X, "z": X})
    assert run("compile", "m.onnx", "--test_input", "good.npz") == 0
    assert run("model_transform", "--model_def", "m.onnx", "--mlir", "m.mlir") == 0
    capsys.readouterr()
    for command in (
        ("compile", "m.onnx", "--test_input", "in.npz"),
        ("model_transform", "--model_def", "m.onnx", "--test_input", "in.npz"),
        ("model_deploy", "--mlir", "m.mlir", "--model", "d.bmodel", "--test_input", "in.npz"),
        ("model_runner", "--model", "m.onnx", "--input", "in.npz"),
        ("model_runner", "--model", "m.mlir", "--input", "in.npz"),
        ("model_runner", "--model", "m.bmodel", "--input", "in.npz"),
    ):
        assert run(*command) == 1, command
        captured = capsys.readouterr()
        assert message in captured.err, command
        assert captured.err.count("\n") == 1


def test_names_with_spaces_and_equals_signs() -> None:
    names: Declared = {"my x": (T.FLOAT, [2, 4]), "a=b": (T.FLOAT, [1])}
    proto = model([helper.make_node("Mul", ["my x", "a=b"], ["the y"])], names, {"the y": T.FLOAT})
    done = transform(proto, fixed_inputs=["a=b=3"], test_input={"my x": X})
    np.testing.assert_array_equal(done.tensors["the y"], X * 3)


# --- defaults ------------------------------------------------------------------------------------


def scaled(ir_version: int = 8, shape: Sequence[int | str] = (1,)) -> onnx.ModelProto:
    """x * strength, where the file has a strength of 1."""
    return model(
        [node("Mul", "x strength", "m"), node("Tanh", "m", "y")],
        {"x": (T.FLOAT, [2, 4]), "strength": (T.FLOAT, shape)},
        constants={"strength": of("float32", [1])},
        opset=11 if ir_version > 3 else 8,
        ir_version=ir_version,
    )


@pytest.mark.parametrize("ir_version", [3, 4, 8])
def test_a_default_that_is_given_counts(ir_version: int) -> None:
    strength = of("float32", [0.25])
    results = everywhere(scaled(ir_version), {"x": X, "strength": strength})
    results.pop("m.onnx")
    agree(results, {"y": np.tanh(X * strength)}, 1e-4)


def test_a_default_that_is_not_given_is_a_constant(capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(scaled(), "m.onnx")
    assert run("compile", "m.onnx") == 0
    assert "inputs constant as in the file (--runtime_inputs changes it): strength" in capsys.readouterr().out
    assert [spec.name for spec in tpumlir.load_onnx("m.onnx").inputs] == ["x"]


def test_runtime_inputs_makes_an_input_of_a_default(capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(scaled(), "m.onnx")
    assert run("compile", "m.onnx", "--runtime_inputs", "strength", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["inputs"] == {"runtime": ["x", "strength"], "fixed": [], "default": [], "unused": []}
    module = tpumlir.load_onnx("m.onnx", runtime_inputs=["strength"])
    got = tpumlir.ModuleInterpreter(module).run({"x": X, "strength": of("float32", [-2])})["y"]
    np.testing.assert_allclose(got, np.tanh(X * -2), rtol=1e-5)


def test_a_module_refuses_another_value_for_its_constant(capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(scaled(), "m.onnx")
    assert run("model_transform", "--model_def", "m.onnx", "--mlir", "m.mlir") == 0
    npz.save("same.npz", {"x": X, "strength": of("float32", [1])})
    npz.save("other.npz", {"x": X, "strength": of("float32", [2])})
    deploy = ("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", "--test_input")
    assert run(*deploy, "same.npz") == 0
    capsys.readouterr()
    assert run(*deploy, "other.npz") == 1
    assert "strength: expected the value that this file was made with" in capsys.readouterr().err
    for file in ("m.mlir", "m_tpu.mlir", "m.bmodel"):
        assert run("model_runner", "--model", file, "--input", "same.npz") == 0
        capsys.readouterr()
        assert run("model_runner", "--model", file, "--input", "other.npz") == 1
        assert "strength: expected the value that this file was made with" in capsys.readouterr().err


def test_a_default_of_open_shape_takes_the_shape_that_is_given() -> None:
    strength = of("float32", [1, 2, 3, 4])
    done = transform(scaled(shape=["n"]), test_input={"x": X, "strength": strength})
    assert done.validation is not None
    done.validation.raise_if_failed()
    np.testing.assert_allclose(done.tensors["y"], np.tanh(X * strength), rtol=1e-5)


# --- constants -----------------------------------------------------------------------------------


def branching(shape: Sequence[int] = (1,)) -> onnx.ModelProto:
    """x * 2 or x * -1, as an input says."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [node("Mul", f"x k{name}", f"o{name}")], name, [],
            [helper.make_tensor_value_info(f"o{name}", T.FLOAT, [2, 4])],
            [numpy_helper.from_array(np.float32(k), f"k{name}")],
        )
        for name, k in (("then", 2), ("else", -1))
    }  # fmt: skip
    return model(
        [node("If", "use_cache", "y", name="choose", **branches)],
        {"x": (T.FLOAT, [2, 4]), "use_cache": (T.BOOL, shape)},
    )


@pytest.mark.parametrize(("text", "factor"), [("true", 2), ("false", -1), ("[true]", 2), ("0", -1), ("1", 2)])
def test_fix_input_chooses_a_branch(text: str, factor: int) -> None:
    given = {"x": X, "use_cache": np.array([True])}
    results = everywhere(branching(), given, "--fix_input", f"use_cache={text}") if text == "true" else {}
    done = transform(branching(), fixed_inputs=[f"use_cache={text}"], test_input={"x": X})
    np.testing.assert_array_equal(done.tensors["y"], X * factor)
    assert done.validation is not None
    assert done.validation.passed
    results.pop("m.onnx", None)
    agree(results, {"y": X * factor})


def test_the_branch_that_does_not_run_asks_for_nothing() -> None:
    # Only with a cache its length matters; without one nobody should have to give it.
    cached = helper.make_graph(
        [node("Concat", "past x", "t", axis=0)],
        "then",
        [],
        [helper.make_tensor_value_info("t", T.FLOAT, None)],
    )
    fresh = helper.make_graph(
        [node("Neg", "x", "e")], "else", [], [helper.make_tensor_value_info("e", T.FLOAT, None)]
    )
    inputs: Declared = {"x": (T.FLOAT, [2, 4]), "past": (T.FLOAT, ["batch", "n"]), "use_cache": (T.BOOL, [1])}
    proto = model([node("If", "use_cache", "y", then_branch=cached, else_branch=fresh)], inputs)
    done = transform(proto, fixed_inputs={"use_cache": False}, test_input={"x": X})
    np.testing.assert_array_equal(done.tensors["y"], -X)
    assert [spec.name for spec in done.module.inputs] == ["x"]
    past = np.ones((3, 4), np.float32)
    done = transform(proto, fixed_inputs={"use_cache": True}, test_input={"x": X, "past": past})
    np.testing.assert_array_equal(done.tensors["y"], np.concatenate([past, X]))


FIXED: list[tuple[str, Any, int, Sequence[int | str], Any]] = [
    ("number", "2.5", T.FLOAT, [], np.float32(2.5)),
    ("number fills", "2.5", T.FLOAT, [2, 4], np.full((2, 4), 2.5, np.float32)),
    ("list", "[1,2,3,4]", T.FLOAT, [4], of("float32", [1, 2, 3, 4])),
    ("nested list", "[[1],[2]]", T.FLOAT, [2, 1], of("float32", [[1], [2]])),
    ("open shape", "[1,2,3,4]", T.FLOAT, ["n"], of("float32", [1, 2, 3, 4])),
    ("npz", "v.npz", T.FLOAT, [4], of("float32", [5, 6, 7, 8])),
    ("npz under its name", "two.npz", T.FLOAT, [4], of("float32", [5, 6, 7, 8])),
    ("npy", "v.npy", T.FLOAT, [4], of("float32", [5, 6, 7, 8])),
    ("array", of("float32", [5, 6, 7, 8]), T.FLOAT, [4], of("float32", [5, 6, 7, 8])),
    ("python number", 3, T.FLOAT, [1], of("float32", [3])),
    ("infinity", "-inf", T.FLOAT, [1], of("float32", [-np.inf])),
]


@pytest.mark.parametrize(
    ("value", "kind", "shape", "want"), [f[1:] for f in FIXED], ids=[f[0] for f in FIXED]
)
def test_values_of_fix_input(value: Any, kind: int, shape: Sequence[int | str], want: Array) -> None:
    npz.save("v.npz", {"anything": of("float32", [5, 6, 7, 8])})
    npz.save("two.npz", {"k": of("float32", [5, 6, 7, 8]), "other": X})
    np.save("v.npy", of("float32", [5, 6, 7, 8]))
    proto = model([node("Max", "x k", "y")], {"x": (T.FLOAT, [2, 4]), "k": (kind, shape)})
    module = tpumlir.load_onnx(proto, fixed_inputs={"k": value})
    assert [spec.name for spec in module.inputs] == ["x"]
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run({"x": X})["y"], np.maximum(X, want))


WRONG: list[tuple[str, Any, str]] = [
    ("unknown", {"kk": 1}, r"kk: expected the name of a model input, .*similar names: k"),
    ("fraction", {"k": 1.5}, r"k: expected values that int64 holds, got 1.5"),
    ("shape", {"k": [1, 2]}, r"k: expected a value of shape \[1\], got \[2\]"),
    ("text", {"k": "abc"}, r"k: expected a number, true, false, a list such as \[1,2\], or an npz"),
    ("no file", {"k": "no.npy"}, r"no.npy: no such file"),
    ("ragged", {"k": "[[1],[2,3]]"}, r"k: expected a number, true, false"),
    ("no equals sign", ["k"], r"expected NAME=VALUE, got 'k'"),
    ("no name", ["=1"], r"expected NAME=VALUE, got '=1'"),
    ("twice", ["k=1", "k=2"], r"k: expected one value for a fixed input, got two"),
]


@pytest.mark.parametrize(("fixed", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_values_that_do_not_fit_are_refused(fixed: Any, message: str) -> None:
    proto = model([node("Tile", "x k", "y")], {"x": (T.FLOAT, [3]), "k": (T.INT64, [1])})
    with pytest.raises(TpumlirError, match=message):
        tpumlir.load_onnx(proto, fixed_inputs=fixed)


@pytest.mark.parametrize("shapes", [[[2, 4]], [[2, 4], [4]], {"x": [2, 4], "k": [4]}])
def test_shapes_beside_a_fixed_input(shapes: Any) -> None:
    proto = model([node("Mul", "x k", "y")], {"x": (T.FLOAT, ["a", "b"]), "k": (T.FLOAT, ["c"])})
    done = transform(proto, input_shapes=shapes, fixed_inputs={"k": [1, 2, 3, 4]}, test_input={"x": X})
    np.testing.assert_array_equal(done.tensors["y"], X * of("float32", [1, 2, 3, 4]))


def test_what_the_reference_cannot_run_may_lie_behind_a_cut() -> None:
    nodes = [node("Neg", "x", "t"), helper.make_node("Secret", ["t"], ["y"], domain="my")]
    proto = model(nodes, {"x": (T.FLOAT, [2, 4])})
    proto.opset_import.append(helper.make_opsetid("my", 1))
    done = transform(proto, output_names=["t"], test_input={"x": X})
    assert done.validation is not None
    assert done.validation.passed


def test_fixed_and_at_run_time_contradict() -> None:
    with pytest.raises(
        InputError, match="strength: expected a fixed value or an input of run time, got both"
    ):
        tpumlir.load_onnx(scaled(), fixed_inputs={"strength": 1}, runtime_inputs=["strength"])


def test_a_fixed_value_wins_over_the_test_input_in_validations_only(tmp_path: Path) -> None:
    given = {"x": X, "strength": of("float32", [3])}
    with pytest.warns(Note, match="the other value in the test input is not used: strength"):
        done = transform(scaled(), fixed_inputs={"strength": 2}, test_input=given)
    assert done.validation is not None
    assert done.validation.passed
    with pytest.warns(Note, match="not used: strength"):
        deployed = deploy(done.module, test_input=given)
    assert all(verdict.passed for verdict in deployed.validations)
    write(tmp_path / "m.bmodel", deployed.bmodel)
    npz.save(tmp_path / "in.npz", given)
    with pytest.raises(InputError, match="expected the value that this file was made with"):
        run_file(tmp_path / "m.bmodel", str(tmp_path / "in.npz"))


def test_a_default_may_be_fixed_to_another_value() -> None:
    done = transform(
        scaled(), fixed_inputs={"strength": 2}, test_input={"x": X, "strength": of("float32", [2])}
    )
    assert done.validation is not None
    done.validation.raise_if_failed()
    np.testing.assert_allclose(done.tensors["y"], np.tanh(X * 2), rtol=1e-5)


HANGS = [
    ("If", branching(), "use_cache=true"),
    ("If of rank 0", branching(()), "use_cache=true"),
    ("shape", model([node("Tile", "x k", "y")], {"x": (T.FLOAT, [3]), "k": (T.INT64, [1])}), "k=2"),
    (
        "computed shape",
        model(
            [node("Mul", "k two", "n"), node("Reshape", "x n", "y")],
            {"x": (T.FLOAT, [4]), "k": (T.INT64, [2])},
            constants={"two": of("int64", [2, 1])},
        ),
        "k=[1,2]",
    ),
    ("TopK", model([node("TopK", "x k", "y i")], {"x": (T.FLOAT, [4]), "k": (T.INT64, [1])}), "k=2"),
    ("a quoted name", model([helper.make_node("Tile", ["x", "how often"], ["y"])],
                            {"x": (T.FLOAT, [3]), "how often": (T.INT64, [1])}), "how often=2"),
]  # fmt: skip


@pytest.mark.parametrize(("proto", "flag"), [h[1:] for h in HANGS], ids=[h[0] for h in HANGS])
def test_the_advice_names_fix_input_and_works(
    proto: onnx.ModelProto, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(proto, "m.onnx")
    name = flag.partition("=")[0]
    quoted = f"--fix_input '{name}=" if " " in name else f"--fix_input {name}="
    if run("compile", "m.onnx") == 0:
        return  # compiled with the input at run time
    assert quoted in capsys.readouterr().err
    assert run("check", "m.onnx") == 1
    assert quoted in capsys.readouterr().out
    assert run("check", "m.onnx", "--fix_input", flag) == 0
    assert run("compile", "m.onnx", "--fix_input", flag) == 0


def test_a_picture_is_not_to_be_fixed(capsys: pytest.CaptureFixture[str]) -> None:
    proto = model(
        [node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "k", to=T.INT64),
         node("Reshape", "k one", "n"), node("Tile", "v n", "y")],
        {"x": (T.FLOAT, [1, 3, 16, 16]), "v": (T.FLOAT, [3])},
        constants={"one": of("int64", [1])},
    )  # fmt: skip
    onnx.save(proto, "m.onnx")
    assert run("compile", "m.onnx") == 1
    assert "--fix_input" not in capsys.readouterr().err


# --- types ---------------------------------------------------------------------------------------

TYPES: list[tuple[int, Array, Array]] = [
    (T.DOUBLE, X.astype(np.float64) + 1e-9, X),
    (T.FLOAT16, X.astype(np.float16), X.astype(np.float16).astype(np.float32)),
    (T.FLOAT16, X, X.astype(np.float16).astype(np.float32)),
    (T.BFLOAT16, X, X.astype(ml_dtypes.bfloat16).astype(np.float32)),
    (T.UINT8, of("uint8", [[0, 1, 128, 255]]), of("float32", [[0, 1, 128, 255]])),
    (T.INT8, of("int8", [[-128, -1, 0, 127]]), of("float32", [[-128, -1, 0, 127]])),
    (T.UINT8, of("int64", [[0, 1, 128, 255]]), of("float32", [[0, 1, 128, 255]])),
    (T.INT16, of("int16", [[-32768, 7]]), of("float32", [[-32768, 7]])),
    (T.INT64, of("int64", [[-5, 1 << 20]]), of("float32", [[-5, 1 << 20]])),
    (T.BOOL, np.array([[True, False]]), of("float32", [[1, 0]])),
    (T.BOOL, of("int32", [[1, 0]]), of("float32", [[1, 0]])),
]


@pytest.mark.parametrize(
    ("kind", "value", "want"), TYPES, ids=[f"{T.DataType.Name(k)}-{v.dtype}" for k, v, _ in TYPES]
)
def test_inputs_of_every_type_go_the_whole_road(kind: int, value: Array, want: Array) -> None:
    proto = model([node("Cast", "x", "f", to=T.FLOAT), node("Add", "f f", "y")], {"x": (kind, value.shape)})
    agree(everywhere(proto, {"x": value}), {"y": want + want})


BAD_VALUES: list[tuple[str, int, Array, str]] = [
    ("beyond uint8", T.UINT8, of("int64", [256]), "x: expected values that uint8 holds exactly, got 256"),
    ("two is no truth value", T.BOOL, of("int64", [2]), "x: expected values that bool holds exactly, got 2"),
    ("beyond float16", T.FLOAT16, of("float32", [1e6]), "x: expected values that float16 holds, got 1000000"),
    ("beyond float32", T.FLOAT, of("float64", [1e300]), "x: expected values that float32 holds, got 1e+300"),
    (
        "a double that F32 lacks",
        T.DOUBLE,
        of("float64", [1e300]),
        "x: expected values that float32 holds, got 1e+300",
    ),
    ("beyond 32 bits", T.INT64, of("int64", [1 << 40]), "x: expected values that int32 holds exactly"),
    ("a fraction", T.INT64, of("float32", [0.5]), "x: expected values that int64 holds exactly, got 0.5"),
    ("text", T.FLOAT, np.array(["a"]), "x: expected numbers"),
]


@pytest.mark.parametrize(
    ("kind", "value", "message"), [b[1:] for b in BAD_VALUES], ids=[b[0] for b in BAD_VALUES]
)
def test_values_that_a_type_does_not_hold_are_refused(kind: int, value: Array, message: str) -> None:
    proto = model([node("Cast", "x", "y", to=T.FLOAT)], {"x": (kind, [1])})
    with pytest.raises(InputError) as caught:
        transform(proto, test_input={"x": value})
    assert message in str(caught.value)


def test_doubles_that_lose_too_much_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    # Times since 1970 in seconds: F32 is 128 seconds off, and the difference is all that counts.
    proto = model(
        [node("Sub", "t start", "d"), node("Cast", "d", "f", to=T.FLOAT), node("Add", "f x", "y")],
        {"t": (T.DOUBLE, [3]), "x": (T.FLOAT, [3])},
        constants={"start": of("float64", [1.7e9])},
    )
    onnx.save(proto, "m.onnx")
    npz.save("in.npz", {"t": of("float64", [1.7e9 + 1, 1.7e9 + 2, 1.7e9 + 3]), "x": X[0, :3]})
    assert run("compile", "m.onnx", "--test_input", "in.npz") == 1
    error = capsys.readouterr().err
    assert "input t: rounding its float64 values to F32 costs more than the tolerance: output y" in error
    assert run("compile", "m.onnx", "--test_input", "in.npz", "--json") == 1
    assert "input t" in json.loads(capsys.readouterr().out)["notes"][0]


# --- infinities ----------------------------------------------------------------------------------

MASK = np.where(np.tril(np.ones((4, 4))) > 0, 0, -np.inf).astype(np.float32)
MASKED = model(
    [node("Add", "x mask", "s"), node("Softmax", "s", "y", axis=-1)],
    {"x": (T.FLOAT, [4, 4]), "mask": (T.FLOAT, [4, 4])},
)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def test_infinities_are_refused_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(MASKED, "m.onnx")
    x = RNG.standard_normal((4, 4)).astype(np.float32)
    npz.save("in.npz", {"x": x, "mask": MASK})
    assert run("compile", "m.onnx", "--test_input", "in.npz") == 1
    assert (
        "mask: expected finite values, got 0 NaN and 6 infinities (--allow_nonfinite"
        in capsys.readouterr().err
    )
    agree(everywhere(MASKED, {"x": x, "mask": MASK}, nonfinite=True), {"y": softmax(x + MASK)}, 1e-4)
    for mode in ("F16", "BF16"):
        flags = ("--quantize", mode, "--allow_nonfinite", "-o", "h.bmodel")
        assert run("compile", "m.onnx", "--test_input", "in.npz", *flags) == 0


# --- outputs -------------------------------------------------------------------------------------


def test_an_operator_that_comes_to_nothing_keeps_its_output() -> None:
    proto = model(
        [node("ReduceMean", "t", "temp", keepdims=0), node("Div", "x temp", "y")],
        {"x": (T.FLOAT, [2, 4]), "t": (T.FLOAT, [])},
        {"y": T.FLOAT, "temp": T.FLOAT},
    )
    t = np.float32(0.7)
    agree(everywhere(proto, {"x": X, "t": t}), {"y": X / t, "temp": t})


NOTHING = [
    ("sum of a scalar", [node("ReduceSum", "t", "temp", keepdims=0)], {"t": []}),
    ("L2 of a scalar", [node("ReduceL2", "t", "temp", keepdims=0)], {"t": []}),
    ("Identity", [node("Identity", "t", "temp")], {"t": [2]}),
    ("Dropout", [node("Dropout", "t", "temp")], {"t": [2]}),
    ("Reshape to the same", [node("Reshape", "t two", "temp")], {"t": [2]}),
    ("Transpose of one axis", [node("Transpose", "t", "temp", perm=[0])], {"t": [2]}),
    ("Concat of one", [node("Concat", "t", "temp", axis=0)], {"t": [2]}),
    ("Slice of all", [node("Slice", "t zero two", "temp")], {"t": [2]}),
    ("Expand to the same", [node("Expand", "t two", "temp")], {"t": [2]}),
    ("Cast to the same", [node("Cast", "t", "temp", to=T.FLOAT)], {"t": [2]}),
    ("Sum of one", [node("Sum", "t", "temp")], {"t": [2]}),
    ("Max of one", [node("Max", "t", "temp")], {"t": [2]}),
    ("Pad by nothing", [node("Pad", "t nothing", "temp")], {"t": [2]}),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "shapes"), [n[1:] for n in NOTHING], ids=[n[0] for n in NOTHING])
@pytest.mark.parametrize("position", ["of an input", "of another output", "read further on"])
def test_outputs_that_equal_another_tensor(
    nodes: list[onnx.NodeProto], shapes: dict[str, list[int]], position: str
) -> None:
    outputs = {"temp": T.FLOAT}
    inputs = {name: (T.FLOAT, shape) for name, shape in shapes.items()}
    constants = {"two": of("int64", [2]), "zero": of("int64", [0]), "nothing": of("int64", [0, 0])}
    if position == "of another output":
        inputs = {"s": inputs.pop("t")}
        nodes = [node("Neg", "s", "t"), *nodes]
        outputs["t"] = T.FLOAT
    if position == "read further on":
        nodes = [*nodes, node("Exp", "temp", "y")]
        outputs["y"] = T.FLOAT
    proto = model(nodes, inputs, outputs, constants)
    done = compile_onnx(proto)
    for verdict in done.validations:
        verdict.raise_if_failed()
        assert {t.name for t in verdict.tensors} >= set(outputs)
    assert [spec.name for spec in done.bmodel.outputs] == list(outputs)


def test_outputs_that_are_constants_inputs_and_listed_twice() -> None:
    proto = model(
        [node("Add", "x c", "y")], {"x": (T.FLOAT, [2, 4])}, {"y": T.FLOAT, "x": T.FLOAT, "c": T.FLOAT},
        {"c": of("float32", [1, 2, 3, 4])},
    )  # fmt: skip
    want = {"y": X + of("float32", [1, 2, 3, 4]), "x": X, "c": of("float32", [1, 2, 3, 4])}
    done = transform(proto, test_input={"x": X})
    assert done.validation is not None
    done.validation.raise_if_failed()
    assert {t.name for t in done.validation.tensors} >= set(want)
    bmodel = compile_onnx(proto, test_input={"x": X}).bmodel
    assert [spec.name for spec in bmodel.outputs] == list(want)


def test_an_output_without_elements_is_judged_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    names: Declared = {"x": (T.FLOAT, [2, 4]), "past": (T.FLOAT, ["n", 4])}
    proto = model(
        [node("Neg", "x", "y"), node("Cast", "past", "seen", to=T.INT32)],
        names,
        {"y": T.FLOAT, "seen": T.INT32, "past": T.FLOAT},
    )
    onnx.save(proto, "m.onnx")
    npz.save("in.npz", {"x": X, "past": np.zeros((0, 4), np.float32)})
    assert run("compile", "m.onnx", "--test_input", "in.npz", "--json") == 0
    first = json.loads(capsys.readouterr().out)["validations"][0]
    assert {t["name"]: t["shape"] for t in first["tensors"]} == {"y": [2, 4], "seen": [0, 4], "past": [0, 4]}
    assert run("compile", "m.onnx", "--test_input", "in.npz") == 0
    assert "outputs without elements, which are left out: seen [0, 4], past [0, 4]" in capsys.readouterr().out
    assert run("compile", "m.onnx", "--test_input", "in.npz", "--output_names", "seen") == 1
    assert "seen: expected an output with elements" in capsys.readouterr().err


def test_an_empty_cache_goes_the_whole_road() -> None:
    names: Declared = {"k": (T.FLOAT, [1, 2, 3, 4]), "past": (T.FLOAT, [1, 2, "n", 4])}
    proto = model([node("Concat", "past k", "present", axis=2)], names, {"present": T.FLOAT})
    k = RNG.standard_normal((1, 2, 3, 4)).astype(np.float32)
    agree(everywhere(proto, {"k": k, "past": np.zeros((1, 2, 0, 4), np.float32)}), {"present": k})


# --- who judges ----------------------------------------------------------------------------------


def half_model() -> onnx.ModelProto:
    """A graph all in bfloat16."""
    w = helper.make_tensor("w", T.BFLOAT16, [4, 3], RNG.standard_normal(12).astype(np.float32))
    proto = model(
        [node("MatMul", "x w", "m"), node("Relu", "m", "y")], {"x": (T.BFLOAT16, [2, 4])}, {"y": T.BFLOAT16}
    )
    proto.graph.initializer.append(w)
    return proto


def test_what_onnx_runtime_cannot_run_is_judged_by_the_evaluator(capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(half_model(), "m.onnx")
    npz.save("in.npz", {"x": X})
    assert run("compile", "m.onnx", "--test_input", "in.npz") == 0
    assert "Top against onnx.reference" in capsys.readouterr().out
    assert run("compile", "m.onnx", "--test_input", "in.npz", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["reference"] == "onnx.reference"
    assert document["validations"][0]["label"] == "Top against onnx.reference"
    everywhere(half_model(), {"x": X})


def test_what_nobody_can_run_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx.reference

    def broken(*_: object, **__: object) -> None:
        raise NotImplementedError("no kernel here either")

    onnx.save(half_model(), "m.onnx")
    monkeypatch.setattr(onnx.reference, "ReferenceEvaluator", broken)
    assert run("compile", "m.onnx") == 1
    error = capsys.readouterr().err
    assert "no reference can run the model (--not_inference goes on without a reference)" in error
    assert run("compile", "m.onnx", "--not_inference") == 0
    assert "Tpu against Top" in capsys.readouterr().out
    assert run("model_transform", "--model_def", "m.onnx", "--not_inference") == 0


def test_a_wrong_import_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    # The reference shares no step with the import: functions that are inlined wrongly do not pass.
    from tpumlir.onnx import functions

    negate = helper.make_function(
        "f", "Leak", ["a"], ["b"], [node("LeakyRelu", "a", "b")], [helper.make_opsetid("", 17)],
        attribute_protos=[helper.make_attribute("alpha", 0.5)],
    )  # fmt: skip
    negate.node[0].attribute.append(
        onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="alpha")
    )
    proto = model([helper.make_node("Leak", ["x"], ["y"], domain="f")], {"x": (T.FLOAT, [2, 4])})
    proto.functions.append(negate)
    proto.opset_import.append(helper.make_opsetid("f", 1))
    good = transform(proto, test_input={"x": X}).validation
    assert good is not None
    assert good.passed
    monkeypatch.setattr(
        functions, "_bind", lambda attribute, _: None if attribute.ref_attr_name else attribute
    )
    bad = transform(proto, test_input={"x": X}).validation
    assert bad is not None
    assert not bad.passed
