"""Operators without a definition in ONNX that a few others make up."""

from __future__ import annotations

from tpumlir.onnx.registry import InvalidNodeError, Node, NotSupportedError, Result, converts


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
