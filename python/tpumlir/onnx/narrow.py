"""Constants of types that the chip does not have, 4-bit integers and 8-bit floats: what they are in float.

Weights come in them, to be brought back by DequantizeLinear or Cast; both are computed here, at import.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tpumlir.data.types import is_float
from tpumlir.onnx.fold import folds
from tpumlir.onnx.indexing import normalize_axis
from tpumlir.onnx.load import Array, NodeInfo
from tpumlir.onnx.registry import NotSupportedError


@folds("DequantizeLinear")
def _dequantize(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    """(x - zero point) scale, rounded once to the type of the result.

    Source: ONNX DequantizeLinear, opset 25. The product is formed in float32, as ONNX Runtime forms it.
    """
    import onnx

    x, scale, zero_point = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    chosen = node.attributes.get("output_dtype", 0)
    target = onnx.helper.tensor_dtype_to_np_dtype(chosen) if chosen else scale.dtype
    block = int(node.attributes.get("block_size", 0))
    axis = int(node.attributes.get("axis", 1))
    if scale.size != 1 or scale.ndim > 1:
        axis = normalize_axis(axis, x.ndim)
    factor = _along(scale, x.shape, axis, block).astype(np.float32)
    if is_float(x.dtype):
        if zero_point is not None and zero_point.astype(np.float32).any():
            raise NotSupportedError("a zero point of floats other than 0", "leave the zero point out")
        difference = x.astype(np.float32)
    else:
        wide = x.astype(np.int64)
        if zero_point is not None:
            wide = wide - _along(zero_point, x.shape, axis, block).astype(np.int64)
        difference = wide.astype(np.float32)
    with np.errstate(all="ignore"):
        return np.asarray((difference * factor).astype(target))


def _along(values: Array, shape: tuple[int, ...], axis: int, block: int) -> Array:
    """Scales or zero points so that they broadcast to ``shape``. Raises: ValueError: of another shape."""
    if values.ndim <= 1 and values.size == 1:
        return values.reshape([1] * len(shape)) if shape else values.reshape(())
    if values.ndim == 1 and values.size == shape[axis] and (len(shape) > 1 or not block):
        return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    wanted = [*shape[:axis], -(-shape[axis] // block) if block else 0, *shape[axis + 1 :]]
    if list(values.shape) != wanted:
        raise ValueError(
            f"expected scales and zero points for axis {axis} of {list(shape)} in blocks of {block}, "
            f"got {list(values.shape)}"
        )
    spread = np.repeat(values, block, axis)  # the last block may be cut short
    return spread[tuple(slice(extent) for extent in shape)]
