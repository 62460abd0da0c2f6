"""Sliding windows of convolution and pooling: ``auto_pad`` and ``ceil_mode`` are resolved at import."""

from __future__ import annotations

from collections.abc import Sequence

from tpumlir.onnx.registry import InvalidNodeError, Node


def spatial_attribute(node: Node, name: str, rank: int, default: int) -> list[int]:
    """A per-axis attribute. Raises: InvalidNodeError: another count or values below 1 (below 0 for pads)."""
    values = node.ints(name, [default] * rank)
    if len(values) != rank or any(v < (0 if "pad" in name else 1) for v in values):
        raise InvalidNodeError(f"expected {rank} {name}, got {values}")
    return values


def resolve_pads(
    node: Node,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int]:
    """Pads ``[begin..., end...]`` from ``pads`` or ``auto_pad``. Source: ONNX Conv, opset 22."""
    rank = len(extents)
    auto_pad = node.str("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        pads = node.ints("pads", [0] * (2 * rank))
        if len(pads) != 2 * rank:
            raise InvalidNodeError(f"expected {2 * rank} pads, got {pads}")
        node.refuse(any(p < 0 for p in pads), f"negative pads {pads}", "put a Slice in front of it")
        return pads
    if auto_pad == "VALID":
        return [0] * (2 * rank)
    if auto_pad not in {"SAME_UPPER", "SAME_LOWER"}:
        raise InvalidNodeError(f"expected auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {auto_pad}")
    begins, ends = [], []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        total = (-(-extent // stride) - 1) * stride + (k - 1) * dilation + 1 - extent
        # One element that no window reaches is the last one, wherever this runs. Of more the specification
        # leaves out some in front, its reference does for MaxPool only, ONNX Runtime does either or refuses.
        node.refuse(
            total < -1,
            f"{auto_pad} with strides {strides} that leave out elements beside the windows: ONNX and ONNX "
            "Runtime disagree on which",
            "write the pads out, zeros to begin at the first element",
        )
        total = max(0, total)
        # The odd element goes to the end for SAME_UPPER, to the front for SAME_LOWER.
        small, large = total // 2, total - total // 2
        begins.append(small if auto_pad == "SAME_UPPER" else large)
        ends.append(large if auto_pad == "SAME_UPPER" else small)
    return begins + ends


def overhang(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> list[int]:
    """Elements by which the last window of ``ceil_mode`` reaches past the padded input, per axis.

    A window that would start in the padding at the end is dropped. Source: ONNX MaxPool, opset 22.
    """
    rank = len(extents)
    result = []
    for i, (extent, k, stride, dilation) in enumerate(zip(extents, kernel, strides, dilations, strict=True)):
        padded = extent + pads[i] + pads[i + rank]
        reach = (k - 1) * dilation + 1
        count = -(-(padded - reach) // stride) + 1
        if (count - 1) * stride >= extent + pads[i]:
            count -= 1
        result.append(max(0, (count - 1) * stride + reach - padded))
    return result
