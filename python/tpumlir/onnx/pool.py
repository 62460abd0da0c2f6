"""Pooling: ``ceil_mode`` and ``auto_pad`` become explicit pads, which mean the same at every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tpumlir.onnx.registry import InvalidNodeError, Node, converts
from tpumlir.onnx.windows import overhang, resolve_pads, spatial_attribute

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


@converts("MaxPool", since=1)
def max_pool(node: Node) -> Value:
    """``top.MaxPool``. Source: ONNX MaxPool, opset 22 (1 to 12 differ in attributes only)."""
    node.first_output_only()
    _, kernel, strides, pads, extra = _windows(node)
    rank = len(kernel)
    # Padding never wins a maximum, so the overhang of ceil_mode is padding like any other.
    pads = pads[:rank] + [p + e for p, e in zip(pads[rank:], extra, strict=True)]
    return node.emit(
        "top.MaxPool",
        [node.operand(0)],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        count_include_pad=False,
    )


@converts("AveragePool", since=1)
def average_pool(node: Node) -> Value:
    """``top.AvgPool``. Source: ONNX AveragePool, opset 22.

    Elements past the padded input, where ``ceil_mode`` reaches, are never counted; the padding itself is
    counted if ``count_include_pad`` says so. With both, the padding is made real first.
    """
    x, kernel, strides, pads, extra = _windows(node)
    rank = len(kernel)
    count = bool(node.int("count_include_pad", 0))
    value = node.operand(0)
    if count and any(pads) and any(extra):
        value = node.helper(
            "top.Pad",
            [value],
            "pad",
            paddings=[0, 0, *pads[:rank], 0, 0, *pads[rank:]],
            val=0.0,
            mode="constant",
        )
        pads = [0] * (2 * rank)
    if any(extra):
        count = False
    pads = pads[:rank] + [p + e for p, e in zip(pads[rank:], extra, strict=True)]
    node.refuse(
        any(p >= k for p, k in zip(pads, kernel + kernel, strict=True)) and not count,
        f"pads {pads} hold a whole window of {kernel}",
        "use smaller pads",
    )
    assert len(x) == rank + 2
    return node.emit(
        "top.AvgPool", [value], kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=count
    )


@converts("GlobalAveragePool", since=1)
def global_average_pool(node: Node) -> Value:
    """``top.AvgPool`` whose empty kernel means the whole plane. Source: ONNX GlobalAveragePool, opset 22."""
    return node.emit(
        "top.AvgPool", [node.operand(0)], kernel_shape=[], strides=[], pads=[], count_include_pad=True
    )


@converts("GlobalMaxPool", since=1)
def global_max_pool(node: Node) -> Value:
    """``top.MaxPool`` whose empty kernel means the whole plane. Source: ONNX GlobalMaxPool, opset 22."""
    return node.emit(
        "top.MaxPool", [node.operand(0)], kernel_shape=[], strides=[], pads=[], count_include_pad=False
    )


def _windows(node: Node) -> tuple[tuple[int, ...], list[int], list[int], list[int], list[int]]:
    """Input shape, kernel, strides, pads, and the overhang of ``ceil_mode``."""
    x = node.shape(0)
    rank = len(x) - 2
    if rank < 1 or "kernel_shape" not in node.attributes:
        raise InvalidNodeError(f"expected a kernel_shape and an input of rank 3 or more, got {list(x)}")
    kernel = spatial_attribute(node, "kernel_shape", rank, 1)
    strides = spatial_attribute(node, "strides", rank, 1)
    dilations = spatial_attribute(node, "dilations", rank, 1)
    node.refuse(
        any(d != 1 for d in dilations), f"dilations {dilations}", "replace it by strided Slices and a Max"
    )
    pads = resolve_pads(node, x[2:], kernel, strides, dilations)
    for extent, k, begin, end in zip(x[2:], kernel, pads[:rank], pads[rank:], strict=True):
        if extent + begin + end < k:
            raise InvalidNodeError(
                f"expected a window {kernel} that fits the padded input, got {list(x)} with pads {pads}"
            )
    extra = overhang(x[2:], kernel, strides, dilations, pads) if node.int("ceil_mode", 0) else [0] * rank
    return x, kernel, strides, pads, extra
