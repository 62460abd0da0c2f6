"""Known faults of the references: what they compute wrongly, in which releases, and what is done about it.

ONNX Runtime for Python 3.10 ends at 1.23, so an old release is what some users have. Each fault was found by
a computation in float64 by the text of the ONNX specification, and is named with the release that mended it;
``tests/onnx/test_faults.py`` asks the release that runs whether it is on the side that the table says.

A fault of ONNX Runtime has an equal form that it computes right, which it is given instead; or the reference
evaluator of the onnx package judges the model. That has faults of its own: LpNormalization is replaced, and
what cannot be is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Version = tuple[int, ...]
Array = npt.NDArray[Any]

_DEFAULT_DOMAINS = ("", "ai.onnx")
_RECURRENT = ("RNN", "GRU", "LSTM")


class Seen:
    """A node as the conditions of the faults look at it."""

    def __init__(self, node: Any, body: _Body, types: _Types) -> None:
        self.node, self.opset, self.in_function, self._types = node, body.opset, body.of_function, types

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Values by name; attributes that a function gets from its callers are left out."""
        from onnx import helper

        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute if not a.ref_attr_name}

    def number(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def dims(self, index: int) -> list[int | None] | None:
        """The extents of an operand as far as they are known; None if not even their number is."""
        return self._types.dims(self.node.input[index])

    def element(self, index: int) -> int:
        """The code of an operand's type; 0 if it is not known."""
        return self._types.element(self.node.input[index])


Equal = Callable[[Seen, Callable[[str], str]], list[Any]]
"""Makes the nodes to compute instead of one; the second argument makes names of tensors."""


class _Body(NamedTuple):
    """What has nodes, and what they mean there."""

    owner: Any
    opset: int
    of_function: bool


class _Types:
    """Types of the tensors of a model; inferred when somebody asks."""

    def __init__(self, proto: Any) -> None:
        self._proto = proto

    def dims(self, name: str) -> list[int | None] | None:
        kind = self._known.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]

    def element(self, name: str) -> int:
        kind = self._known.get(name)
        return int(kind.elem_type) if kind is not None else 0

    @cached_property
    def _known(self) -> dict[str, Any]:
        from onnx import helper
        from tpumlir.onnx.exact import with_types

        model = with_types(self._proto)
        found = {}
        for graph, *_ in _with_inner(_Body(model.graph, 0, False)):
            for tensor in graph.initializer:
                kind = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
                found[tensor.name] = kind.tensor_type
            for value in (*graph.value_info, *graph.input, *graph.output):
                if value.type.HasField("tensor_type"):
                    found[value.name] = value.type.tensor_type
        return found


@dataclass(frozen=True)
class Fault:
    """Releases before ``mended`` compute nodes of ``ops`` wrongly, or refuse them, where ``applies`` is true.

    ``mended`` is None while no release is known to be right. ``equal`` makes the nodes to compute instead.
    """

    ops: tuple[str, ...]
    what: str
    applies: Callable[[Seen], bool]
    mended: Version | None
    equal: Equal | None = None

    def is_of(self, release: Version) -> bool:
        """True if the release has the fault."""
        return self.mended is None or release < self.mended


# --- ONNX Runtime ------------------------------------------------------------

# Activation functions with parameters: the defaults of alpha and beta, those of the operators of that name.
_DEFAULTS: dict[str, tuple[float, ...]] = {
    "leakyrelu": (0.01,),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "thresholdedrelu": (1.0,),
    "affine": (1.0, 0.0),
}
_PARAMETERS = ("activation_alpha", "activation_beta")
# Those that ONNX Runtime gives other parameters than the specification, in any release.
_OWN_DEFAULTS = ("thresholdedrelu", "affine")


def _activations(node: Seen) -> list[str]:
    return [name.decode().lower() for name in node.attributes.get("activations", [])]


def _given(node: Seen) -> list[list[float]]:
    return [[float(value) for value in node.attributes.get(name, [])] for name in _PARAMETERS]


def _parameters(node: Seen, *, by_place: bool) -> list[list[float]]:
    """Alpha and beta with the defaults written down: what is given are those of the functions that have some.

    With ``by_place`` every function has an element, used or not. What is given if a default is not known.
    """
    given = _given(node)
    complete: list[list[float]] = [[], []]
    for activation in _activations(node):
        defaults = _DEFAULTS.get(activation, ())
        for index, (values, result) in enumerate(zip(given, complete, strict=True)):
            if activation == "scaledtanh" and not values:  # ONNX has no default for it
                return _given(node)
            if activation == "scaledtanh" or index < len(defaults):
                result.append(values.pop(0) if values else defaults[index])
            elif by_place:
                result.append(0.0)
    return [values if any(_takes(node, index)) else [] for index, values in enumerate(complete)]


def _takes(node: Seen, index: int) -> list[bool]:
    """Which functions have a parameter alpha (0) or beta (1)."""
    return [len(_DEFAULTS.get(name, ())) > index or name == "scaledtanh" for name in _activations(node)]


def _is_by_order(node: Seen) -> bool:
    return _parameters(node, by_place=True) != _given(node)


def _lacks_own(node: Seen) -> bool:
    lacking = _parameters(node, by_place=False) != _given(node)
    return lacking and any(name in _OWN_DEFAULTS for name in _activations(node))


def _with_parameters(by_place: bool) -> Equal:
    """Makes the node with all parameters written down."""

    def make(node: Seen, _name: Callable[[str], str]) -> list[Any]:
        import onnx

        copy = onnx.NodeProto()
        copy.CopyFrom(node.node)
        del copy.attribute[:]
        copy.attribute.extend(a for a in node.node.attribute if a.name not in _PARAMETERS)
        copy.attribute.extend(
            onnx.helper.make_attribute(name, values)
            for name, values in zip(_PARAMETERS, _parameters(node, by_place=by_place), strict=True)
            if values
        )
        return [copy]

    return make


def _erf_that_keeps_nan(node: Seen, name: Callable[[str], str]) -> list[Any]:
    from onnx import helper

    (operand,), (result,) = node.node.input, node.node.output
    missing, error = name(f"{result}.missing"), name(f"{result}.erf")
    return [
        helper.make_node("Erf", [operand], [error], name=node.node.name),
        helper.make_node("IsNaN", [operand], [missing]),
        helper.make_node("Where", [missing, operand, error], [result]),
    ]


def _constant_as_tensor(node: Seen, _name: Callable[[str], str]) -> list[Any]:
    from onnx import helper, numpy_helper

    value = numpy_helper.from_array(np.array(node.attributes["value_ints"], np.int64))
    return [helper.make_node("Constant", [], node.node.output, name=node.node.name, value=value)]


def _counts_padding(node: Seen) -> bool:
    return node.number("count_include_pad") == 1


def _is_same(node: Seen) -> bool:
    return node.attributes.get("auto_pad") in (b"SAME_UPPER", b"SAME_LOWER")


def _pads(node: Seen) -> list[int]:
    automatic = node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
    return [] if automatic else list(node.attributes.get("pads", []))


def _counts_one_side_more(node: Seen) -> bool:
    pads, axes = _pads(node), len(node.attributes.get("kernel_shape", []))
    uneven = _is_same(node) or pads[: len(pads) // 2] != pads[len(pads) // 2 :]
    return node.opset >= 19 and axes != 1 and _counts_padding(node) and uneven


def _counts_past_the_padding(node: Seen) -> bool:
    rounds_up = node.number("ceil_mode") == 1 and not _is_same(node)
    return 10 <= node.opset < 19 and _counts_padding(node) and rounds_up


def _counts_without_padding(node: Seen) -> bool:
    return _counts_past_the_padding(node) and not any(_pads(node))


def _without_count(node: Seen, _name: Callable[[str], str]) -> list[Any]:
    """The node that counts no padding, for it has none."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node.node)
    del copy.attribute[:]
    copy.attribute.extend(a for a in node.node.attribute if a.name != "count_include_pad")
    return [copy]


def _has_complex_signal(node: Seen) -> bool:
    dims = node.dims(0)
    return node.number("onesided", 1) == 0 and (not dims or dims[-1] in (None, 2))


def _remainder_of_int64(node: Seen) -> bool:
    from onnx import TensorProto

    return node.number("fmod") == 1 and node.element(0) in (0, TensorProto.INT64, TensorProto.UINT64)


ONNX_RUNTIME_FAULTS = (
    Fault(
        ("RNN",), "parameters of activations are taken by place, and those that are not given are 0",
        _is_by_order, (1, 29), _with_parameters(by_place=True),
    ),
    Fault(
        _RECURRENT, "the default parameters of ThresholdedRelu and Affine are not those of ONNX",
        _lacks_own, None, _with_parameters(by_place=False),
    ),
    Fault(("Erf",), "NaN becomes 1", lambda _: True, (1, 27), _erf_that_keeps_nan),
    Fault(
        ("Constant",), "a Pad in a function is refused when its pads are written as value_ints",
        lambda node: node.in_function and "value_ints" in node.attributes, (1, 25), _constant_as_tensor,
    ),
    Fault(
        ("AveragePool",), "padding that is larger on one side is counted wrongly (count_include_pad=1)",
        _counts_one_side_more, (1, 25),
    ),
    Fault(
        ("AveragePool",), "what ceil_mode adds is counted as padding (count_include_pad=1)",
        _counts_without_padding, (1, 29), _without_count,
    ),
    Fault(
        ("AveragePool",), "what ceil_mode adds is counted as padding (count_include_pad=1)",
        lambda node: _counts_past_the_padding(node) and not _counts_without_padding(node), (1, 29),
    ),
    Fault(("STFT",), "of a complex signal, memory beyond it is read", _has_complex_signal, (1, 28)),
    Fault(("Mod",), "fmod of 64-bit integers is rounded to double", _remainder_of_int64, (1, 24)),
)  # fmt: skip

# Words of an error at run time though the operands are legal, and the release that runs them.
ONNX_RUNTIME_LIMITS: dict[str, Version] = {
    "Size of scale and bias (if provided) must match X.shape[axis:]": (1, 24),
    "Size of X.shape[axis:] must be larger than 1, got 1": (1, 24),
    "Reduction on all axes, output size should be 1": (1, 24),  # noop_with_empty_axes
}

# --- onnx.reference ------------------------------------------------------------

_IGNORED = {
    "RNN": ("clip",),
    "GRU": ("activations", "clip"),
    "LSTM": ("activations", "clip", "input_forget"),
}


def _is_ignored(node: Seen) -> bool:
    lengths = len(node.node.input) > 4 and bool(node.node.input[4])
    return lengths or any(node.attributes.get(name) for name in _IGNORED[node.node.op_type])


EVALUATOR_FAULTS = (
    Fault(
        _RECURRENT, "sequence lengths, clip, input_forget and the activations of GRU and LSTM are ignored",
        _is_ignored, None,
    ),
)  # fmt: skip


def evaluator(proto: Any) -> Any:
    """The reference evaluator for a model, with the operators that it computes wrongly replaced."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class LpNormalization(OpRun):  # type: ignore[misc, unused-ignore]
        """The evaluator's adds up x, not |x|, for p = 1."""

        op_domain = ""

        def _run(self, x: Array, axis: int | None = None, p: int | None = None) -> tuple[Array]:
            axis = -1 if axis is None else axis
            size = np.abs(x.astype(np.float64))
            norm = size.sum(axis, keepdims=True) if p == 1 else np.sqrt((size**2).sum(axis, keepdims=True))
            with np.errstate(all="ignore"):
                return (np.where(norm == 0, 0, x / norm).astype(x.dtype),)

    return ReferenceEvaluator(proto, new_ops=[LpNormalization])


# --- looking for them ----------------------------------------------------------


def onnxruntime_release() -> Version:
    """The release of ONNX Runtime that runs."""
    import onnxruntime

    return release_of(onnxruntime.__version__)


def onnx_release() -> Version:
    """The release of the onnx package."""
    import onnx

    return release_of(onnx.__version__)


def release_of(text: str) -> Version:
    """Major, minor and micro of a version; what follows is left out."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else (0,)


def equal_form(proto: Any, release: Version | None = None) -> Any:
    """``proto``, or a copy of equal meaning that this release of ONNX Runtime computes right."""
    faults = [
        fault for fault in _faults_of(ONNX_RUNTIME_FAULTS, release or onnxruntime_release()) if fault.equal
    ]
    if not any(True for _ in _found(proto, faults)):
        return proto
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    taken = {name for node in _all_nodes(copy) for name in (*node.input, *node.output)}

    def name(base: str) -> str:
        while base in taken:
            base += "_"
        taken.add(base)
        return base

    types = _Types(proto)
    for body in _bodies(copy):
        owner, changed = body.owner, []
        for node in owner.node:
            seen = Seen(node, body, types)
            fault = next((f for f in faults if _is_at(f, seen)), None)
            changed += [node] if fault is None or fault.equal is None else fault.equal(seen, name)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in changed]
        del owner.node[:]
        owner.node.extend(kept)
    return copy


def wrong_in_onnxruntime(proto: Any, release: Version | None = None) -> str:
    """Why ONNX Runtime is no judge of the model, by node; empty if it is one."""
    release = release or onnxruntime_release()
    faults = [fault for fault in _faults_of(ONNX_RUNTIME_FAULTS, release) if fault.equal is None]
    return _first(proto, faults, f"ONNX Runtime {'.'.join(map(str, release))}")


def is_limit(message: str, release: Version | None = None) -> bool:
    """True if an error of ONNX Runtime at run time says nothing against the model or its inputs."""
    release = release or onnxruntime_release()
    return any(text in message and release < mended for text, mended in ONNX_RUNTIME_LIMITS.items())


def wrong_in_evaluator(proto: Any, release: Version | None = None) -> str:
    """Why the reference evaluator is no judge of the model, by node; empty if it is one."""
    release = release or onnx_release()
    return _first(proto, _faults_of(EVALUATOR_FAULTS, release), f"onnx {'.'.join(map(str, release))}")


def _faults_of(faults: Iterable[Fault], release: Version) -> list[Fault]:
    return [fault for fault in faults if fault.is_of(release)]


def _first(proto: Any, faults: list[Fault], who: str) -> str:
    for fault, node in _found(proto, faults):
        return f"{who} computes {node.op_type} {node.name or node.output[0]} wrongly: {fault.what}"
    return ""


def _found(proto: Any, faults: list[Fault]) -> Iterator[tuple[Fault, Any]]:
    if not faults:
        return
    types, ops = _Types(proto), {op for fault in faults for op in fault.ops}
    for body in _bodies(proto):
        for node in body.owner.node:
            if node.op_type not in ops:
                continue
            seen = Seen(node, body, types)
            for fault in faults:
                if _is_at(fault, seen):
                    yield fault, node


def _is_at(fault: Fault, seen: Seen) -> bool:
    node = seen.node
    return node.op_type in fault.ops and node.domain in _DEFAULT_DOMAINS and fault.applies(seen)


def _bodies(proto: Any) -> Iterator[_Body]:
    """The graph, the functions, and the graphs inside of both."""
    for owner in (proto.graph, *proto.functions):
        imports = proto.opset_import if owner is proto.graph else owner.opset_import
        opset = next((item.version for item in imports if item.domain in _DEFAULT_DOMAINS), 1)
        yield from _with_inner(_Body(owner, opset, owner is not proto.graph))


def _with_inner(body: _Body) -> Iterator[_Body]:
    yield body
    for node in body.owner.node:  # those that who asked has put there
        for graph in _graphs(node):
            yield from _with_inner(body._replace(owner=graph))


def _all_nodes(proto: Any) -> Iterator[Any]:
    for body in _bodies(proto):
        yield from body.owner.node


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
