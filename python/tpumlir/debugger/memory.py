"""Tensors in the memories of the simulated chip, read in the layouts of commands (docs/hardware.md H5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir.debugger.trace import Ranges
from tpumlir.errors import InputError

if TYPE_CHECKING:
    from tpumlir._core.device import Machine
    from tpumlir.bmodel.places import Place

Array = npt.NDArray[Any]
LAYOUTS = ("aligned", "compact", "dense")
"""In local memory aligned or compact, in the others dense; strides in elements may be given instead."""
DTYPES: Mapping[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "i16": np.dtype(np.int16),
    "u16": np.dtype(np.uint16),
    "i32": np.dtype(np.int32),
    "u32": np.dtype(np.uint32),
}
_LOCAL, _LOCAL_END = isa.LOCAL_MEMORY


def to_numbers(stored: Array, dtype: str) -> Array:
    """Elements as numpy has them; a bfloat16 is the upper half of a float32."""
    return (stored.astype(np.uint32) << 16).view(np.float32) if dtype == "bf16" else stored


@dataclass(frozen=True)
class View:
    """A tensor as memory has it: at an address of GDMA, or with ``lane`` 0 at an offset of the lanes.

    ``strides`` counts elements: [n, c, h, w] in plain memory, [n, row, h, w] in local memory, where channel c
    lies in lane (first + c) % 64.
    """

    address: int
    shape: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    dtype: str
    shown: tuple[int, ...]
    """The shape that it has for the user."""

    @staticmethod
    def of(
        address: int,
        shape: Sequence[int],
        dtype: str,
        layout: str = "",
        strides: Sequence[int] | None = None,
    ) -> View:
        """A view of what stands at an address of the GDMA map; up to four dimensions in local memory.

        Raises: InputError: what makes no sense.
        """
        if dtype not in DTYPES:
            raise InputError(f"expected an element type of {', '.join(DTYPES)}, got {dtype}")
        if not shape or any(extent < 1 for extent in shape):
            raise InputError(f"expected extents of at least 1, got {list(shape)}")
        local = is_local(address)
        if len(shape) > 4 and (local or strides):
            raise InputError(f"expected at most 4 dimensions, got {len(shape)}")
        four = (1,) * (4 - len(shape)) + tuple(shape) if len(shape) <= 4 else (1, 1, 1, math.prod(shape))
        layout = layout or ("aligned" if local else "dense")
        if strides is not None:
            if len(strides) != 4 or any(stride < 0 for stride in strides):
                raise InputError(f"expected 4 strides of at least 0 in elements, got {list(strides)}")
            steps = tuple(strides)
        elif local:
            steps = _lane_strides(address, four, dtype, layout)
        else:
            if layout != "dense":
                raise InputError(f"expected the layout dense, or strides, outside of the lanes, got {layout}")
            _, c, h, w = four
            steps = (c * h * w, h * w, w, 1)
        a, b, c, d = four
        s, t, u, v = steps
        return View(address, (a, b, c, d), (s, t, u, v), dtype, tuple(shape))

    def read(self, machine: Machine) -> Array:
        """The tensor as it is now. Raises: InputError: it is not within one memory."""
        dtype = DTYPES[self.dtype]
        if is_local(self.address):
            found = self._read_lanes(machine, dtype)
        else:
            extent = _extent(self.shape, self.strides)
            data = np.frombuffer(machine.read(self.address, extent * dtype.itemsize), dtype)
            found = _strided(data, self.shape, self.strides)
        return to_numbers(np.ascontiguousarray(found), self.dtype).reshape(self.shown)

    def _read_lanes(self, machine: Machine, dtype: np.dtype[Any]) -> Array:
        n, channels, h, w = self.shape
        first, offset = divmod(self.address - _LOCAL, isa.LANE_BYTES)
        rows = -(-(first + channels) // isa.LANES)
        end = offset + _extent((n, rows, h, w), self.strides) * dtype.itemsize
        if end > isa.LANE_BYTES:
            raise InputError(
                f"expected a tensor within the {isa.LANE_BYTES:#x} bytes of a lane, got one up to {end:#x}"
            )
        result = np.empty(self.shape, dtype)
        for lane in range(min(isa.LANES, first + channels)):
            data = machine.lmem(lane)[offset:end].view(dtype)
            block = _strided(data, (n, rows, h, w), self.strides)
            for row in range(rows):
                channel = row * isa.LANES + lane - first
                if 0 <= channel < channels:
                    result[:, channel] = block[:, row]
        return result

    def ranges(self) -> Ranges:
        """Its bytes."""
        size = DTYPES[self.dtype].itemsize
        if not is_local(self.address):
            return Ranges.of(_runs(self.address, self.shape, self.strides, size))
        n, channels, h, w = self.shape
        first, offset = divmod(self.address - _LOCAL, isa.LANE_BYTES)
        found = []
        for lane in range(min(isa.LANES, first + channels)):
            before = 1 if lane < first else 0
            rows = -(-(first + channels - lane) // isa.LANES) - before
            base = _LOCAL + lane * isa.LANE_BYTES + offset + before * self.strides[1] * size
            if rows > 0:
                found.append(_runs(base, (n, rows, h, w), self.strides, size))
        return Ranges.of(np.concatenate(found))

    def __str__(self) -> str:
        size = "x".join(map(str, self.shown))
        return f"{size} {self.dtype} at {address_text(self.address)}"


def is_local(address: int) -> bool:
    """Whether an address of the GDMA map is one of local memory."""
    return _LOCAL <= address < _LOCAL_END


def address_text(address: int) -> str:
    """An address as people read it."""
    if is_local(address):
        lane, offset = divmod(address - _LOCAL, isa.LANE_BYTES)
        return f"local {offset:#x}" + (f" from lane {lane} on" if lane else "")
    return f"{address:#x}"


def place_ranges(place: Place) -> Ranges:
    """The bytes of a place."""
    size = DTYPES[place.dtype].itemsize
    n, c, h, w = place.size
    if place.memory == "global":
        return Ranges.of(_runs(place.address, place.size, place.stride, size))
    found = []
    for lane in range(min(c, isa.LANES)):
        rows = -(-(c - lane) // isa.LANES)
        base = _LOCAL + lane * isa.LANE_BYTES + place.address
        found.append(_runs(base, (n, rows, h, w), place.stride, size))
    return Ranges.of(np.concatenate(found))


def _lane_strides(address: int, shape: Sequence[int], dtype: str, layout: str) -> tuple[int, ...]:
    if layout not in {"aligned", "compact"}:
        raise InputError(f"expected the layout aligned or compact, or strides, in the lanes, got {layout}")
    _, c, h, w = shape
    per_unit = isa.EU_BYTES // DTYPES[dtype].itemsize
    row = h * w if layout == "compact" else -(-h * w // per_unit) * per_unit
    lane = (address - _LOCAL) // isa.LANE_BYTES
    return (row * -(-(lane + c) // isa.LANES), row, w, 1)


def _extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements from the first to the last."""
    return 1 + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))


def _strided(data: Array, shape: Sequence[int], strides: Sequence[int]) -> Array:
    steps = [stride * data.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(data, shape, steps, writeable=False)


def _runs(address: int, shape: Sequence[int], strides: Sequence[int], size: int) -> npt.NDArray[np.int64]:
    """Rows of the first address and the one behind of all elements, neighbours put together."""
    run = size
    dims = len(shape)
    while dims and (shape[dims - 1] == 1 or strides[dims - 1] * size == run):
        run *= shape[dims - 1]
        dims -= 1
    starts = np.array([address], np.int64)
    for extent, stride in zip(shape[:dims], strides[:dims], strict=True):
        starts = (starts[:, None] + np.arange(extent, dtype=np.int64) * (stride * size)).reshape(-1)
    starts = np.unique(starts)
    return np.stack([starts, starts + run], axis=1)


def read_ranges(machine: Machine, ranges: Ranges) -> list[tuple[int, bytes]]:
    """What memory has at some ranges: the address of each run of bytes, and these."""
    found = []
    for (begin, end), lanes in zip(ranges.local.tolist(), ranges.lanes.tolist(), strict=True):
        for lane in range(isa.LANES):
            if int(lanes) >> lane & 1:
                data = machine.lmem(lane)[begin:end].tobytes()
                found.append((_LOCAL + lane * isa.LANE_BYTES + begin, data))
    for begin, end in ranges.other.tolist():
        found.append((begin, machine.read(begin, end - begin)))
    return found
