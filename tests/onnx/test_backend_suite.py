"""ONNX's own node tests over the backend: each gives what the committed lists say, and no wrong values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import backend_suite
import onnx
import tpumlir
from backend_suite import Outcome
from onnx import TensorProto, helper
from tpumlir import onnx_backend

LISTED: dict[str, tuple[str, Mapping[str, Outcome]]] = {
    device: backend_suite.read_list(device) for device in onnx_backend.DEVICES
}
ROWS = [(device, name) for device, (_, outcomes) in LISTED.items() for name in outcomes]


def same_onnx(device: str) -> None:
    """Skip unless the list was made with the installed onnx package: each one generates its own tests."""
    version = LISTED[device][0]
    if version.split(".")[:2] != onnx.__version__.split(".")[:2]:
        pytest.skip(f"the list is of onnx {version}, this is {onnx.__version__}")


@pytest.mark.parametrize(("device", "name"), ROWS, ids=[f"{d}-{n}" for d, n in ROWS])
def test_node_test_gives_what_is_listed(device: str, name: str) -> None:
    same_onnx(device)
    outcome = backend_suite.run(name, device)
    listed = LISTED[device][1][name]
    assert outcome.verdict == listed.verdict, f"{outcome} (listed: {listed}; see tests/backend_suite.py)"


@pytest.mark.parametrize("device", onnx_backend.DEVICES)
def test_every_node_test_is_listed(device: str) -> None:
    same_onnx(device)
    assert set(backend_suite.cases()) == set(LISTED[device][1])


# --- the backend itself --------------------------------------------------------------


def reshape_model() -> onnx.ModelProto:
    """y = reshape(x, s) with both at run time."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="node")],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 6]),
            helper.make_tensor_value_info("s", TensorProto.INT64, ["r"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize("device", onnx_backend.DEVICES)
def test_program_follows_shapes_and_the_values_that_decide_them(device: str) -> None:
    prepared = onnx_backend.prepare(reshape_model(), device)
    for count, target in ((2, [3, 4]), (2, [4, 3]), (2, [4, 3]), (1, [2, 3]), (1, [6])):
        x = np.arange(6 * count, dtype=np.float64).reshape(count, 6)
        (y,) = prepared.run([x, np.array(target)])
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y, x.reshape(target))


@pytest.mark.parametrize("device", onnx_backend.DEVICES)
def test_run_node_infers_its_outputs(device: str) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    (y,) = onnx_backend.run_node(node, [np.array([-1, 2], np.float16)], device)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, np.array([0, 2], np.float16))


def test_inputs_are_checked() -> None:
    prepared = onnx_backend.prepare(reshape_model())
    x, s = np.zeros((2, 6)), np.array([12])
    with pytest.raises(tpumlir.InputError, match="expected 2 inputs, got 1"):
        prepared.run([x])
    with pytest.raises(tpumlir.InputError, match="expected element type float64, got float32"):
        prepared.run([x.astype(np.float32), s])
    with pytest.raises(tpumlir.InputError, match=r"expected shape \[None, 6\], got \[2, 5\]"):
        prepared.run([np.zeros((2, 5)), s])


def test_devices_and_refusals_are_named() -> None:
    assert onnx_backend.supports_device("TOP")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(tpumlir.UnsupportedError, match="expected a device of TOP, BM1684X, got CPU"):
        onnx_backend.prepare(reshape_model(), "CPU")
