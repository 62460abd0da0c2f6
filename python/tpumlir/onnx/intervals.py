"""Between which limits the integers of a graph lie, as far as that can be said without running it.

Of a run-time integer of which nothing is known, an index or an extent, it is taken that it is of up to
2^18 (the largest vocabularies). Sums of such numbers, however many, are taken to fit; their products are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.data.types import DType
from tpumlir.onnx.load import NodeInfo

BITS = 32
USUAL = 2**18
_SUMS = 2**24  # what sums of numbers are taken to reach of which nothing is known


class Interval(NamedTuple):
    """``low`` to ``high``, both included; ``guessed`` if it rests on what is usual."""

    low: int
    high: int
    guessed: bool = False

    @property
    def largest(self) -> int:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))


class Operand(NamedTuple):
    """An operand: its interval if it is one of integers, its value if it is a constant number."""

    shape: tuple[int, ...]
    interval: Interval | None
    number: npt.NDArray[Any] | None = None
    constant: bool = False


def unknown(dtype: DType, name: str) -> Interval:
    """What is taken of a tensor of run time; one that is called a mask holds 0 and 1."""
    if dtype.kind == "b" or "mask" in name.lower():
        return Interval(0, 1)
    if dtype.kind in "iu" and dtype.itemsize < 4:
        limits = np.iinfo(dtype)
        return Interval(int(limits.min), int(limits.max))
    return Interval(0 if dtype.kind == "u" else -USUAL, USUAL, guessed=True)


def hull(*intervals: Interval) -> Interval:
    """The interval around all."""
    return Interval(
        min(i.low for i in intervals), max(i.high for i in intervals), any(i.guessed for i in intervals)
    )


def result_of(info: NodeInfo, operands: Sequence[Operand | None]) -> Interval | None:
    """The interval of the first result; None if nothing can be said."""
    rule = _RULES.get(info.op_type)
    return rule(info, operands) if rule else None


Operands = Sequence[Operand | None]
Rule = Callable[[NodeInfo, Operands], "Interval | None"]


def _all(operands: Operands) -> list[Interval] | None:
    found = [operand.interval for operand in operands if operand is not None]
    known = [interval for interval in found if interval is not None]
    return known if known and len(known) == len(found) else None


def _of(values: Sequence[int], guessed: bool) -> Interval:
    return Interval(min(values), max(values), guessed)


def _sum(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None:
        return None
    return Interval(sum(i.low for i in known), sum(i.high for i in known), any(i.guessed for i in known))


def _difference(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None or len(known) != 2:
        return None
    a, b = known
    return Interval(a.low - b.high, a.high - b.low, a.guessed or b.guessed)


def times(a: Interval, b: Interval) -> Interval:
    """The interval of products."""
    return _of([x * y for x in (a.low, a.high) for y in (b.low, b.high)], a.guessed or b.guessed)


def _product(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    return times(*known) if known is not None and len(known) == 2 else None


def _power(_info: NodeInfo, operands: Operands) -> Interval | None:
    base, exponent = (operands[0], operands[1]) if len(operands) == 2 else (None, None)
    if base is None or exponent is None or base.interval is None:
        return None
    if exponent.number is not None:
        top = float(exponent.number.reshape(-1)[0])
        if math.isnan(top):
            return None
    elif exponent.interval is not None:
        top = float(exponent.interval.high)
    else:
        return None
    power = int(min(max(top, 0.0), 64.0))  # more is beyond 32 bits for every base but 0 and 1
    reach = base.interval.largest**power
    low = 0 if base.interval.low >= 0 or (exponent.number is not None and power % 2 == 0) else -reach
    return Interval(low, max(reach, 1), base.interval.guessed)


def _negative(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    return Interval(-known[0].high, -known[0].low, known[0].guessed) if known else None


def _magnitude(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    return Interval(0, known[0].largest, known[0].guessed) if known else None


def _quotient(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None or len(known) != 2:
        return None
    a, b = known
    least = min(abs(b.low), abs(b.high)) if b.low > 0 or b.high < 0 else 1
    reach = a.largest // max(1, least)
    return Interval(0 if a.low >= 0 and b.low >= 0 else -reach, reach, a.guessed)


def _remainder(info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None or len(known) != 2:
        return None
    a, b = known
    reach = max(0, b.largest - 1)
    signed = a.low if info.attributes.get("fmod", 0) else b.low
    positive = a.high if info.attributes.get("fmod", 0) else b.high
    return Interval(-reach if signed < 0 else 0, reach if positive > 0 else 0, b.guessed)


def _shift(info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None or len(known) != 2:
        return None
    a, b = known
    if info.attributes.get("direction") in {"RIGHT", b"RIGHT"}:
        return hull(Interval(0, 0), a)
    # A number of places of which nothing is known is taken to be a sensible one.
    places = 0 if b.guessed else min(64, max(0, b.high))
    return hull(a, times(a, Interval(1, 2**places)))


def _count(info: NodeInfo, operands: Operands) -> int:
    """How many elements go into one of a sum, at most."""
    shape = operands[0].shape if operands and operands[0] is not None else ()
    axes = info.attributes.get("axes")
    if axes is None and len(operands) > 1 and operands[1] is not None and operands[1].number is not None:
        axes = [int(operands[1].number.reshape(-1)[0])]
    if not axes:
        return math.prod(shape)
    return math.prod(shape[int(axis)] for axis in axes if -len(shape) <= int(axis) < len(shape))


def _added(term: Interval, count: int) -> Interval:
    """The sum of ``count`` numbers; those that are a guess are not all taken to be the largest."""
    if not term.guessed:
        return Interval(min(0, term.low * count), max(0, term.high * count))
    reach = max(term.largest, min(term.largest * count, _SUMS))
    return Interval(0 if term.low >= 0 else -reach, reach, True)


def _reduced_sum(info: NodeInfo, operands: Operands) -> Interval | None:
    operand = operands[0] if operands else None
    if operand is None or operand.interval is None:
        return None
    term = operand.interval
    if info.op_type == "ReduceL1":
        term = Interval(0, term.largest, term.guessed)
    elif info.op_type == "ReduceSumSquare":
        term = Interval(0, term.largest**2, term.guessed)
    return _added(term, _count(info, operands))


def _reduced_product(info: NodeInfo, operands: Operands) -> Interval | None:
    operand = operands[0] if operands else None
    if operand is None or operand.interval is None:
        return None
    reach = max(1, operand.interval.largest ** min(64, _count(info, operands)))
    return Interval(0 if operand.interval.low >= 0 else -reach, reach, operand.interval.guessed)


def _matrix(_info: NodeInfo, operands: Operands) -> Interval | None:
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return None
    a, b = operands[0], operands[1]
    if a.interval is None or b.interval is None:
        return None
    return _added(times(a.interval, b.interval), a.shape[-1] if a.shape else 1)


def _same(_info: NodeInfo, operands: Operands) -> Interval | None:
    return operands[0].interval if operands and operands[0] is not None else None


def _and_zero(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands[:1])
    return hull(known[0], Interval(0, 0)) if known else None


def _any(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    return hull(*known) if known else None


def _chosen(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands[1:])
    return hull(*known) if known else None


def _scattered(info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all([operands[0], operands[2]]) if len(operands) > 2 else None
    if known is None or operands[2] is None:
        return None
    data, updates = known
    how = info.attributes.get("reduction")
    if how in {"add", b"add"}:  # all of them may meet in one place
        total = _added(updates, math.prod(operands[2].shape))
        return hull(data, Interval(data.low + total.low, data.high + total.high, total.guessed))
    return hull(data, times(data, updates)) if how in {"mul", b"mul"} else hull(data, updates)


def _least(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None:
        return None
    return Interval(min(i.low for i in known), min(i.high for i in known), any(i.guessed for i in known))


def _most(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands)
    if known is None:
        return None
    return Interval(max(i.low for i in known), max(i.high for i in known), any(i.guessed for i in known))


def _clipped(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands[:1])
    if not known:
        return None
    low, high = known[0].low, known[0].high
    bounds = [o.interval if o is not None else None for o in (*operands[1:], None, None)][:2]
    if bounds[0] is not None:
        low, high = max(low, bounds[0].low), max(high, bounds[0].high)
    if bounds[1] is not None:
        low, high = min(low, bounds[1].low), min(high, bounds[1].high)
    return Interval(low, high, known[0].guessed)


def _place(_info: NodeInfo, operands: Operands) -> Interval | None:
    operand = operands[0] if operands else None
    return None if operand is None else Interval(0, max(1, *operand.shape, 1) - 1)


def _sign(_info: NodeInfo, _operands: Operands) -> Interval | None:
    return Interval(-1, 1)


def _relu(_info: NodeInfo, operands: Operands) -> Interval | None:
    known = _all(operands[:1])
    return Interval(max(0, known[0].low), max(0, known[0].high), known[0].guessed) if known else None


_RULES: dict[str, Rule] = {
    "Add": _sum,
    "Sum": _sum,
    "Sub": _difference,
    "Mul": _product,
    "Pow": _power,
    "Neg": _negative,
    "Abs": _magnitude,
    "Div": _quotient,
    "Mod": _remainder,
    "BitShift": _shift,
    **dict.fromkeys(("ReduceSum", "ReduceL1", "ReduceSumSquare", "CumSum"), _reduced_sum),
    "ReduceProd": _reduced_product,
    **dict.fromkeys(("MatMul", "Gemm"), _matrix),
    "Min": _least,
    "Max": _most,
    "Clip": _clipped,
    "Relu": _relu,
    "Sign": _sign,
    "Where": _chosen,
    "Concat": _any,
    **dict.fromkeys(("ArgMax", "ArgMin"), _place),
    **dict.fromkeys(("ScatterElements", "ScatterND", "Scatter"), _scattered),
    **dict.fromkeys(("Pad", "Trilu"), _and_zero),
    **dict.fromkeys(
        (
            "Cast", "CastLike", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
            "ReduceMax", "ReduceMean", "ReduceMin", "Reshape", "Slice", "Split", "Squeeze", "Tile",
            "Transpose", "Unsqueeze", "DepthToSpace", "SpaceToDepth", "ReverseSequence",
        ),
        _same,
    ),
}  # fmt: skip
