"""The cheapest quantize table that meets a target, also on samples that the calibration has not seen.

Every candidate is lowered and run, on the samples that judge, by the interpreter that computes the chip's
integers; what it costs are the estimated cycles of its bmodel. How many candidates are tried is bounded by a
count, not by a clock, so the result is the same on every machine.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tpumlir.accuracy.blame import Blame, OpError, blame
from tpumlir.accuracy.costs import Costs
from tpumlir.accuracy.improve import METHODS, Improvement, Improver, Plain, Switches
from tpumlir.accuracy.judges import MOST, Judges
from tpumlir.accuracy.noise import Noise, key_of
from tpumlir.accuracy.target import Target
from tpumlir.bmodel.generate import generate
from tpumlir.bmodel.profile import Profile, profile
from tpumlir.calibration.calibrate import Options, measure
from tpumlir.calibration.dataset import Given, Sample, samples_of
from tpumlir.calibration.table import CalibrationTable
from tpumlir.calibration.table import resolve as resolve_ranges
from tpumlir.data.record import recorded_pictures
from tpumlir.errors import AllocationError, InputError, Note, UnsupportedError
from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
Step = Callable[[str], None]

DEFAULT_TARGET = "cos=0.99"
TRIALS = 60
_PATIENCE = 4  # parts one after the other, each less promising, that are not given back
_LOOKED_AT = 2  # samples that sensitivities are measured on
_MOST_HELD = 8


@dataclass
class Point:
    """A table that was tried: which operations are floats, how near it comes, what it costs."""

    label: str
    floats: frozenset[str]
    table: dict[str, str]
    score: float
    is_met: bool
    complete: bool  # whether all that judge were run; else the score may be lower still
    cycles: int | None = None

    @property
    def cost(self) -> tuple[int, int]:
        """Of points that meet the target the least of these is the best."""
        return self.cycles or 0, len(self.floats)

    def to_json(self) -> dict[str, object]:
        """What reports show."""
        score = self.score if math.isfinite(self.score) else str(self.score)
        return {
            "label": self.label, "floats": len(self.floats), "score": score, "met": self.is_met,
            "complete": self.complete, "cycles": self.cycles,
        }  # fmt: skip


@dataclass
class QuantizeResult:
    """What a search found: ``table`` and ``calibration`` are what the deploy takes."""

    target: Target
    table: dict[str, str]
    calibration: CalibrationTable
    method: str  # of the thresholds; empty where the table was given
    best: Point
    plain: Point  # all integers
    half: Point  # no integers
    points: list[Point]
    errors: list[OpError]  # of the operations of the plain module
    rows: list[Row]
    calibrated: int  # samples
    held: int
    judged: str  # who judges
    precisions: dict[str, int]  # how many operations compute in each
    module: Module  # what to deploy: the one given, with what equalisation and rounding made of it
    changed: bool  # whether it is another
    improvements: list[Improvement]
    seconds: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the target is met on all samples that judge."""
        return self.best.is_met

    def to_json(self) -> dict[str, object]:
        """What ``tpumlir quantize --json`` prints."""
        return {
            "target": self.target.text,
            "least": self.target.least,
            "met": self.met,
            "method": self.method,
            "calibrated": self.calibrated,
            "held_back": self.held,
            "judged": self.judged,
            **{name: getattr(self, name).to_json() for name in ("best", "plain", "half")},
            "precisions": self.precisions,
            "improvements": [one.to_json() for one in self.improvements],
            "table": [
                {"tensor": row.tensor, "precision": row.precision, "why": row.comment} for row in self.rows
            ],
            "points": [point.to_json() for point in self.points],
            "errors": [error.to_json() for error in self.errors],
            "seconds": round(self.seconds, 3),
        }

    def comments(self) -> list[str]:
        """What a reader of the table file should know."""
        p = self.best
        verdict = "met" if p.is_met else "NOT met"
        kept = [one.name for one in self.improvements if one.kept and one.of == "products"]
        thresholds = [one for one in self.improvements if one.kept and one.of == "tensors"]
        chosen = "".join(f", {one.changed} chosen by themselves" for one in thresholds)
        chosen += ", with scales per channel" if self.calibration.channel_ranges() else ""
        with_them = [f"for the module with {', '.join(kept)}"] if kept else []
        return [
            f"target {self.target.text}: {verdict} with {p.score:.6g} on {self.judged} "
            f"(plain INT8 {self.plain.score:.6g}); calibrated on "
            f"{self.calibrated}, thresholds {self.method or 'as given'}{chosen}",
            f"estimated cycles {p.cycles:,} (plain INT8 {self.plain.cycles:,}, no INT8 {self.half.cycles:,})",
            *with_them,
        ]


@dataclass(frozen=True)
class Row:
    """A line of the table, and why it is there."""

    tensor: str
    precision: str
    error: OpError | None
    added: float  # estimated cycles

    @property
    def comment(self) -> str:
        """In one line."""
        if self.precision == "INT8":
            return "integers are multiplied, their sums stay F32"
        if self.error is None:
            return "a float beside floats"
        e = self.error
        return (
            f"{e.kind.removeprefix('tpu.')}: {e.share:.2%} of the plain error; its own {e.isolated:.2%}, "
            f"accumulated {e.accumulated:.2%}; {self.added:+,.0f} cycles"
        )


def quantize(  # noqa: PLR0913 - the keywords of the API
    mlir: Module | str | os.PathLike[str],
    dataset: Given | None = None,
    *,
    target: str | Target = DEFAULT_TARGET,
    calibration_table: CalibrationTable | str | os.PathLike[str] | None = None,
    data_list: str | os.PathLike[str] | None = None,
    input_num: int = 0,
    held_back: int = 0,
    trials: int = TRIALS,
    chip: str = "bm1684x",
    allow_nonfinite: bool = False,
    equalize: bool | None = None,
    rounding: bool | None = None,
    bias_correction: bool | None = None,
    clipping: bool | None = None,
    step: Step | None = None,
) -> QuantizeResult:
    """The cheapest table of INT8, F16 and F32 that meets ``target`` on samples of ``dataset``.

    ``mlir`` is a Top module or its file; ``dataset`` and ``input_num`` are those of ``tpumlir.calibrate``.
    ``held_back`` samples only judge, the others calibrate, and up to 8 of them judge too; 0 holds back a
    quarter, at most 8. Without a ``calibration_table`` several methods are tried. ``trials`` bounds the
    tables that are run. A target that is not met raises nothing: see ``met`` of the result, which is then
    the nearest.

    ``equalize``, ``clipping``, ``rounding`` and ``bias_correction`` (docs/int8.md) are tried and kept if they
    help; True takes them in any case, False not at all. What they change is in ``module`` of the result.

    Raises: InputError: a target or samples that do not fit. CalibrationError: a table of another model.
    """
    start = time.perf_counter()
    module = mlir if isinstance(mlir, Module) else Module.load(mlir)
    chosen = Target.parse(target) if isinstance(target, str) else target
    if trials < 1:
        raise InputError(f"expected at least 1 trial, got {trials}")
    if held_back < 0:
        raise InputError(f"expected 0 or more held-back samples, got {held_back}")
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TOP"):
        raise InputError(
            f"expected a Top module, which model_transform writes, got one of state {state or 'unknown'}"
        )
    given = resolve_ranges(calibration_table, module) if calibration_table is not None else None
    switches = Switches(equalize, rounding, bias_correction, clipping)
    switches.check(is_calibrated=given is not None)
    samples = samples_of(module, dataset, data_list if data_list is None else str(data_list), input_num)
    settings = _Settings(chosen, held_back, trials, chip, allow_nonfinite, step or _silent, switches)
    result = _Search(module, samples, settings).run(given)
    result.seconds = time.perf_counter() - start
    return result


def split(count: int, held_back: int = 0) -> tuple[list[int], list[int]]:
    """Which of ``count`` samples calibrate and which are held back, both spread over the whole.

    Raises: InputError: nothing would be left to calibrate with.
    """
    if count == 1 and not held_back:
        return [0], [0]
    held = held_back or min(max(1, count // 4), _MOST_HELD)
    if held >= count:
        raise InputError(
            f"expected fewer held-back samples than there are, got {held} of {count} (--held_back)"
        )
    # The last of each part: files of one class often stand together.
    places = [(i + 1) * count // held - 1 for i in range(held)]
    return [i for i in range(count) if i not in places], places


def _silent(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class _Settings:
    """What a search is told besides the module and the samples."""

    target: Target
    held_back: int
    trials: int
    chip: str
    allow_nonfinite: bool
    step: Step
    switches: Switches


class _Search:
    def __init__(self, module: Module, samples: Sequence[Sample], settings: _Settings) -> None:
        self.module, self.chip, self.step = module, settings.chip, settings.step
        self.allow, self.switches = settings.allow_nonfinite, settings.switches
        self.improvements: list[Improvement] = []
        calibrating, held = split(len(samples), settings.held_back)
        if calibrating == held:
            warnings.warn(
                "one sample only: it calibrates and judges, so the result says little of others",
                Note,
                stacklevel=4,
            )
        self.calibrating = [samples[i] for i in calibrating]
        self.pictures = recorded_pictures(module)
        also = [] if calibrating == held else self.calibrating[:: -(-len(calibrating) // MOST)]
        self.judges = Judges(
            module, settings.target, [self.read(samples[i]) for i in held], [self.read(s) for s in also],
            allow_nonfinite=self.allow,
        )  # fmt: skip
        self.target = self.judges.target
        self.names = set(module.tensor_names())
        self.left, self.compiles = settings.trials, 2 * settings.trials
        self.points: dict[frozenset[str], Point] = {}
        self.with_sums: list[Point] = []  # with integers against the rules
        self._types: dict[frozenset[str], list[tuple[str, str, object]]] = {}
        self.ranges = CalibrationTable({})
        self.float_modes: dict[str, str] = {}

    def read(self, sample: Sample) -> dict[str, Array]:
        return sample.read(self.module, self.pictures, allow_nonfinite=self.allow)

    # --- one table ---------------------------------------------------------------

    def lower(
        self, table: Mapping[str, str], ranges: CalibrationTable, module: Module | None = None
    ) -> Module:
        top = self.module if module is None else module
        return top.lower("INT8", chip=self.chip, quantize_table=dict(table), calibration_table=ranges)

    def table_of(self, floats: Collection[str]) -> dict[str, str]:
        """In the order of the module; what a half does not hold is in F32 wherever it is a float."""
        return {
            name: self.float_modes.get(name, "F16")
            for name in self.order
            if name in floats or name in self.refused or (name in self.wide and name not in self.known)
        }

    def point(self, label: str, floats: Iterable[str], *, whole: bool = False) -> Point:
        """Try a set of float operations, once."""
        key = frozenset(floats)
        found = self.points.get(key)
        if found is not None:
            return found
        self.left -= 1
        table = self.table_of(key)
        lowered = self.lower(table, self.ranges)
        score, complete = (self.judges.judge(lowered).score, True) if whole else self.judges.score(lowered)
        found = Point(label, key, table, score, self.target.is_met(score), complete)
        self.points[key] = found
        if found.is_met:
            found.cycles = self.cycles_or_none(lowered)
            found.is_met = found.cycles is not None
        self.step(
            f"{label}: {len(key)} float, {self.target.kind} {score:.5g}"
            + (f", {found.cycles:,} cycles" if found.cycles else "")
        )
        return found

    @staticmethod
    def cycles(lowered: Module) -> int:
        return profile(generate(lowered.finalize().core, debug=False), names=False).cycles

    def cycles_or_none(self, lowered: Module) -> int | None:
        """None where the code generator refuses what only becomes integers, or floats, in this table."""
        try:
            return self.cycles(lowered)
        except (UnsupportedError, AllocationError):
            return None

    # --- the whole -----------------------------------------------------------------

    def run(self, given: CalibrationTable | None) -> QuantizeResult:
        self.order = self.module.tensor_names()
        self.known: set[str] = set()  # what may be integers
        self.refused: set[str] = set()  # what the code generator does not take in integers
        self.wide = self._wide()
        given_module = self.module
        method, first = self._calibrate(given)
        plain_profile, plain_module = self._compiled(self._improved(method, first).lowered)
        noise = Noise(self.module, plain_module)
        spread = self.calibrating[:: max(1, len(self.calibrating) // _LOOKED_AT)][:_LOOKED_AT]
        self.step("sensitivity")
        for sample in spread:
            noise.add(self.read(sample))
        found = blame(noise)
        half_module = self.module.lower("F16", chip=self.chip, quantize_table=self.wide)
        half_profile = profile(half_module.finalize().compile())
        self.float_modes = _modes(half_module, self.names)
        costs = Costs(noise, plain_profile, half_profile)
        self.known = set(costs.keys)
        every = frozenset(costs.keys)
        plain = self.point("plain", (), whole=True)
        half = self.point("no integers", every, whole=True)
        if not half.is_met and not plain.is_met:
            half = self._in_f32(every)
        moves = costs.order(found)
        best = self._search(costs, found, moves, plain, half)
        if best.is_met:
            best = self._sums(best, self._under_logarithms(best))
        for point in (plain, half, best):
            if point.cycles is None:
                point.cycles = self.cycles(self.lower(point.table, self.ranges))
        points = sorted(
            (*self.points.values(), *self.with_sums), key=lambda one: (one.cycles or 0, len(one.floats))
        )
        return QuantizeResult(
            self.target, best.table, self.ranges, method, best, plain, half, points, found.ops,
            self._rows(best, found, costs), len(self.calibrating), self.judges.held,
            self.judges.text, precisions_of(self.lower(best.table, self.ranges)),
            self.module, self.module is not given_module, self.improvements,
        )  # fmt: skip

    def _improved(self, method: str, first: Plain) -> Plain:
        """The plain module with what helps; ``module`` is it from here on."""
        improver = Improver(
            self.judges, self.calibrating, self._plain, self.step, allow_nonfinite=self.allow
        )  # fmt: skip
        found = improver.run(first, method, self.switches)
        self.improvements = improver.found
        self.module, self.ranges = found.module, found.table
        if any(one.kept and one.name == "equalisation" for one in self.improvements):
            self.wide = self._wide()
        return found

    def _calibrate(self, given: CalibrationTable | None) -> tuple[str, Plain]:
        """The method whose table does best where all are integers."""
        if given is not None:
            lowered = self._plain(self.module, given)
            return "", Plain(self.module, given, lowered, self.judges.judge(lowered))
        self.step("calibrate")
        seen = measure(self.module, self.calibrating, Options(allow_nonfinite=self.allow))
        tables = {method: seen.table(method) for method in METHODS}
        apart = self._best_of(tables, "")
        if not any(table.channel_ranges() for table in tables.values()):
            return apart
        simple = {method: table.without_channels() for method, table in tables.items()}
        together = self._best_of(simple, " with one scale for each tensor")
        return apart if self._pays(apart[1], together[1]) else together

    def _pays(self, apart: Plain, together: Plain) -> bool:
        """Whether scales per channel are worth it: they have to be loaded."""
        met, met_too = (self.target.is_met(one.judged.score) for one in (apart, together))
        if met != met_too:
            return met
        if not met:
            return apart.judged.score > together.judged.score and apart.judged.snr > together.judged.snr
        cycles, fewer = (self.cycles_or_none(one.lowered) for one in (apart, together))
        return cycles is None or fewer is None or cycles <= fewer

    def _best_of(self, tables: Mapping[str, CalibrationTable], how: str) -> tuple[str, Plain]:
        """The method whose table does best."""
        found: list[tuple[str, Plain]] = []
        for method, table in tables.items():
            lowered = self._plain(self.module, table)
            judged = self.judges.judge(lowered)
            self.step(
                f"thresholds by {method}{how}: {self.target.kind} {judged.score:.5g}, {judged.snr:.1f} dB"
            )
            found.append((method, Plain(self.module, table, lowered, judged, tuple(tables.values()))))
        # What meets the target needs no floats; else the mean says more of the next input than the worst.
        return max(
            found,
            key=lambda one: (
                self.target.is_met(one[1].judged.score),
                one[1].judged.score if one[1].judged.decides else one[1].judged.snr,
            ),
        )

    def _plain(self, module: Module, ranges: CalibrationTable) -> Module:
        """All in integers that can be; of the rest what F16 does not hold is in F32."""
        refused = dict.fromkeys(self.refused, "F16")
        lowered = self.lower(refused, ranges, module)
        integers = {
            key_of(op.name, self.names) for op in lowered.ops() if op.results and op.results[0].scales
        }
        wide = {name: mode for name, mode in self.wide.items() if name not in integers}
        return self.lower(refused | wide, ranges, module) if wide else lowered

    def _compiled(self, lowered: Module) -> tuple[Profile, Module]:
        """The profile of the plain module; what code generation refuses in integers is a float."""
        while True:
            try:
                return profile(lowered.finalize().compile()), lowered
            except UnsupportedError as error:
                refused = {
                    key_of(op.name, self.names)
                    for op in lowered.ops()
                    if op.results and op.results[0].scales and error.node in {op.name, op.node}
                } & self.names - self.refused
                if not refused:
                    raise
                self.step(f"not in integers: {error}")
                self.refused |= refused
                lowered = self._plain(self.module, self.ranges)

    def _wide(self) -> dict[str, str]:
        """What F16 does not hold."""
        from tpumlir.precision.ranges import auto_table
        from tpumlir.precision.ranges import measure as measure_ranges

        self.step("ranges of F16")
        spread = self.calibrating[:: max(1, len(self.calibrating) // _LOOKED_AT)][:_LOOKED_AT]
        measured = measure_ranges(
            self.module, (self.read(s) for s in spread), chip=self.chip, allow_nonfinite=self.allow
        )
        return auto_table(self.module, measured, chip=self.chip).table

    def _in_f32(self, every: frozenset[str]) -> Point:
        """The half precision does not do: floats are F32 from here on."""
        self.step("F16 does not meet the target: floats are F32")
        self.float_modes = dict.fromkeys(self.float_modes, "F32")
        self.wide = dict(self.float_modes)
        self.points = {key: point for key, point in self.points.items() if key != every}
        self.left += 1
        return self.point("no integers (F32)", every, whole=True)

    def _search(self, costs: Costs, blame: Blame, moves: list[set[str]], plain: Point, half: Point) -> Point:
        if not half.is_met and not plain.is_met:
            return max(self.points.values(), key=lambda point: (point.score, -len(point.floats)))
        by_share = sorted(
            (error for error in blame.ops if error.tensor in self.known), key=lambda error: -error.share
        )
        orders = {
            "by error per cycle": moves,
            "by error": [costs.with_followers({error.tensor}) for error in by_share],
            "from the end": [costs.with_followers({key}) for key in reversed(costs.keys)],
        }
        for label, order in orders.items():
            if not plain.is_met:
                self._bisect(label, order)
        # The cheapest so far, then what makes it cheaper still.
        return self._prune(costs, blame, self._cheaper(costs, self._cheapest()))

    def _cheapest(self) -> Point:
        met = [point for point in self.points.values() if point.is_met]
        return min(met, key=lambda point: point.cost)

    def _bisect(self, label: str, moves: Sequence[Collection[str]]) -> None:
        """Try the least number of moves that meets the target; with all of them it is met."""
        sums: list[frozenset[str]] = [frozenset()]
        for move in moves:
            sums.append(sums[-1] | frozenset(move))
        low, high = -1, len(sums) - 1
        while high - low > 1 and self.left > 0:
            middle = (low + high) // 2
            point = self.point(label, sums[middle])
            if point.is_met:
                high = middle
                continue
            low = middle
            # It takes more floats than these: where they already cost more than what is known, that is all.
            best = self._cheapest()
            if point.floats < best.floats:  # it has them all, so nothing need be compiled to tell
                continue
            if point.cycles is None:
                point.cycles = self.cycles_or_none(self.lower(point.table, self.ranges))
            if (point.cycles or 0) >= (best.cycles or 0):
                break

    def _prune(self, costs: Costs, blame: Blame, best: Point) -> Point:
        """Give back to integers what turns out not to be needed, in halves, quarters and so on.

        Parts are of what saves the most cycles for the error that it brings back, then of what stands
        together in the module: a cast goes only if both its sides agree.
        """
        shares = {error.tensor: error.share for error in blame.ops}
        size = max(1, len(best.floats) // 2)
        while best.floats and self.left > 0:
            before = best
            saved = {key: costs.cycles(best.floats - {key}, {key}) for key in best.floats}
            by_rating = sorted(
                (key for key in best.floats if saved[key] > 0 or size > 1),
                key=lambda key: (-saved[key] / (shares.get(key, 0.0) + 1e-6), key),
            )
            by_place = [key for key in costs.keys if key in best.floats] if size > 1 else []
            for order, patience in ((by_rating, _PATIENCE), (by_place, len(by_place))):
                failed = 0
                for i in range(0, len(order), size):
                    gone = best.floats.intersection(order[i : i + size])
                    if not gone or self.left <= 0 or failed >= patience:
                        continue
                    after = self._better("pruned", best.floats - gone, best)
                    failed = 0 if after is not best else failed + 1
                    best = after
            if size == 1 and best is before:
                break
            size = max(1, size // 2)
        return best

    def _types_of(self, floats: frozenset[str]) -> list[tuple[str, str, object]]:
        """What the module of a set computes; it is lowered once for all that is compared with it."""
        if floats not in self._types:
            self._types[floats] = _types(self.lower(self.table_of(floats), self.ranges))
        return self._types[floats]

    def _better(self, label: str, floats: frozenset[str], best: Point) -> Point:
        """The point of a set if it meets the target for less, else ``best``."""
        if floats in self.points:
            return best
        if self._types_of(floats) == self._types_of(best.floats):  # rows that change nothing
            return Point(label, floats, self.table_of(floats), best.score, True, best.complete, best.cycles)
        point = self.point(label, floats)
        return point if point.is_met and point.cost < best.cost else best

    def _if_cheaper(self, label: str, floats: frozenset[str], best: Point) -> Point | None:
        """The point of a set that costs less than ``best`` and meets the target; it is run only then."""
        if floats in self.points or self.left <= 0 or self.compiles <= 0:
            return None
        self.compiles -= 1
        cycles = self.cycles_or_none(self.lower(self.table_of(floats), self.ranges))
        if cycles is None or cycles >= (best.cycles or 0):
            return None
        point = self.point(label, floats)
        return point if point.is_met else None

    def _cheaper(self, costs: Costs, best: Point) -> Point:
        """Make floats of what is slower in integers, while that is so."""
        for share in (1, 2, 4, 8):
            rated = sorted(
                (costs.cycles(best.floats, costs.with_followers({key})), key)
                for key in costs.keys
                if key not in best.floats
            )
            slower = [key for cost, key in rated if cost < 0]
            if not slower:
                break
            some = slower[: max(1, len(slower) // share)]
            best = (
                self._if_cheaper("slower in integers", best.floats | costs.with_followers(some), best) or best
            )
        return best

    def _under_logarithms(self, best: Point) -> list[str]:
        """Convolutions that a rule keeps in F32, whose sums may stay so while they multiply integers."""
        ops = self.lower(best.table, self.ranges).ops()
        return [
            key_of(op.name, self.names) for op in ops if op.kind == "tpu.Conv2D" and op.why.startswith("(P6)")
        ]

    def _sums(self, best: Point, names: list[str]) -> Point:
        """Have them multiply integers where that meets the target for less: all, or halves and so on."""
        if not names or self.left <= 0:
            return best
        self.left -= 1
        table = {**best.table, **dict.fromkeys(names, "INT8")}
        lowered = self.lower(table, self.ranges)
        cycles = self.cycles_or_none(lowered)
        if cycles is not None and cycles < (best.cycles or 0):
            score, complete = self.judges.score(lowered)
            found = Point(
                "sums in F32", best.floats, table, score, self.target.is_met(score), complete, cycles
            )
            self.with_sums.append(found)
            self.step(f"{found.label}: {len(names)} products, {self.target.kind} {score:.5g}")
            if found.is_met:
                return found
        half = len(names) // 2
        return best if half == 0 else self._sums(self._sums(best, names[:half]), names[half:])

    def _rows(self, best: Point, blame: Blame, costs: Costs) -> list[Row]:
        errors = {error.tensor: error for error in blame.ops}
        return [
            Row(name, mode, errors.get(name), costs.added.get(name, 0.0)) for name, mode in best.table.items()
        ]


def _types(lowered: Module) -> list[tuple[str, str, object]]:
    """What a module computes, as far as a table says."""
    return [(one.name, one.dtype, tuple(one.scales)) for op in lowered.ops() for one in op.results]


def precisions_of(lowered: Module) -> dict[str, int]:
    """How many operations of a Tpu module compute in each precision; casts are not counted."""
    names = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
    counts: Counter[str] = Counter()
    for op in lowered.ops():
        if op.kind in {"top.Weight", "top.Input", "tpu.Cast"} or not op.results:
            continue
        result = op.results[0]
        counts["INT8" if result.scales else names.get(result.dtype, "integers")] += 1
    return dict(sorted(counts.items()))


def _modes(lowered: Module, names: set[str]) -> dict[str, str]:
    """The precision of each operation of a module in floats, by its name in tables."""
    modes: dict[str, str] = {}
    for op in lowered.ops():
        if op.kind in {"top.Weight", "top.Input", "tpu.Cast"} or not op.results:
            continue
        if op.results[0].dtype in {"f32", "f16", "bf16"}:
            modes[key_of(op.name, names)] = op.results[0].dtype.upper()
    return modes
