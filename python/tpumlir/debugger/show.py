"""What a session tells, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir.debugger.memory import address_text
from tpumlir.debugger.operands import operands
from tpumlir.errors import InputError

if TYPE_CHECKING:
    from tpumlir.debugger.breakpoints import Stop
    from tpumlir.debugger.session import Session, Where
    from tpumlir.debugger.tensors import Found, Piece

_INDEX = re.compile(r"^(?P<name>.*)\[(?P<index>[-0-9:,\s]*)\]$", re.DOTALL)
Array = npt.NDArray[Any]


def stop(session: Session, found: Stop) -> Iterator[str]:
    """Why a session stopped, and what comes next."""
    for point in found.breakpoints:
        yield f"{found.reason} {point.number}: {point.text}"
    if found.reason == "fault":
        yield f"fault: {found.message}"
    elif found.message:
        yield f"  {found.message}"
    elif found.reason in {"interrupted", "end"}:
        yield {"interrupted": "interrupted", "end": "the program has ended"}[found.reason]
    yield line(session.where())


def line(where: Where) -> str:
    """A command in one line."""
    if where.command is None:
        return f"#{where.position} of {where.total}: the end"
    group = f"group {where.command.group} " if where.command.group else ""
    parts = [f"#{where.position} of {where.total}: {group}{where.command} {where.name}"]
    if where.op:
        parts.append(f"{where.op} {where.tensor or where.node}".rstrip())
    if where.slice >= 0:
        parts.append(f"slice {where.slice}")
    return "  ".join(parts)


def place(session: Session, where: Where) -> Iterator[str]:
    """All that is known of where a command comes from."""
    yield line(where)
    if where.command is None:
        return
    if not where.op:
        yield "  no debug info: the command belongs to nothing that has a name"
        return
    yield f"  op      {where.op}" + (f", computes {where.tensor}" if where.tensor else "")
    yield f"  node    {where.node or '(none)'}"
    group = f" of layer group {where.layer_group}" if where.layer_group >= 0 else ""
    if where.slice >= 0:
        yield f"  slice   {where.slice}{group}"
    if where.text:
        file = f"{session.text.path.name}:" if session.text else ""
        yield f"  line    {file}{where.line}: {where.text}"
    elif where.line:
        yield f"  line    {where.line} of the final module (--mlir NAME_final.mlir shows it)"


def command(session: Session, position: int, *, fields: bool) -> Iterator[str]:
    """A command: operands, what it touches, cycles; with ``fields`` also every field that is not 0."""
    decoded = session.program.command(position)
    yield line(session.where(position))
    waits = f", waits for {'gdma' if decoded.engine == 'tiu' else 'tiu'}:{decoded.dependency}"
    yield f"  {decoded.instruction}, {decoded.size} bytes" + (waits if decoded.dependency else "")
    for operand in operands(decoded):
        yield f"  {operand}"
    touched = session.touched(position)
    for name, ranges in (("reads", touched.reads), ("writes", touched.writes)):
        if ranges.nbytes:
            yield f"  {name} {ranges.nbytes:,} bytes: {'; '.join(ranges.lines())}"
    cost = isa.cost(decoded)
    start, length = session.program.profile.get(session.program.key(position), (0, 0))
    if not cost.known:
        yield "  cycles  not known"
    else:
        work = f", {cost.products:,} multiply-adds" if cost.products else ""
        yield f"  cycles  {length:,} from {start:,} on ({cost.work}{work})"
    if fields:
        what = {row.name: row.what for row in isa.fields(decoded.instruction)}
        for name, value in decoded.fields.items():
            if value:
                yield f"  {name:<22} {value:#x} ({value})  {what.get(name, '')}"


def pieces(found: list[Piece]) -> Iterator[str]:
    """Where a tensor is or has been."""
    for piece in found:
        at = piece.place
        size = "x".join(map(str, at.size))
        where = f"local {at.address:#x}" if at.memory == "local" else f"{at.address:#x}"
        gone = f", overwritten by #{piece.overwritten}" if piece.overwritten is not None else ""
        yield f"  slice {at.slice}: {size} {at.kind} at {where}, since #{piece.since}{gone}"


def tensor(found: Found, index: str | None) -> Iterator[str]:
    """A tensor or a part of it."""
    shape = "x".join(map(str, found.values.shape)) or "scalar"
    count = int(found.known.sum())
    here = "" if found.is_whole else f", {count} of {found.known.size} elements are on the chip"
    yield f"{found.name}: {shape} {found.values.dtype}{here}"
    if not count:
        return
    values: Array = found.values
    if not found.is_whole:
        values = np.ma.masked_array(values, ~found.known)
    if index is not None:
        values = part(values, index)
    yield from numbers(values)


def numbers(values: Array) -> Iterator[str]:
    """Some numbers and, if there are many, what they reach."""
    text = np.array2string(
        np.ma.asarray(values) if np.ma.isMaskedArray(values) else np.asarray(values),
        threshold=24,
        edgeitems=2,
        max_line_width=100,
        precision=6,
        separator=" ",
    )
    yield from (f"  {row}" for row in text.splitlines() if row.strip())
    plain = np.asarray(np.ma.compressed(values)) if np.ma.isMaskedArray(values) else np.asarray(values)
    if plain.size > 1 and plain.dtype.kind in "fiu":
        finite = plain[np.isfinite(plain)] if plain.dtype.kind == "f" else plain
        bad = plain.size - finite.size
        if finite.size:
            spread = (
                f"min {finite.min():.6g}, max {finite.max():.6g}, mean {finite.mean(dtype=np.float64):.6g}"
            )
            yield f"  {spread}" + (f", {bad} not finite" if bad else "")
        else:
            yield f"  {bad} not finite"


def split_index(name: str, known: Iterator[str] | list[str]) -> tuple[str, str | None]:
    """A name and the index behind it, if the name as it is does not exist."""
    if name in known:
        return name, None
    found = _INDEX.match(name)
    return (found["name"], found["index"]) if found else (name, None)


def part(values: Array, index: str) -> Array:
    """Elements of an array by an index such as ``0, :, 3:5``. Raises: InputError."""
    items: list[int | slice] = []
    try:
        for item in index.split(","):
            bounds = [int(part) if part.strip() else None for part in item.split(":")]
            if len(bounds) == 1 and bounds[0] is not None:
                items.append(bounds[0])
            elif 2 <= len(bounds) <= 3:
                items.append(slice(*bounds))
            else:
                raise ValueError
        return (
            np.ma.asanyarray(values)[tuple(items)]
            if np.ma.isMaskedArray(values)
            else np.asarray(values[tuple(items)])
        )
    except (ValueError, IndexError):
        raise InputError(
            f"expected an index into {list(values.shape)} such as 0,:,3:5, got [{index}]"
        ) from None


def memory(address: int, values: Array) -> Iterator[str]:
    """What stands at an address."""
    yield f"{address_text(address)}: {'x'.join(map(str, values.shape))} {values.dtype}"
    yield from numbers(values)
