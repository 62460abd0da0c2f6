"""Every operation of a module on right inputs: what each does wrong by itself, and what only arrived at it.

The inputs of an operation are those of a reference run, such as the tensors of Top or of ONNX Runtime; they
are stored in the types that the module has for them. What comes out is held against the reference again: the
*isolated* error. The *accumulated* error is that of the same tensor in a run of the whole module.

A type may be unable to hold the right inputs: F16 beyond 65504, a grid of INT8 beyond its threshold. That is
the fault of what computes them, which is where the loss shows first, not of what reads them. So the error
that storing its inputs makes is known of each operation too, and only what is well above counts as its *own*.

Measured here; what ``tpumlir.accuracy`` says of isolated errors is an estimate out of a run of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.accuracy.noise import reference_name, rounded, stored_limits
from tpumlir.compare import TensorResult, Tolerance, compare_tensor
from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.ir.graph import Graph, results
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.parts import Part, ends, singles, together
from tpumlir.precision.formats import PRECISIONS, least_precise
from tpumlir.road.divergence import classify
from tpumlir.road.validate import a_step_off, choice, is_choice_of
from tpumlir.tensors import TensorSpec, check_inputs

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo, TensorInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]

# What an operation may make of the error that storing its inputs brings, before it counts as its own.
_GAIN = 2.0
_EXPLAINED = 10  # operations whose difference is looked at closely
# What one operation may lose, where that is much less than what a whole model may.
_ALONE = {"INT8": Tolerance(0.99, 0.9)}
# What hands on the numbers of its operand in their order.
_RESHAPES = {"Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_LARGEST = {row.storage: row.largest for row in PRECISIONS.values() if row.is_half}

OFF, BY_INPUTS, ACCUMULATED, OK = "off", "by its inputs", "accumulated", "ok"
NO_REFERENCE, NOT_RUN = "no reference", "not run"


@dataclass(frozen=True)
class Extent:
    """What a tensor holds."""

    low: float = math.inf
    high: float = -math.inf
    nan: int = 0
    infinite: int = 0

    @staticmethod
    def of(value: Array) -> Extent:
        """Infinities and NaN are counted only."""
        from tpumlir._core.compare import spread

        if value.dtype.kind != "f":
            return Extent(float(value.min()), float(value.max())) if value.size else Extent()
        seen = spread(np.ascontiguousarray(value, np.float32))
        nan = int(np.isnan(value).sum()) if seen.nonfinite else 0
        return Extent(seen.low, seen.high, nan, seen.nonfinite - nan)

    def to_json(self) -> dict[str, object]:
        """Without numbers where nothing is finite."""
        known = self.low <= self.high
        return {
            "min": self.low if known else None,
            "max": self.high if known else None,
            "nan": self.nan,
            "inf": self.infinite,
        }


@dataclass(frozen=True)
class IsolatedOp:
    """One operation; errors are relative to the reference, infinite where one is NaN or infinite alone."""

    tensor: str  # its result, of several the one that is off most
    kind: str
    node: str
    precision: str
    depth: int  # its place in the module
    verdict: str
    isolated: float | None = None
    accumulated: float | None = None
    inputs: float = 0.0  # the error of the worst stored input
    worst_input: str = ""
    beyond: float = 0.0  # share of the reference that the type of the result does not hold
    got: Extent = field(default_factory=Extent)  # by itself, else in the whole run
    want: Extent | None = None
    result: TensorResult | None = field(default=None, repr=False)  # the verdict on it by itself
    through: tuple[str, ...] = ()  # tensors without a reference that are computed on the way
    message: str = ""

    @property
    def own(self) -> float:
        """What of the isolated error storing the inputs does not explain."""
        if not self.isolated or math.isinf(self.inputs) or self.verdict == BY_INPUTS:
            return 0.0
        return max(0.0, self.isolated - _GAIN * self.inputs)

    def to_json(self) -> dict[str, object]:
        """Every figure; infinities as strings, because JSON has none."""
        result = self.result
        found: dict[str, object] = {
            "tensor": self.tensor, "operation": self.kind, "node": self.node, "precision": self.precision,
            "depth": self.depth, "verdict": self.verdict, "isolated": self.isolated,
            "accumulated": self.accumulated, "own": None if self.isolated is None else self.own,
            "inputs": self.inputs, "worst_input": self.worst_input, "beyond": self.beyond,
            "cosine": result.cosine if result else None, "euclid": result.euclid if result else None,
            "got": self.got.to_json(), "want": self.want.to_json() if self.want else None,
            "through": list(self.through), "message": self.message,
        }  # fmt: skip
        return {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in found.items()
        }


ORDERS: dict[str, Callable[[IsolatedOp], tuple[float, ...]]] = {
    "own": lambda op: (-op.own, -(op.isolated or 0.0)),
    "isolated": lambda op: (-(op.isolated or 0.0),),
    "accumulated": lambda op: (-(op.accumulated or 0.0),),
    "depth": lambda op: (op.depth,),
}
"""What rows can be ordered by."""


@dataclass(frozen=True)
class Isolation:
    """The operations of a module in its order, and what is to be known of the run."""

    ops: tuple[IsolatedOp, ...]
    tolerance: Tolerance | None  # None: that of each precision
    outputs: dict[str, float]  # the accumulated error of each
    missing: tuple[str, ...]  # tensors that the reference does not have
    notes: tuple[str, ...] = ()

    def by(self, order: str = "own") -> list[IsolatedOp]:
        """The operations that were judged, the worst first, then the others."""
        key = ORDERS[order]
        return sorted(self.ops, key=lambda op: (op.isolated is None, key(op)))

    @property
    def culprits(self) -> list[IsolatedOp]:
        """The operations that are off by themselves, the worst first."""
        return [op for op in self.by() if op.verdict == OFF]

    @property
    def passed(self) -> bool:
        """Whether every operation that could be judged is right by itself, and there was one."""
        judged = [op for op in self.ops if op.isolated is not None]
        return bool(judged) and not any(op.verdict in {OFF, NOT_RUN} for op in self.ops)

    def summary(self) -> str:
        """One line."""
        judged = sum(op.isolated is not None for op in self.ops)
        inherited = sum(op.verdict in {ACCUMULATED, BY_INPUTS} for op in self.ops)
        return (
            f"{judged} operations run by themselves: {len(self.culprits)} off by themselves, "
            f"{inherited} only by what arrives at them"
        )

    def to_json(self) -> dict[str, object]:
        """What ``tpumlir isolate --json`` prints."""
        return {
            "passed": self.passed,
            "tolerance": str(self.tolerance) if self.tolerance else None,
            "outputs": {
                name: error if math.isfinite(error) else str(error) for name, error in self.outputs.items()
            },
            "missing": list(self.missing),
            "notes": list(self.notes),
            "culprits": [op.tensor for op in self.culprits],
            "ops": [op.to_json() for op in self.ops],
        }


def isolate(
    module: Module,
    reference: Mapping[str, Array],
    inputs: Mapping[str, Array] | None = None,
    *,
    tolerance: Tolerance | None = None,
) -> Isolation:
    """Run every operation of a Top, Tpu or final module on the tensors of ``reference``.

    ``inputs`` are the model inputs if the reference does not have them. A tensor that it does not have is
    computed on the way from the nearest that are there. ``tolerance`` says when an operation is off, by
    default what its precision is allowed to lose.

    Raises: InputError: model inputs that are in neither, a reference of another model.
    """
    return _Run(module, reference, inputs or {}, tolerance).isolation()


class _Run:
    """One module beside its reference."""

    def __init__(
        self,
        module: Module,
        reference: Mapping[str, Array],
        inputs: Mapping[str, Array],
        tolerance: Tolerance | None,
    ) -> None:
        self.graph = Graph(module)
        self.infos = {r.name: r for op in self.graph.ops for r in op.results}
        self.tolerance = tolerance
        precision = PRECISIONS[least_precise(info.dtype for info in self.infos.values())]
        self.arriving = tolerance or precision.lowering.tolerance  # in the whole run
        self.notes: list[str] = []
        self.want = self._reference(module, reference, inputs)
        self.interpreter = ModuleInterpreter(module)
        self.outputs = [spec.name for spec in module.outputs]
        self.inputs = {spec.name: self.want[spec.name] for spec in module.inputs}
        self.storing = cache(self._storing)

    def _reference(
        self, module: Module, reference: Mapping[str, Array], inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The right value of each tensor that has one, in the type that the interpreter gives it."""
        found: dict[str, Array] = {}
        unfit: list[str] = []
        for name, info in self.infos.items():
            key = reference_name(name, reference)
            if key is None or info.shape is None or info.dtype == "none":
                continue
            spec = TensorSpec(name, info.shape, "f32" if info.scales else info.dtype)
            value = reference[key]
            try:
                value = value.astype(np.uint8) if value.dtype.kind == "b" else value
                found |= check_inputs({name: value}, [spec], allow_nan=True)
            except InputError as error:
                unfit.append(str(error).splitlines()[0])
        known = [spec.name for spec in module.inputs]
        lacking = [spec for spec in module.inputs if spec.name not in found]
        given = {name: value for name, value in inputs.items() if name in known}
        if lacking and not given:
            raise InputError(*(
                Diagnostic("expected this model input in the reference, got none (give --test_input)", s.name)
                for s in lacking
            ))  # fmt: skip
        if given:  # what is said to be the input is, whatever else there is
            found |= check_inputs(found | given, module.inputs, allow_nan=True)
        computed = [name for name in found if name not in known]
        if not computed:
            reason = f": {unfit[0]}" if unfit else ""
            raise InputError(
                f"expected a reference with tensors of this module, got none of its names{reason} (a "
                "reference is what model_transform --test_result or model_runner --dump_all_tensors writes)"
            )
        if unfit:
            more = f", and {len(unfit) - 1} more" if len(unfit) > 1 else ""
            self.notes.append(
                f"the reference of these tensors does not fit, so it is not used: {unfit[0]}{more}"
            )
        return found

    # --- runs -----------------------------------------------------------------------

    def isolation(self) -> Isolation:
        """Run everything and judge."""
        whole = self._whole()
        alone = self._alone()
        constant = {name: whole[name] for op in self.graph.ops if not self.graph.sources(op)
                    for name in results(op) if op.kind != "top.Input" and name in whole}  # fmt: skip
        rows = []
        for depth, op in enumerate(self.graph.ops):
            if op.kind == "top.Input":
                rows += self._input_row(op, depth)
                continue
            rows.append(self._row(op, depth, whole, alone, constant))
        missing = [n for op in self.graph.ops for n in results(op) if n not in self.want]
        errors = {
            name: self._error(name, whole[name])
            for name in self.outputs
            if name in whole and name in self.want
        }
        return Isolation(
            tuple(self._explained(rows, alone)), self.tolerance, errors, tuple(missing), tuple(self.notes)
        )

    def _whole(self) -> Mapping[str, Array]:
        """Every tensor of a run of the module; nothing if it cannot be run."""
        try:
            return self.interpreter.run(self.inputs, all_tensors=True, allow_nan=True)
        except TpumlirError as error:
            # Such as an index that is outside because of an error before it.
            reason = " ".join(str(error).split())
            self.notes.append(f"the whole module cannot be run, so there are no accumulated errors: {reason}")
            return {}

    def _alone(self) -> dict[str, Array | str]:
        """What each operation computes by itself, or why it cannot be run."""
        found: dict[str, Array | str] = {}
        for part, members in together(self.graph, singles(self.graph, self.want)):
            try:
                found |= self.interpreter.run_part(part, self.want)
            except TpumlirError:
                for member in members:
                    found |= self._one(member)
        return found

    def _one(self, part: Part) -> dict[str, Array | str]:
        try:
            return dict(self.interpreter.run_part(part, self.want))
        except TpumlirError as error:
            return dict.fromkeys(part.outputs, " ".join(str(error).split()))

    # --- rows -----------------------------------------------------------------------

    def _input_row(self, op: OpInfo, depth: int) -> list[IsolatedOp]:
        """A model input is no operation, unless its type rounds what is given."""
        (info,) = op.results
        error = self.storing(info.name)
        if not error:
            return []
        want = self.want[info.name]
        got = stored(want, info)
        result = compare_tensor(info.name, got, want, tolerance=self._tolerance(op))
        return [
            IsolatedOp(
                info.name, op.kind, op.node, _precision(info), depth, OK if result.passed else OFF, error,
                error, 0.0, "", _beyond(want, info), Extent.of(got), Extent.of(want), result,
            )
        ]  # fmt: skip

    def _row(
        self,
        op: OpInfo,
        depth: int,
        whole: Mapping[str, Array],
        alone: Mapping[str, Array | str],
        constant: Mapping[str, Array],
    ) -> IsolatedOp:
        names = [name for name in results(op) if name in self.want]
        first = op.results[0]
        seen = Extent.of(whole[op.name]) if op.name in whole else Extent()
        if not names:
            return IsolatedOp(op.name, op.kind, op.node, _precision(first), depth, NO_REFERENCE, got=seen)
        values = {name: constant.get(name, alone.get(name)) for name in names}
        run = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        accumulated = {name: self._error(name, whole[name]) for name in names if name in whole}
        arrived = max(accumulated.values(), default=None)
        if not run:
            why = next((value for value in values.values() if isinstance(value, str)), "")
            return IsolatedOp(
                names[0], op.kind, op.node, _precision(self.infos[names[0]]), depth, NOT_RUN,
                accumulated=arrived, got=seen, want=Extent.of(self.want[names[0]]), message=why,
            )  # fmt: skip
        errors = {name: self._error(name, value) for name, value in run.items()}
        name = max(errors, key=lambda one: errors[one])
        info, want = self.infos[name], self.want[name]
        read = ends(self.graph, [op], self.want)
        source = max(read, key=self.storing, default="")
        result = compare_tensor(name, run[name], want, tolerance=self._tolerance(op))
        row = IsolatedOp(
            name, op.kind, op.node, _precision(info), depth, OK, errors[name], arrived,
            self.storing(source) if source else 0.0, source, _beyond(want, info), Extent.of(run[name]),
            Extent.of(want), result, self._through(op, read),
        )  # fmt: skip
        reached = all(
            compare_tensor(n, whole[n], self.want[n], tolerance=self.arriving).passed for n in accumulated
        )
        return _with_verdict(row, reached, excused=self._is_of_rounding(op, name, run[name]))

    def _is_of_rounding(self, op: OpInfo, name: str, got: Array) -> bool:
        """Whether whole numbers are right for the stored operands: another choice among keys, few steps."""
        if got.dtype.kind == "f":
            return False
        want, rounds = self.want[name], any(map(self.storing, ends(self.graph, [op], self.want)))
        while name != choice(op) and op.kind.rpartition(".")[2] in _RESHAPES:
            sources = self.graph.sources(op)
            if len(sources) != 1 or sources[0] in self.want:
                break
            op, name = self.graph.producers[sources[0]], sources[0]
        if name == choice(op):
            shape = self.infos[name].shape
            got, want = got.reshape(shape), want.reshape(shape)
            right = {n: self.want[n] for n in self.graph.sources(op) if n in self.want}
            keys = {n: stored(value, self.infos[n]) for n, value in right.items()}
            return is_choice_of(op, keys, got, None) and (rounds or is_choice_of(op, right, want, None))
        return rounds and a_step_off(got, want)

    def _through(self, op: OpInfo, read: Sequence[str]) -> tuple[str, ...]:
        """The tensors between an operation and what it is computed from here."""
        found: dict[str, None] = {}
        waiting = [name for name in self.graph.sources(op) if name not in read]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += [n for n in self.graph.sources(self.graph.producers[name]) if n not in read]
        return tuple(name for name in self.graph.producers if name in found)

    def _explained(self, rows: Sequence[IsolatedOp], alone: Mapping[str, Array | str]) -> list[IsolatedOp]:
        """The rows; what the worst differ in is looked at."""
        worst = sorted((row for row in rows if row.verdict == OFF), key=ORDERS["own"])[:_EXPLAINED]
        chosen = {row.tensor for row in worst}
        explained = []
        for row in rows:
            got = alone.get(row.tensor)
            if row.tensor in chosen and row.result is not None and isinstance(got, np.ndarray):
                tolerance = self._tolerance(self.graph.producers[row.tensor])
                kind, detail = classify(got, self.want[row.tensor], row.result, tolerance)
                explained.append(replace(row, message=f"{kind}: {detail}"))
            elif row.verdict == BY_INPUTS:
                explained.append(replace(row, message=f"{row.worst_input} is not held by its type"))
            else:
                explained.append(row)
        return explained

    # --- figures --------------------------------------------------------------------

    def _tolerance(self, op: OpInfo) -> Tolerance:
        """What the norms of a result may be off where the operation is by itself."""
        types = [info.dtype for info in (*op.results, *(self.infos[n] for n in self.graph.sources(op)))]
        precision = PRECISIONS[least_precise(types)]
        return self.tolerance or _ALONE.get(precision.name, precision.lowering.tolerance)

    def _error(self, name: str, got: Array) -> float:
        return relative_error(got, self.want[name])

    def _storing(self, name: str) -> float:
        """The error that the type of a tensor makes of its right values."""
        if name not in self.want:
            return 0.0
        info, want = self.infos[name], self.want[name]
        return relative_error(stored(want, info), want)


def _with_verdict(row: IsolatedOp, reached: bool, *, excused: bool) -> IsolatedOp:
    assert row.result is not None
    assert row.isolated is not None
    if row.result.passed:
        return row if reached else replace(row, verdict=ACCUMULATED)
    # Only where the inputs explain less than half of it is it the operation itself.
    if excused:
        return replace(row, verdict=BY_INPUTS)
    own = row.own > 0 if math.isinf(row.isolated) else row.own >= row.isolated / 2
    return replace(row, verdict=OFF if own else BY_INPUTS)


def relative_error(got: Array, want: Array) -> float:
    """The norm of the difference over that of the reference; infinite for a NaN or infinity of one alone."""
    from tpumlir._core.compare import similarity

    wide = np.float64 if {got.dtype.kind, want.dtype.kind} != {"f"} else np.float32
    a, b = (np.ascontiguousarray(value, wide).reshape(-1) for value in (got, want))
    if not a.size:
        return 0.0
    seen = similarity(a, b)
    if seen.strange:
        return math.inf
    if seen.dd == 0:
        return 0.0
    # Of a reference of zeros everything is an error.
    return math.sqrt(seen.dd / seen.bb) if seen.bb else 1.0


def stored(values: Array, info: TensorInfo) -> Array:
    """Float values as a tensor of a module holds them."""
    if info.scales:
        return rounded(values, info)
    if info.dtype == "f16":
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(np.float16).astype(np.float32)
    if info.dtype == "bf16":
        return npz.to_f32_from_bf16_bits(npz.to_bf16_bits(values)).reshape(values.shape)
    return values


def holds(info: TensorInfo) -> tuple[float, float] | None:
    """The least and the greatest number that the type of a tensor holds; None where it is no matter."""
    if info.scales:
        scale, zero = info.scales[0], info.zero_points[0]
        low, high = stored_limits(info)
        return (low - zero) * scale, (high - zero) * scale
    largest = _LARGEST.get(info.dtype)
    return None if largest is None else (-largest, largest)


def _beyond(want: Array, info: TensorInfo) -> float:
    """The share of the elements that lie outside, by more than rounding."""
    limits = holds(info)
    if limits is None or not want.size:
        return 0.0
    room = info.scales[0] / 2 if info.scales else 0.0
    with np.errstate(invalid="ignore"):
        outside = (want < limits[0] - room) | (want > limits[1] + room)
    return float((outside & np.isfinite(want)).mean())


def _precision(info: TensorInfo) -> str:
    """As the tables call it."""
    return "INT8" if info.scales else info.dtype.upper()
