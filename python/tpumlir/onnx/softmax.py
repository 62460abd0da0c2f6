"""Softmax and LogSoftmax; before opset 13 they flattened everything behind the axis into one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tpumlir.onnx.registry import Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def _along_axis(node: Node, *, log: bool) -> Value:
    axis = node.axis(node.int("axis", -1), len(node.shape(0)))
    return node.emit("top.Softmax", [node.operand(0)], axis=axis, log=log)


def _flattened(node: Node, *, log: bool) -> Value:
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 1), len(shape))
    if all(extent == 1 for extent in shape[axis + 1 :]):
        return node.emit("top.Softmax", [node.operand(0)], axis=axis, log=log)
    flat = node.reshape(node.operand(0), (math.prod(shape[:axis]), math.prod(shape[axis:])), "flat")
    return node.reshape(node.helper("top.Softmax", [flat], "softmax", axis=1, log=log), shape)


@converts("Softmax", since=1)
def softmax_flattened(node: Node) -> Value:
    """Over all axes from ``axis`` on. Source: ONNX Softmax, opset 11."""
    return _flattened(node, log=False)


@converts("Softmax", since=13)
def softmax(node: Node) -> Value:
    """``top.Softmax`` along one axis. Source: ONNX Softmax, opset 13."""
    return _along_axis(node, log=False)


@converts("LogSoftmax", since=1)
def log_softmax_flattened(node: Node) -> Value:
    """Over all axes from ``axis`` on. Source: ONNX LogSoftmax, opset 11."""
    return _flattened(node, log=True)


@converts("LogSoftmax", since=13)
def log_softmax(node: Node) -> Value:
    """``top.Softmax`` with ``log``. Source: ONNX LogSoftmax, opset 13."""
    return _along_axis(node, log=True)
