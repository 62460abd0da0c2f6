"""Where the tensors of a bmodel can be read while it runs: a piece, its memory, the command behind which.

Code generation knows it and writes it beside the bmodel (``tpumlir.bmodel.debug``). A debugger shows tensors
by it, and ``tpumlir verify`` compares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Memory = Literal["global", "local"]
Nchw = tuple[int, int, int, int]

LANES = 64
LANE_BYTES = 262144
_ENGINES = ("tiu", "gdma")
_GLOBAL, _LOCAL, _EVERY_LANE = range(3)

_STORED: Mapping[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),  # raw bits: numpy has no bfloat16
    "i8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "i16": np.dtype(np.int16),
    "u16": np.dtype(np.uint16),
    "i32": np.dtype(np.int32),
    "u32": np.dtype(np.uint32),
}


class Chip(Protocol):
    """What places are read from: ``tpumlir._core.device.Machine``."""

    def read(self, addr: int, nbytes: int) -> bytes:
        """Bytes of global memory."""

    def lmem(self, lane: int) -> npt.NDArray[np.uint8]:
        """The bytes of a lane."""


Scale = float | tuple[float, ...]
"""That of all elements of a quantised tensor, or those of the indices of axis 1."""


def steps_of(scale: Scale, axes: int) -> Array:
    """A scale as it stands against a tensor of so many axes."""
    steps = np.asarray(scale, np.float64)
    return steps.reshape(1, -1, *[1] * (axes - 2)) if steps.ndim else steps


class Home(NamedTuple):
    """A tensor of the program; ``address`` is its place in global memory, None if it never has one.

    With a ``scale`` its numbers are (stored - zero_point) * scale.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: Scale | None
    zero_point: int
    address: int | None

    @property
    def elements(self) -> int:
        """How many it has."""
        return math.prod(self.shape)

    def numbers(self, stored: Array) -> Array:
        """What stored elements stand for: quantised ones are float32, as the interpreter has them."""
        if self.scale is None:
            return stored
        steps = steps_of(self.scale, stored.ndim)
        return ((stored.astype(np.float64) - self.zero_point) * steps).astype(np.float32)

    def stored(self, numbers: Array) -> Array:
        """How numbers of the tensor are stored, if they are such: the integers of a quantised one."""
        if self.scale is None or numbers.dtype.kind != "f":
            return numbers
        steps = np.rint(numbers.astype(np.float64) / steps_of(self.scale, numbers.ndim))
        # What is no number, or beyond any integer, is none that is stored.
        return (
            np.nan_to_num(steps, nan=2.0**31, posinf=2.0**31, neginf=-(2.0**31)).astype(np.int64)
            + self.zero_point
        )

    def read(self, machine: Chip) -> Array:
        """The tensor as global memory has it now. Raises: ValueError: it has no place there."""
        if self.address is None:
            raise ValueError(f"{self.name}: it has no place in global memory")
        dtype = _STORED[self.dtype]
        data = machine.read(self.address, self.elements * dtype.itemsize)
        return _values(np.frombuffer(data, dtype), self.dtype).reshape(self.shape)


class Source(NamedTuple):
    """An operation of the program: kind, ONNX node, what it computes, its line in the Tpu text (or 0).

    ``text`` is that line without its types, empty where it is not known.
    """

    op: str
    node: str
    tensor: str = ""
    line: int = 0
    text: str = ""


@dataclass(frozen=True)
class Place:
    """A piece [n, c, h, w] of a tensor that can be read once ``command`` of ``engine`` has ended.

    The commands from ``first`` on made it, none if ``first`` is greater; ``command`` 0 is the start of the
    command group. ``op`` and ``node`` are what the commands belong to: the operation that loads, computes or
    stores the piece; ``result`` is what that operation computes, ``tensor`` the same or one that it moves.

    In local memory channel c lies in lane c % 64, row c // 64, and ``stride`` [n, row, h, w] counts elements;
    with ``every_lane`` each of the lanes has the one channel. In global memory ``stride`` is [n, c, h, w].
    Element [n, c, h, w] of the piece is element ``begin`` + the sum of index * ``tensor_stride`` of the
    tensor, counted row by row. ``reads`` are other places (indices in ``DebugInfo.places``) whose values the
    commands from ``first`` on use.
    """

    group: int
    engine: str
    first: int
    command: int
    tensor: str
    op: str
    node: str
    result: str
    line: int
    slice: int
    memory: Memory
    address: int
    dtype: str
    size: Nchw
    stride: Nchw
    begin: int
    tensor_stride: Nchw
    every_lane: bool
    scale: Scale | None
    zero_point: int
    shape: tuple[int, ...]
    reads: tuple[int, ...] = field(default=(), repr=False)

    @property
    def elements(self) -> int:
        """How many elements the piece has; the copies of a channel in every lane count."""
        return math.prod(self.size)

    @property
    def is_whole(self) -> bool:
        """Whether it has as many elements as the tensor."""
        return not self.every_lane and self.elements == math.prod(self.shape)

    @property
    def kind(self) -> Literal["loaded", "computed", "stored"]:
        """How it came there: by GDMA into the lanes, by TIU, or into global memory."""
        if self.memory == "global":
            return "stored"
        return "computed" if self.engine == "tiu" else "loaded"

    def read(self, machine: Chip) -> Array:
        """The piece as memory has it now, [n, c, h, w]: as stored, bf16 as float32."""
        dtype = _STORED[self.dtype]
        if self.memory == "global":
            found = self._read_global(machine, dtype)
        else:
            found = self._read_lanes(machine, dtype)
        return _values(found, self.dtype)

    def _extent(self, size: Sequence[int]) -> int:
        """Elements from the first to the last."""
        return 1 + sum((n - 1) * s for n, s in zip(size, self.stride, strict=True))

    def _read_global(self, machine: Chip, dtype: np.dtype[Any]) -> Array:
        data = np.frombuffer(machine.read(self.address, self._extent(self.size) * dtype.itemsize), dtype)
        return np.array(_strided(data, self.size, self.stride))

    def _read_lanes(self, machine: Chip, dtype: np.dtype[Any]) -> Array:
        n, c, h, w = self.size
        result = np.empty(self.size, dtype)
        lanes = min(c, LANES)
        for lane in range(lanes):
            rows = -(-(c - lane) // LANES)
            shape = (n, rows, h, w)
            end = self.address + self._extent(shape) * dtype.itemsize
            data = machine.lmem(lane)[self.address : end].view(dtype)
            result[:, lane::LANES] = _strided(data, shape, self.stride)
        return result

    def indices(self) -> npt.NDArray[np.int64]:
        """Which elements of the row-major tensor the piece has, [n, c, h, w]."""
        result = np.full(self.size, self.begin, np.int64)
        for axis, (extent, stride) in enumerate(zip(self.size, self.tensor_stride, strict=True)):
            steps = np.arange(extent, dtype=np.int64) * stride
            result += steps.reshape([-1 if axis == other else 1 for other in range(4)])
        return result

    def of(self, whole: Array) -> Array:
        """The same piece of ``whole``, a tensor of this shape. Raises: ValueError: too few elements."""
        flat = np.ascontiguousarray(whole).reshape(-1)
        last = sum((n - 1) * s for n, s in zip(self.size, self.tensor_stride, strict=True))
        if self.begin + last >= flat.size:
            raise ValueError(f"{self.tensor}: expected at least {self.begin + last + 1} elements")
        return _strided(flat[self.begin :], self.size, self.tensor_stride)

    def put(self, whole: Array, piece: Array) -> None:
        """Write a piece into ``whole``, a contiguous tensor of this shape."""
        flat = whole.reshape(-1)
        assert np.shares_memory(flat, whole)
        view = np.lib.stride_tricks.as_strided(
            flat[self.begin :], self.size, [s * flat.itemsize for s in self.tensor_stride]
        )
        view[...] = piece

    def __str__(self) -> str:
        where = "local" if self.memory == "local" else "global"
        sizes = "x".join(map(str, self.size))
        return f"{self.tensor} slice {self.slice}: {sizes} in {where} memory at {self.address:#x}"


def _strided(data: Array, size: Sequence[int], stride: Sequence[int]) -> Array:
    return np.lib.stride_tricks.as_strided(data, size, [s * data.itemsize for s in stride], writeable=False)


def _values(stored: Array, dtype: str) -> Array:
    """The elements as numpy has them; a bfloat16 is the upper half of a float32."""
    if dtype != "bf16":
        return stored
    return (stored.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class PlaceTables:
    """Places as they are written: distinct tensors and layouts, and rows of numbers.

    ``tensors``: name, dtype, shape, scale or None, zero point, address or None. ``layouts``: tensor, memory
    (0 global, 1 local, 2 in every lane), size, stride, tensor stride. ``rows``: group, engine (0 TIU, 1
    GDMA), first, last command, source, layout, address, begin, slice, places that are read.
    """

    tensors: Sequence[Sequence[Any]] = ()
    layouts: Sequence[Sequence[Any]] = ()
    rows: Sequence[Sequence[Any]] = ()

    @cached_property
    def homes(self) -> list[Home]:
        """The tensors. Raises: KeyError, TypeError, ValueError: damaged."""
        return [_home(*row) for row in self.tensors]

    def moved(self, place: Callable[[int], int]) -> PlaceTables:
        """The same with each address of global memory where ``place`` says; as it is if it is damaged."""
        try:
            outside = [row[1] == _GLOBAL for row in self.layouts]
            tensors = [(*row[:5], None if row[5] is None else place(row[5])) for row in self.tensors]
            rows = [(*row[:6], place(row[6]) if outside[row[5]] else row[6], *row[7:]) for row in self.rows]
        except (IndexError, TypeError):
            return self
        return PlaceTables(tensors, self.layouts, rows)

    def places(self, sources: Sequence[Source]) -> list[Place]:
        """All places, of the operations ``sources``. Raises: as ``homes``, and IndexError."""
        homes = self.homes
        layouts = [_layout(homes, *row) for row in self.layouts]
        return list(self._places(homes, layouts, sources))

    def _places(
        self, homes: Sequence[Home], layouts: Sequence[_Layout], sources: Sequence[Source]
    ) -> Iterable[Place]:
        for number, row in enumerate(self.rows):
            group, engine, first, last, source, layout, address, begin, piece, reads = row
            for value in (group, engine, first, last, source, layout, address, begin, piece, *reads):
                if type(value) is not int or not 0 <= value < 1 << 48:
                    raise ValueError("expected numbers that are not negative")
            if any(read >= number for read in reads) or last >= 1 << 20:
                raise ValueError("expected earlier places, and commands of 20 bits")
            how = layouts[layout]
            home, op = homes[how.tensor], sources[source]
            how.check(home, address, begin)
            yield Place(
                group, _ENGINES[engine], first, last, home.name, op.op, op.node, op.tensor, op.line,
                piece,
                "global" if how.memory == _GLOBAL else "local", address, home.dtype, how.size, how.stride,
                begin, how.tensor_stride, how.memory == _EVERY_LANE, home.scale, home.zero_point, home.shape,
                tuple(reads),
            )  # fmt: skip


class _Layout(NamedTuple):
    tensor: int
    memory: int
    size: Nchw
    stride: Nchw
    tensor_stride: Nchw

    def check(self, home: Home, address: int, begin: int) -> None:
        """Raises: ValueError: the piece is not within its tensor, or not within a lane."""
        last = begin + sum((n - 1) * s for n, s in zip(self.size, self.tensor_stride, strict=True))
        if last >= home.elements:
            raise ValueError(f"{home.name}: expected a piece of {home.elements} elements")
        if self.memory == _GLOBAL:
            return
        n, c, h, w = self.size
        shape = (n, -(-c // LANES), h, w)
        extent = 1 + sum((n - 1) * s for n, s in zip(shape, self.stride, strict=True))
        if address + extent * _STORED[home.dtype].itemsize > LANE_BYTES:
            raise ValueError(f"{home.name}: expected a place within a lane")


def _home(
    name: object, dtype: object, shape: Sequence[int], scale: object, zero: object, address: object
) -> Home:
    dtype = str(dtype).replace("ui", "u")
    if dtype not in _STORED or not isinstance(name, str) or len(shape) > 16:
        raise ValueError("expected a tensor of known elements")
    if any(type(extent) is not int or not 0 <= extent < 1 << 40 for extent in shape):
        raise ValueError("expected extents")
    if address is not None and (type(address) is not int or not 0 <= address < 1 << 48):
        raise ValueError("expected an address or none")
    if isinstance(scale, (list, tuple)):
        if (
            len(shape) < 2
            or len(scale) != shape[1]
            or not all(isinstance(one, (int, float)) for one in scale)
        ):
            raise ValueError("expected a scale for each index of axis 1")
    elif scale is not None and not isinstance(scale, (int, float)):
        raise ValueError("expected a scale or none")
    if type(zero) is not int:
        raise ValueError("expected a zero point")
    known = tuple(map(float, scale)) if isinstance(scale, (list, tuple)) else scale and float(scale)
    return Home(name, dtype, tuple(shape), known, zero, address)


def _layout(
    homes: Sequence[Home], tensor: int, memory: int, size: Sequence[int], stride: Sequence[int],
    elements: Sequence[int],
) -> _Layout:  # fmt: skip
    for four in (size, stride, elements):
        if len(four) != 4 or any(type(x) is not int or not 0 <= x < 1 << 40 for x in four):
            raise ValueError("expected four numbers")
    if min(size) < 1 or memory not in {_GLOBAL, _LOCAL, _EVERY_LANE} or not 0 <= tensor < len(homes):
        raise ValueError("expected a layout of a tensor")
    # In the lanes windows may overlap, so that a piece has more elements than its tensor.
    most = homes[tensor].elements if memory == _GLOBAL else LANES * LANE_BYTES
    if math.prod(size) > most:
        raise ValueError("expected a piece of a tensor")
    a, b, c = (cast("Nchw", tuple(four)) for four in (size, stride, elements))
    return _Layout(tensor, memory, a, b, c)
