"""The integers that constants of floats were in the file: what DequantizeLinear made of them.

A constant is folded to floats like any other. Its scales are remembered beside it, and followed through what
moves its elements; a weight that is made of it is quantised with them if every element is such a multiple.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tpumlir.onnx.load import Array, NodeInfo

_MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
# What integers of 8 bits and less are stored in.
_STORAGE = dict.fromkeys(("int8", "int4", "int2"), "i8") | dict.fromkeys(("uint8", "uint4", "uint2"), "u8")
_LIMITS = {"i8": (-128, 127), "u8": (0, 255)}


class _Steps(NamedTuple):
    scales: Array
    """One for the tensor, or one for each index of an axis, which may have moved since."""
    zero: int
    """The zero point; only if there is one for all of it."""
    storage: str


class StatedSteps:
    """What is known of the constants of a graph, and of its quantised tensors, by name."""

    def __init__(self) -> None:
        self._known: dict[str, _Steps] = {}
        self._computed: dict[str, tuple[float, int]] = {}

    def state(self, name: str, scale: float, zero: int) -> None:
        """Remember in what steps the integers of a run-time tensor of the module count."""
        self._computed[name] = (scale, zero)

    def stated(self, name: str) -> tuple[float, int] | None:
        """Scale and zero point of a run-time tensor of the module that was quantised; None of others."""
        return self._computed.get(name)

    def folded(self, node: NodeInfo, inputs: Sequence[Any]) -> None:
        """Remember what ``node``, whose operands are constants, says of its result."""
        if node.domain or not inputs or not node.outputs:
            return
        if node.op_type in _MOVES and node.inputs[0] in self._known:
            self._known[node.outputs[0]] = self._known[node.inputs[0]]
        if node.op_type != "DequantizeLinear" or len(inputs) < 2 or inputs[1].ndim > 1:
            return
        storage = _STORAGE.get(inputs[0].dtype.name)
        if storage is None or not inputs[0].size:
            return
        scales = inputs[1].reshape(-1).astype(np.float32)
        zeros = np.zeros(1, np.int64) if len(inputs) < 3 or inputs[2] is None else inputs[2].reshape(-1)
        if not np.all(np.isfinite(scales) & (scales > 2.0**-60) & (scales < 2.0**60)):
            return
        if (scales == scales[0]).all():
            scales = scales[:1]
        zero = int(zeros[0]) if (zeros == zeros[0]).all() else 0
        self._known[node.outputs[0]] = _Steps(scales, zero, storage)

    def type_of(self, name: str, array: Array) -> str:
        """The quantised type, in MLIR's words, of a weight of float32 made of constant ``name``; "" if none.

        Integers with a sign and without zero point if 8 bits hold them, else as they were in the file.
        """
        steps = self._known.get(name)
        if steps is None or not array.size:
            return ""
        array = np.asarray(array, np.float32)
        if steps.scales.size > 1:
            fitting = (
                axis
                for axis, extent in enumerate(array.shape)
                if extent == steps.scales.size
                and _held(array, steps.scales.reshape((-1, *[1] * (array.ndim - axis - 1))), 0, "i8")
            )
            axis = next(fitting, None)
            scales = ", ".join(map(_number, steps.scales))
            return "" if axis is None else f"!quant.uniform<i8:f32:{axis}, {{{scales}}}>"
        scale = steps.scales[0]
        if _held(array, scale, 0, "i8"):
            return f"!quant.uniform<i8:f32, {_number(scale)}>"
        if _held(array, scale, steps.zero, steps.storage):
            return f"!quant.uniform<{steps.storage}:f32, {_number(scale)}:{steps.zero}>"
        return ""


def _held(array: Array, scale: Any, zero: int, storage: str) -> bool:
    """Whether every element is exactly such an integer, less its zero point, times its scale."""
    whole = np.rint(array / scale)
    least, greatest = _LIMITS[storage]
    return bool(
        whole.min() + zero >= least
        and whole.max() + zero <= greatest
        and np.array_equal((whole * scale).astype(np.float32), array)
    )


def _number(value: Any) -> str:
    """All digits, with the point that MLIR wants."""
    return f"{float(value):.17e}"
