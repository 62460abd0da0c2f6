"""Calibration of small modules: what is seen, over which samples, and what is told."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.calibration.calibrate import Calibration, Options, calibrate, measure
from tpumlir.calibration.dataset import samples_of
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import CalibrationError, InputError, Note
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.onnx.importer import import_model
from tpumlir.onnx.inputs import choose_inputs
from tpumlir.onnx.load import load
from tpumlir.onnx.options import ImportOptions

Array = npt.NDArray[Any]


def module_of(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    weights: Mapping[str, Array] | None = None,
) -> tpumlir.Module:
    """A Top module of ONNX nodes on float inputs, nothing fused."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(model, optimize=False)


def chain() -> tpumlir.Module:
    """x -> Sigmoid (e) -> Sqrt (l) -> Neg (y)."""
    return module_of(
        [
            helper.make_node("Sigmoid", ["x"], ["e"]),
            helper.make_node("Sqrt", ["e"], ["l"]),
            helper.make_node("Neg", ["l"], ["y"]),
        ],
        {"x": [2, 50]},
        ["y"],
    )


def draws(count: int, shape: Sequence[int] = (2, 50), seed: int = 0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(seed)
    return [{"x": (rng.standard_normal(shape) * (1 + i)).astype(np.float32)} for i in range(count)]


def seen(module: tpumlir.Module, samples: Any, **given: Any) -> Calibration:
    return measure(module, samples_of(module, samples), Options(**given))


def test_ranges_are_those_of_all_samples_together() -> None:
    module, samples = chain(), draws(5)
    found = seen(module, samples, method="max")
    run = ModuleInterpreter(module)
    whole = [run.run(sample, all_tensors=True) | sample for sample in samples]
    table = found.table()
    assert list(table) == ["x", "e", "l", "y"]
    for name in table:
        values = np.stack([one[name] for one in whole])
        assert table.ranges()[name] == (np.abs(values).max(), values.min(), values.max())
        assert found.histograms[name].count == values.size


def test_min_and_max_are_the_true_ones_whatever_is_clipped() -> None:
    samples = draws(3)
    tables = [tpumlir.calibrate(chain(), samples, method=m) for m in ("kl", "mse", "max", "aciq_gauss")]
    for table in tables[1:]:
        for name in table:
            assert (table[name].low, table[name].high) == (tables[0][name].low, tables[0][name].high)


@pytest.mark.parametrize("limit", [1, 500, 900, 10**9])
def test_parts_of_a_large_model_give_the_same_table(limit: int) -> None:
    module, samples = chain(), draws(3)
    told: list[tuple[int, int]] = []
    found = measure(
        module, samples_of(module, samples), Options(), lambda *step: told.append(step), at_once=limit
    )
    assert found.table() == seen(module, samples).table()
    runs = {1: 12, 500: 12, 900: 6, 10**9: 3}[limit]
    assert told == [(i + 1, runs) for i in range(runs)]


def test_a_table_says_how_it_was_made() -> None:
    comments = tpumlir.calibrate(chain(), draws(3), method="kl", bins=1024).comments
    assert comments[1:] == ("histogram number: 1024", "sample number: 3", "method: kl")


def test_a_tuned_table_names_the_method_of_each_tensor() -> None:
    found = seen(chain(), draws(3), tune=True)
    table = found.table()
    assert set(found.chosen) == set(table)
    for name, method in found.chosen.items():
        assert table[name] == found.table(method)[name]


def test_a_file_is_taken_as_a_module_is(tmp_path: Path) -> None:
    module = chain()
    module.save(tmp_path / "m.mlir")
    assert calibrate(tmp_path / "m.mlir", draws(2)) == calibrate(module, draws(2))


def test_other_modules_and_options_are_refused() -> None:
    with pytest.raises(InputError, match="expected a Top module"):
        calibrate(chain().lower("F32"), draws(2))
    with pytest.raises(InputError, match="expected a method of"):
        calibrate(chain(), draws(2), method="entropy")
    with pytest.raises(InputError, match="expected 128 to 1048576 histogram bins, got 8"):
        calibrate(chain(), draws(2), bins=8)
    with pytest.raises(InputError, match="expected a dataset"):
        calibrate(chain())
    with pytest.raises(InputError, match="expected a dataset of samples, got none"):
        calibrate(chain(), [])


# --- tensors that are not as others ------------------------------------------------------


def quietly(module: tpumlir.Module, samples: Any, **given: Any) -> tpumlir.CalibrationTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        return calibrate(module, samples, **given)


def notes(module: tpumlir.Module, samples: Any, **given: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", Note)
        calibrate(module, samples, **given)
    return [str(warning.message) for warning in told]


def test_constant_and_integer_tensors_are_named() -> None:
    module = module_of(
        [
            helper.make_node("Mul", ["x", "zero"], ["flat"]),
            helper.make_node("ArgMax", ["x"], ["best"], axis=1),
            helper.make_node("Cast", ["best"], ["y"], to=TensorProto.FLOAT),
        ],
        {"x": [2, 50]},
        ["flat", "y"],
        {"zero": np.zeros((1, 50), np.float32)},
    )
    told = notes(module, draws(2))
    assert "tensors that hold one number over all samples: flat" in told
    assert any("integer tensors, which have no row: best" in note for note in told)
    table = quietly(module, draws(2))
    assert "best" not in table.rows
    assert table["flat"].threshold > 0
    assert (table["flat"].low, table["flat"].high) == (0, 0)


def log_module() -> tpumlir.Module:
    return module_of(
        [helper.make_node("Log", ["x"], ["l"]), helper.make_node("Abs", ["l"], ["y"])], {"x": [4]}, ["y"]
    )


def test_a_tensor_that_is_not_finite_is_an_error_with_its_sample() -> None:
    samples = [{"x": np.ones(4, np.float32)}, {"x": np.array([1, 0, -1, 2], np.float32)}]
    with pytest.raises(CalibrationError) as error:
        calibrate(log_module(), samples)
    assert str(error.value) == (
        "l: expected finite numbers from top.Log for sample 1, got 1 NaN and 1 infinities; 1 tensors behind "
        "it too (--allow_nonfinite leaves them out)"
    )


def test_finite_numbers_beside_others_count_if_wanted() -> None:
    samples = [{"x": np.array([1, 0, -1, math.e], np.float32)}] * 2
    table = quietly(log_module(), samples, allow_nonfinite=True)
    assert table["l"].low == 0
    assert table["l"].high == pytest.approx(1)
    told = notes(log_module(), samples, allow_nonfinite=True)
    assert "tensors with NaN or infinities, of which the other numbers count: l, y" in told
    nothing = [{"x": np.full(4, -1, np.float32)}] * 2
    assert list(quietly(log_module(), nothing, allow_nonfinite=True)) == ["x"]


def test_nan_in_the_data_is_told_with_the_sample() -> None:
    samples = draws(2)
    samples[1]["x"][1, 7] = np.nan
    with pytest.raises(InputError, match="sample 1: x: expected finite values, got 1 NaN"):
        calibrate(chain(), samples)


def test_a_tensor_whose_numbers_mostly_vanish_is_named() -> None:
    rng = np.random.default_rng(0)
    wide = [{"x": np.exp(rng.uniform(-12, 6, (2, 50))).astype(np.float32)} for _ in range(4)]
    module = module_of([helper.make_node("Log", ["x"], ["y"])], {"x": [2, 50]}, ["y"])
    assert "tensors of which INT8 makes more than half of the numbers 0: x" in notes(module, wide)
    assert not notes(chain(), draws(3))


def test_a_module_of_integers_has_nothing_to_calibrate() -> None:
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [4])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(InputError, match="expected a module with float tensors"):
        calibrate(tpumlir.load_onnx(model), [{"x": np.zeros(4, np.int32)}] * 2)


def test_tensors_without_elements_have_no_row() -> None:
    module = module_of(
        [
            helper.make_node("Slice", ["x", "a", "a", "one"], ["none"]),
            helper.make_node("Concat", ["none", "x"], ["y"], axis=0),
        ],
        {"x": [2, 5]},
        ["y"],
        {"a": np.array([0]), "one": np.array([0])},
    )
    table = quietly(module, draws(2, (2, 5)))
    assert set(table) <= {"x", "y"}


# --- datasets --------------------------------------------------------------------------


def save(folder: Path, samples: Sequence[Mapping[str, Array]], kind: str = "npz") -> Path:
    folder.mkdir(exist_ok=True)
    for i, sample in enumerate(samples):
        if kind == "npz":
            npz.save(folder / f"{i}.npz", sample)
        else:
            np.save(folder / f"{i}.npy", sample["x"])
    return folder


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_a_folder_is_the_arrays_in_it(tmp_path: Path, kind: str) -> None:
    samples = draws(4)
    folder = save(tmp_path / "d", samples, kind)
    assert calibrate(chain(), folder) == calibrate(chain(), samples)
    assert calibrate(chain(), str(folder)) == calibrate(chain(), samples)


def test_files_in_folders_of_a_folder_count_and_hidden_ones_do_not(tmp_path: Path) -> None:
    samples = draws(4)
    save(tmp_path / "a", samples[:2])
    save(tmp_path / "b", samples[2:])
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.npz").write_bytes(b"no")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"no")
    assert calibrate(chain(), tmp_path) == calibrate(chain(), samples)


def test_samples_are_taken_from_the_whole_of_a_folder(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", draws(8))
    chosen = samples_of(chain(), folder, None, 4)
    assert [Path(sample.where).name for sample in chosen] == ["0.npz", "2.npz", "4.npz", "6.npz"]
    with pytest.warns(Note, match="9 samples are asked for, there are 8"):
        assert len(samples_of(chain(), folder, None, 9)) == 8


def test_one_sample_is_told(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", draws(2))
    with pytest.warns(Note, match="one sample only"):
        one = calibrate(chain(), folder / "1.npz")
    assert one == calibrate(chain(), [draws(2)[1]] * 2)


def test_a_list_of_files_beside_it_and_in_the_dataset(tmp_path: Path) -> None:
    samples = draws(3)
    save(tmp_path / "d", samples)
    (tmp_path / "d" / "2.npz").rename(tmp_path / "2.npz")
    listing = tmp_path / "list.txt"
    listing.write_text(f"# a comment\n{tmp_path}/d/0.npz\n\n1.npz\n2.npz\n")
    want = calibrate(chain(), samples)
    assert calibrate(chain(), tmp_path / "d", data_list=listing) == want
    listing.write_text("d/0.npz\nd/1.npz\n2.npz\n")
    assert calibrate(chain(), data_list=listing) == want


def test_a_comma_in_the_name_of_a_file_separates_nothing(tmp_path: Path) -> None:
    for i, sample in enumerate(draws(2)):
        np.save(tmp_path / f"{i},5.npy", sample["x"])
    (tmp_path / "list.txt").write_text("0,5.npy\n1,5.npy\n")
    assert calibrate(chain(), data_list=tmp_path / "list.txt") == calibrate(chain(), draws(2))


def test_a_list_gives_a_file_for_each_input(tmp_path: Path) -> None:
    module = module_of([helper.make_node("Sub", ["a", "b"], ["y"])], {"a": [3], "b": [3]}, ["y"])
    values = {"a": np.array([1, 2, 3], np.float32), "b": np.array([5, 0, 1], np.float32)}
    for name, value in values.items():
        np.save(tmp_path / f"{name}.npy", value)
    listing = tmp_path / "list.txt"
    want = calibrate(module, [values] * 2)
    for line in ("a.npy,b.npy", "b=b.npy,a=a.npy", "a.npy, b.npy"):
        listing.write_text(f"{line}\n{line}\n")
        assert calibrate(module, data_list=listing) == want


def pictures(folder: Path, count: int) -> list[Array]:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(2)
    found = [rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(count)]
    for i, pixels in enumerate(found):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return found


@pytest.mark.parametrize(("batch", "count"), [(1, 3), (2, 4), (2, 5), (4, 2)])
def test_pictures_are_read_as_the_module_records(tmp_path: Path, batch: int, count: int) -> None:
    how = Preprocess(mean=(10.0, 20.0, 30.0), scale=(0.5, 0.25, 0.125), pixel_format="rgb")
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ImportOptions(preprocess=how)
    module = tpumlir.Module(import_model(choose_inputs(load(model), options), options).module)
    found = pictures(tmp_path / "d", count)
    tensors = [
        ((pixels - np.array(how.mean, np.float32)) * np.array(how.scale, np.float32)).transpose(2, 0, 1)
        for pixels in found
    ]
    batches = [
        np.stack([tensors[(i + j) % count] for j in range(batch)]).astype(np.float32)
        for i in range(0, count, batch)
    ]
    # One batch may be all there is, which is told.
    assert quietly(module, tmp_path / "d") == quietly(module, [{"x": value} for value in batches])


def test_files_that_are_no_samples_are_told(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", draws(2))
    (folder / "README.md").write_text("about")
    with pytest.warns(Note, match="left out: README.md"):
        calibrate(chain(), folder)
