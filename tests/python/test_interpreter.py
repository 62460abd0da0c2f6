"""The interpreter as its callers see it: names, checks, repeated runs, what is kept and what is not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx.parser
import onnxruntime as ort
import pytest

import tpumlir
from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import GraphBuilder, Module
from tpumlir.compare import Tolerance, compare
from tpumlir.errors import InputError, VerifyError

Array = npt.NDArray[Any]

CONV = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}


def numbers(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def residual_block() -> Module:
    """conv -> relu -> conv -> + input -> relu -> pool, each step with a name."""
    graph = GraphBuilder("block")
    x = graph.input("x", (1, 8, 12, 12))
    (a,) = graph.op("top.Conv", [x, graph.weight("f1", numbers(8, 8, 3, 3)), graph.none()], CONV, names=["a"])
    (b,) = graph.op("top.Relu", [a], names=["b"])
    (c,) = graph.op(
        "top.Conv", [b, graph.weight("f2", numbers(8, 8, 3, 3, seed=2)), graph.none()], CONV, names=["c"]
    )
    (d,) = graph.op("top.Add", [x, c], names=["d"])
    (e,) = graph.op("top.Relu", [d], names=["e"])
    pool = {"kernel_shape": [], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    return graph.finish(graph.op("top.AvgPool", [e], pool, names=["f"]))


def test_named_tensors_are_exact_and_fused_ones_agree() -> None:
    x = {"x": numbers(1, 8, 12, 12, seed=5)}
    interpreter = Interpreter(residual_block())
    assert interpreter.tensors == ["a", "b", "c", "d", "e", "f"]
    alone = interpreter.run(x)
    fused = [op for op, _, _ in interpreter.implementations()]
    everything = interpreter.run(x, all_tensors=True)
    assert list(alone) == ["f"]
    assert list(everything) == ["f", "a", "b", "c", "d", "e"]
    assert len(fused) < 6
    np.testing.assert_array_equal(everything["b"], np.maximum(everything["a"], 0))
    np.testing.assert_array_equal(everything["d"], x["x"] + everything["c"])
    np.testing.assert_allclose(alone["f"], everything["f"], rtol=1e-6)


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "e", "f"])
def test_one_named_tensor_equals_the_one_among_all(name: str) -> None:
    x = {"x": numbers(1, 8, 12, 12, seed=6)}
    interpreter = Interpreter(residual_block())
    everything = interpreter.run(x, all_tensors=True)
    one = interpreter.run(x, tensors=[name])
    assert set(one) == {"f", name}
    np.testing.assert_allclose(one[name], everything[name], rtol=1e-5, atol=1e-5)


def test_an_input_may_be_asked_for_by_name() -> None:
    x = numbers(1, 8, 12, 12)
    np.testing.assert_array_equal(Interpreter(residual_block()).run({"x": x}, tensors=["x"])["x"], x)


def test_timings_are_those_of_the_kernels() -> None:
    interpreter = Interpreter(residual_block())
    x = {"x": numbers(1, 8, 12, 12)}
    timings = interpreter.timings(x, runs=3)
    assert [entry[:3] for entry in timings] == interpreter.implementations()
    assert all(0 < seconds < 1 for *_, seconds in timings)
    np.testing.assert_array_equal(interpreter.run(x)["f"], Interpreter(residual_block()).run(x)["f"])
    with pytest.raises(InputError, match="expected at least one run, got 0"):
        interpreter.timings(x, runs=0)
    with pytest.raises(InputError, match=r"expected the shape \(1, 8, 12, 12\)"):
        interpreter.timings({"x": numbers(8, 12, 12)})


def test_kernels_are_made_before_the_first_run_if_asked() -> None:
    x = {"x": numbers(1, 8, 12, 12)}
    interpreter = Interpreter(residual_block())
    assert interpreter.implementations() == []
    interpreter.prepare()
    made = interpreter.implementations()
    assert made
    np.testing.assert_array_equal(interpreter.run(x)["f"], Interpreter(residual_block()).run(x)["f"])
    assert interpreter.implementations() == made
    beside = threading.Thread(target=interpreter.prepare, kwargs={"tensors": ["c"]})
    beside.start()  # a run waits for it, whichever comes first
    assert set(interpreter.run(x, tensors=["c"])) == {"c", "f"}
    beside.join()
    with pytest.raises(InputError, match="got 'nothing'"):
        interpreter.prepare(tensors=["nothing"])


def test_the_facade_prepares_in_the_background_and_times() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[2, 4] x) => (float[2, 4] y)'
        "{ a = Exp(x) y = Neg(a) }"
    )
    interpreter = tpumlir.ModuleInterpreter(tpumlir.load_onnx(model))
    x = {"x": numbers(2, 4)}
    interpreter.prepare(background=True)
    interpreter.prepare(tensors=["a"], background=True)
    np.testing.assert_allclose(interpreter.run(x)["y"], -np.exp(x["x"]), rtol=1e-6)
    np.testing.assert_allclose(interpreter.run(x, tensors=["a"])["a"], np.exp(x["x"]), rtol=1e-6)
    interpreter.prepare()
    assert [entry[:3] for entry in interpreter.timings(x)] == interpreter.implementations()
    with pytest.raises(InputError, match="nothing"):
        interpreter.prepare(tensors=["nothing"], background=True)
    with pytest.raises(InputError, match="NaN"):
        interpreter.timings({"x": np.full((2, 4), np.nan, np.float32)})


@pytest.mark.parametrize("behind", ["Mul (c, w)", "LeakyRelu (c)"])
def test_what_follows_a_transposed_convolution_is_a_loop(behind: str) -> None:
    """OneDNN takes it, and computes it with reference code: thirty times as long as the convolution."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "net (float[1, 4, 6, 6] x, float[4, 8, 3, 3] f, float[8, 1, 1] w) => (float[1, 8, 13, 13] y)"
        f"{{ c = ConvTranspose <strides = [2, 2]> (x, f) y = {behind} }}"
    )
    interpreter = tpumlir.ModuleInterpreter(tpumlir.load_onnx(model))
    interpreter.prepare()
    codes = [code for _, _, code in interpreter.implementations() if not code.startswith("loop:")]
    assert codes
    assert all("+loop:" in code for code in codes)


def test_runs_do_not_disturb_each_other() -> None:
    interpreter = Interpreter(residual_block())
    first, second = numbers(1, 8, 12, 12, seed=7), numbers(1, 8, 12, 12, seed=8)
    kept = first.copy()
    a = interpreter.run({"x": first})["f"]
    before = a.copy()
    b = interpreter.run({"x": second})["f"]
    again = interpreter.run({"x": first})["f"]
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(a, before)
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, b)


def test_the_module_may_change_afterwards() -> None:
    module = residual_block()
    interpreter = Interpreter(module)
    x = {"x": numbers(1, 8, 12, 12)}
    want = Interpreter(residual_block()).run(x)["f"]
    module.run_pipeline("shape-infer,canonicalize")
    del module
    np.testing.assert_array_equal(interpreter.run(x)["f"], want)


def test_inputs_of_any_memory_order_are_read() -> None:
    x = numbers(1, 8, 12, 12)
    interpreter = Interpreter(residual_block())
    strided = np.asfortranarray(x)
    np.testing.assert_array_equal(interpreter.run({"x": strided})["f"], interpreter.run({"x": x})["f"])


def test_memory_of_dead_tensors_is_used_again() -> None:
    graph = GraphBuilder("chain")
    value = graph.input("x", (1, 16, 32, 32))
    for i in range(20):
        w = graph.weight(f"w{i}", numbers(16, 16, 3, 3, seed=i) / 12)
        (value,) = graph.op("top.Conv", [value, w, graph.none()], CONV, names=[f"y{i}"])
    interpreter = Interpreter(graph.finish([value]))
    assert interpreter.workspace_bytes == 0
    x = {"x": numbers(1, 16, 32, 32)}
    size = x["x"].nbytes
    interpreter.run(x)
    assert 0 < interpreter.workspace_bytes <= 3 * size
    # What is asked for goes out at once, so even then nothing piles up.
    interpreter.run(x, all_tensors=True)
    assert interpreter.workspace_bytes <= 3 * size


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"expected the input x float32 \(1, 8, 12, 12\), got none"),
        ({"y": numbers(1, 8, 12, 12)}, r"expected an input of the model \(x float32 .*\), got 'y'"),
        ({"x": numbers(8, 12, 12)}, r"expected the shape \(1, 8, 12, 12\), got \(8, 12, 12\)"),
        ({"x": np.zeros((1, 8, 12, 12))}, "expected elements of float32, got float64"),
        ({"x": np.zeros((1, 8, 12, 12), np.int32)}, "expected elements of float32, got int32"),
    ],
    ids=["missing", "unknown", "shape", "double", "integer"],
)
def test_wrong_inputs_are_refused(inputs: dict[str, Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Interpreter(residual_block()).run(inputs)


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(InputError, match="got 'nothing'"):
        Interpreter(residual_block()).run({"x": numbers(1, 8, 12, 12)}, tensors=["nothing"])


def test_a_module_without_main_is_refused() -> None:
    with pytest.raises(VerifyError, match="@main"):
        Interpreter(Module.parse("module {}", {}))


def test_nan_passes_through_fused_activations() -> None:
    x = numbers(1, 8, 12, 12)
    x[0, 3, 0, 0] = np.nan
    interpreter = Interpreter(residual_block())
    everything = interpreter.run({"x": x}, all_tensors=True)
    assert np.isnan(everything["e"][0, :, 0, 0]).all()
    np.testing.assert_array_equal(np.isnan(interpreter.run({"x": x})["f"]), np.isnan(everything["f"]))
    np.testing.assert_array_equal(
        np.isnan(interpreter.run({"x": x}, tensors=["e"])["e"]), np.isnan(everything["e"])
    )
    # The next clean run is clean.
    assert not np.isnan(interpreter.run({"x": numbers(1, 8, 12, 12)})["f"]).any()


@pytest.mark.parametrize("limit", [-1.0, 6.0], ids=["relu", "relu6"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_through_conv_with_relu(value: float, limit: float) -> None:
    graph = GraphBuilder("special")
    x = graph.input("x", (1, 16, 8, 8))
    attrs: dict[str, Any] = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0]} | {
        "do_relu": True,
        "relu_limit": limit,
    }
    w = np.eye(16, dtype=np.float32)
    w[w == 0] = 1e-3
    y = graph.op(
        "top.Conv", [x, graph.weight("w", w.reshape(16, 16, 1, 1)), graph.none()], attrs, names=["y"]
    )
    data = np.abs(numbers(1, 16, 8, 8))
    data[0, 5, 2, 3] = value
    with np.errstate(all="ignore"):
        want = np.einsum("oc,nchw->nohw", w, data)
        want = np.clip(want, 0, np.inf if limit < 0 else limit)
    got = Interpreter(graph.finish(y)).run({"x": data})["y"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def computed_filter(op: str, group: int) -> Module:
    """A window operation twice: with a filter and bias at run time and with the same as constants."""
    graph = GraphBuilder("computed")
    x = graph.input("x", (1, 4, 6, 6))
    shape = (4, 4 // group, 2, 2)
    w, b = graph.input("w", shape), graph.input("b", (4,))
    attrs: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]}
    attrs["group"] = group
    return graph.finish(graph.op(op, [x, w, b], attrs, names=["y"]))


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("op", ["top.Conv", "top.Deconv"])
def test_computed_filters_may_change_between_runs(op: str, group: int) -> None:
    interpreter = Interpreter(computed_filter(op, group))
    for seed in (1, 2, 3):
        inputs = {
            "x": numbers(1, 4, 6, 6, seed=seed),
            "w": numbers(4, 4 // group, 2, 2, seed=seed + 10),
            "b": numbers(4, seed=seed + 20),
        }
        got = interpreter.run(inputs)["y"]
        # A fresh interpreter has packed nothing.
        np.testing.assert_array_equal(got, Interpreter(computed_filter(op, group)).run(inputs)["y"])
        constant = GraphBuilder("constant")
        w = inputs["w"] if op == "top.Conv" else np.ascontiguousarray(inputs["w"].swapaxes(0, 1))
        attrs: dict[str, Any] = {
            "kernel_shape": [2, 2],
            "strides": [2, 2],
            "pads": [0, 0, 0, 0],
            "group": group,
        }
        operands = [
            constant.input("x", (1, 4, 6, 6)),
            constant.weight("w", w),
            constant.weight("b", inputs["b"]),
        ]
        module = constant.finish(constant.op(op, operands, attrs, names=["y"]))
        want = Interpreter(module).run({"x": inputs["x"]})["y"]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_two_threads_share_an_interpreter() -> None:
    interpreter = Interpreter(residual_block())
    inputs = [numbers(1, 8, 12, 12, seed=s) for s in range(8)]
    want = [interpreter.run({"x": x}, all_tensors=True) for x in inputs]
    wrong: list[str] = []

    def work(offset: int) -> None:
        for i in range(32):
            k = (i + offset) % len(inputs)
            got = interpreter.run({"x": inputs[k]}, all_tensors=i % 2 == 0)
            wrong.extend(n for n in got if not np.allclose(got[n], want[k][n], rtol=1e-5, atol=1e-5))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_constants_made_at_planning_are_not_confused_between_plans() -> None:
    # The filters are permuted weights, folded anew in each plan; plans come and go.
    graph = GraphBuilder("folded")
    value = graph.input("x", (1, 16, 8, 8))
    names, filters = [], []
    for i in range(12):
        filters.append(numbers(16, 16, 3, 3, seed=i) / 12)
        stored = graph.weight(f"w{i}", np.ascontiguousarray(filters[-1].transpose(1, 0, 2, 3)))
        (w,) = graph.op("top.Permute", [stored], {"order": [1, 0, 2, 3]}, names=[f"f{i}"])
        (value,) = graph.op("top.Conv", [value, w, graph.none()], CONV, names=[f"y{i}"])
        names.append(f"y{i}")
    interpreter = Interpreter(graph.finish([value]))
    x = {"x": numbers(1, 16, 8, 8)}
    want = interpreter.run(x, all_tensors=True)
    for turn in range(3):
        for k, name in enumerate(names):
            asked = [name, names[(k + turn) % len(names)]]
            got = interpreter.run(x, tensors=asked)
            for one in [*asked, names[-1]]:
                np.testing.assert_allclose(got[one], want[one], rtol=1e-5, atol=1e-5)


def test_inputs_and_weights_may_be_outputs() -> None:
    graph = GraphBuilder("through")
    x, w = graph.input("x", (2, 3)), graph.weight("w", numbers(4))
    (y,) = graph.op("top.Abs", [x], names=["y"])
    given = numbers(2, 3, seed=9)
    got = Interpreter(graph.finish([x, w, y])).run({"x": given})
    assert list(got) == ["x", "w", "y"]
    np.testing.assert_array_equal(got["x"], given)
    np.testing.assert_array_equal(got["w"], numbers(4))


# --- models -------------------------------------------------------------------------


def runtime_outputs(path: Path, inputs: dict[str, Array]) -> list[Array]:
    return list(ort.InferenceSession(str(path)).run(None, inputs))


@pytest.mark.samples
@pytest.mark.parametrize("name", ["cnn", "att", "misc"])
def test_vendor_top_text_runs_as_onnxruntime_does(name: str, samples: list[Path]) -> None:
    sample = next(path.parent for path in samples if path.parent.name == name)
    weights = dict(np.load(sample / f"{name}_top_f32_all_weight.npz"))
    module = Module.parse((sample / "top.mlir").read_text(), weights)
    inputs = {k: v.astype(np.float32) for k, v in np.load(sample / "input.npz").items()}
    got = list(Interpreter(module).run(inputs).values())
    want = runtime_outputs(sample / "model.onnx", inputs)
    names = [f"output{i}" for i in range(len(want))]
    report = compare(
        dict(zip(names, got, strict=True)),
        dict(zip(names, want, strict=True)),
        tolerance=Tolerance(0.99999, 0.9999),
    )
    assert report.passed, str(report)


CORPUS = {
    "ppocr_cls": [[1, 3, 48, 192]],
    "opennsfw_r50": [[1, 224, 224, 3]],
    "mtcnn_onet": [[1, 48, 48, 3]],
    "oww_embedding": [[1, 76, 32, 1]],
}


@pytest.mark.corpus
@pytest.mark.parametrize("optimize", [False, True], ids=["as_imported", "optimised"])
@pytest.mark.parametrize("name", CORPUS)
def test_corpus_needs_no_reference_code(name: str, optimize: bool, corpus: Path) -> None:
    module = tpumlir.load_onnx(corpus / f"{name}.onnx", input_shapes=CORPUS[name], optimize=optimize)
    inputs = dict(np.load(corpus / f"{name}.npz"))
    interpreter = Interpreter(module.core)
    for everything in (False, True):
        got = interpreter.run(inputs, all_tensors=everything)
        codes = [code for _, _, code in interpreter.implementations()]
        assert [code for code in codes if "ref" in code] == []
        want = runtime_outputs(corpus / f"{name}.onnx", inputs)
        outputs = [o.name for o in module.outputs]
        report = compare(
            {n: got[n] for n in outputs},
            dict(zip(outputs, want, strict=True)),
            tolerance=Tolerance(0.99999, 0.9999),
        )
        assert report.passed, str(report)


@pytest.mark.parametrize(
    ("mode", "meaning"),
    [
        ("SILU", lambda x: x / (1 + np.exp(-x))),
        ("QGELU", lambda x: x / (1 + np.exp(-1.702 * x))),
        ("TANH", np.tanh),
        ("SOFT_PLUS", lambda x: np.log1p(np.exp(x))),
    ],
)
@pytest.mark.parametrize("coeffs", ["", ", coeffs = []"])
def test_a_function_without_numbers_may_have_an_empty_list(mode: str, meaning: Any, coeffs: str) -> None:
    text = f"""
      !t = tensor<5xf32>
      func.func @main(%arg0: !t) -> !t {{
        %x = "top.Input"(%arg0) : (!t) -> !t loc("x")
        %y = "tpu.Active"(%x) {{mode = #tpu<active_mode {mode}>{coeffs}}} : (!t) -> !t loc("y")
        return %y : !t
      }}
    """
    x = np.array([-2, -0.5, 0, 0.25, 3], np.float32)
    got = Interpreter(Module.parse(text, {})).run({"x": x})["y"]
    np.testing.assert_allclose(got, meaning(x.astype(np.float64)), rtol=1e-6)
