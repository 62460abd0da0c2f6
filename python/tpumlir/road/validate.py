"""How far each element of a module's tensors may be off, from what is known of the operations behind it.

Errors accumulate: a tensor is allowed so many units in the last place per operation behind it. A sum
(convolution, product, reduction) rounds relative to what is summed, so its elements are judged by the
tensor's magnitude. An operation that works element by element has no such excuse: what it makes of an element
depends on that element, on the error that came in with it, and on its own rounding. So one wrong value among
large ones is found.

Half precisions lose so much in a deep network that little can be said about a single element of it. There
every operation is judged by itself as well: Top computes each one from the operands that Tpu had.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.compare import (
    Allowance,
    Comparison,
    ElementBound,
    Slack,
    TensorResult,
    Tolerance,
    compare,
    rms,
)
from tpumlir.errors import TpumlirError
from tpumlir.ir import cut
from tpumlir.ir.graph import Graph, operands, results
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.names import whole_of
from tpumlir.ir.parts import singles
from tpumlir.precision.formats import PRECISIONS, Precision

if TYPE_CHECKING:
    from tpumlir._core.compare import Excess
    from tpumlir._core.ir import OpInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]

# Functions of one element that change by at most twice what their operand changes by.
_SMOOTH = {
    "Abs", "Arctan", "Clip", "Cos", "Erf", "GELU", "HardSigmoid", "HardSwish", "Mish", "Relu", "SiLU",
    "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh",
}  # fmt: skip
_SUMS = {"Add", "Sub", "Max", "Min", "AddConst", "SubConst", "MaxConst", "MinConst"}
_PRODUCTS = {"Mul", "MulConst"}
_GAIN = 2.0
# What only moves elements, or chooses among them, adds no error.
_MOVES = {
    "Input", "Cast", "Concat", "Depth2Space", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "MaxPool", "Pad", "Permute", "Relu", "Reshape", "Reverse", "Slice", "Split", "Squeeze", "Tile",
    "Transpose", "Unsqueeze", "Where",
}  # fmt: skip


def is_part(name: str, names: Collection[str]) -> bool:
    """Whether ``name`` is a helper (``y::part``) of the operator that computes ``y``, one of ``names``."""
    while name := whole_of(name):
        if name in names:
            return True
    return False


def slack(
    graph: Graph,
    got: Mapping[str, Array],
    want: Mapping[str, Array],
    precision: str,
    *,
    on_chip: bool = False,
    computed: Mapping[str, Array] | None = None,
) -> Slack:
    """What the elements of the tensors may be off; ``graph`` is that of the Top module, whatever is judged.

    ``on_chip``: the bmodel is judged against Tpu, which round at the same places. ``computed``: the results,
    each from the operands ``want`` by one operation; without it they are in ``want``.
    """
    depths = cache(lambda: _depths(graph))
    row = PRECISIONS[precision]
    stage = row.device if on_chip else row.lowering
    once, most = stage.operation, stage.model
    otherwise = most if computed is None else once

    def general(name: str) -> ElementBound:
        if computed is not None:
            return once
        return once.times(max(1, depths().get(name, 1)), most)

    def of(name: str) -> Iterator[Allowance]:
        op, y = graph.producers.get(name), (want if computed is None else computed).get(name)
        if op is None or y is None:
            yield otherwise
        elif len(op.results) != 1 or not _is_elementwise(op):
            yield general(name)
        else:
            yield ElementBound(row.own, 0.0, row.smallest)
            room = explained(op, y)
            yield general(name) if room is None else room

    def explained(op: OpInfo, y: Array) -> Allowance | None:
        """What each element may be off by its operands' errors and their sizes; None: it cannot be told."""
        sides: list[tuple[Array, Array | None, ElementBound]] = []
        for name in operands(op):
            if name not in want:
                return None
            x, seen = want[name], got.get(name)
            # The error that an operand brings: seen, or where only one side shows it, what it is allowed.
            sides.append((x, seen if seen is not None and seen.shape == x.shape else None, general(name)))
        constant = op.attrs.get("const_val")
        if constant is not None:
            exact = np.full(1, constant, np.float32)
            sides.append((exact, exact, once))
        if not all(_broadcasts(x, y) for x, _, _ in sides):
            return None
        return _Explained(y, sides, _kind(op) in _PRODUCTS, row).excess

    return of


def _broadcasts(x: Array, y: Array) -> bool:
    """Whether numpy repeats ``x`` to the shape of ``y``."""
    if x.shape == y.shape:
        return True
    try:
        np.broadcast_to(x, y.shape)
    except ValueError:
        return False
    return True


class _Explained(NamedTuple):
    """What an operation explains that computes ``y`` element by element.

    Of each operand there is how it should be, how it is or None, and what it is allowed then.
    """

    y: Array
    operands: Sequence[tuple[Array, Array | None, ElementBound]]
    product: bool
    row: Precision

    def excess(self, got: Array, want: Array) -> Excess:
        """The elements that are off by more."""
        from tpumlir._core.compare import unexplained

        sides = [side for operand in self.operands for side in operand[:2] if side is not None]
        narrow = all(x.dtype.itemsize <= 2 or x.dtype == np.float32 for x in (got, want, self.y, *sides))
        dtype = np.dtype(np.float32 if narrow else np.float64)

        def elements(values: Array) -> Array:
            if values.size != 1 and values.shape != self.y.shape:
                values = np.broadcast_to(values, self.y.shape)
            return np.ascontiguousarray(values, dtype).reshape(-1)

        brought: list[tuple[Array, Array | None, float, float]] = []
        for x, seen, allowed in self.operands:
            if seen is None:
                brought.append((elements(x), None, allowed.relative, _floor(allowed, x)))
            else:
                brought.append((elements(x), elements(seen), 0.0, 0.0))
        row = self.row
        return unexplained(
            got.astype(dtype, copy=False), want.astype(dtype, copy=False), elements(self.y), brought,
            self.product, row.own, row.smallest, _GAIN,
        )  # fmt: skip


def _floor(allowed: ElementBound, values: Array) -> float:
    return allowed.scale * rms(values.astype(np.float64).reshape(-1))


def _depths(graph: Graph) -> dict[str, int]:
    """How many operations that compute are on the longest way to each tensor."""
    depths: dict[str, int] = {}
    for op in graph.ops:
        behind = max((depths[name] for name in graph.sources(op)), default=0)
        for name in results(op):
            depths[name] = behind + (_kind(op) not in _MOVES)
    return depths


def _kind(op: OpInfo) -> str:
    return op.kind.rpartition(".")[2]


def _is_elementwise(op: OpInfo) -> bool:
    """Whether an element of the result depends on one of each operand, in a way that is known here."""
    kind = _kind(op)
    if kind in _SMOOTH or kind in _PRODUCTS:
        return True
    if kind not in _SUMS:
        return False
    factors = op.attrs.get("coeff")
    return not factors or all(float(factor) in {1.0, -1.0} for factor in factors)


# --- stages ------------------------------------------------------------------------


class Criteria(NamedTuple):
    """What a stage is judged by: its tensors, precision and tolerance. ``bound``: elements by it alone."""

    names: Sequence[str]
    precision: str
    tolerance: Tolerance
    bound: ElementBound | None = None
    excepts: Collection[str] = ()
    label: str = ""


def validate(
    module: Module,
    got: Mapping[str, Array],
    want: Mapping[str, Array],
    criteria: Criteria,
    *,
    top: Literal["got", "want"] = "want",
) -> Comparison:
    """The verdict on a stage: its norms and its elements.

    ``module`` is the Top module, which computed the side ``top``; both sides hold the model's inputs.
    """
    precision, bound = criteria.precision, criteria.bound
    graph = Graph(module)
    by_operation = top == "want" and bound is None and PRECISIONS[precision].rounds
    later = {name for part in singles(graph, got) for name in part.outputs} if by_operation else set()

    def judged(a: Mapping[str, Array], b: Mapping[str, Array], later: Collection[str]) -> Comparison:
        of = slack(graph, a, b, precision)
        return compare(
            a, b, names=criteria.names, tolerance=criteria.tolerance,
            bound=bound or PRECISIONS[precision].lowering.model,
            slack=None if bound else lambda name: [_ANYTHING] if name in later else of(name),
            excepts=criteria.excepts, label=criteria.label,
        )  # fmt: skip

    given = got if top == "want" else want  # what Top did not compute
    verdict = judged(got, want, later)
    if not verdict.passed:
        near = within_a_step(graph, got, want)
        # What is computed from a value that is a step off is right for that value.
        by_operation |= bound is None and any(near[name] is not value for name, value in want.items())
        if top == "want":
            want = _with_choices(module, graph, want, got, precision)
        else:
            got = _with_choices(module, graph, got, want, precision)
        want = within_a_step(graph, got, want)
        verdict = judged(got, want, later)
    if not by_operation or all(result.status == "equal" for result in verdict.tensors):
        return verdict
    try:
        alone = ModuleInterpreter(module).invoke_each(given)
    except TpumlirError:  # such as an index that is outside, which the verdict tells of
        return judged(got, want, ())
    constants = _constants(module, graph)
    for op in graph.ops:
        name = choice(op) or decision(op)
        if name not in alone:
            continue
        if (
            is_choice_of(op, given, given[name], None)
            if choice(op)
            else is_decision_of(op, {**constants, **given}, given[name], precision)
        ):
            alone[name] = given[name]
    both = [result.name for result in verdict.tensors if result.name in alone]
    a, b = (given, alone) if top == "want" else (alone, given)
    elements = compare(
        a, within_a_step(graph, a, b), names=both,
        tolerance=_ANY, bound=PRECISIONS[precision].lowering.operation,
        slack=slack(graph, given, given, precision, computed=alone),
    )  # fmt: skip
    by_name = {result.name: result for result in elements.tensors}
    merged = (_merge(result, by_name.get(result.name)) for result in verdict.tensors)
    return replace(verdict, tensors=tuple(merged))


def on_chip(
    module: Module,
    got: Mapping[str, Array],
    want: Mapping[str, Array],
    criteria: Criteria,
) -> Comparison:
    """The verdict on the outputs of a bmodel against Tpu; ``module`` is the Top module of both."""
    precision = criteria.precision
    graph, stage = Graph(module), PRECISIONS[precision].device
    want = within_a_step(graph, got, want)
    taken = dict(want)
    for op in graph.ops:
        # What the chip's keys were does not show, so its choice is judged by those of Tpu.
        name = choice(op)
        if name in criteria.names and name in got and not np.array_equal(got[name], taken[name]):
            near = (want[name], stage.operation)
            if got[name].shape == want[name].shape and is_choice_of(op, want, got[name], near):
                taken[name] = got[name]
    return compare(
        got, taken, names=criteria.names, tolerance=criteria.tolerance,
        bound=criteria.bound or stage.model,
        slack=None if criteria.bound else slack(graph, got, taken, precision, on_chip=True),
        excepts=criteria.excepts, label=criteria.label,
    )  # fmt: skip


def with_choices_of_chip(
    tpu: Module,
    final: Module,
    outputs: Sequence[str],
    inputs: Mapping[str, Array],
    tensors: Mapping[str, Array],
    precision: str,
) -> Mapping[str, Array]:
    """``tensors`` of ``tpu`` as they are for what the chip chooses and rounds on the way to ``outputs``.

    A bmodel does not show it, so the beginnings of the model up to there are compiled and run.
    """
    graph = Graph(tpu)
    needed = graph.needed(outputs)
    shown: dict[str, None] = {}
    for op in graph.ops:
        if choice(op) in needed:
            shown[choice(op)] = None
            shown |= {key: None for key in operands(op)[:1] if not graph.is_input(key)}
        elif decision(op) in needed:
            shown |= {key: None for key in graph.sources(op) if not graph.is_input(key)}
            shown[decision(op)] = None
        elif _step(op) in needed:
            shown[_step(op)] = None
    if not shown:
        return tensors
    try:
        part = cut.between(final, graph.behind(shown, ()), list(shown)).compile()
    except TpumlirError:  # a view of a tensor may have the name of another: the verdict stays as it is
        return tensors
    seen = part.run({spec.name: inputs[spec.name] for spec in part.inputs}, allow_nan=True)
    return _with_choices(tpu, graph, tensors, {**inputs, **seen}, precision, stored=True)


_ANY = Tolerance(-math.inf, -math.inf)
_ANYTHING = ElementBound(0.0, 0.0, math.inf)


def _merge(whole: TensorResult, alone: TensorResult | None) -> TensorResult:
    """The verdict on a tensor in its network, where what its operation does alone decides about elements."""
    if alone is None or whole.status not in {"equal", "similar", "unlike", "element"}:
        return whole
    if not alone.passed:
        status = whole.status if whole.status == "unlike" else "element"
        message = f"from the same operands: {alone.message}"
        return whole._replace(
            status=status, passed=False, worst_index=alone.worst_index, got=alone.got, want=alone.want,
            excess=alone.excess, message=f"{whole.message}; {message}" if whole.message else message,
        )  # fmt: skip
    exact = whole.status == "unlike" and whole.cosine is None  # integers that are right for their operands
    if whole.status == "element" or exact:
        return whole._replace(status="similar", passed=True, message="", excess=alone.excess)
    return whole._replace(excess=alone.excess)


# --- indices and steps -------------------------------------------------------------


def choice(op: OpInfo) -> str:
    """The indices that ``op`` chooses by keys, or nothing."""
    if _kind(op) == "TopK" and len(op.results) > 1 and op.results[1].dtype != "none":
        return op.results[1].name
    return op.results[0].name if _kind(op) == "Arg" else ""


def is_choice_of(
    op: OpInfo, keys: Mapping[str, Array], chosen: Array, near: tuple[Array, ElementBound] | None
) -> bool:
    """Whether ``chosen`` are indices of the best keys: exactly, or ``near`` those of another choice."""
    key = keys.get(operands(op)[0])
    if key is None or op.attrs.get("first_index"):  # a part of a longer row
        return False
    axis = int(op.attrs.get("axis", -1)) % key.ndim
    places = np.asarray(chosen).astype(np.int64)
    other = None if near is None else near[0].astype(np.int64)
    if places.ndim < key.ndim:
        places = np.expand_dims(places, axis)
        other = None if other is None else np.expand_dims(other, axis)
    extent = key.shape[axis]
    if places.size == 0 or places.min() < 0 or places.max() >= extent:
        return False
    twice = np.diff(np.sort(places, axis), axis=axis) == 0
    if twice.any():
        return False
    picked = np.take_along_axis(key, places, axis).astype(np.float64)
    if near is None or other is None:
        best = np.sort(key.astype(np.float64), axis)
        if op.attrs.get("largest", True) and op.attrs.get("mode") != "ArgMin":
            best = np.flip(best, axis)
        best = np.take(best, range(places.shape[axis]), axis)
        return bool(np.array_equal(best, picked))
    wanted = np.take_along_axis(key, other, axis).astype(np.float64)
    room = near[1].relative * np.abs(wanted) + near[1].scale * rms(key.reshape(-1))
    return bool((np.abs(picked - wanted) <= room).all())


def decision(op: OpInfo) -> str:
    """The truth values that ``op`` finds by comparing numbers, or nothing."""
    return op.results[0].name if _kind(op) in {"Compare", "CompareConst"} else ""


_COMPARISONS = {
    "Equal": np.equal, "NotEqual": np.not_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal,
}  # fmt: skip


class _Decision(NamedTuple):
    """The sides of a comparison, of one shape, and what it is."""

    left: Array
    right: Array
    mode: str

    @staticmethod
    def of(op: OpInfo, keys: Mapping[str, Array]) -> _Decision | None:
        """None if a side is not known, or what ``op`` compares by."""
        sides = [keys.get(name) for name in operands(op)]
        if op.attrs.get("const_val") is not None:
            sides.append(np.asarray(op.attrs["const_val"]))
        if op.attrs.get("inversed"):
            sides.reverse()
        mode = str(op.attrs.get("mode", ""))
        if mode not in _COMPARISONS or len(sides) != 2 or any(side is None for side in sides):
            return None
        left, right = np.broadcast_arrays(*(np.asarray(side, np.float64) for side in sides))
        return _Decision(left, right, mode)

    def is_right(self, decided: Array, unit: float = 0.0, smallest: float = 0.0) -> bool:
        """Whether ``decided`` is right for these sides, or for what rounding to ``unit`` may make of them.

        Rounding may make unlike sides equal; it changes nothing between sides that are equal.
        """
        if self.left.shape != np.shape(decided):
            return False
        off = _COMPARISONS[self.mode](self.left, self.right) != (np.asarray(decided) != 0)
        with np.errstate(invalid="ignore"):
            apart = np.abs(self.left - self.right)
            room = unit * (np.abs(self.left) + np.abs(self.right)) + smallest
            return bool(((apart > 0) & (apart <= room))[off].all())

    def is_near(self, decided: Array, bound: ElementBound) -> bool:
        """Whether ``decided`` is right but for sides that are equal within the bound of their operations."""
        off = _COMPARISONS[self.mode](self.left, self.right) != (np.asarray(decided) != 0)
        size = max(rms(side.reshape(-1)) for side in (self.left, self.right))
        with np.errstate(invalid="ignore"):
            largest = np.maximum(np.abs(self.left), np.abs(self.right))
            apart = np.abs(self.left - self.right)
            return bool((apart <= bound.relative * largest + bound.scale * size)[off].all())


def _constants(module: Module, graph: Graph) -> dict[str, Array]:
    """The numbers of the weights that comparisons read."""
    names = {name for op in graph.ops if decision(op) for name in operands(op)} - {*graph.producers}
    weights: Mapping[str, Array] = module.weights if names else {}
    return {
        name: npz.to_f32_from_bf16_bits(value) if value.dtype == np.uint16 else value
        for name, value in weights.items()
        if name in names
    }


def is_decision_of(op: OpInfo, keys: Mapping[str, Array], decided: Array, precision: str) -> bool:
    """Whether truth values are right for ``keys``, exactly or rounded to ``precision``."""
    row, found = PRECISIONS[precision], _Decision.of(op, keys)
    return found is not None and found.is_right(decided, row.unit, row.smallest)


def _with_choices(
    module: Module,
    graph: Graph,
    values: Mapping[str, Array],
    other: Mapping[str, Array],
    precision: str,
    *,
    stored: bool = False,
) -> Mapping[str, Array]:
    """``values`` of ``module`` as they are when nearly equal keys are chosen and compared as in ``other``.

    A choice is taken over if it is exactly right for the keys of ``other``, and right for those of ``values``
    within the bound of the keys. What is behind it is computed anew: it is right for the indices chosen.
    The same holds for what is rounded to whole numbers, of which few may be one off. With ``stored`` nothing
    is rounded before it is compared: ``module`` is the Tpu module.
    """
    result, taken = dict(values), set[str]()
    stage = PRECISIONS[precision].lowering
    depths = _depths(graph)
    constants = _constants(module, graph)

    def may_choose(op: OpInfo, name: str) -> bool:
        if result[name].shape != other[name].shape:
            return False
        bound = stage.operation.times(max([1, *(depths.get(n, 0) for n in operands(op))]), stage.model)
        if decision(op):
            here, there = _Decision.of(op, {**constants, **result}), _Decision.of(op, {**constants, **other})
            row = PRECISIONS[precision]
            rounding = (0.0, 0.0) if stored else (row.unit, row.smallest)
            return (
                here is not None
                and there is not None
                and here.is_right(result[name])
                and there.is_right(other[name], *rounding)
                and here.is_near(other[name], bound)
            )
        if not choice(op):
            return a_step_off(result[name], other[name])
        near = (result[name], bound)
        return is_choice_of(op, other, other[name], None) and is_choice_of(op, result, other[name], near)

    for op in graph.ops:
        name = choice(op) or decision(op) or _step(op)
        if not name or name not in result or name not in other or np.array_equal(result[name], other[name]):
            continue
        if not may_choose(op, name):
            continue
        result[name] = np.asarray(other[name]).astype(result[name].dtype)
        taken.add(name)
        names = [n for n in graph.computed_from(name) - taken if n in result]
        if names:
            ends = graph.behind(names, [n for n in result if n not in names or n in taken])
            result |= ModuleInterpreter(cut.between(module, ends, names)).run(result, allow_nan=True)
    return result


# A value that lies between two steps may be rounded to either; of all elements so many, and a few.
_STEP_SHARE, _STEP_COUNT = 0.01, 4


def within_a_step(graph: Graph, got: Mapping[str, Array], want: Mapping[str, Array]) -> Mapping[str, Array]:
    """``want``, with quantised tensors of which few elements are one step off taken from ``got``."""
    result = dict(want)
    for name in graph.producers:
        if name not in got or name not in want or not _is_quantised(graph, name):
            continue
        a, b = np.asarray(got[name]), np.asarray(want[name])
        if a_step_off(a, b):
            result[name] = a.astype(b.dtype)
    return result


def a_step_off(a: Array, b: Array) -> bool:
    """Whether few of some whole numbers differ by one."""
    if a.shape != b.shape or not a.size:
        return False
    off = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return bool(off.any() and off.max() <= 1 and (off > 0).sum() <= _STEP_SHARE * a.size + _STEP_COUNT)


def _step(op: OpInfo) -> str:
    """The whole numbers that ``op`` rounds to, or nothing."""
    return op.results[0].name if _rounds(op) else ""


def _rounds(op: OpInfo) -> bool:
    """Whether ``op`` rounds to whole numbers, in Top or in Tpu."""
    mode = str(op.attrs.get("mode", "")).strip("<>").rpartition(" ")[2]
    return _kind(op) in {"Round", "QuantizeLinear"} or (_kind(op) == "Active" and mode == "ROUND")


def _is_quantised(graph: Graph, name: str) -> bool:
    """Whether ``name`` is whole numbers: rounded, then at most moved by a zero point and clipped."""
    while True:
        op = graph.producers.get(name)
        if op is None:
            return False
        kind = _kind(op)
        if _rounds(op):
            return True
        sources = graph.sources(op)
        if kind not in {"Add", "AddConst", "Clip", "Cast", "Max", "MaxConst", "Min", "MinConst", "Reshape"}:
            return False
        if len(sources) != 1:
            return False
        name = sources[0]
