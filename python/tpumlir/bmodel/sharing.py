"""Stages of one file that share their weights: equal constants lie in it, and in memory, once.

The runtime loads weights as a whole and once for all stages that name the same bytes. So stages that have
constants in common get one area, with all that any of them reads, and the addresses in their commands are
moved to where their constants lie in it. What a stage has there is known from its commands: the bytes that
one of them reads, or several that overlap, are a piece that stays together. A constant that two shapes read
in different layouts (one whole, one cut for the lanes) has different bytes and is there twice.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from tpumlir._core import isa
from tpumlir.bmodel.model import BModel, BModelSpec, PlacedTensor
from tpumlir.errors import BModelError

_PAGE = 4096
_BURST = 128
"""New pieces keep their offset from a multiple of this, for the sake of DDR."""
_ELEMENT = 4
"""Addresses of elements are multiples of at most this."""
_SCANNED = 1 << 32
"""How many bytes are looked through, at most, for pieces that are a part of others."""

Spec = TypeVar("Spec", bound=BModelSpec)


class _Piece(NamedTuple):
    """Bytes of the weights that stay together, as offsets."""

    begin: int
    end: int


@dataclass
class _Area:
    """Weights of several stages. ``address`` is that of the first byte."""

    address: int
    data: bytearray
    members: dict[int, Moves] = field(default_factory=dict)
    _places: dict[bytes, int] = field(default_factory=dict)
    _scanned: int = 0

    def add(self, index: int, coeff: bytes, pieces: Sequence[_Piece], places: Sequence[int | None]) -> None:
        """Make the stage ``index`` a member: pieces that have no place yet are appended."""
        moves = []
        last: tuple[_Piece, int] | None = None
        for piece, known in zip(pieces, places, strict=True):
            place = known
            if place is None:
                # Neighbours keep their distance, so that what was padded stays as it was.
                begin = piece.begin
                if last and 0 <= begin - last[0].end < _BURST and last[1] == len(self.data):
                    begin = last[0].end
                else:
                    self.data += bytes(-(len(self.data) - begin) % _BURST)
                place = len(self.data) + piece.begin - begin
                self.data += coeff[begin : piece.end]
                last = piece, len(self.data)
            self._places.setdefault(_digest(coeff, piece), place)
            moves.append((piece, place - piece.begin))
        self.members[index] = Moves(moves)

    def find(self, coeff: bytes, pieces: Sequence[_Piece]) -> list[int | None]:
        """Where each piece lies already."""
        return [self._find(coeff, piece) for piece in pieces]

    def _find(self, coeff: bytes, piece: _Piece) -> int | None:
        def fits(place: int) -> bool:
            return (place - piece.begin) % _ELEMENT == 0

        place = self._places.get(_digest(coeff, piece))
        if place is not None and fits(place):
            return place
        wanted = memoryview(coeff)[piece.begin : piece.end]
        start = 0
        while self._scanned < _SCANNED:
            place = self.data.find(wanted, start)
            self._scanned += (len(self.data) if place < 0 else place) - start + 1
            if place < 0:
                break
            if fits(place):
                return place
            start = place + 1
        return None


class Moves:
    """How far each piece of the weights of a stage is moved."""

    def __init__(self, moves: Sequence[tuple[_Piece, int]]) -> None:
        self._begins = [piece.begin for piece, _ in moves]
        self._by = [by for _, by in moves]

    def __call__(self, offset: int) -> int:
        """The new offset of what lies at ``offset``."""
        if not self._begins:
            return offset
        return offset + self._by[max(bisect_right(self._begins, offset) - 1, 0)]


def share_weights(stages: Sequence[Spec]) -> list[Spec]:
    """The same stages with weights that are one for all that have at least half of theirs in common.

    The stage with the most weights stays as it is, but for its activations, which begin behind all weights.
    Equal input gives equal results.
    """
    areas: list[_Area] = []
    for index in sorted(range(len(stages)), key=lambda i: -len(stages[i].coeff)):
        spec = stages[index]
        pieces = _pieces(spec) if spec.coeff else None
        if pieces is None:
            continue
        total = sum(piece.end - piece.begin for piece in pieces)
        for area in areas:
            places = area.find(spec.coeff, pieces)
            kept = zip(pieces, places, strict=True)
            if 2 * sum(piece.end - piece.begin for piece, place in kept if place is not None) >= total:
                area.add(index, spec.coeff, pieces, places)
                break
        else:
            area = _Area(spec.coeff_addr, bytearray(spec.coeff))
            area.add(index, spec.coeff, pieces, [piece.begin for piece in pieces])
            areas.append(area)
    shared = list(stages)
    for area in areas:
        data = bytes(area.data)
        moved = {
            index: _moved(stages[index], area.address, data, area.members[index]) for index in area.members
        }
        if all(spec.ctx_range[1] <= isa.GLOBAL_MEMORY[1] for spec in moved.values()):
            for index, spec in moved.items():
                shared[index] = spec
    return shared


def without_unread(stage: Spec) -> Spec:
    """The stage with those weights alone that it reads; gaps of less than a page are no waste."""
    pieces = _pieces(stage) if stage.coeff else None
    if pieces is None:
        return stage
    data = bytearray()
    moves = []
    end = 0
    for piece in pieces:
        # Whole pages are left out, so that all stays at its place in its page.
        gap = piece.begin - end
        begin = end + gap // _PAGE * _PAGE
        data += stage.coeff[begin : piece.end]
        moves.append((piece, len(data) - piece.end))
        end = piece.end
    rest = (len(stage.coeff) - end) % _PAGE
    data += stage.coeff[len(stage.coeff) - rest :] if rest else b""
    if len(data) == len(stage.coeff):
        return stage
    return _moved(stage, stage.coeff_addr, bytes(data), Moves(moves), tight=True)


def _digest(coeff: bytes, piece: _Piece) -> bytes:
    return hashlib.sha256(memoryview(coeff)[piece.begin : piece.end]).digest()


def _pieces(spec: BModelSpec) -> list[_Piece] | None:
    """The pieces of the weights, lowest first; None if a command reads nobody knows how much of them."""
    begin, end = spec.coeff_range
    found = set()
    for group in spec.groups:
        for command in isa.decode("gdma", group.gdma):
            for _, _, address, size in isa.global_accesses(command):
                if not begin <= address < end:
                    continue
                if size is None or address + size > end:
                    return None
                found.add(_Piece(address - begin, address - begin + size))
    merged: list[_Piece] = []
    for piece in sorted(found):
        if merged and piece.begin < merged[-1].end:
            merged[-1] = _Piece(merged[-1].begin, max(merged[-1].end, piece.end))
        else:
            merged.append(piece)
    return merged


def _moved(spec: Spec, address: int, coeff: bytes, moves: Moves, *, tight: bool = False) -> Spec:
    """``spec`` with other weights, and activations that begin behind them, at once if ``tight``."""
    begin, end = spec.coeff_range
    pages = -(-(address + len(coeff) - spec.ctx_addr) // _PAGE)
    by = pages * _PAGE if pages > 0 or tight else 0

    def place(old: int) -> int:
        if begin <= old < end:
            return address + moves(old - begin)
        return old + by

    def tensor(old: PlacedTensor) -> PlacedTensor:
        return replace(old, address=old.address + by)

    result = replace(
        spec,
        coeff=coeff,
        coeff_addr=address,
        ctx_addr=spec.ctx_addr + by,
        inputs=tuple(map(tensor, spec.inputs)),
        outputs=tuple(map(tensor, spec.outputs)),
        groups=tuple(replace(group, gdma=_relocated(group.gdma, place)) for group in spec.groups),
    )
    _check(spec, result)
    if isinstance(result, BModel):
        return replace(result, debug=result.debug.moved(place))
    return result


def _check(old: BModelSpec, new: BModelSpec) -> None:
    """What was moved reads the bytes that it read before, and the same of the activations.

    Raises: BModelError: it does not, which is a mistake of ours.
    """
    for before, after in zip(old.groups, new.groups, strict=True):
        commands = (isa.decode("gdma", group.gdma) for group in (before, after))
        for was, now in zip(*commands, strict=True):
            pairs = zip(isa.global_accesses(was), isa.global_accesses(now), strict=True)
            if not all(_reads(old, one) == _reads(new, other) for one, other in pairs):
                raise BModelError(f"internal: command {was.id} reads other bytes than before it was moved")


def _reads(spec: BModelSpec, access: tuple[str, str, int, int | None]) -> tuple[object, ...]:
    """What a command does with global memory, wherever that lies."""
    operand, role, address, size = access
    begin, end = spec.coeff_range
    if begin <= address < end and size is not None:
        return operand, role, size, spec.coeff[address - begin : address - begin + size]
    return operand, role, size, address - spec.ctx_addr


def _relocated(stream: bytes, place: Callable[[int], int]) -> bytes:
    """The GDMA commands with each address of global memory put where ``place`` says."""
    result = bytearray(stream)
    for command in isa.decode("gdma", stream):
        for operand, _, old, _ in isa.global_accesses(command):
            new = place(old)
            if new != old:
                _put(result, command, f"{operand}_start_addr_l32", new & 0xFFFFFFFF)
                _put(result, command, f"{operand}_start_addr_h8", new >> 32)
    return bytes(result)


_FIELDS = {
    info.name: {
        row.name: (row.lsb // 8, row.width // 8) for row in isa.fields(info.name) if "addr_" in row.name
    }
    for info in isa.instructions()
    if info.engine == "gdma"
}
"""First byte and bytes of the fields that hold addresses; all of them begin and end at a byte."""


def _put(stream: bytearray, command: isa.Command, name: str, value: int) -> None:
    first, size = _FIELDS[command.instruction][name]
    begin = command.offset + first
    stream[begin : begin + size] = value.to_bytes(size, "little")
