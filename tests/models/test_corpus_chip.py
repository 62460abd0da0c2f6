"""Real, pretrained models: which kernels run them, the same bytes twice, and the vendor's verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tpumlir
from oracle.runtime import run_bmodel
from tpumlir.bmodel import write
from tpumlir.compare import EXACT, compare
from tpumlir.road.compile import compile_onnx
from tpumlir.road.run import Array
from tpumlir.road.single import Compiled

MODELS = ("ppocr_cls", "opennsfw_r50", "mtcnn_onet", "oww_embedding")

pytestmark = pytest.mark.corpus
Compile = Callable[[str], tuple[Compiled, dict[str, Array]]]


@pytest.fixture(scope="module")
def compiled(corpus: Path) -> Compile:
    """Compile a model with its real input, once for all tests of this file."""
    done: dict[str, tuple[Compiled, dict[str, Array]]] = {}

    def get(name: str) -> tuple[Compiled, dict[str, Array]]:
        if name not in done:
            with np.load(corpus / f"{name}.npz") as archive:
                inputs = dict(archive)
            done[name] = compile_onnx(corpus / f"{name}.onnx", test_input=inputs), inputs
        return done[name]

    return get


@pytest.mark.parametrize("name", MODELS)
def test_no_reference_implementation_of_onednn_is_used(name: str, compiled: Compile) -> None:
    result, inputs = compiled(name)
    for module in (result.top.module, result.deployed.tpu):
        interpreter = tpumlir.ModuleInterpreter(module)
        interpreter.run(inputs)
        used = interpreter.implementations()
        assert used
        assert [entry for entry in used if "ref" in entry[2]] == []


@pytest.mark.parametrize("name", MODELS)
def test_compiling_twice_gives_the_same_bytes(
    name: str, compiled: Compile, corpus: Path, tmp_path: Path
) -> None:
    first, inputs = compiled(name)
    second = compile_onnx(corpus / f"{name}.onnx", test_input=inputs)
    paths = [tmp_path / "first.bmodel", tmp_path / "second.bmodel"]
    for path, result in zip(paths, (first, second), strict=True):
        write(path, result.bmodel)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.oracle
@pytest.mark.parametrize("name", MODELS)
def test_vendor_runtime_gives_the_same_bits(
    name: str, compiled: Compile, oracle: Path, tmp_path: Path
) -> None:
    result, inputs = compiled(name)
    path = tmp_path / "net.bmodel"
    write(path, result.bmodel)
    vendor = run_bmodel(oracle, path, inputs, seconds=600)
    compare(result.bmodel.run(inputs), vendor, tolerance=EXACT).raise_if_failed()
    for tensor, value in result.bmodel.run(inputs).items():
        assert value.tobytes() == vendor[tensor].tobytes()
