"""Model files and external data behind symbolic links, as download caches have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.cli import main as tpumlir_main

RNG = np.random.default_rng(5)
W = RNG.standard_normal((8, 4)).astype(np.float32)
X = RNG.standard_normal((2, 8)).astype(np.float32)


def save(folder: Path) -> tuple[Path, Path]:
    """Write a model and its data into ``folder``; returns both files."""
    folder.mkdir(parents=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(W, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(
        proto, folder / "model.onnx", save_as_external_data=True, location="data.bin", size_threshold=16
    )
    return folder / "model.onnx", folder / "data.bin"


def link(place: Path, target: Path, *, relative: bool = False) -> Path:
    """A symbolic link at ``place``."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent) if relative else target)
    return place


def plain(root: Path) -> Path:
    return save(root / "a")[0]


def model_alone(root: Path) -> Path:
    return link(root / "b" / "other.onnx", save(root / "a")[0])


def data_beside_the_link(root: Path) -> Path:
    model, data = save(root / "a")
    moved = root / "b" / "data.bin"
    moved.parent.mkdir()
    data.rename(moved)
    return link(root / "b" / "model.onnx", model, relative=True)


def data_beside_both(root: Path) -> Path:
    # The link's folder counts first: the other data is of another model.
    model, data = save(root / "a")
    (root / "b").mkdir()
    (root / "b" / "data.bin").write_bytes(data.read_bytes())
    data.write_bytes(bytes(len(data.read_bytes())))
    return link(root / "b" / "model.onnx", model)


def cache(root: Path) -> Path:
    model, data = save(root / "snapshot")
    (root / "blobs").mkdir()
    for file, blob in ((model, "aaa"), (data, "bbb")):
        file.rename(root / "blobs" / blob)
        link(file, root / "blobs" / blob, relative=True)
    return model


def link_to_a_cache(root: Path) -> Path:
    return link(root / "model.onnx", cache(root / "hub"), relative=True)


def folder_that_is_a_link(root: Path) -> Path:
    return link(root / "b", save(root / "a")[0].parent) / "model.onnx"


LAYOUTS: list[Callable[[Path], Path]] = [
    plain, model_alone, data_beside_the_link, data_beside_both, cache, link_to_a_cache, folder_that_is_a_link,
]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another working directory than any of the model's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    npz.save("in.npz", {"x": X})
    return folder


@pytest.mark.parametrize("copies", [False, True], ids=["second names", "copies"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_data_is_found(
    layout: Callable[[Path], Path], copies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if copies:

        def refuse(*_: object) -> None:
            raise OSError("another disk")

        monkeypatch.setattr(os, "link", refuse)
    model = layout(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if "elsewhere" not in path.parts)
    for path in (str(model), os.path.relpath(model)):
        assert tpumlir_main.main(("compile", path, "--test_input", "in.npz", "-o", "m.bmodel")) == 0
        for file in (path, "m.bmodel"):
            assert (
                tpumlir_main.main(("model_runner", "--model", file, "--input", "in.npz", "--output", "o.npz"))
                == 0
            )
            assert np.allclose(npz.load("o.npz")["y"].astype(np.float64), X @ W, rtol=1e-5)
    assert sorted(path for path in tmp_path.rglob("*") if "elsewhere" not in path.parts) == before


def test_a_link_to_nowhere_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = link(tmp_path / "model.onnx", tmp_path / "no.onnx")
    assert tpumlir_main.main(("compile", str(model))) == 1
    assert capsys.readouterr().err == f"tpumlir compile: error: {model}: no such file\n"


def test_data_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = save(tmp_path / "a")
    data.unlink()
    path = link(tmp_path / "b" / "model.onnx", model)
    assert tpumlir_main.main(("compile", str(path))) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "data.bin" in error


def test_gen_shell_takes_the_data_along(tmp_path: Path) -> None:
    assert (
        tpumlir_main.main(("gen_shell", str(link_to_a_cache(tmp_path)), "-o", "w", "--model_name", "m")) == 0
    )
    kept = onnx.load("w/m.onnx", load_external_data=False).graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(kept), W)
