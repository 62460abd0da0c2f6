"""Convolutions. Filter and bias may be constants or run-time tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.registry import InvalidNodeError, Node, converts
from tpumlir.onnx.windows import resolve_pads, spatial_attribute

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


@converts("Conv", since=1)
def conv(node: Node) -> Value:
    """``top.Conv``. Source: ONNX Conv, opset 22 (1 and 11 mean the same)."""
    x, w = node.shape(0), node.shape(1)
    rank = len(x) - 2
    if rank < 1 or len(w) != len(x):
        raise InvalidNodeError(
            f"expected input and filter of one rank of at least 3, got {list(x)} and {list(w)}"
        )
    group = node.int("group", 1)
    if group < 1 or x[1] != w[1] * group or w[0] % group:
        raise InvalidNodeError(
            f"expected {w[1]} x {group} input channels and a multiple of {group} filters, "
            f"got input {list(x)} and filter {list(w)}"
        )
    kernel = _kernel(node, w)
    strides = spatial_attribute(node, "strides", rank, 1)
    dilations = spatial_attribute(node, "dilations", rank, 1)
    pads = resolve_pads(node, x[2:], kernel, strides, dilations)
    return node.emit(
        "top.Conv",
        [node.operand(0), node.operand(1), node.optional(2)],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=group,
        weight_is_coeff=int(node.const(1) is not None),
    )


def _kernel(node: Node, w: tuple[int, ...]) -> list[int]:
    kernel = node.ints("kernel_shape", w[2:])
    if kernel != list(w[2:]):
        raise InvalidNodeError(f"expected kernel_shape to be the filter's {list(w[2:])}, got {kernel}")
    return kernel


@converts("ConvTranspose", since=1)
def conv_transpose(node: Node) -> Value:
    """``top.Deconv``. Source: ONNX ConvTranspose, opset 22 (1 and 11 mean the same).

    ONNX stores the filter as [ic, oc / group, ...], Top as [oc / group, ic, ...]: a constant is turned here;
    for a run-time filter a Top rewrite puts a Permute in front and sets ``dynweight_reorderd``.
    """
    x, w = node.shape(0), node.shape(1)
    rank = len(x) - 2
    if rank < 1 or len(w) != len(x):
        raise InvalidNodeError(
            f"expected input and filter of one rank of at least 3, got {list(x)} and {list(w)}"
        )
    group = node.int("group", 1)
    if group < 1 or x[1] != w[0] or w[0] % group:
        raise InvalidNodeError(
            f"expected a filter of {x[1]} input channels, a multiple of {group}, got {list(w)}"
        )
    kernel = _kernel(node, w)
    strides = spatial_attribute(node, "strides", rank, 1)
    dilations = spatial_attribute(node, "dilations", rank, 1)
    output_padding = spatial_attribute(node, "output_padding", rank, 0)
    pads, output_padding = _transpose_pads(node, x[2:], kernel, strides, dilations, output_padding)
    node.refuse(
        any(extra >= stride for extra, stride in zip(output_padding, strides, strict=True) if extra),
        f"an output_padding of {output_padding}, not below the stride of {strides}",
        "put a Pad in front of it",
    )
    filter_data = node.const(1)
    filter_value = (
        node.operand(1)
        if filter_data is None
        else node.derived_weight(1, "transposed", np.ascontiguousarray(np.swapaxes(filter_data, 0, 1)))
    )
    return node.emit(
        "top.Deconv",
        [node.operand(0), filter_value, node.optional(2)],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        output_padding=output_padding,
        group=group,
        dynweight_reorderd=False,
    )


def _transpose_pads(
    node: Node,
    extents: tuple[int, ...],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    output_padding: list[int],
) -> tuple[list[int], list[int]]:
    """``pads`` and ``output_padding`` with ``auto_pad`` and ``output_shape`` resolved."""
    rank = len(extents)
    auto_pad = node.str("auto_pad", "NOTSET")
    wanted = node.ints("output_shape", [])
    automatic = auto_pad in {"SAME_UPPER", "SAME_LOWER"} and not wanted
    if automatic:
        wanted = [extent * stride for extent, stride in zip(extents, strides, strict=True)]
    if not wanted:
        pads = [0] * (2 * rank) if auto_pad == "VALID" else node.ints("pads", [0] * (2 * rank))
        if len(pads) != 2 * rank:
            raise InvalidNodeError(f"expected {2 * rank} pads, got {pads}")
        node.refuse(any(p < 0 for p in pads), f"negative pads {pads}", "put a Pad behind it")
        return pads, output_padding
    if len(wanted) != rank:
        raise InvalidNodeError(f"expected {rank} extents in output_shape, got {wanted}")
    begins, ends = [], []
    for i in range(rank):
        total = (
            strides[i] * (extents[i] - 1) + output_padding[i] + (kernel[i] - 1) * dilations[i] + 1 - wanted[i]
        )
        node.refuse(
            automatic and total < 0,
            f"auto_pad with strides {strides} beyond the window: ONNX and ONNX Runtime disagree",
            "write pads and output_padding out",
        )
        if total < 0:  # zeros behind what the input reaches
            output_padding = [*output_padding[:i], output_padding[i] - total, *output_padding[i + 1 :]]
            total = 0
        small, large = total // 2, total - total // 2
        # The odd element goes to the front, for SAME_UPPER to the end.
        begins.append(large if auto_pad != "SAME_UPPER" else small)
        ends.append(small if auto_pad != "SAME_UPPER" else large)
    return begins + ends, output_padding
