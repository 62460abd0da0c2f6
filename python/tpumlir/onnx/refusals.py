"""What is said of nodes that are not imported: why, and a way out that works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tpumlir.errors import Diagnostic, UnsupportedError
from tpumlir.onnx import fold
from tpumlir.onnx.control import is_control_flow
from tpumlir.onnx.expand import has_definition
from tpumlir.onnx.load import NodeInfo
from tpumlir.onnx.registry import find_converter
from tpumlir.onnx.sequences import is_sequence_operator

_CUT = "cut it off with --output_names"
REPLACE = f"replace it in the source model, or {_CUT}"
_NAMED = 8  # tensors of a cut in a message; any of them works
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


# What ONNX Runtime's dynamic quantiser writes for an operator that does more than a product.
_QUANTISED = {
    "DynamicQuantizeLSTM": "LSTM",
    "QAttention": "Attention",
    "QEmbedLayerNormalization": "EmbedLayerNormalization",
}


def no_converter(info: NodeInfo) -> tuple[str, str]:
    """Why an operator is not imported, and what to do."""
    if info.domain == "com.microsoft" and info.op_type in _QUANTISED:
        return (
            "it quantises with scales of its own inside",
            f"leave {_QUANTISED[info.op_type]} out of op_types_to_quantize when the model is quantised",
        )
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
        return "no converter", REPLACE
    return _HOST[info.op_type], "cut it off with --output_names and run it on the host"


def cut_before(
    nodes: Sequence[NodeInfo],
    read: Mapping[str, Collection[str]],
    refused: Collection[str],
    broken: Collection[str],
    outputs: Sequence[str],
) -> list[str]:
    """The tensors at which a graph ends before its refused nodes: none of those is needed for them.

    ``nodes`` are in order; ``read`` has by label what they and their bodies read, ``refused`` are labels,
    ``broken`` tensors that could not be computed. Nodes with bodies count as refused: what is refused may
    stand in them.
    """
    lost = set(broken)
    made: list[str] = []
    wanted = set(outputs)
    for node in nodes:
        bodies = any(hasattr(value, "node") for value in node.attributes.values())
        if node.label in refused or bodies or lost & {*read[node.label], *node.outputs}:
            lost |= {*node.outputs} - {""}
            wanted |= {*read[node.label]} - lost
        else:
            made += [name for name in node.outputs if name]
    return [name for name in made if name in wanted]


def with_cut(remedy: str, cut: Sequence[str]) -> str:
    """A remedy that tells to cut, with the place where that works, or what to do if there is none."""
    if _CUT not in remedy:
        return remedy
    import shlex

    # A name with a comma cannot be given to the flag.
    names = ",".join([name for name in cut if "," not in name][:_NAMED])
    if names:
        return remedy.replace(_CUT, f"{_CUT} {shlex.quote(names)}")
    if f", or {_CUT}" in remedy:
        return remedy.replace(f", or {_CUT}", "; no cut leaves it out, for nothing is computed before it")
    taken = remedy.replace(_CUT, "take it out of the source model")
    return f"{taken}: nothing is computed before it"


class Unsupported(NamedTuple):
    """One node that cannot be imported."""

    node: str
    op_type: str
    opset: int
    reason: str
    remedy: str
    constants: tuple[str, ...] = ()
    """The model inputs that decide a shape here: the node may be supported if their values are given."""

    def diagnostic(self) -> Diagnostic:
        """As a message: what, why, what to do."""
        advice = f" ({self.remedy})" if self.remedy else ""
        return Diagnostic(
            f"{self.op_type} of opset {self.opset} is not supported: {self.reason}{advice}", self.node
        )


class UnsupportedModelError(UnsupportedError):
    """The model uses what the importer does not have; ``nodes`` lists every such node."""

    def __init__(self, nodes: Sequence[Unsupported]) -> None:
        super().__init__(*(node.diagnostic() for node in nodes), op=nodes[0].op_type)
        self.nodes = tuple(nodes)

    def rows(self) -> list[tuple[str, ...]]:
        """One row per operator and reason, most frequent first, under the names of the columns."""
        groups: dict[tuple[str, int, str, str], list[str]] = {}
        for entry in self.nodes:
            groups.setdefault((entry.op_type, entry.opset, entry.reason, entry.remedy), []).append(entry.node)
        rows = [
            (op_type, str(opset), str(len(nodes)), reason, remedy, _some(nodes))
            for (op_type, opset, reason, remedy), nodes in groups.items()
        ]
        rows.sort(key=lambda row: (-int(row[2]), row[0]))
        return [("operator", "opset", "count", "why", "remedy", "nodes"), *rows]

    def counts(self) -> dict[str, int]:
        """How many nodes of each operator are concerned."""
        return dict(Counter(node.op_type for node in self.nodes))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
