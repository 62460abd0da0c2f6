"""Top text, both ways: the vendor's is read and written back unchanged, ours is read by the vendor's tool."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tpumlir
from tpumlir._core import ir
from tpumlir.errors import TpumlirError
from tpumlir.onnx.importer import import_onnx
from vendor_text import LAYERS, Layer, recurrent

MODELS = ("ppocr_cls", "opennsfw_r50", "mtcnn_onet", "oww_embedding")


def _texts() -> list[Path]:
    folder = os.environ.get("TPUMLIR_SAMPLES")
    return (
        sorted(p for p in Path(folder).rglob("*.mlir") if p.name in {"top.mlir", "origin.mlir"})
        if folder
        else []
    )


@pytest.mark.samples
@pytest.mark.parametrize(
    "path", _texts() or [None], ids=lambda p: f"{p.parent.name}-{p.stem}" if p else "none"
)
def test_vendor_text_is_written_back_unchanged(path: Path | None) -> None:
    if path is None:
        pytest.skip("needs files of the vendor's compiler (TPUMLIR_SAMPLES)")
    text = path.read_text()
    printed = ir.Module.parse(text).print()
    assert printed.split("\n") == [*text.rstrip("\n").split("\n"), ""]


@pytest.mark.samples
@pytest.mark.parametrize(
    "path", _texts() or [None], ids=lambda p: f"{p.parent.name}-{p.stem}" if p else "none"
)
def test_shapes_are_those_of_the_vendor(path: Path | None) -> None:
    """Our shape-infer on origin.mlir gives the types of top.mlir for every tensor that both have."""
    if path is None:
        pytest.skip("needs files of the vendor's compiler (TPUMLIR_SAMPLES)")
    module = ir.Module.parse(path.read_text())
    module.run_pipeline("shape-infer")
    vendor = ir.Module.parse(path.with_name("top.mlir").read_text())
    want = {r.name: r.shape for op in vendor.ops() for r in op.results}
    got = {r.name: r.shape for op in module.ops() for r in op.results}
    both = got.keys() & want.keys()
    assert len(both) > len(want) / 2
    assert {name: got[name] for name in both} == {name: want[name] for name in both}


def _vendor_opt(oracle: Path) -> Path:
    tool = oracle / "tpuc" / "bin" / "tpuc-opt"
    if not tool.exists():
        pytest.skip(f"needs the vendor's tpuc-opt in {oracle}")
    return tool


@pytest.mark.oracle
@pytest.mark.corpus
@pytest.mark.parametrize(
    "passes", ["", "shape-infer,canonicalize,extra-optimize"], ids=["imported", "rewritten"]
)
@pytest.mark.parametrize("model", MODELS)
def test_the_vendor_reads_our_text(model: str, passes: str, oracle: Path, tmp_path: Path) -> None:
    """The vendor's passes take our text, and what they make of it computes the same here."""
    import onnxruntime as ort

    tool = _vendor_opt(oracle)
    corpus = os.environ.get("TPUMLIR_CORPUS")
    if not corpus:
        pytest.skip("needs real models (TPUMLIR_CORPUS)")
    with np.load(Path(corpus) / f"{model}.npz") as data:
        inputs = {name: data[name] for name in data.files}
    path = Path(corpus) / f"{model}.onnx"
    ours = tpumlir.Module(import_onnx(path, input_shapes={n: v.shape for n, v in inputs.items()}))
    if passes:
        ours.run_pipeline(passes)
    ours.save(tmp_path / "net.mlir")

    flags = ["--init", "--shape-infer", "--canonicalize", "--deinit", "-o", "vendor.mlir"]
    done = subprocess.run(
        [tool, "net.mlir", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = tpumlir.Module.load(tmp_path / "vendor.mlir")
    assert theirs.inputs == ours.inputs
    assert theirs.outputs == ours.outputs
    # The rewritten text is canonical for the vendor too: it finds nothing to do.
    if passes:
        assert Counter(op.kind for op in theirs.ops()) == Counter(op.kind for op in ours.ops())

    session = ort.InferenceSession(path)
    names = [o.name for o in session.get_outputs()]
    got = tpumlir.ModuleInterpreter(theirs).run(inputs)
    for name, want in zip(names, session.run(names, inputs), strict=True):
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.oracle
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.kind}-{layer.why}")
def test_the_vendor_takes_the_layers_that_we_write_in_its_spelling(
    layer: Layer, oracle: Path, tmp_path: Path
) -> None:
    """So our tests read what the vendor's tool could have written; what it prints of it means the same."""
    tool = _vendor_opt(oracle)
    text, names, wants = recurrent(layer)
    (tmp_path / "net.mlir").write_text(text.text(*names))
    np.savez(tmp_path / "net.npz", **text.weights)  # type: ignore[arg-type]
    flags = ["--init", "--shape-infer", "--canonicalize", "--deinit", "-o", "vendor.mlir"]
    done = subprocess.run(
        [tool, "net.mlir", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    got = tpumlir.ModuleInterpreter(tpumlir.Module.load(tmp_path / "vendor.mlir")).run(text.inputs)
    assert list(got) == names
    for name, want in zip(names, wants, strict=True):
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.samples
def test_the_vendors_text_runs() -> None:
    """Each sample's top.mlir computes what ONNX Runtime computes from its model.onnx."""
    import onnxruntime as ort

    folder = os.environ.get("TPUMLIR_SAMPLES")
    if not folder:
        pytest.skip("needs files of the vendor's compiler (TPUMLIR_SAMPLES)")
    found = sorted(Path(folder).rglob("top.mlir"))
    assert found
    for path in found:
        text = path.read_text()
        match = re.search(r'module.weight_file = "([^"]*)"', text)
        assert match
        try:
            module = tpumlir.Module.load(path)
        except TpumlirError as error:
            pytest.fail(f"{path}: {error}")
        with np.load(path.parent / "input.npz") as data:
            inputs = {name: data[name] for name in data.files}
        session = ort.InferenceSession(path.parent / "model.onnx")
        want = session.run(None, {i.name: inputs[i.name] for i in session.get_inputs()})
        got = tpumlir.ModuleInterpreter(module).run(inputs)
        assert len(got) == len(want)
        for ours, theirs in zip(got.values(), want, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=str(path))
