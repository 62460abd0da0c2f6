"""What ONNX Runtime's own quantiser writes besides pairs: its QOperator form and its dynamic one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import onnx
import tpumlir
from graphs import Graph
from quantized_graphs import Array, integer_ops
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx

pytestmark = pytest.mark.filterwarnings("ignore")


class Net(Graph):
    """A float network, of the operators that the quantiser knows."""

    def __init__(self) -> None:
        super().__init__(opset=13, seed=7)

    def weight(self, *shape: int, scale: float = 0.3) -> str:
        return self.normal(*shape, scale=scale)

    def save(self, path: Path, inputs: dict[str, tuple[int, ...]], output: str) -> None:
        for name, shape in inputs.items():
            self.input(name, *shape)
        self.output(output)
        onnx.save(self.model(), path)


SHAPE = (1, 3, 16, 16)


def convolutional(path: Path) -> None:
    """Convolutions, a residual, pools, a gate, a concatenation, a classifier."""
    net = Net()
    x = net.op("Relu", net.op("Conv", "x", net.weight(16, 3, 3, 3), net.weight(16), pads=[1] * 4))
    a = net.op("Conv", x, net.weight(16, 1, 3, 3), pads=[1] * 4, group=16)
    a = net.op("LeakyRelu", a, alpha=0.1)
    x = net.op("Add", net.op("Conv", a, net.weight(16, 16, 1, 1), net.weight(16)), x)
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    gate = net.op("Sigmoid", net.op("Conv", net.op("GlobalAveragePool", x), net.weight(16, 16, 1, 1)))
    x = net.op("Mul", x, gate)
    one, three = net.ops("Split", x, net.ints(4, 12), outputs=2, axis=1)
    x = net.op(
        "Concat", three, net.op("Clip", one, net.const(0, np.float32), net.const(1, np.float32)), axis=1
    )
    x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Transpose", x, perm=[0, 2, 3, 1])
    x = net.op("MatMul", net.op("Reshape", x, net.ints(1, 16, 16)), net.weight(16, 24))
    x = net.op("Gemm", net.op("Flatten", x), net.weight(10, 384, scale=0.05), net.weight(10), transB=1)
    net.save(path, {"x": SHAPE}, net.op("Softmax", x, axis=1))


def samples(count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal(SHAPE).astype(np.float32)} for _ in range(count)]


def quantized(folder: Path, activations: str, per_channel: bool) -> Path:
    """By quantize_static in the QOperator form."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Array]] = iter(samples(4))

        def get_next(self) -> dict[str, Array] | None:
            return next(self.left, None)

    plain, result = folder / "plain.onnx", folder / "quantized.onnx"
    convolutional(plain)
    quantize_static(
        str(plain),
        str(result),
        Reader(),
        quant_format=QuantFormat.QOperator,
        per_channel=per_channel,
        activation_type=QuantType.QUInt8 if activations == "u8" else QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return result


def cosine(a: Array, b: Array) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("per_channel", [True, False], ids=["per_channel", "per_tensor"])
@pytest.mark.parametrize("activations", ["u8", "s8"])
def test_the_static_quantiser_in_operator_form(activations: str, per_channel: bool, tmp_path: Path) -> None:
    path = quantized(tmp_path, activations, per_channel)
    written = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearMul", "QLinearMatMul", "QGemm", "QLinearConcat"} <= written
    inputs = samples(5)[4]
    top = tpumlir.load_onnx(path)
    (expected,) = run_onnx(load(path), inputs).values()
    (exact,) = tpumlir.ModuleInterpreter(top).run(inputs).values()
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1.01 / 256)  # a step of the last tensor
    tpu = top.lower("INT8")
    (computed,) = tpumlir.ModuleInterpreter(tpu).run(inputs).values()
    (chip,) = tpu.compile().run(inputs, detect_races=True).values()
    np.testing.assert_array_equal(chip, computed)
    assert cosine(computed, expected) >= 0.999
    products = re.findall(r'"tpu\.(?:Conv2D|MatMul)"\(.*-> tensor<[0-9x]*(!quant)?', tpu.print())
    assert products.count("!quant") == len(products) == 6
    assert integer_ops(tpu)["Concat"]


def recurrent(path: Path) -> dict[str, tuple[int, ...]]:
    """Matrix products of two kinds, a convolution and a table of words."""
    net = Net()
    x = net.op("MatMul", "x", net.weight(16, 32))
    x = net.op("Relu", net.op("Add", x, net.weight(32)))
    x = net.op("Conv", net.op("Unsqueeze", x, net.ints(0)), net.weight(8, 3, 3, 3), net.weight(8))
    x = net.op("MatMul", x, net.weight(30, 12))
    net.save(path, {"x": (3, 16, 16)}, x)
    return {"x": (3, 16, 16)}


@pytest.mark.parametrize("per_channel", [True, False], ids=["per_channel", "per_tensor"])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_the_dynamic_quantiser(kind: str, per_channel: bool, tmp_path: Path) -> None:
    """Scales of a run: nothing is approximated, and halves round what lies around the integers only."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, result = tmp_path / "plain.onnx", tmp_path / "quantized.onnx"
    shape = recurrent(plain)["x"]
    quantize_dynamic(str(plain), str(result), weight_type=QuantType[kind], per_channel=per_channel)
    written = {node.op_type for node in onnx.load(result).graph.node}
    assert {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"} <= written
    inputs = {"x": np.random.default_rng(3).standard_normal(shape).astype(np.float32)}
    top = tpumlir.load_onnx(result)
    (expected,) = run_onnx(load(result), inputs).values()
    (exact,) = tpumlir.ModuleInterpreter(top).run(inputs).values()
    np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    for precision, least in (("F32", 0.999999), ("F16", 0.9999)):
        tpu = top.lower(precision)
        (computed,) = tpumlir.ModuleInterpreter(tpu).run(inputs).values()
        (chip,) = tpu.compile().run(inputs, detect_races=True).values()
        assert cosine(computed, expected) >= least, precision
        assert cosine(chip, computed) >= least, precision


def test_a_remedy_for_what_quantises_inside(tmp_path: Path) -> None:
    """The message says what to leave out; without it the same model is imported."""
    from onnxruntime.quantization import quantize_dynamic

    net = Net()
    plain, result = tmp_path / "plain.onnx", tmp_path / "quantized.onnx"
    weights = net.weight(1, 16, 8), net.weight(1, 16, 4)
    x = net.op("Squeeze", net.op("LSTM", "x", *weights, hidden_size=4), net.ints(1))
    net.save(plain, {"x": (5, 1, 8)}, net.op("MatMul", x, net.weight(4, 3)))
    quantize_dynamic(str(plain), str(result))
    with pytest.raises(tpumlir.UnsupportedError, match="leave LSTM out of op_types_to_quantize"):
        tpumlir.load_onnx(result)
    quantize_dynamic(str(plain), str(result), op_types_to_quantize=["MatMul"])
    inputs = {"x": np.random.default_rng(3).standard_normal((5, 1, 8)).astype(np.float32)}
    (expected,) = run_onnx(load(result), inputs).values()
    (computed,) = tpumlir.ModuleInterpreter(tpumlir.load_onnx(result)).run(inputs).values()
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-4)
