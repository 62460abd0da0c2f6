"""Simpler models of the same shape: plain numbers, no optional operands, defaults, fewer outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.reduce.case import Case
from tpumlir.reduce.proto import copied, full_like, initializers, is_plain, pruned, with_values
from tpumlir.reduce.reducer import Candidate, Reducer

Array = npt.NDArray[Any]
Change = Callable[[Array], Array]


def simplify(reducer: Reducer) -> None:
    """Simplify as long as the fault shows."""
    reducer.exhaust(lambda case: (c and c._replace(data=c.step) for c in _candidates(case)))


def _candidates(case: Case) -> Iterator[Candidate | None]:
    yield from _without_outputs(case)
    yield from _without_operands(case)
    yield from _without_attributes(case)
    yield from _plain_values(case)


# --- values ------------------------------------------------------------------------


def _rounded(places: int) -> Change:
    def change(value: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.round(value.astype(np.float64), places).astype(value.dtype)

    return change


_CHANGES: tuple[tuple[str, Change], ...] = (
    ("zeros", lambda value: full_like(value, 0)),
    ("ones", lambda value: full_like(value, 1)),
    ("whole numbers", _rounded(0)),
    ("numbers with one decimal", _rounded(1)),
    ("numbers with two decimals", _rounded(2)),
)


def _plain_values(case: Case) -> Iterator[Candidate | None]:
    """Plainer values: of all tensors at once, then of each."""
    constants = {name: value for name, value in initializers(case.proto).items() if _is_float(value)}
    inputs = {name: value for name, value in case.inputs.items() if value.size}
    for group, what in ((constants, "constants"), (inputs, "inputs")):
        for rank, (name, _) in enumerate(_CHANGES):
            yield _changed(case, group, rank, f"{what}: {name}")
    for name, value in {**constants, **inputs}.items():
        for rank, (what, _) in enumerate(_CHANGES):
            yield _changed(case, {name: value}, rank, f"{name}: {what}")


def _is_float(value: Array) -> bool:
    # Whole numbers of a file are indices and shapes as a rule.
    return value.size > 0 and value.dtype.kind not in "iub"


def _changed(case: Case, values: Mapping[str, Array], rank: int, step: str) -> Candidate | None:
    """The case with values of a rank in the place of those that are of none so plain."""
    new = {name: _CHANGES[rank][1](value) for name, value in values.items() if _rank(value) > rank}
    return Candidate(with_values(case, new), step) if new else None


def _rank(value: Array) -> int:
    """The number of the first change that leaves ``value`` as it is."""
    for rank, (_, change) in enumerate(_CHANGES[2:], 2):
        if np.array_equal(change(value), value, equal_nan=value.dtype.kind == "f"):
            found = rank
            break
    else:
        found = len(_CHANGES)
    if is_plain(value) and value.size and float(value.reshape(-1)[0]) in {0.0, 1.0}:
        return int(float(value.reshape(-1)[0]))
    return found


# --- nodes -------------------------------------------------------------------------


def _schema(case: Case, node: Any) -> Any:
    """What the operator of a node is defined as; None if the onnx package does not know it."""
    import onnx

    domain = "" if node.domain == "ai.onnx" else node.domain
    version = next((o.version for o in case.proto.opset_import if o.domain in {domain, node.domain}), None)
    if version is None:
        return None
    try:
        return onnx.defs.get_schema(node.op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def _without_operands(case: Case) -> Iterator[Candidate | None]:
    """Without one optional operand."""
    import onnx

    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    for index, node in enumerate(case.proto.graph.node):
        schema = _schema(case, node)
        if schema is None or node.op_type == "Loop":  # without its bounds it does not end
            continue
        for place in reversed(range(min(len(node.input), len(schema.inputs)))):
            if not node.input[place] or schema.inputs[place].option != optional:
                continue
            proto = copied(case.proto)
            inputs = proto.graph.node[index].input
            inputs[place] = ""
            while inputs and not inputs[-1]:
                del inputs[-1]
            yield Candidate(
                pruned(Case(proto, case.inputs)), f"{node.op_type}: no {schema.inputs[place].name}"
            )


def _without_attributes(case: Case) -> Iterator[Candidate | None]:
    """Without one attribute that has a default."""
    for index, node in enumerate(case.proto.graph.node):
        schema = _schema(case, node)
        if schema is None:
            continue
        for attribute in node.attribute:
            definition = schema.attributes.get(attribute.name)
            if definition is None or definition.required or attribute.HasField("g"):
                continue
            proto = copied(case.proto)
            attributes = proto.graph.node[index].attribute
            place = next(i for i, entry in enumerate(attributes) if entry.name == attribute.name)
            del attributes[place]
            yield Candidate(Case(proto, case.inputs), f"{node.op_type}: {attribute.name} as by default")


def _without_outputs(case: Case) -> Iterator[Candidate | None]:
    """Without one of several outputs."""
    if len(case.proto.graph.output) < 2:
        return
    for index, output in enumerate(case.proto.graph.output):
        proto = copied(case.proto)
        del proto.graph.output[index]
        yield Candidate(Case(proto, case.inputs), f"without output {output.name}")
