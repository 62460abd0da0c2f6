"""Softmax, LogSoftmax and Hardmax; before opset 13 they flattened everything behind the axis into one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.index import place_axis
from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


# Emits the function of a value along an axis; the node's output if the suffix is None.
Along = Callable[[Node, "Value", int, "str | None"], "Value"]


def _softmax(node: Node, x: Value, axis: int, suffix: str | None) -> Value:
    return node.part("top.Softmax", [x], suffix, axis=axis, log=False)


def _log_softmax(node: Node, x: Value, axis: int, suffix: str | None) -> Value:
    return node.part("top.Softmax", [x], suffix, axis=axis, log=True)


def _hardmax(node: Node, x: Value, axis: int, suffix: str | None) -> Value:
    """1 at the first greatest element, else 0."""
    place = node.helper(
        "top.Arg", [x], "place", axis=axis, keepdims=True, mode="ArgMax", select_last_index=False
    )
    shape = [1] * len(x.shape)
    on, off = (
        node.weight(name, np.full(shape, value, np.float32)) for name, value in (("on", 1), ("off", 0))
    )
    is_place = place_axis(node, place, len(shape), axis, np.arange(x.shape[axis]), "places")
    return node.part("top.Where", [is_place, on, off], suffix)


def _register(op_type: str, along: Along) -> None:
    @converts(op_type, since=1)
    def flattened(node: Node) -> Value:
        shape = node.shape(0)
        axis = node.axis(node.int("axis", 1), len(shape))
        if all(extent == 1 for extent in shape[axis + 1 :]):
            return along(node, node.operand(0), axis, None)
        flat = node.reshape(node.operand(0), (math.prod(shape[:axis]), math.prod(shape[axis:])), "flat")
        return node.reshape(along(node, flat, 1, "matrix"), shape)

    @converts(op_type, since=13)
    def along_axis(node: Node) -> Value:
        return along(node, node.operand(0), node.axis(node.int("axis", -1), len(node.shape(0))), None)


# Source: ONNX Softmax, LogSoftmax and Hardmax, opsets 11 (over all axes from ``axis`` on) and 13 (along it).
_register("Softmax", _softmax)
_register("LogSoftmax", _log_softmax)
_register("Hardmax", _hardmax)
