"""The search over methods: every one is tried in INT8, and the best table is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.calibration import methods
from tpumlir.calibration.calibrate import measure
from tpumlir.calibration.dataset import Sample, samples_of
from tpumlir.calibration.search import cosine, search, snr
from tpumlir.errors import InputError
from tpumlir.ir.interpreter import ModuleInterpreter

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def module() -> tpumlir.Module:
    """x -> Conv -> Relu -> Conv (y), whose input has a few very large numbers."""
    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Conv", ["r", "w2"], ["y"], pads=[1, 1, 1, 1]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(rng.standard_normal((8, 4, 3, 3)).astype(np.float32), "w1"),
            numpy_helper.from_array(rng.standard_normal((4, 8, 3, 3)).astype(np.float32), "w2"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(model)


def draws(count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.laplace(0, 1, (1, 4, 16, 16)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("benchmark", ["cos", "snr"])
def test_every_method_is_judged_by_its_outputs(module: tpumlir.Module, benchmark: str) -> None:
    samples = samples_of(module, draws())
    seen = measure(module, samples)
    told: list[tuple[int, int]] = []
    found = search(module, seen, samples, benchmark, lambda *step: told.append(step))
    assert told == [(i + 1, 6) for i in range(6)]
    assert {trial.method for trial in found.trials} == set(methods.METHODS)
    assert [trial.mean for trial in found.trials] == sorted((t.mean for t in found.trials), reverse=True)
    assert found.table == seen.table(found.method)
    assert found.table.comments[-1] == (
        f"method: {found.method}, the best of 6 by {benchmark} of the outputs of INT8 on 4 samples"
    )
    float_run = ModuleInterpreter(module)
    for trial in found.trials:
        assert trial.worst <= trial.mean
        lowered = ModuleInterpreter(module.lower("INT8", calibration_table=seen.table(trial.method)))
        scores = []
        for sample in draws():
            want = float_run.run(sample)["y"].astype(np.float64).ravel()
            got = lowered.run(sample)["y"].astype(np.float64).ravel()
            if benchmark == "cos":
                scores.append(got @ want / np.sqrt((got @ got) * (want @ want)))
            else:
                scores.append(10 * np.log10((want**2).sum() / ((got - want) ** 2).sum()))
        assert trial.mean == pytest.approx(np.mean(scores), rel=1e-6)
        assert trial.worst == pytest.approx(min(scores), rel=1e-6)


def test_of_equal_methods_the_default_is_taken(module: tpumlir.Module) -> None:
    zeros = [{"x": np.zeros((1, 4, 16, 16), np.float32)}] * 2
    samples = samples_of(module, zeros)
    found = search(module, measure(module, samples), samples)
    assert found.method == methods.DEFAULT
    assert found.trials[0].mean == 1


def test_what_cannot_be_searched(module: tpumlir.Module) -> None:
    samples = samples_of(module, draws())
    seen = measure(module, samples)
    with pytest.raises(InputError, match="expected a benchmark of cos, snr, got 'mse'"):
        search(module, seen, samples, "mse")
    with pytest.raises(InputError, match="expected samples, got none"):
        search(module, seen, [])
    bad = [Sample("s", {"x": np.zeros((1, 4, 16, 8), np.float32)})]
    with pytest.raises(InputError, match="s: x: expected shape"):
        search(module, seen, bad)


def test_scores_of_zeros_are_numbers() -> None:
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    assert (cosine(zeros, zeros), cosine(zeros, ones), cosine(ones, zeros)) == (1, 0, 0)
    assert (snr(ones, ones), snr(zeros, zeros), snr(ones, zeros)) == (100, 100, -100)
    assert snr(zeros, ones) == 0
