"""Small patterns of real networks, for random models."""

from __future__ import annotations

import numpy as np

from fuzz.networks import Maker, RefusedError
from fuzz.steps import conv
from onnx import helper


def residual(m: Maker) -> None:
    x = m.pick([4])
    c = m.shape(x)[1]
    y = x
    for _ in range(m.between(1, 2)):
        w = m.operand([c, c, 3, 3], (9 * c) ** -0.5)
        y = m.op("Conv", y, w, m.operand([c]), pads=[1, 1, 1, 1])
        y = (
            m.op("Relu", y)
            if m.exact
            else m.op(m.one(["Relu", "Sigmoid", "HardSwish"]) if m.opset >= 14 else "Relu", y)
        )
    m.op(m.one(["Add", "Mul", "Max"]), y, x)


def squeeze_excite(m: Maker) -> None:
    if m.exact:
        raise RefusedError
    x = m.pick([4])
    c = m.shape(x)[1]
    y = m.op("GlobalAveragePool", x)
    y = m.op("Relu", m.op("Conv", y, m.operand([3, c, 1, 1], c**-0.5), m.operand([3])))
    y = m.op(m.one(["Sigmoid", "HardSigmoid"]), m.op("Conv", y, m.operand([c, 3, 1, 1], 0.5)))
    m.op("Mul", x, y)


def pyramid(m: Maker) -> None:
    x = m.pick([4])
    _, c, h, w = m.shape(x)
    if h % 2 or w % 2 or m.opset < 11:
        raise RefusedError
    low = m.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    low = m.op("Conv", low, m.operand([c, c, 3, 3], (9 * c) ** -0.5), pads=[1, 1, 1, 1])
    roi, scales = m.constant(np.zeros(0, np.float32)), m.constant(np.array([1, 1, 2, 2], np.float32))
    up = m.op("Resize", low, roi, scales,
              mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    axis = m.one([1, 1, 2, 3])
    y = m.op("Concat", up, x, axis=axis)
    m.op(
        "Conv",
        y,
        m.operand([4, m.shape(y)[1], 3, 3], (18 * c) ** -0.5),
        pads=[1, 1, 1, 1],
        strides=m.one([[1, 1], [2, 2]]),
    )


def shuffle(m: Maker) -> None:
    x = m.pick([4])
    n, c, h, w = m.shape(x)
    g = m.one([g for g in (1, 2, 4, 5) if c % g == 0])
    y = m.op("Reshape", x, m.ints([n, g, c // g, h, w]))
    y = m.op("Transpose", y, perm=[0, 2, 1, 3, 4])
    m.op("Reshape", y, m.ints([n, -1, h, w]))


def focus(m: Maker) -> None:
    x = m.pick([4])
    h, w = m.shape(x)[2:]
    if h % 2 or w % 2 or m.opset < 10:
        raise RefusedError
    parts = [
        m.op("Slice", x, m.ints([i, j]), m.ints([h, w]), m.ints([2, 3]), m.ints([2, 2]))
        for j in (0, 1)
        for i in (0, 1)
    ]
    conv(m, m.op("Concat", *parts, axis=m.one([1, 1, 2, 3])))


def window_partition(m: Maker) -> None:
    x = m.pick([4])
    n, c, h, w = m.shape(x)
    if h % 2 or w % 2:
        raise RefusedError
    y = m.op("Transpose", x, perm=[0, 2, 3, 1])
    y = m.op("Reshape", y, m.ints([n, h // 2, 2, w // 2, 2, c]))
    y = m.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5])
    m.op("Reshape", y, m.ints([-1, 4, c]))


def twice(m: Maker) -> None:
    """One node after the other with the same weights, or a duplicate of a node."""
    if not m.nodes:
        raise RefusedError
    node = m.one(m.nodes)
    operands = list(node.input)
    if m.chance(0.5):
        same = [n for n in m.live(m.values[operands[0]].dtype) if m.shape(n) == m.shape(operands[0])]
        operands[0] = m.one(same) if same else operands[0]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    m.ops(kind, *operands, outputs=len(node.output), **attributes)


def attention(m: Maker) -> None:
    x = m.pick([3])
    b, s, d = m.shape(x)
    heads = m.one([h for h in (1, 2, 4, 3) if d % h == 0])
    width = d // heads
    sides = []
    shared = m.operand([d, d], d**-0.5) if m.chance(0.2) else ""
    for index in range(3):
        y = m.op("MatMul", x, shared or m.operand([d, d], d**-0.5))
        if m.chance(0.5):
            y = m.op("Add", y, m.operand([d]))
        y = m.op("Reshape", y, m.ints([m.one([b, 0]), m.one([s, -1]), heads, width]))
        sides.append(m.op("Transpose", y, perm=[0, 2, 3, 1] if index == 1 else [0, 2, 1, 3]))
    scores = m.op("MatMul", sides[0], sides[1])
    if not m.exact:
        scores = m.op("Mul", scores, m.constant(np.array(width**-0.5, np.float32)))
        if m.chance(0.4):
            scores = m.op("Add", scores, m.operand(m.one([[b, 1, 1, s], [1, 1, s, s], [b, heads, s, s]])))
        scores = m.op("Softmax", scores, axis=m.one([-1, 3]))
    y = m.op("MatMul", scores, sides[2])
    y = m.op("Transpose", y, perm=[0, 2, 1, 3])
    y = m.op("Reshape", y, m.ints([b, s, d]))
    if m.chance(0.5):
        m.op("Add", y, x)


def layer_norm_by_hand(m: Maker) -> None:
    if m.exact or m.opset >= 18:
        raise RefusedError
    x = m.pick([2, 3, 4])
    axis = m.one([-1, -1, m.values[x].ndim - 1, 1])
    centre = m.op("Sub", x, m.op("ReduceMean", x, axes=[axis]))
    square = (
        m.op("Pow", centre, m.constant(np.array(2, np.float32)))
        if m.chance(0.7)
        else m.op("Mul", centre, centre)
    )
    variance = m.op("ReduceMean", square, axes=[axis])
    root = m.op("Sqrt", m.op("Add", variance, m.constant(np.array(m.one([1e-5, 1e-3]), np.float32))))
    y = m.op("Div", centre, root)
    d = m.shape(x)[-1]
    if m.chance(0.6):
        y = m.op("Mul", y, m.operand([d]))
    if m.chance(0.6):
        m.op("Add", y, m.operand([d]))
