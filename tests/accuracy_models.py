"""Small models that are easy or hard for INT8, and samples for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
SHAPE = (1, 8, 28, 28)
WIDTH = 64  # wide enough for integers to pay


def model_of(nodes: list[Any], weights: dict[str, Array], shape: tuple[int, ...] = SHAPE) -> onnx.ModelProto:
    """x -> y in opset 17."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def conv(source: str, result: str, weight: str) -> Any:
    """A 3x3 convolution that keeps the extents."""
    return helper.make_node("Conv", [source, weight], [result], pads=[1, 1, 1, 1], name=f"{result}_conv")


def draw(shape: tuple[int, ...], seed: int) -> Array:
    """Weights of a layer that keeps the size of numbers."""
    rng = np.random.default_rng(seed)
    weight: Array = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return weight.astype(np.float32)


def easy() -> onnx.ModelProto:
    """Three convolutions with Relu between them."""
    weights = {
        "w0": draw((WIDTH, 8, 3, 3), 0),
        "w1": draw((WIDTH, WIDTH, 3, 3), 1),
        "w2": draw((4, WIDTH, 3, 3), 2),
    }
    nodes = [
        conv("x", "a", "w0"),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "c", "w1"),
        helper.make_node("Relu", ["c"], ["d"]),
        conv("d", "y", "w2"),
    ]
    return model_of(nodes, weights)


def hard(large: float = 3000.0) -> onnx.ModelProto:
    """In the middle one channel is ``large`` times the others, and the next layer needs the others only.

    One scale for the whole tensor leaves nothing of them.
    """
    spoil = draw((WIDTH, WIDTH, 3, 3), 1)
    spoil[0] *= large
    mend = draw((WIDTH, WIDTH, 3, 3), 2)
    mend[:, 0] /= large * large
    weights = {"w0": draw((WIDTH, 8, 3, 3), 0), "spoil": spoil, "mend": mend}
    weights |= {f"w{i}": draw((WIDTH, WIDTH, 3, 3), i) for i in (3, 4, 5)} | {"w6": draw((4, WIDTH, 3, 3), 6)}
    nodes = [
        conv("x", "a", "w0"),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "spoiled", "spoil"),
        conv("spoiled", "mended", "mend"),
        helper.make_node("Relu", ["mended"], ["d2"]),
    ]
    for i in (3, 4, 5):
        nodes += [conv(f"d{i - 1}", f"c{i}", f"w{i}"), helper.make_node("Relu", [f"c{i}"], [f"d{i}"])]
    nodes.append(conv("d5", "y", "w6"))
    return model_of(nodes, weights)


def module(model: onnx.ModelProto) -> tpumlir.Module:
    """Its Top module."""
    return tpumlir.load_onnx(model)


def samples(count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> list[dict[str, Array]]:
    """Normal numbers for x."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]
