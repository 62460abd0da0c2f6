"""Known faults of the references: what the table says is so in the release that runs, and is put right."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
from onnx import TensorProto, helper
from tpumlir.errors import TpumlirError
from tpumlir.onnx import faults, fold
from tpumlir.onnx.load import NodeInfo, load
from tpumlir.onnx.reference import EVALUATOR, ONNX_RUNTIME, run_reference
from tpumlir.road.compile import transform

Array = npt.NDArray[Any]
OLD, NEW = (1, 23, 2), (99,)
DOMAIN = "my.ops"
RNG = np.random.default_rng(8)
X = RNG.standard_normal((4, 2, 5)).astype(np.float32)
W = RNG.uniform(-1, 1, (2, 3, 5)).astype(np.float32)
R = RNG.uniform(-1, 1, (2, 3, 3)).astype(np.float32)
VOLUME = RNG.standard_normal((1, 2, 5, 6, 7)).astype(np.float32)
BIG = np.array([2**53 + 1, -(2**53) - 3, 7], np.int64)


def model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    results = [
        helper.make_tensor_value_info(name, infos[0].type.tensor_type.elem_type, None) for name in outputs
    ]
    graph = helper.make_graph(list(nodes), "g", infos, results)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


# --- what is right, in float64 -----------------------------------------------


def rnn(*steps: Callable[[Array], Array]) -> Array:
    """The outputs of an RNN with one function for each direction."""
    result = np.zeros((len(X), len(steps), X.shape[1], R.shape[2]))
    for d, function in enumerate(steps):
        state = np.zeros((X.shape[1], R.shape[2]))
        for t in reversed(range(len(X))) if d else range(len(X)):
            state = function(X[t].astype(np.float64) @ W[d].T + state @ R[d].T)
            result[t, d] = state
    return result


def average(x: Array, pads: tuple[int, int], *, kernel: int = 2, ceil: bool = False) -> Array:
    """AveragePool with count_include_pad: as many of each axis before and after."""
    begin, end = pads
    extents = x.shape[2:]
    counts = [(e + begin + end - kernel) / 2 for e in extents]
    sizes = [int(math.ceil(c) if ceil else c) + 1 for c in counts]
    means = []
    for at in np.ndindex(*sizes):
        starts = [index * 2 - begin for index in at]
        window = x
        for axis, (start, extent) in enumerate(zip(starts, extents, strict=True)):
            window = window.take(range(max(start, 0), min(start + kernel, extent)), axis + 2)
        counted = math.prod(min(s + kernel, e + end) - s for s, e in zip(starts, extents, strict=True))
        means.append(window.astype(np.float64).sum((2, 3, 4)) / counted)
    return np.stack(means, -1).reshape(*x.shape[:2], *sizes)


SIGNAL = RNG.standard_normal((2, 32, 2)).astype(np.float32)


def spectrum(step: int, length: int) -> Array:
    """The frames of a complex signal."""
    values = SIGNAL[..., 0] + 1j * SIGNAL[..., 1].astype(np.float64)
    frames = [values[:, i : i + length] for i in range(0, SIGNAL.shape[1] - length + 1, step)]
    result = np.fft.fft(np.stack(frames, 1))
    return np.stack([result.real, result.imag], -1)


# --- one model for each fault ---------------------------------------------------


@dataclass
class Sample:
    """A node that the fault is about, and what is right."""

    fault: faults.Fault
    proto: onnx.ModelProto
    feeds: dict[str, Array]
    want: Array
    name: str = field(default="")


def recurrent(activations: Sequence[str], **attributes: Any) -> onnx.ModelProto:
    directions = len(activations)
    node = helper.make_node(
        "RNN", ["x", "w", "r"], ["y"], name="n", hidden_size=3, activations=activations,
        direction="bidirectional" if directions == 2 else "forward", **attributes,
    )  # fmt: skip
    return model([node], cells(directions), ["y"])


def cells(directions: int) -> dict[str, Array]:
    return {"x": X, "w": W[:directions], "r": R[:directions]}


def pool(opset: int, kernel: int = 2, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], name="n", kernel_shape=[kernel] * 3, strides=[2, 2, 2], **attributes
    )
    return model([node], {"x": VOLUME}, ["y"], opset=opset)


def stft(onesided: int = 0, signal: Array = SIGNAL) -> onnx.ModelProto:
    constants = [
        helper.make_node("Constant", [], [name], value_int=value) for name, value in (("s", 5), ("l", 16))
    ]
    node = helper.make_node("STFT", ["x", "s", "", "l"], ["y"], name="n", onesided=onesided)
    return model([*constants, node], {"x": signal}, ["y"])


def one(op: str, *names: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(names), ["y"], name="n", **attributes)


def padded() -> onnx.ModelProto:
    body = [
        helper.make_node("Constant", [], ["p"], value_ints=[0, 1, 0, 1]),
        helper.make_node("Pad", ["a", "p"], ["b"]),
    ]
    function = helper.make_function(DOMAIN, "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    call = helper.make_node("F", ["x"], ["y"], domain=DOMAIN)
    return model([call], {"x": SPECIAL}, ["y"], functions=[function])


def leaky(x: Array) -> Array:
    return np.where(x < 0, 0.01 * x, x)


def elu(x: Array) -> Array:
    return np.where(x < 0, np.expm1(x), x)


def hard(x: Array) -> Array:
    return np.clip(0.2 * x + 0.5, 0, 1)


def threshold(x: Array) -> Array:
    return np.where(x >= 1, x, 0)


SPECIAL = np.array([[0.5, -0.0, np.nan, np.inf, -np.inf, -2], [np.nan, 1e-40, 1e30, 3, 4, 5]], np.float32)
ERF = np.vectorize(math.erf)(SPECIAL.astype(np.float64))
BY_PLACE, OWN, NAN, CONSTANT, ONE_SIDE, CEIL, CEIL_PADDED, COMPLEX, FMOD = faults.ONNX_RUNTIME_FAULTS
SAMPLES = [
    Sample(BY_PLACE, recurrent(["LeakyRelu"]), cells(1), rnn(leaky), "leaky"),
    Sample(BY_PLACE, recurrent(["Elu"]), cells(1), rnn(elu), "elu"),
    Sample(BY_PLACE, recurrent(["HardSigmoid"]), cells(1), rnn(hard), "hard"),
    Sample(
        BY_PLACE, recurrent(["HardSigmoid"], activation_alpha=[0.3]), cells(1),
        rnn(lambda x: np.clip(0.3 * x + 0.5, 0, 1)), "hard_with_alpha",
    ),
    Sample(BY_PLACE, recurrent(["Tanh", "LeakyRelu"]), cells(2), rnn(np.tanh, leaky), "second_direction"),
    Sample(
        BY_PLACE, recurrent(["Elu", "HardSigmoid"], activation_alpha=[0.5]), cells(2),
        rnn(lambda x: np.where(x < 0, 0.5 * np.expm1(x), x), hard), "alpha_of_the_first",
    ),
    Sample(
        BY_PLACE, recurrent(["Tanh", "LeakyRelu"], activation_alpha=[0.5]), cells(2),
        rnn(np.tanh, lambda x: np.where(x < 0, 0.5 * x, x)), "alpha_of_the_second",
    ),
    Sample(
        BY_PLACE,
        recurrent(["ThresholdedRelu", "HardSigmoid"], activation_alpha=[0.2, 0.3], activation_beta=[0.4]),
        cells(2), rnn(lambda x: np.where(x >= 0.2, x, 0), lambda x: np.clip(0.3 * x + 0.4, 0, 1)),
        "beta_of_the_second",
    ),
    Sample(OWN, recurrent(["ThresholdedRelu"]), cells(1), rnn(threshold), "threshold"),
    Sample(OWN, recurrent(["Affine"]), cells(1), rnn(lambda x: x), "affine"),
    Sample(NAN, model([one("Erf", "x")], {"x": SPECIAL}, ["y"]), {"x": SPECIAL}, ERF, "erf"),
    Sample(
        CONSTANT, padded(), {"x": SPECIAL}, np.pad(SPECIAL, ((0, 0), (1, 1))), "pads_in_a_function",
    ),
    Sample(
        ONE_SIDE, pool(22, auto_pad="SAME_UPPER", count_include_pad=1), {"x": VOLUME[..., :5, :5]},
        average(VOLUME[..., :5, :5], (0, 1)), "same",
    ),
    Sample(
        ONE_SIDE, pool(19, pads=[0, 0, 0, 1, 1, 1], count_include_pad=1), {"x": VOLUME},
        average(VOLUME, (0, 1)), "pads",
    ),
    Sample(
        CEIL, pool(11, ceil_mode=1, count_include_pad=1), {"x": VOLUME},
        average(VOLUME, (0, 0), ceil=True), "ceil",
    ),
    Sample(
        CEIL, pool(10, ceil_mode=1, count_include_pad=1, auto_pad="VALID"), {"x": VOLUME},
        average(VOLUME, (0, 0), ceil=True), "ceil_valid",
    ),
    Sample(
        CEIL_PADDED, pool(11, 3, ceil_mode=1, count_include_pad=1, pads=[1] * 6), {"x": VOLUME},
        average(VOLUME, (1, 1), kernel=3, ceil=True), "ceil_padded",
    ),
    Sample(COMPLEX, stft(), {"x": SIGNAL}, spectrum(5, 16), "complex"),
    Sample(
        FMOD, model([one("Mod", "x", "z", fmod=1)], {"x": BIG, "z": BIG[::-1]}, ["y"]),
        {"x": BIG, "z": BIG[::-1]}, np.array([2**53 + 1 - 7 * ((2**53 + 1) // 7), 0, 7]), "fmod",
    ),
]  # fmt: skip
for sample in SAMPLES:  # what is fed is what is declared
    for info in sample.proto.graph.input:
        for extent, size in zip(info.type.tensor_type.shape.dim, sample.feeds[info.name].shape, strict=True):
            extent.dim_value = size
EACH = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])


def is_right(got: Array, want: Array) -> bool:
    return got.shape == want.shape and bool(np.allclose(got, want, rtol=1e-5, atol=1e-5, equal_nan=True))


ALONE = """
import sys
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
np.save(sys.argv[3], session.run(None, dict(np.load(sys.argv[2])))[0])
"""


def alone(sample: Sample, folder: Path) -> Array | None:
    """What ONNX Runtime makes of the file as it is; None if it refuses it.

    In a process of its own: some of the faults abort it.
    """
    paths = [folder / name for name in ("model.onnx", "inputs.npz", "result.npy")]
    onnx.save(sample.proto, paths[0])
    np.savez(paths[1], **sample.feeds)  # type: ignore[arg-type, unused-ignore]
    run = subprocess.run([sys.executable, "-c", ALONE, *paths], capture_output=True, check=False)
    return np.asarray(np.load(paths[2])) if run.returncode == 0 else None


def pretend(monkeypatch: pytest.MonkeyPatch, release: faults.Version) -> None:
    monkeypatch.setattr(faults, "onnxruntime_release", lambda: release)


def test_every_fault_has_a_sample() -> None:
    assert [f for f in faults.ONNX_RUNTIME_FAULTS if f not in [s.fault for s in SAMPLES]] == []


@EACH
def test_the_release_that_runs_is_on_the_side_that_the_table_says(sample: Sample, tmp_path: Path) -> None:
    """A fault that is mended must not hide what ONNX Runtime says, one that is not must be known."""
    if sample.fault.mended is None:
        return
    got = alone(sample, tmp_path)
    right = got is not None and is_right(got, sample.want)
    assert right == (not sample.fault.is_of(faults.onnxruntime_release()))


@EACH
def test_the_reference_is_right_in_an_old_release(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    if sample.fault is not BY_PLACE:  # whose form is right only where the fault is
        pretend(monkeypatch, min(OLD, faults.onnxruntime_release()))
    result = run_reference(load(sample.proto), sample.feeds)
    assert is_right(result.tensors["y"], sample.want)
    assert (result.judge, bool(result.reason)) == (
        (ONNX_RUNTIME, False) if sample.fault.equal else (EVALUATOR, True)
    )


@EACH
def test_a_new_release_gets_the_file_as_it_is(sample: Sample) -> None:
    if sample.fault.mended is None:
        assert faults.equal_form(sample.proto, NEW) is not sample.proto
        return
    assert sample.fault.is_of((*sample.fault.mended[:-1], sample.fault.mended[-1] - 1, 9))
    assert not sample.fault.is_of((*sample.fault.mended, 0))
    assert not sample.fault.is_of(sample.fault.mended)
    assert faults.equal_form(sample.proto, NEW) is sample.proto
    assert faults.wrong_in_onnxruntime(sample.proto, NEW) == ""


@EACH
def test_the_file_is_left_alone(sample: Sample) -> None:
    before = sample.proto.SerializeToString()
    faults.equal_form(sample.proto, OLD)
    assert sample.proto.SerializeToString() == before


NEIGHBOURS = {
    "no_parameters": recurrent(["Tanh"]),
    "all_parameters_of_both": recurrent(["Elu", "LeakyRelu"], activation_alpha=[0.3, 0.4]),
    "all_parameters": recurrent(["HardSigmoid"], activation_alpha=[0.3], activation_beta=[0.4]),
    "same_padding_of_both_sides": pool(22, pads=[1] * 6, count_include_pad=1),
    "padding_not_counted": pool(22, pads=[0, 0, 0, 1, 1, 1]),
    "same_not_counted": pool(22, auto_pad="SAME_UPPER"),
    "older_kernel": pool(11, pads=[0, 0, 0, 1, 1, 1], count_include_pad=1),
    "same_with_ceil": pool(11, auto_pad="SAME_UPPER", ceil_mode=1, count_include_pad=1),
    "newer_kernel_with_ceil": pool(22, ceil_mode=1, count_include_pad=1),
    "half_of_the_spectrum": stft(1, SIGNAL[..., :1]),
    "real_signal": stft(0, SIGNAL[..., :1]),
    "remainder_of_floats": model([one("Mod", "x", "x", fmod=1)], {"x": X}, ["y"]),
    "constant_of_the_graph": model(
        [helper.make_node("Constant", [], ["c"], value_ints=[2]), one("Reshape", "x", "c")],
        {"x": BIG[:2]}, ["y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("proto", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_what_is_right_is_left_alone(proto: onnx.ModelProto) -> None:
    assert faults.equal_form(proto, OLD) is proto
    assert faults.wrong_in_onnxruntime(proto, OLD) == ""


# --- wherever the node is ---------------------------------------------------------


@pytest.mark.parametrize("where", ["branch", "function", "branch_of_a_function"])
def test_inside_of_something(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, min(OLD, faults.onnxruntime_release()))
    # The body has names that the equal form would like to have.
    inner = [
        helper.make_node("Neg", ["a"], ["b.erf"]),
        helper.make_node("Erf", ["b.erf"], ["b.missing"]),
        helper.make_node("Neg", ["b.missing"], ["b"]),
    ]
    if "branch" in where:
        value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
        graphs = {f"{side}_branch": helper.make_graph(inner, side, [], [value]) for side in ("then", "else")}
        flag = helper.make_node("Constant", [], ["flag"], value=helper.make_tensor("t", 9, [], [True]))
        inner = [flag, helper.make_node("If", ["flag"], ["b"], **graphs)]
    if "function" in where:
        function = helper.make_function(DOMAIN, "F", ["a"], ["b"], inner, [helper.make_opsetid("", 17)])
        call = helper.make_node("F", ["x"], ["y"], domain=DOMAIN)
        proto = model([call], {"x": SPECIAL}, ["y"], functions=[function])
    else:
        proto = model([*inner, one("Identity", "b")], {"a": SPECIAL}, ["y"])
    feeds = {proto.graph.input[0].name: SPECIAL}
    assert faults.equal_form(proto, OLD) is not proto
    result = run_reference(load(proto), feeds)
    assert is_right(result.tensors["y"], ERF)
    assert result.judge == ONNX_RUNTIME


def test_a_fault_behind_what_is_asked_for_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, min(OLD, faults.onnxruntime_release()))
    nodes = [
        helper.make_node("Neg", ["x"], ["z"]),
        helper.make_node(
            "AveragePool", ["z"], ["y"], kernel_shape=[2] * 3, pads=[0] * 3 + [1] * 3, count_include_pad=1
        ),
    ]
    loaded = load(model(nodes, {"x": VOLUME}, ["y"], opset=19))
    assert run_reference(loaded, {"x": VOLUME}).judge == EVALUATOR
    assert run_reference(loaded, {"x": VOLUME}, outputs=["z"]).judge == ONNX_RUNTIME


# --- what a user sees ---------------------------------------------------------------


def test_the_report_says_who_judged_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, min(OLD, faults.onnxruntime_release()))
    proto = pool(19, pads=[0, 0, 0, 1, 1, 1], count_include_pad=1)
    result = transform(proto, test_input={"x": VOLUME})
    assert result.validation is not None
    assert result.validation.passed
    assert result.reference == EVALUATOR
    (note,) = [note for note in result.notes if "ONNX Runtime" in note]
    assert note.startswith("note: onnx.reference is the reference: ONNX Runtime 1.2")
    assert "computes AveragePool n wrongly: padding" in note


@pytest.mark.parametrize("name", ["erf", "pads", "fmod"])
def test_folding_does_not_ask_a_release_that_is_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, min(OLD, faults.onnxruntime_release()))
    (chosen,) = [sample for sample in SAMPLES if sample.name == name]
    (node,) = chosen.proto.graph.node
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    info = NodeInfo(node.op_type, "", "n", tuple(node.input), tuple(node.output), values, node)
    opset = chosen.proto.opset_import[0].version
    (got,) = fold._onnxruntime(info, [chosen.feeds[name] for name in node.input], opset)
    assert is_right(got, chosen.want)


def test_limits_are_those_of_old_releases() -> None:
    for text, mended in faults.ONNX_RUNTIME_LIMITS.items():
        assert faults.is_limit(f"[ONNXRuntimeError] : 2 : {text}, more", (*mended[:-1], mended[-1] - 1, 2))
        assert not faults.is_limit(f"[ONNXRuntimeError] : 2 : {text}, more", mended)
    assert not faults.is_limit("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : indices out of range", OLD)


# --- onnx.reference -----------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_normalization_by_the_evaluator(p: int, axis: int | None) -> None:
    x = X.copy()
    x[0] = 0
    node = one("LpNormalization", "x", p=p, **({} if axis is None else {"axis": axis}))
    (got,) = faults.evaluator(model([node], {"x": x}, ["y"])).run(None, {"x": x})
    norm = np.linalg.norm(x.astype(np.float64), p, -1 if axis is None else axis, keepdims=True)
    assert is_right(got, x / np.where(norm == 0, 1, norm))
    assert got.dtype == np.float32


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GRU", {"activations": ["Relu", "Tanh"]}),
        ("LSTM", {"activations": ["Relu", "Tanh", "Tanh"]}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"clip": 0.5}),
        ("RNN", {"clip": 0.5}),
    ],
)
def test_what_the_evaluator_ignores_has_no_reference(op: str, attributes: dict[str, Any]) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    feeds = {"x": X.swapaxes(0, 1), "w": W[:1].repeat(gates, 1), "r": R[:1].repeat(gates, 1)}
    # ONNX Runtime has no layout 1.
    node = helper.make_node(op, ["x", "w", "r"], ["y"], name="n", hidden_size=3, layout=1, **attributes)
    with pytest.raises(TpumlirError, match=f"no reference can run .*computes {op} n wrongly: .*ignored"):
        run_reference(load(model([node], feeds, ["y"])), feeds)


def test_releases_are_read_without_what_follows() -> None:
    assert faults.release_of("1.24.0.dev20251101+cpu") == (1, 24, 0)
    assert faults.release_of("1.23.2") == (1, 23, 2)
    assert faults.release_of("unknown") == (0,)
