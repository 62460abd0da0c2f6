"""Random legal commands: what a case is, and what the generators of all families share.

A case is one encoded command and the operand bytes that it reads. Every generator draws only from the
``numpy`` generator that it is given, so a seed names a case for good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from oracle.values import SIZES, DType, Profile, make
from tpumlir._core import isa

Rng = np.random.Generator
LMEM = 0x0800_0000
SMEM = 0x0900_0000
L2 = 0x1000_0000
DDR = 0x1_0000_0000
LANES = 64
LANE_BYTES = 262144
ALL_LANES = (1 << 64) - 1
FLOATS: tuple[DType, ...] = ("f32", "f16", "bf16")
INTS: tuple[DType, ...] = ("i8", "i16", "i32")


@dataclass(frozen=True)
class Fill:
    """Bytes [offset, offset + count * size) of every lane, or of DDR."""

    offset: int
    count: int
    dtype: DType
    profile: Profile
    ddr: bool = False
    limit: int = 0  # integers below this bound instead of a profile
    copies: int = 1  # the same bytes again, each ``pitch`` behind the one before
    pitch: int = 0


@dataclass(frozen=True)
class Case:
    """One command, what to put into the memories before it, and its row in the coverage table."""

    op: str
    dtype: str
    engine: Literal["tiu", "gdma"]
    instruction: str
    fields: dict[str, int]
    fills: tuple[Fill, ...] = ()

    def encode(self) -> bytes:
        return isa.encode(self.instruction, {"cmd_id": 1, "cmd_id_en": 1, **self.fields})


Generator = Callable[[Rng], Case]
FAMILIES: dict[str, list[tuple[str, str, Generator]]] = {}


def register(family: str, op: str, dtype: str, generator: Generator) -> None:
    assert all((op, dtype) != (o, d) for rows in FAMILIES.values() for o, d, _ in rows), f"{op} {dtype} twice"
    FAMILIES.setdefault(family, []).append((op, dtype, generator))


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    return ceil_div(a, b) * b


@dataclass
class Lanes:
    """Hands out byte ranges of the lanes that do not overlap."""

    rng: Rng
    lane: int
    at: int = 0
    fills: list[Fill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = 64 * int(self.rng.integers(0, 64))

    def take(self, nbytes: int, align: int = 64) -> int:
        offset = round_up(self.at, align)
        self.at = offset + nbytes
        assert self.at <= LANE_BYTES, "case too large"
        return offset

    def fill(self, offset: int, nbytes: int, dtype: DType, profile: Profile, limit: int = 0) -> None:
        self.fills.append(Fill(offset, ceil_div(nbytes, SIZES[dtype]), dtype, profile, limit=limit))

    def address(self, offset: int) -> int:
        return self.lane * LANE_BYTES + offset


def rows_of(lane: int, c: int) -> int:
    return ceil_div(lane + c, LANES)


def tensor_bytes(lane: int, shape: tuple[int, int, int, int], size: int, aligned: bool) -> int:
    n, c, h, w = shape
    row = h * w * size
    return n * rows_of(lane, c) * (round_up(row, 64) if aligned else row)


def small_shape(rng: Rng, budget: int = 6000) -> tuple[int, int, int, int]:
    """Sizes that cross one element, 64 and 65 channels, odd rows; at most ``budget`` elements."""
    while True:
        n = int(rng.choice([1, 1, 2, 3]))
        c = int(rng.choice([1, 2, 3, 7, 16, 63, 64, 65, 100, 129]))
        h = int(rng.choice([1, 1, 2, 3, 5, 8]))
        w = int(rng.choice([1, 2, 3, 5, 7, 16, 17, 33, 64, 100]))
        if n * c * h * w <= budget:
            return n, c, h, w


def profile_of(rng: Rng, *profiles: Profile) -> Profile:
    return profiles[int(rng.integers(0, len(profiles)))]


def constant_bits(rng: Rng, dtype: DType) -> int:
    """Raw bits of a constant operand."""
    data = make(rng, dtype, 1, profile_of(rng, "plain", "small", "edges"))
    return int.from_bytes(data.tobytes(), "little")


def result_shape(shape: tuple[int, int, int, int]) -> dict[str, int]:
    return {f"res0_{d}": s for d, s in zip("nchw", shape, strict=True)}


def aligned(
    lanes: Lanes, name: str, dtype: DType, shape: tuple[int, int, int, int], profile: Profile | None
) -> dict[str, int]:
    nbytes = tensor_bytes(lanes.lane, shape, SIZES[dtype], True)
    at = lanes.take(nbytes)
    if profile is not None:
        lanes.fill(at, nbytes, dtype, profile)
    return {f"{name}_addr": lanes.address(at)}


def word(value: float) -> int:
    """Raw bits of an f32."""
    return int(np.float32(value).view(np.uint32))
