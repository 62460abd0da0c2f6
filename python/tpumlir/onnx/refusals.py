"""What is said of nodes that are not imported: why, and a way out that works."""

from __future__ import annotations

from tpumlir.onnx import fold
from tpumlir.onnx.control import is_control_flow
from tpumlir.onnx.expand import has_definition
from tpumlir.onnx.load import NodeInfo
from tpumlir.onnx.registry import find_converter
from tpumlir.onnx.sequences import is_sequence_operator

# Operators whose first output is their first input.
SAME = frozenset({"Identity", "Dropout", "OptionalGetElement"})


def is_known(info: NodeInfo, opset: int) -> bool:
    """True if the operator is imported, for operands that may be anything."""
    if is_control_flow(info) or is_sequence_operator(info) or (info.op_type in SAME and not info.domain):
        return True
    if find_converter(info.operator, opset):
        return True
    return not info.domain and has_definition(info.op_type, opset)


_HOST = {
    **dict.fromkeys(("NonZero", "Unique", "Compress"), "its output size depends on data"),
    "NonMaxSuppression": "how many boxes it keeps depends on data",
    **dict.fromkeys(
        (
            "StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"),
        "a chip program has no text",
    ),
    "ImageDecoder": "a chip program has no files",
}  # fmt: skip


def no_converter(info: NodeInfo) -> tuple[str, str]:
    """Why an operator is not imported, and what to do."""
    if info.domain == "com.microsoft":
        return (
            "this operator of ONNX Runtime has no converter",
            "give the model from before ONNX Runtime's optimizer or quantizer wrote it, or cut it off with "
            "--output_names",
        )
    if info.domain:
        return (
            f"no operator of domain {info.domain} is known",
            "export the model with standard operators only",
        )
    if info.op_type in fold.RANDOM_OPS:
        return "it is random", "make the noise a constant or an input of the model"
    if info.op_type not in _HOST:
        return "no converter", "replace it in the source model, or cut it off with --output_names"
    # Where to cut: everything after the tensors that this node reads is left to the host.
    before = ",".join(name for name in info.inputs[:2] if name)
    return _HOST[info.op_type], f"cut it off with --output_names {before} and run it on the host"
