"""What a random model grows by: nodes with random attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuzz.networks import CHANNELS, EXTENTS, Maker, RefusedError
from onnx import helper

Step = Callable[[Maker], Any]

EXACT_UNARY = ("Relu", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Identity", "Relu")
UNARY = (
    "Relu", "Sigmoid", "Tanh", "Abs", "Exp", "Neg", "Floor", "Ceil", "Round", "Erf", "Sin", "Cos", "Atan",
    "Softplus", "Softsign", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Mish", "Gelu", "Sign",
    "LeakyRelu", "ThresholdedRelu", "Asinh", "Sinh", "Cosh", "Identity", "Dropout", "com.microsoft.QuickGelu",
    "com.microsoft.FastGelu", "com.microsoft.Gelu",
)  # fmt: skip


def start(m: Maker) -> None:
    """The first inputs."""
    if m.vision:
        extents = (7, 8, 12, 14, 16, 17, 20, 24, 32, 33)
        batch, channels = m.one([1, 1, 1, 2, 3, 4]), m.one([1, 3, 4, 8, 16, 64, 65])
        m.input(m.numbers([batch, channels, m.one(extents), m.one(extents)]))
        return
    kind = m.one(
        ["image"] * 5 + ["sequence"] * 3 + ["row", "row", "vector", "volume", "six", "scalar", "line"]
    )

    def c() -> int:
        return int(m.one(CHANNELS))

    def e() -> int:
        return int(m.one(EXTENTS))

    shape: list[int] = {
        "image": [m.one([1, 1, 1, 2, 3]), c(), e(), e()],
        "sequence": [m.one([1, 1, 2, 3]), e(), c()],
        "row": [e(), c()],
        "vector": [c()],
        "volume": [m.one([1, 2]), m.one([1, 3, 4, 8, 65]), *(m.between(1, 6) for _ in range(3))],
        "six": [m.between(1, most) for most in (3, 4, 3, 4, 5, 5)],
        "scalar": [],
        "line": [m.one([1, 2]), c(), m.one([1, 7, 30, 65])],
    }[kind]
    if kind == "image" and m.chance(0.2):
        shape[2:] = [m.one([1, 65, 100]), m.one([1, 2, 31])]
    if kind == "image" and m.chance(0.25):
        shape[1], shape[2], shape[3] = m.one([3, 8]), m.between(20, 48), m.between(20, 40)
    m.input(m.numbers(shape))
    if m.chance(0.25):
        m.input(m.numbers(shape))
    if m.chance(0.1):
        m.input(m.numbers(shape, m.one([np.int32, np.int64, np.bool_, np.int8, np.uint8])))


# --- element by element ------------------------------------------------------------------------


def unary(m: Maker) -> None:
    kind = m.one(EXACT_UNARY if m.exact else UNARY)
    attributes: dict[str, Any] = {}
    if kind in ("LeakyRelu", "Elu", "Celu", "ThresholdedRelu") and m.chance(0.6):
        attributes["alpha"] = float(m.one([0.1, 0.5, 1.5, 2.0]))
    if kind == "Gelu" and m.chance(0.5):
        attributes["approximate"] = "tanh"
    m.op(kind, m.pick(), **attributes)


def positive_unary(m: Maker) -> None:
    x = m.op("Abs", m.pick())
    if m.exact:
        return
    x = m.op("Add", x, m.constant(np.array(m.one([0.5, 1.0]), np.float32)))
    m.op(m.one(["Sqrt", "Log", "Reciprocal"]), x)


def clip(m: Maker) -> None:
    x, low, high = m.pick(), float(m.one([-1, 0, 0, 1])), float(m.one([1, 2, 6]))
    if m.opset < 11:
        m.op("Clip", x, min=m.one([None, low]), max=m.one([None, high]))
        return
    make = m.input if m.chance(0.2) else m.constant
    operands = [m.one(["", make(np.array(low, np.float32))]), m.one(["", make(np.array(high, np.float32))])]
    m.op("Clip", x, *operands)


def partner(m: Maker, x: str, scale: float = 1.0, *, positive: bool = False) -> str:
    """Something that broadcasts with ``x``."""
    shape = list(m.shape(x))
    for i in range(len(shape)):
        if m.chance(0.35):
            shape[i] = 1
        elif shape[i] == 1 and m.chance(0.15):
            shape[i] = m.one([2, 3, 5])
    if m.chance(0.3):
        shape = shape[m.between(0, len(shape)) :]
    if m.chance(0.05) and len(shape) < 5:
        shape = [2, *shape]
    if m.chance(0.3):
        fits = [n for n in m.live() if m.shape(n) == m.shape(x)]
        return str(m.one(fits))
    return m.operand(shape, scale, positive=positive)


def binary(m: Maker) -> None:
    x = m.pick()
    kind = m.one(["Add", "Add", "Mul", "Mul", "Sub", "Max", "Min", "Div", "Sum", "Mean", "Pow", "PRelu"])
    if m.exact and kind in ("Div", "Mean", "Pow", "Mod"):
        kind = "Sub"
    if kind == "PRelu":
        m.op("PRelu", x, m.operand([m.one([1, d]) if i else 1 for i, d in enumerate(m.shape(x))][1:]))
        return
    if kind in ("Max", "Min", "Sum", "Mean") and m.opset >= 8 and m.chance(0.4):
        m.op(kind, *[x, *(partner(m, x) for _ in range(m.one([0, 1, 2])))])
        return
    if kind == "Pow":
        base = m.op("Add", m.op("Abs", x), m.constant(np.array([0.5], np.float32)))
        m.op("Pow", base, m.constant(np.array(m.one([0.5, 2.0, 3.0, -1.0, 1.5]), np.float32)))
        return
    y = partner(m, x, positive=kind in ("Div", "Mod"))
    if kind == "Mod":
        m.op("Mod", x, y, fmod=1)
        return
    m.op(kind, *((y, x) if m.chance(0.3) and kind != "Div" else (x, y)))


def compare(m: Maker) -> None:
    x = m.pick()
    kind = m.one(["Greater", "Less", "Equal", *(["GreaterOrEqual", "LessOrEqual"] if m.opset >= 12 else [])])
    if kind == "Equal" and m.opset < 11:
        kind = "Less"
    m.op(kind, x, partner(m, x))


def where(m: Maker) -> None:
    if m.opset < 9:
        raise RefusedError
    condition = m.pick(dtype=np.bool_)
    shape = m.shape(condition)
    fits = [n for n in m.live() if m.shape(n) == shape]
    x = m.one(fits) if fits and m.chance(0.7) else m.operand(shape)
    y = m.constant(m.numbers([])) if m.chance(0.5) else m.operand(shape)
    m.op("Where", condition, *((x, y) if m.chance(0.5) else (y, x)))


def logic(m: Maker) -> None:
    x = m.pick(dtype=np.bool_)
    if m.chance(0.3):
        m.op("Not", x)
        return
    fits = [n for n in m.live(np.bool_) if m.shape(n) == m.shape(x)]
    m.op(m.one(["And", "Or", "Xor"]), x, m.one(fits))


def cast(m: Maker) -> None:
    dtype = m.one([np.float32, np.int32, np.int64, np.bool_, np.int8, np.uint8])
    target = m.one([np.float32, np.float32, np.int32, np.int64, np.bool_, np.uint8, np.int8])
    x = m.pick(dtype=dtype)
    if dtype == np.float32 and target == np.uint8:
        x = m.op("Abs", x)
    m.op("Cast", x, to=int(onnx_type(target)))


def onnx_type(dtype: Any) -> int:
    """The number that ONNX has for a type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def integers(m: Maker) -> None:
    dtype = m.one([np.int32, np.int64])
    x = m.pick(dtype=dtype)
    kind = m.one(
        ["Add", "Sub", "Mul", "Max", "Min", "Abs", "Neg", "Div", "Mod", "Sign", "ReduceSum", "Where"]
    )
    if kind in ("Abs", "Neg", "Sign"):
        m.op(kind, x)
        return
    y = m.constant(m.rng.integers(1, 9, m.one([(), m.shape(x)])).astype(dtype))
    if kind == "ReduceSum":
        m.op(kind, x, keepdims=m.between(0, 1))
    elif kind == "Where":
        condition = m.op("Greater", x, y)
        m.op("Where", condition, x, y)
    else:
        m.op(kind, x, y)


# --- windows -----------------------------------------------------------------------------------


def window(m: Maker, x: str, *, dilate: bool = True, most: int = 4) -> dict[str, Any]:
    """Kernel, strides, pads of a window over the spatial axes of ``x``."""
    spatial = m.shape(x)[2:]
    kernel = [m.between(1, min(most, max(1, s + 1))) for s in spatial]
    found: dict[str, Any] = {"kernel_shape": kernel}
    if m.chance(0.5):
        found["strides"] = [m.between(1, 3) for _ in spatial]
    if dilate and m.chance(0.25):
        found["dilations"] = [m.between(1, 3) for _ in spatial]
    roll = m.rng.random()
    if roll < 0.2:
        found["auto_pad"] = m.one(["SAME_UPPER", "SAME_LOWER", "VALID"])
    elif roll < 0.75:
        begins = [m.between(0, k - 1) for k in kernel]
        ends = [m.between(0, k - 1) for k in kernel]
        found["pads"] = begins + (begins if m.chance(0.5) else ends)
    pads = found.get("pads", [0] * (2 * len(spatial)))
    steps = found.get("dilations", [1] * len(spatial))
    room = [s + pads[i] + pads[i + len(spatial)] for i, s in enumerate(spatial)]
    # What ONNX Runtime makes of a window that does not fit is no standard's.
    if any(steps[i] * (kernel[i] - 1) + 1 > room[i] for i in range(len(spatial))):
        raise RefusedError
    if "dilations" in found and "auto_pad" in found:
        raise RefusedError
    return found


def conv(m: Maker, x: str = "") -> str:
    x = x or m.pick([3, 4, 4, 4, 5])
    channels = m.shape(x)[1]
    groups = [g for g in (1, 1, 2, 4, channels, channels) if channels % g == 0]
    group = int(m.one(groups))
    oc = group * m.one([1, 1, 2, 3, 5]) if group > 1 else m.one([1, 2, 3, 5, 8, 16, 65])
    found = window(m, x)
    inner = channels // group
    scale = (inner * float(np.prod(found["kernel_shape"]))) ** -0.5
    operands = [x, m.operand([oc, inner, *found["kernel_shape"]], scale)]
    if m.chance(0.6):
        operands.append(m.operand([oc]))
    return m.op("Conv", *operands, group=group, **found)


def deconv(m: Maker) -> None:
    x = m.pick([3, 4, 4, 5])
    channels = m.shape(x)[1]
    group = int(m.one([g for g in (1, 1, 2, channels) if channels % g == 0]))
    oc = m.one([1, 2, 3, 5, 8])
    found = window(m, x)
    scale = (channels // group * float(np.prod(found["kernel_shape"]))) ** -0.5
    operands = [x, m.operand([channels, oc, *found["kernel_shape"]], scale)]
    if m.chance(0.5):
        operands.append(m.operand([oc * group]))
    if m.chance(0.3) and "strides" in found:
        found["output_padding"] = [m.between(0, s - 1) for s in found["strides"]]
    m.op("ConvTranspose", *operands, group=group, **found)


def pool(m: Maker) -> None:
    x = m.pick([3, 4, 4, 4, 5])
    kind = m.one(["MaxPool", "MaxPool", "AveragePool", "LpPool"])
    if m.exact:
        kind = "MaxPool"
    found = window(m, x, dilate=kind == "MaxPool" and m.opset >= 10)
    if m.opset >= 10 and kind != "LpPool" and m.chance(0.3):
        found["ceil_mode"] = 1
    if kind == "AveragePool" and m.chance(0.5):
        found["count_include_pad"] = 1
    if kind == "LpPool":
        found["p"] = m.one([1, 2])
    m.op(kind, x, **found)


def global_pool(m: Maker) -> None:
    m.op("GlobalMaxPool" if m.exact else m.one(["GlobalAveragePool", "GlobalMaxPool"]), m.pick([3, 4, 4, 5]))


def resize(m: Maker) -> None:
    x = m.pick([3, 4, 4, 4, 5])
    mode = "nearest" if m.exact else m.one(["nearest", "linear", "linear", "cubic"])
    spatial = m.shape(x)[2:]
    if m.opset < 10:
        factors = [1.0, 1.0] + [float(m.one([1, 2, 2, 3])) for _ in spatial]
        if m.opset >= 9:
            m.op(
                "Upsample",
                x,
                m.constant(np.array(factors, np.float32)),
                mode=mode if mode != "cubic" else "linear",
            )
        else:
            m.op("Upsample", x, mode="nearest", scales=factors)
        return
    factors = [1.0, 1.0] + [float(m.one([1, 2, 2, 3, 0.5, 1.5] if s > 1 else [1, 2])) for s in spatial]
    scales = m.constant(np.array(factors, np.float32))
    if m.opset < 11:
        m.op("Resize", x, scales, mode="nearest" if mode == "cubic" else mode)
        return
    attributes: dict[str, Any] = {"mode": mode}
    where_ = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attributes["coordinate_transformation_mode"] = m.one(where_)
    if mode == "nearest":
        attributes["nearest_mode"] = m.one(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
    roi = m.constant(np.zeros(0, np.float32)) if m.opset < 13 else ""
    if m.chance(0.5):
        sizes = [*m.shape(x)[:2], *(max(1, int(s * f)) for s, f in zip(spatial, factors[2:], strict=True))]
        empty = m.constant(np.zeros(0, np.float32)) if m.opset < 13 else ""
        m.op("Resize", x, roi, empty, m.ints(sizes), **attributes)
        return
    m.op("Resize", x, roi, scales, **attributes)


# --- products ----------------------------------------------------------------------------------


def matmul(m: Maker) -> None:
    x = m.pick([2, 3, 4, 2, 3])
    k = m.shape(x)[-1]
    roll = m.rng.random()
    if roll < 0.3:
        fits = [n for n in m.live() if m.values[n].ndim >= 2 and m.shape(n)[-1] == k]
        y = m.one(fits)
        order = list(range(m.values[y].ndim))
        order[-2:] = order[-2:][::-1]
        m.op("MatMul", x, m.op("Transpose", y, perm=order))
        return
    n = m.one([1, 2, 5, 16, 33, 65])
    shape = [k, n]
    if roll < 0.45:
        shape = [*(m.one([1, d]) for d in m.shape(x)[:-2]), k, n]
    elif roll < 0.55:
        shape = [k]
    y = m.op("MatMul", x, m.operand(shape, k**-0.5))
    if m.chance(0.5) and len(shape) == 2:
        m.op("Add", y, m.operand([n]))


def gemm(m: Maker) -> None:
    x = m.pick([2])
    trans_a, trans_b = m.between(0, 1), m.between(0, 1)
    rows, k = m.shape(x)[::-1] if trans_a else m.shape(x)
    n = m.one([1, 3, 8, 65])
    operands = [x, m.operand([n, k] if trans_b else [k, n], k**-0.5)]
    if m.chance(0.7) or m.opset < 11:
        operands.append(m.operand(m.one([[n], [1, n], [rows, 1], [rows, n], [1], []])))
    attributes = {} if m.exact else {"alpha": m.one([1.0, 0.5]), "beta": m.one([1.0, 2.0])}
    m.op("Gemm", *operands, transA=trans_a, transB=trans_b, **attributes)


# --- norms, reductions -------------------------------------------------------------------------


def norm(m: Maker) -> None:
    if m.exact:
        raise RefusedError
    kind = m.one(
        [
            "BatchNormalization",
            "LayerNormalization",
            "InstanceNormalization",
            "GroupNorm",
            "LpNormalization",
            "LRN",
        ]
    )
    x = m.pick([2, 3, 4, 5] if kind in ("LayerNormalization", "LpNormalization") else [3, 4, 5])
    shape = m.shape(x)
    c = shape[1]
    if kind == "BatchNormalization":
        m.op(kind, x, m.operand([c]), m.operand([c]), m.operand([c]), m.operand([c], positive=True))
    elif kind == "LayerNormalization":
        if m.opset < 17:
            raise RefusedError
        axis = m.axis(len(shape))
        inner = shape[axis:]
        m.op(kind, x, m.operand(inner), *([m.operand(inner)] if m.chance(0.7) else []), axis=axis)
    elif kind == "InstanceNormalization":
        m.op(kind, x, m.operand([c]), m.operand([c]))
    elif kind == "GroupNorm":
        groups = m.one([g for g in (1, 2, 4, c) if c % g == 0])
        if m.opset < 18:
            raise RefusedError
        m.op(
            "GroupNormalization",
            x,
            *[m.operand([c if m.opset >= 21 else groups]) for _ in "ab"],
            num_groups=groups,
        )
    elif kind == "LRN":
        m.op(kind, x, size=m.one([1, 2, 3, 5]), alpha=0.1)
    else:
        m.op(kind, x, axis=m.axis(len(shape)), p=m.between(1, 2))


def softmax(m: Maker) -> None:
    x = m.pick([1, 2, 3, 4, 5])
    kind = "Hardmax" if m.exact else m.one(["Softmax", "Softmax", "LogSoftmax"])
    m.op(kind, x, axis=m.axis(m.values[x].ndim) if m.opset >= 11 else m.between(0, m.values[x].ndim - 1))


def reduction(m: Maker) -> None:
    x = m.pick()
    kinds = ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceSumSquare"]
    kind = m.one(
        kinds
        if m.exact
        else [*kinds, "ReduceMean", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceMean"]
    )
    rank = m.values[x].ndim
    axes = sorted(m.rng.permutation(rank)[: m.between(0, rank)].tolist()) if rank else []
    if kind == "ReduceProd" and np.prod(m.shape(x)) > 20:
        raise RefusedError
    if m.opset >= 11:
        axes = [a - (rank if m.chance(0.4) else 0) for a in axes]
    keep = m.one([None, 0, 1])
    as_input = m.opset >= 18 or (kind == "ReduceSum" and m.opset >= 13)
    if not axes:
        m.op(kind, x, keepdims=keep)
    elif as_input:
        m.op(kind, x, m.ints(axes), keepdims=keep, noop_with_empty_axes=m.one([None, 0]))
    else:
        m.op(kind, x, keepdims=keep, axes=axes)


def extreme(m: Maker) -> None:
    x = m.pick([1, 2, 3, 4])
    rank = m.values[x].ndim
    axis = m.axis(rank) if m.opset >= 11 else m.between(0, rank - 1)
    if m.chance(0.5):
        last = m.one([None, 1]) if m.opset >= 12 else None
        m.op(m.one(["ArgMax", "ArgMin"]), x, axis=axis, keepdims=m.between(0, 1), select_last_index=last)
        return
    size = m.shape(x)[axis]
    k = m.between(1, min(size, 6))
    if m.opset < 10:
        m.ops("TopK", x, outputs=2, axis=axis, k=k)
        return
    largest = {"largest": m.between(0, 1)} if m.opset >= 11 else {}
    m.ops("TopK", x, m.ints([k]), outputs=2, axis=axis, **largest)


def cumsum(m: Maker) -> None:
    if m.opset < 11:
        raise RefusedError
    x = m.pick([1, 2, 3, 4])
    axis = m.constant(np.array(m.axis(m.values[x].ndim), m.one([np.int32, np.int64])))
    m.op("CumSum", x, axis, exclusive=m.between(0, 1), reverse=m.between(0, 1))


# --- recurrences -------------------------------------------------------------------------------


def recurrence(m: Maker) -> None:
    if m.exact:
        raise RefusedError
    x = m.pick([3])
    b, d = m.shape(x)[1:]
    h, kind = m.one([1, 3, 8, 17]), m.one(["LSTM", "GRU", "RNN"])
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    direction = m.one(["forward", "reverse", "bidirectional"])
    dirs = 2 if direction == "bidirectional" else 1
    operands = [x, m.operand([dirs, gates * h, d], d**-0.5), m.operand([dirs, gates * h, h], h**-0.5)]
    if m.chance(0.7):
        operands.append(m.operand([dirs, 2 * gates * h], 0.5))
        if m.chance(0.5):
            operands.append("")
            operands.append(m.operand([dirs, b, h]))
            if kind == "LSTM" and m.chance(0.7):
                operands.append(m.operand([dirs, b, h]))
    more = {"linear_before_reset": m.between(0, 1)} if kind == "GRU" else {}
    outputs = m.ops(
        kind, *operands, outputs=3 if kind == "LSTM" else 2, hidden_size=h, direction=direction, **more
    )
    if m.chance(0.6):
        y = m.op("Transpose", outputs[0], perm=[0, 2, 1, 3])
        m.op("Reshape", y, m.ints([0, 0, -1]))
