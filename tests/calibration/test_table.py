"""Calibration tables: their text, and whose table one is."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import tpumlir
from onnx import TensorProto, helper
from tpumlir import CalibrationTable
from tpumlir.calibration.table import Row, float_tensors, resolve
from tpumlir.errors import CalibrationError, Note

VENDOR = """\
# genetated time: 2024-03-01 12:00:00.123456
# histogram number: 2048
# sample number: 100
# tune number: 5
###
# op_name    threshold    min    max
x 3.6964517 -3.5061126 3.6964517
b_Relu 1.9811131 -0.0000000 1.9811131
c_Softmax 0.9980320 0.0000000 1.0000000

d/Conv_output_0 1e-05 -2.5e-06 1e-05
"""


def test_the_vendors_text_is_read() -> None:
    table = CalibrationTable.parse(VENDOR)
    assert list(table) == ["x", "b_Relu", "c_Softmax", "d/Conv_output_0"]
    assert table["x"] == Row(
        float(np.float32(3.6964517)), float(np.float32(-3.5061126)), float(np.float32(3.6964517))
    )
    assert str(table["b_Relu"].low) == "0.0"
    assert table.ranges()["c_Softmax"] == pytest.approx((0.998032, 0.0, 1.0), rel=1e-7)
    assert "sample number: 100" in table.comments


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_may_end_in_either_way(end: str) -> None:
    assert CalibrationTable.parse(VENDOR.replace("\n", end)) == CalibrationTable.parse(VENDOR)


def numbers() -> list[float]:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal(200) * 10.0 ** rng.uniform(-30, 30, 200)
    return [float(np.float32(abs(value))) for value in drawn]


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    rows = {f"t{i}": Row(value, -2 * value, value / 2) for i, value in enumerate(numbers())}
    rows |= {"a b/c:0": Row(1.0, 0.0, 0.0), "p.1::sum": Row(2.0**-17, 0.0, 0.0), "1": Row(3.0, -1.0, 2.0)}
    rows |= {"2 3": Row(3.0, -1.0, 2.0, ((-1.0, 0.125), (0.0, 0.0), (float(np.float32(1.1)), 2.0)))}
    table = CalibrationTable(rows, ("one", "two: 2"))
    table.write(tmp_path / "t")
    again = CalibrationTable.read(tmp_path / "t")
    assert again == table
    assert list(again) == list(table)
    assert again.comments == table.comments
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_numbers_are_written_as_the_vendors_reader_takes_them() -> None:
    """It reads [-0-9.e]+: no plus, no capital."""
    text = CalibrationTable({f"t{i}": Row(v, -v, v) for i, v in enumerate(numbers())}).text()
    for line in text.splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r"\S+\s+[-0-9.e]+\s+[-0-9.e]+\s+[-0-9.e]+", line)
    assert text.splitlines()[:2] == ["###", "# op_name    threshold    min    max"]


FAULTS = [
    ("x 1 -1 1\n#channels 2 x -1 1 0", "t:2: expected `#channels COUNT name min max min max ...`"),
    ("x 1 -1 1\n#channels x -1 1 0 1", "t:2: expected `#channels COUNT name min max min max ...`"),
    (
        "x 1 -1 1\n#channels 2 x -1 1 0 nan",
        "t:2: expected `#channels COUNT name min max min max ...` with finite",
    ),
    ("x 1 -1 1\n#channels 0 x", "t:2: expected `#channels COUNT name min max min max ...`"),
    ("#channels 1 x -1 1\nx 1 -1 1", "t:1: expected the channels of a tensor with a row above, got 'x'"),
    ("x 1 -1 1\n#channels 1 x 0 1\n#channels 1 x 0 1", "t:3: expected the channels of 'x' once"),
    ("x 1 -1 1\n#channels 1 x 1 0", "t:2: 'x': expected channels within -1 and 1, got min 1 and max 0"),
    ("x 1 -1 1\n#channels 1 x -2 0", "t:2: 'x': expected channels within -1 and 1, got min -2 and max 0"),
    ("x 1.0 -1.0", "t:1: expected `name threshold min max`, got 'x 1.0 -1.0'"),
    ("x", "t:1: expected `name threshold min max`, got 'x'"),
    ("x 1.0", "run run_calibration again"),
    ("a 1 0 1\nx 1.0 -1.0 1.O", "t:2: expected a number as max of 'x' (`name threshold min max`), got '1.O'"),
    ("x 1,5 -1.0 1.0", "expected a number as threshold of 'x'"),
    ("x 1_0 -1.0 1.0", "expected a number as threshold of 'x'"),
    ("x nan -1 1", "expected a finite number as threshold of 'x'"),
    ("x 1 -inf 1", "expected a finite number as min of 'x'"),
    ("x 1 -1 1e999", "expected finite numbers"),
    ("x 0 -1 1", "expected a threshold above 0, got 0"),
    ("x -1 -1 1", "expected a threshold above 0, got -1"),
    ("x 1 2 1", "expected min <= max, got 2 > 1"),
    ("x 1 -1 1\ny 1 -1 1\nx 2 -2 2", "t:3: expected each name once, got 'x' again (first in line 1)"),
    ("", "expected rows `name threshold min max`, got none"),
    ("# only comments\n", "got none"),
    ("#tpu-mlir-fp8 caliration table\nx 1 -1 1", "FP8"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_what_is_no_table_is_told_by_line(text: str, message: str) -> None:
    with pytest.raises(CalibrationError) as error:
        CalibrationTable.parse(text, source="t")
    assert message in str(error.value)
    assert len(error.value.diagnostics) == 1


def test_every_wrong_line_is_told_up_to_a_few() -> None:
    with pytest.raises(CalibrationError) as error:
        CalibrationTable.parse("".join(f"t{i} 1 -1 x\n" for i in range(20)), source="t")
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "t: and 15 more such lines"


@pytest.mark.parametrize("section", ["#int4_th", "#asym_op", "#weight_scale"])
def test_sections_of_other_precisions_are_left_out_with_a_note(section: str) -> None:
    with pytest.warns(Note, match=section):
        table = CalibrationTable.parse(f"{VENDOR}{section}\nx 7 -7 7\nsomething else\n")
    assert table == CalibrationTable.parse(VENDOR)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00\x01")
    for name, message in (("no", "no such file"), ("b", "binary file"), (".", "directory")):
        with pytest.raises(CalibrationError, match=message):
            CalibrationTable.read(tmp_path / name)


@pytest.mark.parametrize("name", ["", " x", "x ", "#x", "a\nb", "a\x85b"])
def test_names_without_a_text_form_are_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="expected a name"):
        CalibrationTable({name: Row(1, -1, 1)}).write(tmp_path / "t")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "row", [Row(0, 0, 0), Row(1, 2, 1), Row(float("nan"), 0, 1), Row(1, 0, float("inf"))]
)
def test_numbers_that_do_not_read_back_are_not_written(row: Row) -> None:
    with pytest.raises(CalibrationError):
        CalibrationTable({"x": row}).text()


# --- whose table it is -----------------------------------------------------------------


@pytest.fixture
def top() -> tpumlir.Module:
    """x -> Exp (layer/e) -> Sqrt (layer/s) -> Relu (y), and an integer beside them."""
    graph = helper.make_graph(
        [
            helper.make_node("Exp", ["x"], ["layer/e"]),
            helper.make_node("Sqrt", ["layer/e"], ["layer/s"]),
            helper.make_node("Relu", ["layer/s"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["best"], axis=1),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_value_info("best", TensorProto.INT64, [2, 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(model, optimize=False)


def of(names: list[str]) -> CalibrationTable:
    return CalibrationTable({name: Row(1, -1, 1) for name in names})


def test_float_tensors_have_rows_and_others_have_none(top: tpumlir.Module) -> None:
    assert float_tensors(top) == ["x", "layer/e", "layer/s", "y"]


def test_a_table_of_the_module_is_taken(top: tpumlir.Module, tmp_path: Path) -> None:
    table = of(float_tensors(top))
    table.write(tmp_path / "t")
    assert resolve(table, top) is table
    assert resolve(tmp_path / "t", top) == table
    assert resolve(str(tmp_path / "t")) == table


def test_a_table_of_another_model_is_refused_in_one_line(top: tpumlir.Module) -> None:
    with pytest.raises(CalibrationError) as error:
        of([f"conv{i}" for i in range(300)]).check(top, source="t")
    assert len(error.value.diagnostics) == 1
    assert str(error.value).startswith(
        "t: expected a table of this model, got one whose 300 tensors it does not have (conv0, conv1, conv2 "
        "...; this model has x, layer/e, layer/s ...)"
    )


def test_a_typo_is_told_with_the_name_that_was_meant(top: tpumlir.Module) -> None:
    with pytest.raises(CalibrationError) as error:
        of(["x", "layer/e", "layer/5", "y"]).check(top, source="t")
    assert len(error.value.diagnostics) == 1
    assert error.value.node == "layer/5"
    assert "t: expected the name of a tensor of the module" in str(error.value)
    assert "layer/s" in str(error.value)


def test_a_missing_row_is_told(top: tpumlir.Module) -> None:
    with pytest.raises(CalibrationError, match=r"got none for 2 of them \(layer/e, y\)"):
        of(["x", "layer/s"]).check(top)


@pytest.mark.samples
def test_tables_of_the_vendor_fit_its_modules_and_its_extremes_are_ours(samples: list[Path]) -> None:
    folders = sorted({path.parent for path in samples if (path.parent / "calibration_table").exists()})
    assert folders
    for folder in folders:
        theirs = resolve(folder / "calibration_table", tpumlir.Module.load(folder / "top.mlir"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)  # one sample, which is what they took
            ours = tpumlir.calibrate(folder / "top.mlir", folder / "input.npz", method="max")
        assert list(theirs) == list(ours)
        for name, row in ours.rows.items():
            assert theirs[name].low == pytest.approx(row.low, rel=1e-4, abs=1e-6)
            assert theirs[name].high == pytest.approx(row.high, rel=1e-4, abs=1e-6)
