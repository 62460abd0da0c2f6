"""One walk over a dataset: what every float tensor of a Top module holds, as histograms that widen.

Memory does not depend on how many samples there are: a sample is read, run, counted and forgotten. Nor does
it grow much with the model: where all tensors together are more than ``AT_ONCE`` bytes, they are looked at in
parts, each with runs of its own.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.calibration import methods
from tpumlir.calibration.dataset import Given, Sample, samples_of
from tpumlir.calibration.methods import Magnitudes
from tpumlir.calibration.table import CalibrationTable, Row, float_tensors, read_by_channel
from tpumlir.data.record import recorded_pictures
from tpumlir.errors import CalibrationError, Diagnostic, InputError, Note
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module

if TYPE_CHECKING:
    from tpumlir._core.compare import Histogram

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]

BINS = 2048
AT_ONCE = 384 << 20
"""Bytes of tensors that one run hands over."""
MUCH = 0.5
"""Of the numbers of a tensor that are not 0: if so many become 0, its scale is worth a look."""
LEAST_BINS, MOST_BINS = 128, 1 << 20
_FEW = 6


@dataclass(frozen=True)
class Options:
    """How a table is made of what was seen."""

    method: str = methods.DEFAULT
    bins: int = BINS
    tune: bool = False  # of each tensor the method that costs it least
    allow_nonfinite: bool = False

    def check(self) -> None:
        """Raises: InputError: an unknown method, or bins that a histogram cannot have."""
        if self.method not in methods.METHODS:
            raise InputError(f"expected a method of {', '.join(methods.METHODS)}, got {self.method!r}")
        if not LEAST_BINS <= self.bins <= MOST_BINS:
            raise InputError(f"expected {LEAST_BINS} to {MOST_BINS} histogram bins, got {self.bins}")


class Channels:
    """The least and the greatest number of each index of axis 1 over all samples."""

    def __init__(self) -> None:
        self.low: Array | None = None
        self.high: Array | None = None

    def add(self, values: Array) -> None:
        """Take a tensor of at least two axes into account."""
        axes = (0, *range(2, values.ndim))
        low, high = values.min(axis=axes), values.max(axis=axes)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def ends(self) -> tuple[tuple[float, float], ...]:
        """Least and greatest of each; none where some are no finite numbers."""
        if self.low is None or self.high is None or not np.isfinite([self.low, self.high]).all():
            return ()
        return tuple(
            (float(low) + 0.0, float(high) + 0.0) for low, high in zip(self.low, self.high, strict=True)
        )


@dataclass
class Calibration:
    """What a module's tensors held over all samples."""

    options: Options
    samples: int
    histograms: dict[str, Histogram]  # of float tensors, in the order of the module
    channels: dict[str, Channels] = field(default_factory=dict)  # of those that may have a scale for each
    integers: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    chosen: dict[str, str] = field(default_factory=dict)  # the method by tensor, where they were tuned

    @property
    def constant(self) -> list[str]:
        """Tensors that held one number only."""
        return [name for name, seen in self.histograms.items() if seen.count and seen.low == seen.high]

    @property
    def nonfinite(self) -> list[str]:
        """Tensors with NaN or infinities; what else they hold counts."""
        return [name for name, seen in self.histograms.items() if seen.nan or seen.infinite]

    @property
    def unseen(self) -> list[str]:
        """Tensors without any finite number, which get no row."""
        return [name for name, seen in self.histograms.items() if not seen.count]

    def magnitudes(self, name: str) -> Magnitudes:
        """What a method sees of a tensor."""
        return Magnitudes.of(self.histograms[name])

    def table(self, method: str | None = None) -> CalibrationTable:
        """The table by ``method``, by default that of the options."""
        options = self.options if method is None else replace(self.options, method=method, tune=False)
        options.check()
        rows: dict[str, Row] = {}
        for name, seen in self.histograms.items():
            if not seen.count:
                continue
            magnitudes = Magnitudes.of(seen)
            if options.tune:
                self.chosen[name], end = methods.tuned(magnitudes)
            else:
                end = methods.threshold(magnitudes, options.method)
            rows[name] = row_of(seen, end)
            if name in self.channels:
                rows[name] = replace(rows[name], channels=self.channels[name].ends())
        how = "the least expected error of all methods" if options.tune else options.method
        return CalibrationTable(
            rows,
            (
                "calibration table of tpumlir",
                f"histogram number: {options.bins}",
                f"sample number: {self.samples}",
                f"method: {how}",
            ),
        )

    def lost(self, table: CalibrationTable, least: float = MUCH) -> dict[str, float]:
        """The tensors of which at least this part becomes 0 though it is not, and which part, in order."""
        shares = {
            name: methods.lost_share(self.magnitudes(name), row.threshold) for name, row in table.rows.items()
        }
        return {name: share for name, share in shares.items() if share >= least}

    def tell(self, table: CalibrationTable) -> None:
        """Notes on tensors that a user should know of."""
        for text, names in (
            ("tensors that hold one number over all samples", self.constant),
            ("integer tensors, which have no row", self.integers),
            ("tensors without elements, which have no row", self.empty),
            ("tensors with NaN or infinities, of which the other numbers count", self.nonfinite),
            ("tensors without a finite number, which have no row", self.unseen),
            ("tensors of which INT8 makes more than half of the numbers 0", [*self.lost(table)]),
        ):
            if names:
                more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
                warnings.warn(f"{text}: {', '.join(names[:_FEW])}{more}", Note, stacklevel=3)


def row_of(seen: Histogram, end: float) -> Row:
    """The row of a tensor with a threshold, in numbers that the text form keeps."""
    return Row(float(np.float32(end)) or methods.NOTHING, seen.low + 0.0, seen.high + 0.0)


def calibrate(
    mlir: Module | str | os.PathLike[str],
    dataset: Given | None = None,
    *,
    data_list: str | Path | None = None,
    input_num: int = 0,
    options: Options | None = None,
    **given: Any,
) -> CalibrationTable:
    """The calibration table of a Top module (or its file) over a dataset.

    ``dataset`` is a folder of npz, npy or picture files, one file, or samples as mappings of arrays;
    ``data_list`` a file with a line for each sample. ``input_num`` samples are taken, 0 means all. ``given``
    are fields of ``Options``: ``method``, ``bins``, ``tune``, ``allow_nonfinite``.

    Raises: InputError: data that do not fit. CalibrationError: tensors that become NaN or infinite.
    """
    module = mlir if isinstance(mlir, Module) else Module.load(mlir)
    chosen = replace(options or Options(), **given)
    chosen.check()
    seen = measure(module, samples_of(module, dataset, data_list, input_num), chosen)
    table = seen.table()
    seen.tell(table)
    return table


def measure(
    module: Module,
    samples: Sequence[Sample],
    options: Options | None = None,
    progress: Progress | None = None,
    *,
    at_once: int = AT_ONCE,
) -> Calibration:
    """Run every sample and count what each float tensor holds; ``progress`` is told runs done and to do.

    Raises: InputError: a sample that does not fit, a module that is not Top. CalibrationError: tensors that
    become NaN or infinite, unless the options allow it.
    """
    options = options or Options()
    options.check()
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TOP"):
        raise InputError(
            f"expected a Top module, which model_transform writes, got one of state {state or 'unknown'}"
        )
    from tpumlir._core.compare import Histogram

    # More than half of the bins of a histogram are below the greatest magnitude: twice as many are enough.
    bins = 2 * options.bins
    names = float_tensors(module)
    if not names:
        raise InputError(
            "expected a module with float tensors, got one of integers only: INT8 has nothing to do"
        )
    result = Calibration(
        options,
        len(samples),
        {name: Histogram(bins) for name in names},
        {name: Channels() for name in read_by_channel(module)},
    )
    result.integers, result.empty = _without_row(module)
    parts = list(_parts(module, names, at_once))
    pictures = recorded_pictures(module)
    done, total = 0, len(parts) * len(samples)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(_threads()))
        for part in parts:
            interpreter = ModuleInterpreter(module)
            for sample in samples:
                inputs = sample.read(module, pictures, allow_nonfinite=options.allow_nonfinite)
                values = interpreter.run(inputs, tensors=part, allow_nan=options.allow_nonfinite)
                _count(result.histograms, part, values, pool)
                for name in result.channels.keys() & set(part):
                    result.channels[name].add(values[name])
                del inputs, values  # before the next ones are there
                if not options.allow_nonfinite:
                    _expect_finite(module, result.histograms, part, sample)
                done += 1
                if progress:
                    progress(done, total)
    return result


def _count(
    histograms: Mapping[str, Histogram],
    names: Sequence[str],
    values: Mapping[str, Array],
    pool: ThreadPoolExecutor,
) -> None:
    def add(name: str) -> None:
        histograms[name].add(np.ascontiguousarray(values[name], np.float32))

    # The largest first, so that no thread is left with one of them at the end.
    for _ in pool.map(add, sorted(names, key=lambda name: -values[name].size)):
        pass


def _expect_finite(
    module: Module, histograms: Mapping[str, Histogram], names: Sequence[str], sample: Sample
) -> None:
    wrong = [name for name in names if histograms[name].nan or histograms[name].infinite]
    if not wrong:
        return
    kinds = {result.name: op for op in module.ops() for result in op.results}
    first = histograms[wrong[0]]
    more = f"; {len(wrong) - 1} tensors behind it too" if len(wrong) > 1 else ""
    raise CalibrationError(
        Diagnostic(
            f"expected finite numbers from {kinds[wrong[0]].kind} for {sample.where}, got "
            f"{first.nan} NaN and {first.infinite} infinities{more} (--allow_nonfinite leaves them out)",
            wrong[0],
        )
    )


def _without_row(module: Module) -> tuple[list[str], list[str]]:
    integers, empty = [], []
    for op in module.ops():
        if op.kind in {"top.Weight", "top.None"}:
            continue
        for result in op.results:
            if result.dtype == "none" or not result.name:
                continue
            if 0 in (result.shape or ()):
                empty.append(result.name)
            elif result.dtype != "f32":
                integers.append(result.name)
    return integers, empty


def _parts(module: Module, names: Sequence[str], at_once: int) -> Iterator[list[str]]:
    """``names`` in parts of at most ``at_once`` bytes, but for single tensors that are larger."""
    sizes = {
        result.name: 4 * int(np.prod(result.shape or (1,), dtype=np.int64))
        for op in module.ops()
        for result in op.results
    }
    part: list[str] = []
    size = 0
    for name in names:
        if part and size + sizes[name] > at_once:
            yield part
            part, size = [], 0
        part.append(name)
        size += sizes[name]
    if part:
        yield part


def _threads() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
