"""The tensors of a program on the chip at a position: which pieces are there, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.bmodel.places import steps_of
from tpumlir.compare import ElementBound, TensorResult, Tolerance, compare_tensor
from tpumlir.debugger.memory import place_ranges
from tpumlir.debugger.program import Program
from tpumlir.debugger.trace import Ranges, Trace
from tpumlir.precision.formats import PRECISIONS, least_precise

if TYPE_CHECKING:
    from tpumlir._core.device import Machine
    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.places import Place, Scale

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """A place of a tensor at a position: when it came there, and the command that wrote over it since."""

    place: Place
    since: int
    overwritten: int | None


@dataclass(frozen=True)
class Found:
    """A tensor put together of its pieces; ``known`` says which elements are there."""

    name: str
    values: Array
    known: npt.NDArray[np.bool_]
    pieces: tuple[Piece, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every element is there."""
        return bool(self.known.all())


class Tensors:
    """What can be read of the tensors of a program while it runs."""

    def __init__(self, program: Program, machine: Machine, trace: Trace) -> None:
        self._program, self._machine, self._trace = program, machine, trace
        self._ranges: dict[int, Ranges] = {}

    def ranges(self, place: Place) -> Ranges:
        """The bytes of a place."""
        key = id(place)
        if key not in self._ranges:
            self._ranges[key] = place_ranges(place)
        return self._ranges[key]

    def pieces(self, name: str, position: int) -> list[Piece]:
        """The places of a tensor that have been there before a position, the newest last.

        Raises: InputError: a tensor without a place.
        """
        found = []
        for place in self._program.pieces(name):
            since = self._program.ready_at(place)
            if since is not None and since <= position:
                over = self._trace.writer(self.ranges(place), since, position)
                found.append(Piece(place, since, over))
        return sorted(found, key=lambda piece: piece.since)

    def read(self, name: str, position: int, memory: str = "") -> Found:
        """The tensor, of all pieces that are still there; a newer one counts before an older one.

        Raises: InputError: as ``pieces``.
        """
        chosen = [
            piece
            for piece in self.pieces(name, position)
            if piece.overwritten is None and memory in {"", piece.place.memory}
        ]
        shape = self._program.pieces(name)[0].shape
        values: Array | None = None
        known = np.zeros(shape, np.bool_)
        for piece in chosen:
            data = piece.place.read(self._machine)
            if values is None:
                values = np.zeros(shape, data.dtype)
            piece.place.put(values, data)
            piece.place.put(known, np.ones(data.shape, np.bool_))
        empty = np.zeros(shape, np.float32) if values is None else values
        return Found(name, empty, known, tuple(chosen))


def real(stored: Array, scale: Scale | None, zero_point: int) -> Array:
    """Quantised values as the numbers that they stand for; others as they are, halves as float32."""
    if scale is not None:
        steps = steps_of(scale, stored.ndim).astype(np.float32)
        return np.asarray((stored.astype(np.float32) - zero_point) * steps)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


class Judge(NamedTuple):
    """How tensors on the chip compare with a reference: as `model_deploy` judges, or as it is told."""

    tolerance: Tolerance
    bound: ElementBound | None

    @staticmethod
    def of(model: BModel, tolerance: Tolerance | None, bound: ElementBound | None) -> Judge:
        """By the least precise of the tensors of a bmodel; what is given counts instead."""
        dtypes = {home.dtype for home in model.debug.tensors.values()}
        dtypes |= {spec.dtype for spec in (*model.inputs, *model.outputs)}
        row = PRECISIONS[least_precise(dtypes)]
        own = None if row.needs_calibration else row.device.model
        return Judge(tolerance or row.device.tolerance, bound or own)

    def __call__(self, name: str, got: Array, want: Array, *, quantised: bool = False) -> TensorResult:
        """The verdict on a tensor, or on the same elements of both sides."""
        if got.dtype.kind == "f" or want.dtype.kind == "f":
            got, want = got.astype(np.float32, copy=False), want.astype(np.float32, copy=False)
        bound = None if quantised else self.bound
        return compare_tensor(name, got, want, tolerance=self.tolerance, bound=bound)
