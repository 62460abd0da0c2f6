"""What commands have read and written, by their position: noted once, for the simulator is deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa

Rows = npt.NDArray[np.int64]
_LOCAL, _LOCAL_END = isa.LOCAL_MEMORY
_CHUNK = 256  # rows that are compared with all others at once
_EVERY = (1 << isa.LANES) - 1


class Ranges(NamedTuple):
    """Bytes: ``local`` as rows of begin and end within a lane, with ``lanes``; ``other`` by address."""

    local: Rows
    lanes: npt.NDArray[np.uint64]
    other: Rows

    @staticmethod
    def of(rows: Rows) -> Ranges:
        """Of rows of first address and the one behind."""
        is_local = (rows[:, 0] >= _LOCAL) & (rows[:, 0] < _LOCAL_END)
        other = rows[~is_local]
        inside = _split(rows[is_local] - _LOCAL)
        lane = inside[:, 0] // isa.LANE_BYTES
        inside = inside - (lane * isa.LANE_BYTES)[:, None]
        distinct, inverse = np.unique(inside, axis=0, return_inverse=True)
        lanes = np.zeros(len(distinct), np.uint64)
        np.bitwise_or.at(lanes, inverse.reshape(-1), np.uint64(1) << lane.astype(np.uint64))
        return Ranges(distinct, lanes, other)

    @staticmethod
    def union(many: Sequence[Ranges]) -> Ranges:
        """All of them."""
        local = np.concatenate([ranges.local for ranges in many])
        lanes = np.concatenate([ranges.lanes for ranges in many])
        distinct, inverse = np.unique(local, axis=0, return_inverse=True)
        merged = np.zeros(len(distinct), np.uint64)
        np.bitwise_or.at(merged, inverse.reshape(-1), lanes)
        return Ranges(distinct, merged, _merged(np.concatenate([ranges.other for ranges in many])))

    def overlaps(self, other: Ranges) -> bool:
        """Whether some byte is in both."""
        if len(self.other) and len(other.other):
            # Both are sorted and disjoint: only the first that ends behind a beginning can meet it.
            at = np.searchsorted(other.other[:, 1], self.other[:, 0], side="right")
            inside = at < len(other.other)
            if (other.other[at[inside], 0] < self.other[inside, 1]).any():
                return True
        if not len(self.local) or not len(other.local):
            return False
        for first in range(0, len(self.local), _CHUNK):
            part = slice(first, first + _CHUNK)
            both = _meet(self.local[part], other.local)
            if (both & ((self.lanes[part, None] & other.lanes[None, :]) != 0)).any():
                return True
        return False

    @property
    def nbytes(self) -> int:
        """How many bytes it has."""
        counts = np.array([int(mask).bit_count() for mask in self.lanes.tolist()], np.int64)
        local = int(((self.local[:, 1] - self.local[:, 0]) * counts).sum())
        return local + int((self.other[:, 1] - self.other[:, 0]).sum())

    def lines(self) -> list[str]:
        """A line for each run of bytes; more than a few are put together."""
        found = []
        for lanes in dict.fromkeys(self.lanes.tolist()):
            rows = self.local[self.lanes == lanes]
            found.append(f"local {_lanes_text(int(lanes))} {_runs(rows)}")
        if len(self.other):
            found.append(f"global {_runs(self.other)}")
        return found


def _split(rows: Rows) -> Rows:
    """Rows that end behind their lane as one for each lane."""
    crossing = (rows[:, 0] // isa.LANE_BYTES) != ((rows[:, 1] - 1) // isa.LANE_BYTES)
    if not crossing.any():
        return rows
    found = rows[~crossing].tolist()
    for begin, end in rows[crossing].tolist():
        at = begin
        while at < end:
            border = min(end, (at // isa.LANE_BYTES + 1) * isa.LANE_BYTES)
            found.append([at, border])
            at = border
    return np.array(found, np.int64).reshape(-1, 2)


def _merged(rows: Rows) -> Rows:
    """Sorted and disjoint rows of the same bytes."""
    found: list[list[int]] = []
    for begin, end in sorted(rows.tolist()):
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return np.array(found, np.int64).reshape(-1, 2)


def _meet(a: Rows, b: Rows) -> npt.NDArray[np.bool_]:
    """Which rows of two lists have a byte in common."""
    return (a[:, None, 0] < b[None, :, 1]) & (b[None, :, 0] < a[:, None, 1])


def _lanes_text(mask: int) -> str:
    if mask == _EVERY:
        return "lanes 0-63"
    lanes = [lane for lane in range(isa.LANES) if mask >> lane & 1]
    if lanes == list(range(lanes[0], lanes[-1] + 1)):
        return f"lane {lanes[0]}" if len(lanes) == 1 else f"lanes {lanes[0]}-{lanes[-1]}"
    return "lanes " + ",".join(map(str, lanes))


def _runs(rows: Rows) -> str:
    if len(rows) == 1:
        return f"[{rows[0, 0]:#x}, {rows[0, 1]:#x})"
    size = int((rows[:, 1] - rows[:, 0]).sum())
    return f"[{rows[:, 0].min():#x}, {rows[:, 1].max():#x}), {len(rows)} runs of {size} bytes"


class Touched(NamedTuple):
    """What a command reads and writes."""

    reads: Ranges
    writes: Ranges

    @staticmethod
    def of(both: tuple[Rows, Rows]) -> Touched:
        """Of what the simulator tells."""
        return Touched(Ranges.of(both[0]), Ranges.of(both[1]))


class Trace:
    """What is noted of the commands that have run."""

    def __init__(self) -> None:
        self._noted: dict[int, Touched] = {}

    def __contains__(self, position: int) -> bool:
        return position in self._noted

    def __getitem__(self, position: int) -> Touched:
        return self._noted[position]

    def note(self, position: int, both: tuple[Rows, Rows]) -> Touched:
        """Keep what the simulator tells of the command at a position."""
        found = self._noted.get(position)
        if found is None:
            found = self._noted[position] = Touched.of(both)
        return found

    def writer(self, ranges: Ranges, begin: int, end: int) -> int | None:
        """The last command of positions [begin, end) that wrote some of these bytes, or None."""
        for position in range(end - 1, begin - 1, -1):
            touched = self._noted.get(position)
            if touched and touched.writes.overlaps(ranges):
                return position
        return None
