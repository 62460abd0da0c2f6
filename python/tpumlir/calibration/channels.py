"""One tensor in detail: its channels, its threshold, and the weights that it is computed with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.calibration import methods
from tpumlir.calibration.calibrate import row_of
from tpumlir.calibration.methods import Magnitudes
from tpumlir.calibration.table import CalibrationTable, Row, float_tensors
from tpumlir.errors import CalibrationError, Diagnostic, InputError, unknown_name
from tpumlir.ir.interpreter import ModuleInterpreter

if TYPE_CHECKING:
    from tpumlir._core.compare import Histogram
    from tpumlir._core.ir import OpInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

_BINS = 4096  # of the whole tensor
_CHANNEL_BINS = 512
_MOST_BINS = 1 << 24  # of all channels together
# Their results have the channels behind the batch; those of others, if of fewer than 4 axes, in the last.
_CHANNELS_FIRST = {"top.Conv", "top.Deconv", "top.AvgPool", "top.MaxPool", "top.Scale", "top.BatchNorm"}


@dataclass(frozen=True)
class Weights:
    """The constant filter or matrix of an operation, one row for each output channel."""

    name: str
    values: F64

    @property
    def largest(self) -> F64:
        """The greatest magnitude of each channel."""
        result: F64 = np.abs(self.values).max(axis=1, initial=0.0)
        return result

    @property
    def scales(self) -> F64:
        """The symmetric INT8 scale of each channel, 0 for a channel of zeros."""
        return self.largest / 127

    def errors(self) -> F64:
        """The relative error of each channel, rounded with its own scale."""
        return self._errors(self.scales)

    def errors_of_one_scale(self) -> F64:
        """The same with one scale for all channels."""
        return self._errors(np.full(len(self.values), float(self.scales.max(initial=0.0))))

    def _errors(self, scales: F64) -> F64:
        step = np.where(scales > 0, scales, 1.0)[:, None]
        noise = ((np.rint(self.values / step) * step - self.values) ** 2).sum(axis=1)
        signal = (self.values**2).sum(axis=1)
        result: F64 = np.sqrt(noise / np.where(signal > 0, signal, 1.0))
        return result


@dataclass(frozen=True)
class View:
    """What one tensor held over the samples, as a whole and by channel, and how INT8 holds it."""

    name: str
    kind: str  # of the operation that computes it
    shape: tuple[int, ...]
    axis: int
    samples: int
    whole: Histogram
    channels: list[Histogram]
    row: Row
    origin: str  # of the threshold
    weights: Weights | None

    @property
    def magnitudes(self) -> Magnitudes:
        """What a method sees."""
        return Magnitudes.of(self.whole)

    @property
    def steps(self) -> int:
        """Of the grid from 0 to the threshold: by the table's range, as the lowering has it."""
        return 255 if self.row.low >= 0 else 127

    @property
    def scale(self) -> float:
        """The distance of two INT8 numbers."""
        return self.row.threshold / self.steps

    def _held(self, histogram: Histogram) -> Magnitudes:
        return replace(Magnitudes.of(histogram), grid=self.steps)

    def error(self) -> float:
        """The expected relative error of the whole tensor in INT8."""
        return methods.relative_noise(self._held(self.whole), self.row.threshold)

    def clipped(self, histogram: Histogram | None = None) -> float:
        """Which part of the numbers lies beyond the threshold, to the width of a bin."""
        seen = self.whole if histogram is None else histogram
        if not seen.count or not seen.width:
            return 0.0
        first = math.ceil(self.row.threshold / seen.width)
        beyond = sum(int(seen.counts(negative=side)[first:].sum()) for side in (False, True))
        return beyond / seen.count

    def channel_rows(self) -> list[dict[str, float]]:
        """Of each channel what it reaches, and how the scale of the tensor holds it."""
        rows = []
        for place, seen in enumerate(self.channels):
            held = self._held(seen)
            end = self.row.threshold
            span = min(seen.high, end) - max(seen.low, -end) if seen.count else 0.0
            rows.append(
                {
                    "channel": place,
                    "min": seen.low if seen.count else math.nan,
                    "max": seen.high if seen.count else math.nan,
                    "rms": math.sqrt(seen.squares / seen.count) if seen.count else math.nan,
                    "clipped": self.clipped(seen),
                    "error": methods.relative_noise(held, self.row.threshold) if seen.count else 0.0,
                    "bits": math.log2(1 + max(span, 0.0) / self.scale),
                }
            )
        return rows


def view(
    module: Module,
    name: str,
    samples: Iterable[Mapping[str, Array]],
    table: CalibrationTable | None = None,
    axis: int | None = None,
) -> View:
    """Run the samples and look at the float tensor ``name``.

    The threshold is that of ``table``; without one the best for these samples. Raises: InputError: no such
    tensor or axis, no samples. CalibrationError: the table has no row for it, or it holds no finite number.
    """
    op, shape = _tensor(module, name)
    if table is not None and name not in table.rows:
        told = unknown_name("tensor of the calibration table", name, table.rows)
        raise CalibrationError(told)
    chosen = _axis(op, shape, axis, name)
    from tpumlir._core.compare import Histogram

    extent = shape[chosen] if shape else 1
    bins = _CHANNEL_BINS
    while bins > 2 and bins * extent > _MOST_BINS:
        bins //= 2
    whole, channels = Histogram(_BINS), [Histogram(bins) for _ in range(extent)]
    interpreter = ModuleInterpreter(module)
    count = 0
    for inputs in samples:
        value = interpreter.run(inputs, tensors=[name], allow_nan=True)[name]
        rows = np.moveaxis(np.asarray(value, np.float32).reshape(shape or (1,)), chosen, 0)
        rows = np.ascontiguousarray(rows.reshape(extent, -1))
        whole.add(rows)
        for seen, line in zip(channels, rows, strict=True):
            seen.add(line)
        count += 1
    if not count:
        raise InputError("expected samples, got none")
    if not whole.count:
        raise CalibrationError(Diagnostic("expected finite numbers over the samples, got none", name))
    if table is not None:
        row, origin = table.rows[name], "of the table"
    else:
        end = methods.threshold(Magnitudes.of(whole), methods.DEFAULT)
        row = row_of(whole, end)
        origin = f"by {methods.DEFAULT} from these samples"
    weights = _weights(module, op)
    return View(name, op.kind, shape, chosen, count, whole, channels, row, origin, weights)


def _tensor(module: Module, name: str) -> tuple[OpInfo, tuple[int, ...]]:
    for op in module.ops():
        for result in op.results:
            if result.name != name or op.kind in {"top.Weight", "top.None"}:
                continue
            if result.dtype != "f32":
                raise InputError(Diagnostic(f"expected a float tensor, got {result.dtype}", name))
            if 0 in (result.shape or ()):
                raise InputError(Diagnostic("expected a tensor with elements, got an empty one", name))
            return op, tuple(result.shape or ())
    raise InputError(unknown_name("float tensor of the module", name, float_tensors(module)))


def _axis(op: OpInfo, shape: tuple[int, ...], axis: int | None, name: str) -> int:
    rank = max(len(shape), 1)
    if axis is None:
        first = rank > 1 and (op.kind in _CHANNELS_FIRST or rank > 3)
        return 1 if first else rank - 1
    if not -rank <= axis < rank:
        raise InputError(Diagnostic(f"expected an axis from {-rank} to {rank - 1}, got {axis}", name))
    return axis % rank


def _weights(module: Module, op: OpInfo) -> Weights | None:
    """The constant that ``op`` multiplies with, output channels in front."""
    if op.kind not in {"top.Conv", "top.Deconv", "top.MatMul"} or len(op.operands) < 2:
        return None
    values = module.weights.get(op.operands[1])
    if values is None or values.dtype.kind != "f" or values.ndim < 2 or not values.size:
        return None
    axis = 0
    if op.kind == "top.MatMul":
        axis = values.ndim - (2 if op.attrs.get("right_transpose") else 1)
    rows = np.moveaxis(values.astype(np.float64), axis, 0)
    return Weights(op.operands[1], rows.reshape(len(rows), -1))
