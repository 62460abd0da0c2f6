"""Verify a bmodel: judge what was read, and find the command that is to blame.

Every operation is judged by what the interpreter makes of the very operands that the chip had, so no error of
an earlier one counts against it, and none hides it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.compare import EXACT, ElementBound, TensorResult, Tolerance, compare_tensor, rms
from tpumlir.errors import BModelError, TpumlirError
from tpumlir.ir.graph import operands, results
from tpumlir.precision.formats import PRECISIONS, least_precise
from tpumlir.road.divergence import classify
from tpumlir.verify.blame import Blame
from tpumlir.verify.observe import Observation, same_bits
from tpumlir.verify.result import TensorCheck, Verification, Wrong

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo
    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.places import Place
    from tpumlir.precision.formats import Precision
    from tpumlir.verify.reference import Reference

Array = npt.NDArray[Any]
_ANY = Tolerance(-math.inf, -math.inf)
# Of the halves that an operation computes from the same operands so many may be the number beside, and a few.
_ROUNDED_SHARE, _ROUNDED_COUNT = 0.25, 8
# What an operation in F32 may be off by, of an element and of the tensor: a number that is nearly zero beside
# others has no digits that count.
_F32_NOISE = 2.0**-16


def verify(
    model: BModel,
    reference: Reference,
    *,
    exact: bool = False,
    tolerance: Tolerance | None = None,
    element_bound: ElementBound | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Verification:
    """Run a bmodel on the simulated chip and compare every tensor as soon as it is there.

    ``exact``: the tensors have to be those of the reference bit for bit. ``tolerance`` and ``element_bound``
    take the place of those of the precision. ``tick(done, all)`` tells of the progress.
    Raises: BModelError: no places beside the bmodel, or those of another module; InputError.
    """
    start = time.perf_counter()
    if not model.debug.places:
        raise BModelError(
            f"{model.path}: expected the places of tensors beside it ({model.path.name}.json of this very "
            "file), got none: compile the model again with this version"
        )
    _check_module(model, reference)
    seen = Observation(model, reference)
    seen.run(tick)
    judge = _Judge(seen, reference, exact, tolerance, element_bound)
    rows = judge.rows()
    findings = Blame(seen, reference).findings(judge.wrong)
    if findings and reference.graph is None:  # who reads whom is not known
        findings = [findings[0], *(replace(one, is_consequence=True) for one in findings[1:])]
    causes = {one.result for one in findings if not one.is_consequence}
    causes |= {one.tensor for one in findings if not one.is_consequence}
    rows = [
        replace(row, verdict="consequence") if row.is_off and row.tensor not in causes else row
        for row in rows
    ]
    return Verification(
        model.name, reference.text, judge.precision, len(seen.order), seen.ran, len(seen.places),
        len(seen.done), findings, rows, exact, time.perf_counter() - start, seen.places,
    )  # fmt: skip


def _check_module(model: BModel, reference: Reference) -> None:
    """Raises: BModelError: the module is not what the bmodel was made of."""
    if reference.module is None:
        return
    shapes = {r.name: tuple(r.shape or ()) for op in reference.module.ops() for r in op.results}
    for home in model.debug.tensors.values():
        if shapes.get(home.name, ()) != home.shape:
            raise BModelError(
                f"{model.path}: expected the module that it was compiled from, got one "
                + (f"with {home.name} of {list(shapes[home.name])}, not {list(home.shape)}"
                   if home.name in shapes else f"without {home.name}")
            )  # fmt: skip


class _Judge:
    """The verdict on what was computed."""

    def __init__(
        self,
        seen: Observation,
        reference: Reference,
        exact: bool,
        tolerance: Tolerance | None,
        bound: ElementBound | None,
    ) -> None:
        self.seen, self.reference = seen, reference
        self.exact, self.tolerance, self.bound = exact, tolerance, bound
        self.precision = least_precise(home.dtype for home in seen.model.debug.tensors.values())
        self.wrong: list[Wrong] = []
        self._computed: dict[str, dict[str, Array]] = {}

    def rows(self) -> list[TensorCheck]:
        """A row for each tensor, in the order of the module."""
        homes = self.seen.model.debug.tensors
        found = []
        places: dict[str, list[Place]] = {}
        for number, place in enumerate(self.seen.places):
            if number in self.seen.done:
                places.setdefault(place.tensor, []).append(place)
        for tensor, op, depth in self._tensors():
            home = homes.get(tensor)
            shape = home.shape if home else self._shape(op, tensor)
            elements = math.prod(shape)
            mask = self.seen.masks.get(tensor)
            count = 0 if mask is None else int(mask.sum())
            where = Counter(place.memory for place in places.get(tensor, ()))
            row = TensorCheck(
                tensor, op.kind if op else places[tensor][0].op if tensor in places else "",
                op.node if op else "", depth, home.dtype if home else "", shape, elements, count,
                where["local"], where["global"], "unseen",
            )  # fmt: skip
            if count:
                row = self._judged(row, op)
            if count < elements:
                row = replace(row, note=self._why_unseen(op))
            found.append(row)
        return found

    def _tensors(self) -> Iterator[tuple[str, OpInfo | None, int]]:
        graph = self.reference.graph
        if graph is None:
            names = dict.fromkeys(place.tensor for place in self.seen.places if place.op != "top.Weight")
            for name in names:
                yield name, None, 0
            return
        depths: dict[str, int] = {}
        for op in graph.ops:
            depth = max((depths[name] + 1 for name in graph.sources(op)), default=0)
            for name in results(op):
                depths[name] = depth
                yield name, op, depth

    @staticmethod
    def _shape(op: OpInfo | None, tensor: str) -> tuple[int, ...]:
        shapes = [r.shape for r in op.results if r.name == tensor] if op else []
        return tuple(shapes[0] or ()) if shapes else ()

    def _why_unseen(self, op: OpInfo | None) -> str:
        if self.seen.fault:
            return "the run ended before"
        if op and op.kind in {"tpu.Slice", "tpu.Reshape"}:
            return "an address within a group: its readers load from what it is a part of"
        return "elements that no operation reads, or in no place that is known"

    # --- values --------------------------------------------------------------------------

    def _judged(self, row: TensorCheck, op: OpInfo | None) -> TensorCheck:
        name = row.tensor
        got, mask = self.seen.tensors[name], self.seen.masks[name]
        want = self.reference.values.get(name)
        if want is None and op is not None and op.kind == "top.Input":
            want = self.reference.inputs.get(name)
        home = self.seen.model.debug.tensors[name]
        want = None if want is None else home.stored(np.asarray(want))
        whole = bool(mask.all())
        against = None
        if want is not None and want.size == got.size:
            against = self._compare(row, got, want, mask, PRECISIONS[self.precision].device.model)
            if against.status == "equal" and _same(got, want, mask):
                return replace(row, verdict="equal", max_abs=0.0, excess=0.0)
        alone = self._alone(op, name) if op is not None else None
        alone = None if alone is None else home.stored(alone)
        if alone is None:
            verdict, expected, by_itself = against, want, False
        else:
            verdict = self._compare_alone(row, op, got, alone, mask)
            expected, by_itself = alone, True
        if self.exact and against is not None and want is not None and got.dtype.kind != "f":
            verdict, expected, by_itself = against, want, False
        if verdict is None or expected is None:
            return replace(row, verdict="unseen", note="the reference does not have it")
        if verdict.passed and by_itself and self._has_drifted(name, against):
            assert against is not None
            assert want is not None
            verdict, expected, by_itself = against, want, False
            self._note(row, against, got, want, mask, "drift")
        elif not verdict.passed:
            self._note(row, verdict, got, expected, mask)
        shown = against or verdict
        return replace(
            row, verdict="right" if verdict.passed else "WRONG", max_abs=shown.max_abs, cosine=shown.cosine,
            excess=_excess(verdict), alone=by_itself, note="" if whole else row.note,
        )  # fmt: skip

    def _has_drifted(self, name: str, against: TensorResult | None) -> bool:
        """Whether an output is unlike the reference although every operation is right by itself."""
        graph = self.reference.graph
        if graph is None or name not in graph.outputs or against is None:
            return False
        return against.status == "unlike" and against.cosine is not None

    def _alone(self, op: OpInfo | None, name: str) -> Array | None:
        """What the interpreter makes of the operands that the chip had; None if it cannot be told."""
        runner = self.reference.interpreter
        if runner is None or op is None or op.kind == "top.Input" or not operands(op):
            return None
        if op.name not in self._computed:
            self._computed.clear()
            try:
                self._computed[op.name] = runner.invoke_at(name, self._operands())
            except TpumlirError:  # such as an index that is outside
                self._computed[op.name] = {}
        return self._computed[op.name].get(name)

    def _operands(self) -> dict[str, Array]:
        """All that is known of the chip's tensors; where elements were not seen, those of the reference."""
        if not hasattr(self, "_known"):
            known = dict(self.reference.inputs)
            for name, value in self.seen.tensors.items():
                if name in self.seen.constants:
                    continue
                mask = self.seen.masks[name]
                numbers = self.seen.model.debug.tensors[name].numbers(value)
                if mask.all():
                    known[name] = numbers
                elif name in self.reference.values:
                    want = np.asarray(self.reference.values[name]).reshape(value.shape)
                    known[name] = np.where(mask, numbers, want.astype(numbers.dtype))
            self._known = known
        return self._known

    def _row(self, dtype: str) -> Precision:
        return PRECISIONS[least_precise([dtype])]

    def _compare(
        self, row: TensorCheck, got: Array, want: Array, mask: Array, bound: ElementBound
    ) -> TensorResult:
        a, b = _masked(got, want, mask)
        tolerance = self.tolerance or PRECISIONS[self.precision].device.tolerance
        return compare_tensor(row.tensor, a, b, tolerance=tolerance, bound=self.bound or bound)

    def _compare_alone(
        self, row: TensorCheck, op: OpInfo | None, got: Array, want: Array, mask: Array
    ) -> TensorResult:
        """The verdict on one operation: what only moves or rounds numbers has no excuse."""
        kind = self._row(row.dtype)
        stage = kind.device
        a, b = _masked(got, want, mask)
        if op is not None and (op.moves_data or op.kind == "tpu.Cast"):
            return compare_tensor(row.tensor, a, b, tolerance=EXACT, bound=ElementBound(0.0, 0.0))
        verdict = compare_tensor(
            row.tensor, a, b, tolerance=self.tolerance or stage.tolerance, bound=self.bound or stage.operation
        )
        if not kind.is_half or not verdict.passed or self.tolerance or self.bound:
            return verdict
        # The same sum, rounded once: few lie so near the middle of two halves that the order decides.
        others = _rounded_otherwise(a, b)
        if others.sum() <= _ROUNDED_COUNT:
            return verdict
        differs = np.zeros(got.shape, bool)
        differs[mask] = others.reshape(-1)
        for number, _ in self.seen.pieces[row.tensor]:
            piece = self.seen.places[number].of(differs)
            count = int(piece.sum())
            if count > _ROUNDED_SHARE * piece.size + _ROUNDED_COUNT:
                return verdict._replace(
                    status="element", passed=False,
                    message=f"{count} of {piece.size} elements are not the number that is to be rounded to",
                )  # fmt: skip
        return verdict

    def _note(
        self, row: TensorCheck, verdict: TensorResult, got: Array, want: Array, mask: Array, named: str = ""
    ) -> None:
        if named:  # of the whole tensor, so it shows when that is there
            number, position = max(self.seen.pieces[row.tensor], key=lambda piece: piece[1])
        else:
            number, position = self._first_piece(row, verdict, got, want)
        place = self.seen.places[number]
        a, b = _masked(got, want, mask)
        if named:
            kind = named
            detail = f"every operation is right for its operands, but not this output: {verdict.message}"
        else:
            least = self.tolerance or PRECISIONS[self.precision].device.tolerance
            kind, detail = _kind(a, b, verdict, least)
        if mask.all() and verdict.worst_index is not None:
            index = np.unravel_index(int(np.ravel_multi_index(verdict.worst_index, a.shape)), got.shape)
            verdict = verdict._replace(worst_index=tuple(int(i) for i in index))
        want = want.reshape(got.shape)
        self.wrong.append(Wrong(row.tensor, number, position, place.of(got), place.of(want),
                                verdict, kind, detail))  # fmt: skip

    def _first_piece(
        self, row: TensorCheck, verdict: TensorResult, got: Array, want: Array
    ) -> tuple[int, int]:
        """The first piece with a wrong element; if none has one by itself, that with the greatest error."""
        stage = self._row(row.dtype).device
        bound = self.bound or stage.operation
        exact = got.dtype.kind != "f" or verdict.status == "nonfinite"
        floor = 0.0 if exact else bound.scale * rms(np.asarray(want, np.float64).reshape(-1))
        limit = ElementBound(0.0, 0.0) if exact else ElementBound(bound.relative, 0.0, floor)
        worst, chosen = -1.0, self.seen.pieces[row.tensor][0]
        for number, position in sorted(self.seen.pieces[row.tensor], key=lambda piece: piece[1]):
            place = self.seen.places[number]
            a, b = place.of(got), place.of(want.reshape(got.shape))
            if same_bits(a, b.astype(a.dtype)):
                continue
            others = int(_rounded_otherwise(a, b).sum()) if self._row(row.dtype).is_half else 0
            if others > _ROUNDED_SHARE * a.size + _ROUNDED_COUNT:
                return number, position
            result = compare_tensor(
                row.tensor, np.ascontiguousarray(a), np.ascontiguousarray(b),
                tolerance=EXACT if exact else _ANY, bound=limit,
            )  # fmt: skip
            if not result.passed:
                return number, position
            error = float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64))))
            if error > worst:
                worst, chosen = error, (number, position)
        return chosen


def _rounded_otherwise(a: Array, b: Array) -> Array:
    """Which elements differ by more than what is computed in F32 does, beside large ones."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(x - y) > _F32_NOISE * (np.abs(y) + rms(y.reshape(-1))))


def _kind(got: Array, want: Array, verdict: TensorResult, least: Tolerance) -> tuple[str, str]:
    """What is wrong, and the facts it is seen by; of single elements there is no more to say."""
    if verdict.status == "element":
        return "wrong values", verdict.message
    return classify(got, want, verdict, least)


def _masked(got: Array, want: Array, mask: Array) -> tuple[Array, Array]:
    """Both sides of what was seen."""
    want = np.asarray(want).reshape(got.shape)
    if mask.all():
        return got, want
    return got[mask], want[mask]


def _same(got: Array, want: Array, mask: Array) -> bool:
    a, b = _masked(got, want, mask)
    return same_bits(a, b.astype(a.dtype))


def _excess(verdict: TensorResult) -> float:
    if verdict.excess is not None:
        return float(verdict.excess)
    return 0.0 if verdict.passed else math.inf
