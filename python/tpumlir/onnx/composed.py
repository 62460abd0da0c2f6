"""Operators without a definition in ONNX that a few others make up."""

from __future__ import annotations

import numpy as np

from tpumlir.onnx.registry import InvalidNodeError, Node, NotSupportedError, Result, converts


@converts("TensorScatter", since=24)
def tensor_scatter(node: Node) -> Result:
    """Each sequence of the cache chooses from its old places and the new ones. Source: ONNX TensorScatter.

    The places are constant: they decide what is copied from where.
    """
    cache, update = node.shape(0), node.shape(1)
    axis = node.axis(node.int("axis", -2), len(cache))
    mode = node.str("mode", "linear")
    if mode not in {"linear", "circular"} or axis == 0:
        raise InvalidNodeError(f"expected mode linear or circular and an axis but 0, got {mode} and {axis}")
    given = node.known_ints(2, "its write indices")
    starts = given if given is not None else [0] * cache[0]
    extent, count = cache[axis], update[axis]
    if len(starts) != cache[0] or update != (*cache[:axis], count, *cache[axis + 1 :]) or count > extent:
        raise InvalidNodeError(f"expected an update of {list(cache)} for each sequence, got {list(update)}")
    both = node.onnx("Concat", *node.input_names[:2], axis=axis)
    rows = []
    for row, start in enumerate(starts):
        places = np.arange(start, start + count)
        if mode == "linear" and not 0 <= start <= extent - count:
            raise InvalidNodeError(f"expected a start in [0, {extent - count}], got {start}")
        chosen = np.arange(extent)
        chosen[places % extent] = extent + np.arange(count)
        one = node.onnx("Slice", both, np.array([row]), np.array([row + 1]), np.array([0]))
        rows.append(node.onnx("Gather", one, chosen, axis=axis))
    return node.tensor(rows[0] if len(rows) == 1 else node.onnx("Concat", *rows, axis=0))


@converts("BitCast", since=26)
def bit_cast(node: Node) -> Result:
    """Integers of 8 and 16 bits, which wrap around in a Cast. Source: ONNX BitCast, opset 26."""
    source, target = node.dtype(0), node.output_dtype()
    if source.itemsize != target.itemsize:
        raise InvalidNodeError(f"expected types of one size, got {source} and {target}")
    narrow = source.kind in "iub" and target.kind in "iu" and source.itemsize <= 2
    node.refuse(
        not narrow and source != target,
        f"the bits of {source} as {target}",
        "compute with numbers throughout",
    )
    return node.tensor(node.onnx("Cast", node.input_names[0], to=node.int("to", 0)))


@converts("MelWeightMatrix", since=17)
def mel_weight_matrix(node: Node) -> Result:
    """Constant, as all of its operands are. Source: ONNX MelWeightMatrix, opset 17."""
    for index in range(len(node.inputs)):
        node.known(index, "what it is made of")
    raise NotSupportedError("of constants", "store its result in the model")
