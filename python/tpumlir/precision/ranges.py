"""Which numbers a model computes, and whether the half precisions hold them.

The model runs in F32, lowered, so that the tensors inside of what one Top operation becomes are seen too.
Two kinds of numbers are told apart:

- *Edges*: tensors that operations hand to each other. In F16 they are stored as such: beyond 65504 they are
  infinite, below 2**-14 they lose digits, up to 2**-25 they become 0.
- *Inner accumulations*: sums of squares in norms, sums of products in convolutions and so on. The generated
  code holds them in F32 whatever the precision of the operation, so they are reported, but never a reason to
  change the precision.

The automatic table is the smallest set of operations that must leave F16 so that no F16 edge carries a value
that F16 cannot hold: what computes such a tensor, and what reads it. It is proved on the lowered module, not
guessed from the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, InputError, OutOfRangeError
from tpumlir.ir.graph import Graph
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.ir.names import whole_of
from tpumlir.precision.formats import PRECISIONS
from tpumlir.precision.policy import MARGIN, RangePolicy

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo
    from tpumlir.precision.table import QuantizeTable

Array = npt.NDArray[Any]

F16_MAX = PRECISIONS["F16"].largest
LIMITS = {row.storage: row.largest for row in PRECISIONS.values() if row.is_half}
# Relative error of a tensor from which on its loss in F16 is worth a warning: 11 bits alone lose 2**-12.
WARN_ERROR = 2.0**-8


@dataclass
class TensorRange:
    """What a tensor held over all samples; NaN and infinities are counted and otherwise left out."""

    low: float = math.inf
    high: float = -math.inf
    smallest: float = math.inf  # the least absolute value that is not 0
    count: int = 0
    nonzero: int = 0
    subnormal: int = 0  # not 0, below the normal range of F16, of these
    lost: int = 0  # become 0 in F16
    nonfinite: int = 0
    signal: float = field(default=0.0, repr=False)
    noise: float = field(default=0.0, repr=False)

    def add(self, value: Array) -> None:
        """Take in one more sample of the tensor."""
        from tpumlir._core.compare import spread

        seen = spread(np.ascontiguousarray(value, np.float32))
        self.count += np.size(value)
        self.low, self.high = min(self.low, seen.low), max(self.high, seen.high)
        self.smallest = min(self.smallest, seen.smallest)
        self.nonzero += seen.nonzero
        self.subnormal += seen.subnormal
        self.lost += seen.lost
        self.nonfinite += seen.nonfinite
        self.signal += seen.signal
        self.noise += seen.noise

    @property
    def largest(self) -> float:
        """The greatest absolute value; 0 if there is none."""
        return max(abs(self.low), abs(self.high)) if self.low <= self.high else 0.0

    @property
    def f16_error(self) -> float:
        """The error of rounding the tensor to F16, relative to it as a whole."""
        return math.sqrt(self.noise / self.signal) if self.signal else 0.0

    def verdict(self, margin: float = MARGIN) -> str:
        """What F16 does to the tensor: overflow, close (within ``margin`` of it), imprecise, or nothing."""
        if self.largest > F16_MAX:
            return "overflow"
        if self.largest * margin > F16_MAX:
            return "close"
        return "imprecise" if self.f16_error > WARN_ERROR else ""

    def to_json(self) -> dict[str, float | int | str | None]:
        """What a report shows."""
        return {
            "min": self.low if self.count > self.nonfinite else None,
            "max": self.high if self.count > self.nonfinite else None,
            "smallest": self.smallest if self.nonzero else None,
            "subnormal_share": self.subnormal / self.nonzero if self.nonzero else 0.0,
            "lost_share": self.lost / self.nonzero if self.nonzero else 0.0,
            "nonfinite": self.nonfinite,
            "f16_error": self.f16_error,
        }


@dataclass
class Inner:
    """The greatest value of an accumulation inside of an operation; an upper bound if ``bound``."""

    op: OpInfo
    what: str
    largest: float
    bound: bool

    @property
    def overflows(self) -> bool:
        """Whether F16 would not hold it."""
        return self.largest > F16_MAX

    def text(self) -> str:
        """What it is and what it reaches."""
        return f"{self.what}: {'at most ' if self.bound else ''}{self.largest:.6g}"


@dataclass(frozen=True)
class Excess:
    """A tensor that is stored in a half precision and holds values that this precision does not.

    They are beyond its range, or, with an ``error`` relative to the tensor as a whole, too small for it.
    """

    tensor: str
    dtype: str
    kind: str
    node: str
    largest: float
    keys: tuple[str, ...]  # of the table: what computes the tensor, and what reads it
    movers: tuple[str, ...]  # of those, what only moves data: it follows its neighbours unless the table says
    error: float = 0.0

    def __str__(self) -> str:
        node = f", node {self.node}" if self.node != self.tensor else ""
        lost = f", a relative error of {self.error:.1e} in F16" if self.error else ""
        return f"{self.tensor} ({self.kind}{node}): {self.largest:.6g}{lost}"


@dataclass
class Ranges:
    """The ranges of a Top module's tensors and of the tensors between them, over ``samples`` runs."""

    module: Module
    samples: int
    tensors: dict[str, TensorRange]
    inner: list[Inner]

    def of(self, name: str) -> TensorRange | None:
        """The range of a tensor of any lowering; casts and converted constants are named after theirs."""
        while name not in self.tensors and (whole := whole_of(name)):
            name = whole
        return self.tensors.get(name)


def out_of_range(found: Sequence[Excess], *, shown: int = 20) -> OutOfRangeError:
    """The error that says what leaves the range, and the way out."""
    dtype = found[0].dtype
    what = "1 tensor leaves" if len(found) == 1 else f"{len(found)} tensors leave"
    notes = [str(excess) for excess in found[:shown]]
    if len(found) > shown:
        notes.append(f"and {len(found) - shown} more")
    remedy = "--auto_mixed keeps in F32 what must be"
    if dtype == "f16":
        remedy += ", --quantize BF16 has the range of F32"
    message = f"{what} the range of {dtype.upper()} (+-{LIMITS[dtype]:g}): {remedy}"
    return OutOfRangeError(
        Diagnostic(message, None, tuple(notes)), tensors=tuple(excess.tensor for excess in found)
    )


def measure(
    module: Module,
    samples: Iterable[Mapping[str, Array]],
    *,
    chip: str = "bm1684x",
    allow_nonfinite: bool = False,
) -> Ranges:
    """Run a Top module in F32 on each sample and take down the range of every tensor.

    ``allow_nonfinite`` takes samples with NaN and infinities.

    Raises: UnsupportedError: what cannot be lowered. InputError: a sample that does not fit.
    """
    tpu = module.lower("F32", chip=chip)
    interpreter = ModuleInterpreter(tpu)
    weights = tpu.weights
    tensors: dict[str, TensorRange] = {}
    inner: dict[str, Inner] = {}
    graph = Graph(module)
    count = 0
    for sample in samples:
        values = dict(sample) | interpreter.run(sample, all_tensors=True, allow_nan=allow_nonfinite)
        for spec in module.inputs:
            tensors.setdefault(spec.name, TensorRange())
        for name, value in values.items():
            if value.dtype.kind == "f":
                tensors.setdefault(name, TensorRange()).add(value)
        _add_inner(inner, graph, values | module.weights)
        count += 1
    if not count:
        raise InputError("expected at least one sample to measure ranges with, got none")
    for name, value in weights.items():
        if value.dtype.kind == "f":
            tensors.setdefault(name, TensorRange()).add(value)
    return Ranges(module, count, tensors, list(inner.values()))


def excesses(half: Module, ranges: Ranges, *, margin: float = 1.0) -> list[Excess]:
    """The tensors of a lowered module, in order, whose type does not hold ``margin`` times their range."""
    halves = [(r.name, r.dtype) for op in half.ops() for r in op.results if r.dtype in LIMITS]
    held = ((name, dtype, ranges.of(name)) for name, dtype in halves)
    names = {name for name, dtype, r in held if r is not None and r.largest * margin > LIMITS[dtype]}
    return _edges(half, ranges, names)


def losses(half: Module, ranges: Ranges) -> list[Excess]:
    """The F16 tensors of a lowered module, in order, that lose digits or become 0; see ``imprecise``."""
    errors = dict(imprecise(half, ranges))
    return [replace(loss, error=errors[loss.tensor]) for loss in _edges(half, ranges, errors.keys())]


def _edges(half: Module, ranges: Ranges, wrong: Collection[str]) -> list[Excess]:
    """What is to say of the tensors ``wrong`` of a lowered module."""
    names = set(ranges.module.tensor_names())
    readers: dict[str, list[OpInfo]] = {}
    ops = half.ops()
    for op in ops:
        for name in op.operands:
            readers.setdefault(name, []).append(op)
    found: list[Excess] = []
    for op in ops:
        for result in op.results:
            range_ = ranges.of(result.name) if result.name in wrong else None
            if range_ is None:
                continue
            concerned = [one for one in (op, *readers.get(result.name, ())) if one.kind not in _NO_PRECISION]
            keys = dict.fromkeys(_key(one, names) for one in concerned if not one.moves_data)
            movers = dict.fromkeys(_key(one, names) for one in concerned if one.moves_data)
            excess = Excess(
                result.name, result.dtype, op.kind, op.node, range_.largest, tuple(keys), tuple(movers)
            )
            found.append(excess)
    return found


def refuse_excesses(half: Module, ranges: Ranges) -> None:
    """Raises: OutOfRangeError: a tensor of a lowered module whose type does not hold what it reaches."""
    found = excesses(half, ranges)
    if found:
        raise out_of_range(found)


_NO_PRECISION = {"top.Weight", "top.Input", "tpu.Cast"}


def _key(op: OpInfo, names: set[str]) -> str:
    """The name in a table that stands for an operation of the lowered module."""
    name = op.name
    while name not in names and (whole := whole_of(name)):
        name = whole
    return name


@dataclass(frozen=True)
class AutoTable:
    """A table that keeps every half edge in range, what was added to the given one, and why."""

    table: dict[str, str]
    added: tuple[str, ...]
    reasons: tuple[Excess, ...]
    margin: float
    samples: int

    def comments(self) -> list[str]:
        """What a reader of the table file should know."""
        head = (
            f"written by the range analysis over {self.samples} runs: what computes or reads a tensor that "
            f"exceeds 1/{self.margin:g} of the range of its half precision or loses digits in it"
        )
        return [head, *map(str, self.reasons)]


def auto_table(
    module: Module,
    ranges: Ranges,
    policy: RangePolicy | None = None,
    *,
    quantize: str = "F16",
    table: QuantizeTable | None = None,
    chip: str = "bm1684x",
) -> AutoTable:
    """``table`` and what else must be F32 so that no half edge carries a value that it cannot hold.

    What leaves the range is proved to be gone; what loses digits stays only where the given table wants it.

    Raises: InputError: an entry of ``table`` that puts a tensor into a precision that does not hold it.
    """
    policy = policy or RangePolicy()
    given = dict(table or {})
    result = dict(given)
    reasons: dict[str, Excess] = {}
    while True:
        half = module.lower(quantize, chip=chip, quantize_table=result, plain_half=policy.plain_half)
        found = excesses(half, ranges, margin=policy.margin)
        lost = losses(half, ranges) if not found else []
        small = [key for loss in lost for key in loss.keys or loss.movers if key not in result]
        if not found and not small:
            added = tuple(key for key in module.tensor_names() if key in result and key not in given)
            ordered = given | {key: result[key] for key in added}
            return AutoTable(ordered, added, tuple(reasons.values()), policy.margin, ranges.samples)
        wrong = [key for excess in found for key in excess.keys if given.get(key, "F32") != "F32"]
        if wrong:
            message = "expected F32 for this tensor in the table: values on its edges leave the range of {}"
            raise InputError(*(Diagnostic(message.format(given[key]), key) for key in dict.fromkeys(wrong)))
        new = small or [key for excess in found for key in excess.keys if key not in result]
        new = new or [key for excess in found for key in excess.movers if key not in result]
        if not new:
            raise out_of_range(found)
        for excess in found or lost:
            reasons.setdefault(excess.tensor, excess)
        result |= dict.fromkeys(new, "F32")


def imprecise(half: Module, ranges: Ranges) -> list[tuple[str, float]]:
    """The F16 tensors of a lowered module that lose digits or become 0, with their error, the worst first."""
    ops = half.ops()
    ruled = {result.name for op in ops if op.why for result in op.results}
    names = {
        result.name
        for op in ops
        for result in op.results
        # The half of what a rule keeps in F32 is read where its digits do not count.
        if result.dtype == "f16" and not (op.kind == "tpu.Cast" and ruled.intersection(op.operands))
    }
    found = [(name, ranges.of(name)) for name in names]
    errors = [(name, r.f16_error) for name, r in found if r is not None and r.verdict() == "imprecise"]
    return sorted(errors, key=lambda item: (-item[1], item[0]))


# --- accumulations ---------------------------------------------------------------


def _sum_of(values: Array, axes: tuple[int, ...]) -> float:
    return float(np.max(np.sum(values, axis=axes, dtype=np.float64), initial=0.0))


def _deviations(x: Array, axes: tuple[int, ...]) -> float:
    wide = x.astype(np.float64)
    return _sum_of((wide - wide.mean(axis=axes, keepdims=True)) ** 2, axes)


def _reduce(op: OpInfo, x: Array) -> tuple[str, float] | None:
    axes = tuple(int(axis) for axis in op.attrs["axes"]) or tuple(range(x.ndim))
    if op.attrs["mode"] in {"ReduceSum", "ReduceMean", "ReduceL1"}:
        return "sum of absolute values", _sum_of(np.abs(x), axes)
    if op.attrs["mode"] == "ReduceL2":
        return "sum of squares", _sum_of(x.astype(np.float64) ** 2, axes)
    return None


def _layer_norm(op: OpInfo, x: Array) -> tuple[str, float]:
    first = int(op.attrs["axis"]) % x.ndim
    return "sum of squared deviations", _deviations(x, tuple(range(first, x.ndim)))


def _group_norm(op: OpInfo, x: Array) -> tuple[str, float]:
    groups = int(op.attrs.get("num_groups") or x.shape[1])
    return "sum of squared deviations", _deviations(x.reshape(x.shape[0], groups, -1), (2,))


def _softmax(op: OpInfo, x: Array) -> tuple[str, float]:
    axis = int(op.attrs["axis"])
    powers = np.exp(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
    return "sum of exponentials", _sum_of(powers, (axis,))


def _exponential(_op: OpInfo, x: Array) -> tuple[str, float]:
    largest = float(np.max(np.abs(x), initial=0.0))
    return "exponential", math.exp(min(largest, 700.0))


_ONE_OPERAND: dict[str, Callable[[OpInfo, Array], tuple[str, float] | None]] = {
    "top.Reduce": _reduce,
    "top.LayerNorm": _layer_norm,
    "top.InstanceNorm": _group_norm,
    "top.GroupNorm": _group_norm,
    "top.PixelNorm": lambda _op, x: ("sum of squared deviations", _deviations(x, (1,))),
    "top.RMSNorm": lambda _op, x: ("sum of squares", _sum_of(x.astype(np.float64) ** 2, (x.ndim - 1,))),
    "top.CumSum": lambda op, x: ("sum of absolute values", _sum_of(np.abs(x), (int(op.attrs["axis"]),))),
    "top.Softmax": _softmax,
    **dict.fromkeys(("top.Sigmoid", "top.SiLU", "top.Softplus", "top.Mish", "top.Elu"), _exponential),
}


def _products(op: OpInfo, x: Array, y: Array) -> float:
    """An upper bound of every partial sum: for matrices the sum of absolute products, exact."""
    if op.kind == "top.MatMul":
        left = np.abs(x).swapaxes(-1, -2) if op.attrs.get("left_transpose") else np.abs(x)
        right = np.abs(y).swapaxes(-1, -2) if op.attrs.get("right_transpose") else np.abs(y)
        return float(np.max(left @ right, initial=0.0))
    # A run-time filter of a transposed convolution is [ic, oc / group, ...], every other one has oc in front.
    swapped = op.kind == "top.Deconv" and op.operands[1] and not op.attrs.get("dynweight_reorderd")
    axes = tuple(axis for axis in range(y.ndim) if axis != int(swapped))
    return float(np.max(np.abs(x), initial=0.0)) * _sum_of(np.abs(y), axes)


def _add_inner(inner: dict[str, Inner], graph: Graph, values: Mapping[str, Array]) -> None:
    for op in graph.ops:
        operands = [values[name] for name in op.operands[:2] if name in values]
        if op.kind in {"top.MatMul", "top.Conv", "top.Deconv"} and len(operands) == 2:
            entry = Inner(op, "sum of absolute products", _products(op, *operands), op.kind != "top.MatMul")
        elif op.kind in _ONE_OPERAND and operands:
            found = _ONE_OPERAND[op.kind](op, operands[0])
            if found is None:
                continue
            entry = Inner(op, *found, bound=False)
        else:
            continue
        before = inner.get(op.name)
        if before is None or entry.largest > before.largest:
            inner[op.name] = entry
