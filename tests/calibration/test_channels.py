"""One tensor in detail: channels, threshold and weights, and the page of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.calibration.calibrate import measure
from tpumlir.calibration.channels import View, view
from tpumlir.calibration.dataset import samples_of
from tpumlir.calibration.page import page
from tpumlir.calibration.table import CalibrationTable, Row
from tpumlir.errors import CalibrationError, InputError
from tpumlir.ir.interpreter import ModuleInterpreter

Array = npt.NDArray[Any]
RNG = np.random.default_rng(4)
FILTER = (RNG.standard_normal((6, 3, 3, 3)) * np.array([1, 0.01, 3, 0, 1, 1]).reshape(6, 1, 1, 1)).astype(
    np.float32
)
MATRIX = RNG.standard_normal((8, 5)).astype(np.float32)


def module() -> tpumlir.Module:
    """x -> Conv (c) -> Relu (r); x2 -> MatMul (m) -> Sigmoid (s), and an ArgMax (i) of it."""
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("MatMul", ["x2", "k"], ["m"]),
            helper.make_node("Sigmoid", ["m"], ["s"]),
            helper.make_node("ArgMax", ["s"], ["i"], axis=-1),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 10, 12]),
            helper.make_tensor_value_info("x2", TensorProto.FLOAT, [2, 4, 8]),
        ],
        [
            helper.make_tensor_value_info("r", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("i", TensorProto.INT64, None),
        ],
        [numpy_helper.from_array(FILTER, "w"), numpy_helper.from_array(MATRIX, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(model, optimize=False)


def samples(count: int = 3) -> list[dict[str, Array]]:
    rng = np.random.default_rng(9)
    return [
        {
            "x": rng.standard_normal((1, 3, 10, 12)).astype(np.float32),
            "x2": rng.standard_normal((2, 4, 8)).astype(np.float32),
        }
        for _ in range(count)
    ]


def values_of(name: str, given: Sequence[dict[str, Array]]) -> Array:
    run = ModuleInterpreter(module())
    return np.stack([run.run(sample, tensors=[name])[name] for sample in given])


@pytest.mark.parametrize(
    ("name", "axis", "chosen"),
    [("c", None, 1), ("r", None, 1), ("m", None, 2), ("s", None, 2), ("x", 0, 0), ("m", -2, 1), ("c", 3, 3)],
)
def test_channels_are_measured_over_all_samples(name: str, axis: int | None, chosen: int) -> None:
    seen = view(module(), name, samples(), axis=axis)
    assert seen.axis == chosen
    lines = np.moveaxis(values_of(name, samples()), chosen + 1, 0)
    rows = seen.channel_rows()
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert (row["min"], row["max"]) == (line.min(), line.max())
        assert row["rms"] == pytest.approx(np.sqrt((line.astype(np.float64) ** 2).mean()))
        assert 0 <= row["bits"] <= 8.01


@pytest.mark.parametrize(("name", "low"), [("c", -30.0), ("r", 0.0), ("s", 0.0)])
def test_errors_are_those_of_the_grid_of_the_table(name: str, low: float) -> None:
    end = 2.5 if name == "c" else 1.0
    table = CalibrationTable({name: Row(end, low, 30.0)})
    seen = view(module(), name, samples(20), table)
    steps = 255 if low >= 0 else 127
    assert seen.scale == end / steps
    values = values_of(name, samples(20)).astype(np.float64)
    lines = np.moveaxis(values, seen.axis + 1, 0)
    held = np.clip(np.rint(lines / seen.scale), 0 if low >= 0 else -steps, steps) * seen.scale
    for row, line, got in zip(seen.channel_rows(), lines, held, strict=True):
        if not line.any():
            continue
        want = np.sqrt(((got - line) ** 2).sum() / (line**2).sum())
        assert row["error"] == pytest.approx(want, rel=0.15, abs=2e-3)
        assert row["clipped"] == pytest.approx((np.abs(line) > end).mean(), abs=0.02)
    assert seen.error() == pytest.approx(np.sqrt(((held - lines) ** 2).sum() / (lines**2).sum()), rel=0.05)


def test_without_a_table_the_threshold_is_that_of_a_calibration() -> None:
    seen = view(module(), "c", samples(5))
    assert seen.row.threshold == measure(module(), samples_of(module(), samples(5))).table()["c"].threshold
    assert seen.origin == "by mse from these samples"


@pytest.mark.parametrize(("name", "want"), [("c", FILTER.reshape(6, -1)), ("m", MATRIX.T)])
def test_weights_have_a_row_for_each_output_channel(name: str, want: Array) -> None:
    weights = view(module(), name, samples()).weights
    assert weights is not None
    assert np.array_equal(weights.values, want)
    assert weights.scales == pytest.approx(np.abs(want).max(axis=1) / 127)
    errors = weights.errors()
    assert (errors < 0.02).all()
    assert (weights.errors_of_one_scale() >= errors - 1e-12).all()
    if name == "c":
        assert weights.errors_of_one_scale()[1] > 0.2  # small beside the others
        assert errors[3] == 0  # zeros


def test_what_has_no_weights_has_none() -> None:
    assert view(module(), "r", samples()).weights is None
    assert view(module(), "x", samples()).weights is None


@pytest.mark.parametrize(
    ("name", "axis", "message"),
    [
        ("nope", None, "expected the name of a float tensor of the module"),
        ("w", None, "expected the name of a float tensor of the module"),
        ("i", None, "expected a float tensor, got"),
        ("c", 4, "expected an axis from -4 to 3, got 4"),
    ],
)
def test_what_cannot_be_looked_at(name: str, axis: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        view(module(), name, samples(), axis=axis)


def test_a_table_without_the_tensor_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"tensor of the calibration table.*similar names: cc"):
        view(module(), "c", samples(), CalibrationTable({"cc": Row(1, -1, 1)}))


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="expected samples, got none"):
        view(module(), "c", [])


# --- the page ---------------------------------------------------------------------------


def document(seen: View) -> dict[str, Any]:
    text = page(seen).decode()
    found = re.search(r"const data = (\{.*\});\n", text)
    assert found
    loaded: dict[str, Any] = json.loads(found.group(1))
    return loaded


@pytest.mark.parametrize(("name", "figures", "tables"), [("c", 6, 2), ("m", 6, 2), ("r", 4, 1), ("x", 4, 1)])
def test_a_page_has_the_weights_if_there_are_any(name: str, figures: int, tables: int) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    found = document(view(module(), name, samples()))
    assert len(found["figures"]) == figures
    assert len(found["tables"]) == tables
    bars = found["figures"][0]["traces"][0]
    assert sum(bars["y"]) == values_of(name, samples()).size
    # Every number is within the bars, and the bars are not much more than that.
    values = values_of(name, samples())
    first, last = bars["x"][0] - bars["width"] / 2, bars["x"][-1] + bars["width"] / 2
    assert first <= values.min()
    assert values.max() <= last
    assert last - first <= 1.05 * (values.max() - values.min()) + 4 * bars["width"]


@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_a_tensor_of_one_number_has_a_page(value: float) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    sample = {"x": np.full((1, 3, 10, 12), value, np.float32), "x2": samples(1)[0]["x2"]}
    found = document(view(module(), "x", [sample]))
    assert sum(found["figures"][0]["traces"][0]["y"]) == 360
