"""The one judge of tensors: validations, ``npz_tool compare`` and the tests all ask this module.

It is strict: tensors are matched by name, and a name that only one side has, another shape, another class of
data type, a NaN or an infinity that the reference does not have, or nothing to compare at all is a failure.
Integers are compared exactly. Every tensor and every element is judged, none is sampled.

Metrics of float tensors ``a`` (got) and ``b`` (reference), accumulated in float64:

- cosine: ``a.b / (|a| |b|)``;
- euclid: ``1 - |a - b| / |(a + b) / 2|`` (the similarity that TPU-MLIR's tolerances speak of);
- snr: ``20 log10(|b| / |a - b|)`` in dB. The mean is not removed, so a constant offset counts as noise.

Norms do not see one wrong element beside large ones, so there is a bound per element as well (ElementBound).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.errors import CompareError, Diagnostic

if TYPE_CHECKING:
    from rich.table import Table

    from tpumlir._core.compare import Excess, Similarity

Array = npt.NDArray[np.generic]

# equal, similar: passed. unlike: below the tolerance. element: similar, but for elements beyond their bound.
# The rest could not be measured at all.
Status = Literal[
    "equal", "similar", "unlike", "element", "missing", "unexpected", "shape", "dtype", "nonfinite"
]

# Elements per step. The scratch arrays stay in the first-level cache, and OpenBLAS keeps products of vectors
# below 10000 elements on one thread: its threads wait for each other for milliseconds on a busy machine.
_CHUNK = 1 << 13
_HUGE = 1e150  # squares of larger float64 values overflow, so such tensors are scaled first


@dataclass(frozen=True)
class Tolerance:
    """The least cosine, euclid and (in dB, optional) snr that still pass."""

    cosine: float
    euclid: float
    snr: float | None = None

    @staticmethod
    def parse(text: str) -> Tolerance:
        """Read ``cosine[,euclid[,snr]]`` as the commands take it. Raises: ValueError: not 1 to 3 numbers."""
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if not 1 <= len(values) <= 3 or any(math.isnan(value) for value in values):
            raise ValueError(f"expected cosine,euclid[,snr] such as 0.9999,0.999, got {text!r}")
        if any(value > 1 for value in values[:2]):
            raise ValueError(f"expected a cosine and a euclid of at most 1, got {text!r}")
        return Tolerance(values[0], values[1] if len(values) > 1 else -math.inf, *values[2:])

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in (self.cosine, self.euclid, self.snr) if value is not None)


# What two computations in float32 agree to; stages in other precisions: tpumlir.precision.formats.
F32_TOLERANCE = Tolerance(0.9999, 0.999)
EXACT = Tolerance(1.0, 1.0, math.inf)


@dataclass(frozen=True)
class ElementBound:
    """How far an element may be off: ``relative`` of its own size plus ``scale`` of the tensor's rms.

    ``floor``: plus that much, whatever the tensor holds.
    """

    relative: float
    scale: float
    floor: float = 0.0

    @staticmethod
    def units(count: float, unit: float) -> ElementBound:
        """``count`` units in the last place, of the element and of the tensor."""
        return ElementBound(count * unit, count * unit)

    @staticmethod
    def parse(text: str) -> ElementBound:
        """Read ``relative[,scale]``; "inf" judges no elements. Raises: ValueError: not such numbers."""
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if not 1 <= len(values) <= 2 or not all(value >= 0 for value in values):
            raise ValueError(f"expected relative[,scale] such as 0.01,0.001, got {text!r}")
        return ElementBound(values[0], values[-1])

    @property
    def text(self) -> str:
        """As the commands take it."""
        return f"{self.relative!r},{self.scale!r}"

    def times(self, count: int, most: ElementBound) -> ElementBound:
        """``count`` times this bound, at most ``most``."""
        return ElementBound(min(count * self.relative, most.relative), min(count * self.scale, most.scale))

    def __str__(self) -> str:
        return f"{self.relative:.3g} of itself + {self.scale:.3g} of the tensor's rms"


# What the elements of a tensor may be off: all alike, or one by one as a function of both sides says.
Allowance = ElementBound | Callable[[npt.NDArray[Any], npt.NDArray[Any]], "Excess"]
Slack = Callable[[str], Iterable[Allowance]]


class TensorResult(NamedTuple):
    """The verdict on one tensor; metrics are None where they have no meaning."""

    name: str
    status: Status
    passed: bool
    shape: tuple[int, ...] = ()
    dtype: str = ""
    cosine: float | None = None
    euclid: float | None = None
    snr: float | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    worst_index: tuple[int, ...] | None = None
    got: float | None = None
    want: float | None = None
    message: str = ""
    excess: float | None = None  # the largest error of an element, in units of what it is allowed

    @property
    def badness(self) -> tuple[int, float]:
        """Sort key: what could not be measured first, then the lowest euclid."""
        if self.euclid is None:
            return (2 if not self.passed else 0, 0.0)
        return (1, 1.0 - self.euclid if math.isfinite(self.euclid) else math.inf)

    def metrics(self) -> str:
        """All metrics in one line, for messages."""
        parts = [
            f"{key} {value:.6g}"
            for key, value in (
                ("cosine", self.cosine),
                ("euclid", self.euclid),
                ("snr", self.snr),
                ("max abs error", self.max_abs),
            )
            if value is not None
        ]
        if self.worst_index is not None and self.got is not None and self.want is not None:
            parts.append(f"at {list(self.worst_index)}: got {self.got:.7g}, want {self.want:.7g}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, object]:
        """Every field, infinities and NaN as strings because JSON has none."""
        out: dict[str, object] = {}
        for key in self._fields:
            value = getattr(self, key)
            if isinstance(value, float) and not math.isfinite(value):
                value = str(value)
            out[key] = list(value) if isinstance(value, tuple) else value
        return out


@dataclass(frozen=True)
class Comparison:
    """The verdict on a set of tensors, in the order they were asked for."""

    tensors: tuple[TensorResult, ...]
    tolerance: Tolerance
    excepted: tuple[str, ...] = ()
    label: str = ""
    bound: ElementBound | None = None
    _failed: tuple[TensorResult, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_failed", tuple(t for t in self.tensors if not t.passed))

    @property
    def failed(self) -> tuple[TensorResult, ...]:
        """The tensors that failed, in order; the first is the first divergence."""
        return self._failed

    @property
    def compared(self) -> int:
        """How many tensors had at least one element to compare."""
        return sum(
            t.status not in {"missing", "unexpected", "shape", "dtype"} and 0 not in t.shape
            for t in self.tensors
        )

    @property
    def passed(self) -> bool:
        """True if something was compared and nothing failed."""
        return not self._failed and self.compared > 0

    @property
    def worst(self) -> TensorResult | None:
        """The tensor furthest from its reference, or None if there is none."""
        return max(self.tensors, key=lambda t: t.badness, default=None)

    def minimum(self, metric: Literal["cosine", "euclid", "snr"]) -> float:
        """The least value of a metric over all measured tensors (1, or inf for snr, if all are equal)."""
        values = (getattr(t, metric) for t in self.tensors)
        return min((v for v in values if v is not None), default=math.inf if metric == "snr" else 1.0)

    def summary(self) -> str:
        """One line: the verdict, how many, the first failure or the worst tensor."""
        head = f"{self.label}: " if self.label else ""
        if not self.compared and not self._failed:
            return f"{head}FAILED, expected at least one tensor to compare, got none"
        if self._failed:
            first, worst = self._failed[0], self.worst
            tail = (
                f"; worst: {worst.name} ({worst.metrics() or worst.message})"
                if worst and worst is not first
                else ""
            )
            count = f"{len(self._failed)} of {len(self.tensors)} tensors"
            return f"{head}FAILED, {count}; first: {first.name}: {first.message}{tail}"
        worst = self.worst
        detail = (
            f", worst {worst.name} ({worst.metrics()})"
            if worst and worst.status == "similar"
            else ", all equal"
        )
        return f"{head}passed, {self.compared} tensors{detail}"

    __str__ = summary

    def raise_if_failed(self) -> None:
        """Raise CompareError with one diagnostic per failed tensor (at most 20)."""
        if self.passed:
            return
        if not self._failed:
            raise CompareError(Diagnostic(self.summary()))
        first = self._failed[0]
        shown = [Diagnostic(t.message, t.name) for t in self._failed[:20]]
        rest = len(self._failed) - len(shown)
        if rest:
            shown.append(Diagnostic(f"and {rest} more tensors"))
        raise CompareError(
            *shown, tensor=first.name, metric=first.status, got=first.euclid, want=self.tolerance.euclid
        )

    def table(self, *, all_tensors: bool = False, limit: int = 20) -> Table:
        """Draw a table: the failures (at most ``limit``) and the worst tensor, or every tensor."""
        from rich.table import Table
        from rich.text import Text

        rows: list[TensorResult] = list(self.tensors) if all_tensors else list(self._failed[:limit])
        if self.worst is not None and self.worst not in rows:
            rows.append(self.worst)
        title = self.label or "comparison"
        table = Table(title=f"{title}: {'passed' if self.passed else 'FAILED'}", title_justify="left")
        for column in ("tensor", "shape", "verdict", "cosine", "euclid", "snr dB", "max abs", "max rel"):
            table.add_column(
                column,
                justify="left" if column in {"tensor", "shape", "verdict"} else "right",
                overflow="fold",
            )
        for t in rows:
            numbers = (
                "" if v is None else f"{v:.6g}" for v in (t.cosine, t.euclid, t.snr, t.max_abs, t.max_rel)
            )
            verdict = Text(
                t.status if t.passed else f"FAILED {t.status}", style="green" if t.passed else "bold red"
            )
            table.add_row(Text(t.name), "x".join(map(str, t.shape)), verdict, *numbers)
        return table

    def to_json(self) -> dict[str, object]:
        """The whole verdict in JSON's types."""
        worst = self.worst
        return {
            "label": self.label,
            "passed": self.passed,
            "compared": self.compared,
            "failed": len(self._failed),
            "excepted": list(self.excepted),
            "tolerance": str(self.tolerance),
            "element_bound": [self.bound.relative, self.bound.scale] if self.bound else None,
            "first_failure": self._failed[0].name if self._failed else None,
            "worst": worst.name if worst else None,
            "tensors": [t.to_json() for t in self.tensors],
        }


def compare(  # noqa: PLR0913 - the keywords of the API
    got: Mapping[str, Array],
    want: Mapping[str, Array],
    *,
    tolerance: Tolerance = F32_TOLERANCE,
    bound: ElementBound | None = None,
    slack: Slack | None = None,
    names: Iterable[str] | None = None,
    excepts: Collection[str] = (),
    label: str = "",
) -> Comparison:
    """Judge ``got`` against the reference ``want``.

    ``names``: the tensors to judge, in the order to report them (topological, so that the first failure is
    the first divergence); each must be on both sides. Without it every name of either side must be on both.
    ``bound``: how far every element may be off, besides; ``slack`` gives a tensor what it is allowed instead,
    each allowance wider than the one before and dearer to find: it passes within any.
    ``excepts``: names not judged; one that neither side has is a mistake and fails too.
    """
    order: Sequence[str] = (
        list(dict.fromkeys(names)) if names is not None else list(dict.fromkeys([*want, *got]))
    )
    unknown = [name for name in excepts if name not in want and name not in got]
    results = [
        TensorResult(name, "missing", False, message="excepted tensor is on neither side") for name in unknown
    ]
    results += [_judge(name, got, want, tolerance, bound, slack) for name in order if name not in excepts]
    return Comparison(tuple(results), tolerance, tuple(n for n in excepts if n not in unknown), label, bound)


def compare_tensor(
    name: str,
    got: Array,
    want: Array,
    *,
    tolerance: Tolerance = F32_TOLERANCE,
    bound: ElementBound | None = None,
) -> TensorResult:
    """Judge one tensor."""
    return _judge(name, {name: got}, {name: want}, tolerance, bound)


def _judge(
    name: str,
    got: Mapping[str, Array],
    want: Mapping[str, Array],
    tolerance: Tolerance,
    bound: ElementBound | None = None,
    slack: Slack | None = None,
) -> TensorResult:
    if name not in got:
        b = np.asarray(want[name]) if name in want else None
        return TensorResult(
            name,
            "missing",
            False,
            b.shape if b is not None else (),
            message="expected a tensor of this name, got none"
            if b is not None
            else "expected a tensor of this name, neither side has one",
        )
    if name not in want:
        return TensorResult(
            name,
            "unexpected",
            False,
            np.asarray(got[name]).shape,
            message="expected a reference of this name, got none",
        )
    a, b = np.asarray(got[name]), np.asarray(want[name])
    if a.shape != b.shape:
        return TensorResult(
            name,
            "shape",
            False,
            a.shape,
            str(a.dtype),
            message=f"expected shape {list(b.shape)}, got {list(a.shape)}",
        )
    kind, reference_kind = _dtype_class(a.dtype), _dtype_class(b.dtype)
    if kind != reference_kind or kind == "other":
        return TensorResult(
            name,
            "dtype",
            False,
            a.shape,
            str(a.dtype),
            message=f"expected data type {b.dtype} ({reference_kind}), got {a.dtype} ({kind})",
        )
    # NaN is unequal to itself, so a tensor with one always takes the long way.
    if _equal(a, b):
        return TensorResult(name, "equal", True, a.shape, str(a.dtype), max_abs=0.0)
    if kind == "float":
        return _judge_floats(name, a, b, tolerance, bound, slack)
    return _judge_exactly(name, a, b)


def _equal(a: Array, b: Array) -> bool:
    """Whether all elements are. Those that differ mostly do so early, and parts stay in the cache."""
    x, y = a.reshape(-1), b.reshape(-1)
    step = 8 * _CHUNK
    return all(bool((x[i : i + step] == y[i : i + step]).all()) for i in range(0, x.size, step))


def _dtype_class(dtype: np.dtype[np.generic]) -> str:
    # ml_dtypes' bfloat16 and float8 types are of numpy's kind V.
    if dtype.kind == "f" or dtype.name.startswith(("bfloat", "float")):
        return "float"
    return {"i": "integer", "u": "integer", "b": "bool"}.get(dtype.kind, "other")


def _judge_exactly(name: str, a: Array, b: Array) -> TensorResult:
    wrong = np.flatnonzero(a.reshape(-1) != b.reshape(-1))
    first = np.unravel_index(int(wrong[0]), a.shape)
    got, want = int(a[first]), int(b[first])
    largest = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))
    index = tuple(int(i) for i in first)
    return TensorResult(
        name,
        "unlike",
        False,
        a.shape,
        str(a.dtype),
        max_abs=largest,
        worst_index=index,
        got=got,
        want=want,
        message=f"expected equal integers, {wrong.size} of {a.size} differ, "
        f"first at {list(index)}: got {got}, want {want}",
    )


def _plain(*arrays: Array) -> tuple[npt.NDArray[Any], ...]:
    """The elements of float tensors in a row, in float32 if that holds all of them, or else in float64."""
    wide = any(array.dtype.itemsize > 4 for array in arrays)
    return tuple(np.ascontiguousarray(x, np.float64 if wide else np.float32).reshape(-1) for x in arrays)


def _judge_floats(
    name: str,
    a: Array,
    b: Array,
    tolerance: Tolerance,
    bound: ElementBound | None,
    slack: Slack | None,
) -> TensorResult:
    from tpumlir._core.compare import similarity

    flat_a, flat_b = _plain(a, b)
    scale = _scale(flat_a, flat_b)
    seen = similarity(flat_a, flat_b, scale)
    result = _judge_norms(name, a, b, tolerance, seen, scale)
    if bound is None or math.isinf(bound.relative) or result.status not in {"similar", "unlike"}:
        return result
    rms = math.sqrt(seen.bb / seen.finite) / scale
    return _judge_elements(result, flat_a, flat_b, rms, slack(name) if slack else [bound])


def _judge_norms(
    name: str, a: Array, b: Array, tolerance: Tolerance, seen: Similarity, scale: float
) -> TensorResult:
    aa, bb, ab, dd = seen.aa, seen.bb, seen.ab, seen.dd
    strange = seen.strange
    index = tuple(int(i) for i in np.unravel_index(seen.first_strange if strange else seen.worst, a.shape))
    got, want = float(a[index]), float(b[index])
    if strange:
        return TensorResult(
            name,
            "nonfinite",
            False,
            a.shape,
            str(a.dtype),
            worst_index=index,
            got=got,
            want=want,
            message=f"expected NaN and infinity where the reference has them, {strange} of {a.size} "
            f"elements differ, first at {list(index)}: got {got}, want {want}",
        )
    if dd == 0.0:  # equal but for NaN that both have
        return TensorResult(name, "equal", True, a.shape, str(a.dtype), max_abs=0.0)
    cosine = min(1.0, ab / math.sqrt(aa * bb)) if aa and bb else 0.0
    mean = math.sqrt(max(0.0, aa + 2 * ab + bb)) / 2
    euclid = 1.0 - math.sqrt(dd) / mean if mean else -math.inf
    snr = 10 * math.log10(bb / dd) if bb else -math.inf
    passed = (
        cosine >= tolerance.cosine
        and euclid >= tolerance.euclid
        and snr >= (-math.inf if tolerance.snr is None else tolerance.snr)
    )
    message = (
        ""
        if passed
        else (
            f"expected similarity of at least {tolerance}, got cosine {cosine:.6f}, euclid {euclid:.6f}, "
            f"snr {snr:.1f} dB; worst at {list(index)}: got {got:.7g}, want {want:.7g}"
        )
    )
    return TensorResult(
        name,
        "similar" if passed else "unlike",
        passed,
        a.shape,
        str(a.dtype),
        cosine,
        euclid,
        snr,
        seen.max_abs / scale,
        seen.max_rel,
        index,
        got,
        want,
        message,
    )


def _judge_elements(
    result: TensorResult,
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    rms: float,
    allowances: Iterable[Allowance],
) -> TensorResult:
    """``result`` of the norms with the verdict on single elements; the worst one is that of this verdict.

    The elements pass if they are within one of the ``allowances``.
    """
    from tpumlir._core.compare import excess

    for allowance in allowances:
        if isinstance(allowance, ElementBound):
            floor = allowance.floor + allowance.scale * rms
            if result.max_abs is not None and result.max_abs <= floor:
                return result._replace(excess=result.max_abs / floor if floor else 0.0)
            found = excess(a, b, allowance.relative, floor)
        else:
            found = allowance(a, b)
        if not found.count:
            return result._replace(excess=found.largest)
    index = tuple(int(i) for i in np.unravel_index(found.worst, result.shape))
    got, want = float(a[found.worst]), float(b[found.worst])
    allowed = allowance if isinstance(allowance, ElementBound) else "what its operands explain"
    message = (
        f"expected every element within {allowed}, {found.count} of {a.size} are beyond; "
        f"worst at {list(index)}: got {got:.7g}, want {want:.7g} ({found.largest:.3g} times what is allowed)"
    )
    if result.status == "unlike":
        message = f"{result.message}; {message}"
    return result._replace(
        status=result.status if result.status == "unlike" else "element",
        passed=False,
        worst_index=index,
        got=got,
        want=want,
        message=message,
        excess=found.largest,
    )


def rms(values: Array) -> float:
    """The root of the mean square of what is finite."""
    total, count = 0.0, 0
    scale = _scale(values, values)
    for start in range(0, values.size, _CHUNK):
        x = values[start : start + _CHUNK].astype(np.float64)
        x *= scale
        square = float(x @ x)
        if not math.isfinite(square):
            x = x[np.isfinite(x)]
            square = float(x @ x)
        total += square
        count += x.size
    return math.sqrt(total / count) / scale if count else 0.0


def _scale(a: Array, b: Array) -> float:
    """1, or a power of two that keeps the squares of a float64 tensor finite."""
    if max(a.dtype.itemsize, b.dtype.itemsize) <= 4:
        return 1.0
    both = (np.abs(np.where(np.isfinite(x), x, 0)).max() for x in (a, b))
    largest = float(max(both))
    return 1.0 if largest < _HUGE else 2.0 ** -math.frexp(largest)[1]
