"""Faults of a compiler, planted into bmodels: commands, constants and places are changed, the names stay.

Each row of FAULTS knows the operation and the ONNX node that it is the fault of, so that tools which look for
faults can be asked for them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import tpumlir
from group_cases import Net
from quantized import calibrated
from tpumlir._core import isa
from tpumlir.bmodel import BModel, DebugInfo
from tpumlir.bmodel.places import Place, PlaceTables

Array = npt.NDArray[Any]
LANE_MEMORY = isa.LOCAL_MEMORY[0]
WIDTHS = {"f32": 4, "f16": 2, "bf16": 2, "i8": 1, "u8": 1, "i32": 4, "i16": 2}
PRECISIONS = ("F32", "F16", "INT8")
MIXED = "INT8_F16_BF16_F32"
"""Operations of all kinds, one behind the other."""
TOWARD_ZERO = isa.rounding_modes()["toward zero"]


# --- models ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model to plant faults into: in a precision, in groups (opt 2) or every operation by itself (0)."""

    precision: str
    opt: int

    def __str__(self) -> str:
        return f"{self.precision}_{'groups' if self.opt else 'alone'}"


class Built(NamedTuple):
    """What a subject is compiled to."""

    final: tpumlir.Module
    bmodel: BModel
    inputs: dict[str, Array]


def _net() -> tuple[Net, str]:
    """Convolutions with a halo, a branch, a function (INT8: a table), a difference."""
    g = Net()
    a = g.op("Relu", g.conv(g.x(1, 8, 24, 24), 8, 12, 3))
    b = g.conv(a, 12, 12, 3)
    c = g.op("Sub", a, g.op("Sigmoid", b))
    return g, g.op("Add", g.conv(c, 12, 12, 1), a)


def _computed(top: tpumlir.Module) -> list[str]:
    """What the operations compute, in order."""
    return [op.name for op in top.ops() if op.kind not in {"top.Input", "top.Weight", "top.None"}]


@cache
def built(subject: Subject) -> Built:
    """The subject, compiled."""
    g, output = _net()
    top = tpumlir.load_onnx(g.proto([output]))
    if subject.precision in {"INT8", MIXED}:
        table = dict(zip(_computed(top), ("INT8", "F16", "INT8", "F32", "BF16", "INT8"), strict=True))
        tpu = top.lower(
            "INT8", calibration_table=calibrated(top, [g.data]),
            quantize_table=table if subject.precision == MIXED else None,
        )  # fmt: skip
    else:
        tpu = top.lower(subject.precision)
    final = tpu.finalize(opt=subject.opt)
    return Built(final, final.compile(), g.data)


# --- commands ----------------------------------------------------------------------------


class Found(NamedTuple):
    """A command of a bmodel with the operation behind it."""

    group: int
    engine: str
    id: int
    command: isa.Command
    op: str
    node: str
    tensor: str

    @property
    def fields(self) -> dict[str, int]:
        """The fields."""
        return self.command.fields


def commands(model: BModel) -> Iterator[Found]:
    """All commands that an operation is known of."""
    for index, group in enumerate(model.groups):
        for engine, data in (("tiu", group.tiu), ("gdma", group.gdma)):
            for command in isa.decode(engine, data):
                entry = model.debug.find(index, engine, command.id)
                if entry:
                    yield Found(index, engine, command.id, command, entry.op, entry.node, entry.tensor)


def edited(model: BModel, changes: Mapping[tuple[int, str, int], Mapping[str, int]]) -> BModel:
    """The bmodel with other values in fields of commands, by group, engine and id."""
    groups = list(model.groups)
    for index, group in enumerate(groups):
        streams = {"tiu": bytearray(group.tiu), "gdma": bytearray(group.gdma)}
        for engine, data in streams.items():
            for command in isa.decode(engine, bytes(data)):
                change = changes.get((index, engine, command.id))
                if change:
                    data[command.offset : command.offset + command.size] = isa.encode(
                        command.instruction, command.fields | dict(change)
                    )
        groups[index] = dataclasses.replace(group, tiu=bytes(streams["tiu"]), gdma=bytes(streams["gdma"]))
    return dataclasses.replace(model, groups=tuple(groups))


def with_coeff(model: BModel, change: Callable[[npt.NDArray[np.uint8]], None]) -> BModel:
    """The bmodel with other bytes of constants."""
    coeff = np.frombuffer(model.coeff, np.uint8).copy()
    change(coeff)
    return dataclasses.replace(model, coeff=coeff.tobytes())


def with_places(model: BModel, change: Callable[[Place], Place]) -> BModel:
    """The bmodel with other addresses of places, as a compiler with a fault would note them."""
    tables = model.debug.tables
    rows = [
        [*row[:6], change(place).address, *row[7:]]
        for row, place in zip(tables.rows, model.debug.places, strict=True)
    ]
    changed = PlaceTables(tables.tensors, tables.layouts, rows)
    return dataclasses.replace(model, debug=DebugInfo.of(model.debug.sources, model.debug.commands, changed))


def constant_bytes(model: BModel, tensor: str) -> Array:
    """Where in ``coeff`` each element of a constant begins, in the order of its elements [n, c, h, w].

    An image has the bytes of each lane that one load brings; a second load may bring what fewer lanes have.
    """
    home = model.debug.tensors[tensor]
    place = next(p for p in model.debug.places if p.tensor == tensor and p.kind == "loaded")
    width = WIDTHS[place.dtype]
    if home.address is not None:
        return home.address - model.coeff_addr + place.indices() * width
    loads = [c for c in commands(model) if c.group == place.group and c.engine == "gdma"]
    newest = next(c for c in loads if c.id == place.command)
    n, c, h, w = np.indices(place.size)
    s = place.stride
    lane, inside = c % 64, place.address + (n * s[0] + c // 64 * s[1] + h * s[2] + w * s[3]) * width
    offsets = np.full(place.size, -1)
    for load in loads:
        fields = load.fields
        source = fields.get("src_start_addr_l32", 0) + (fields.get("src_start_addr_h8", 0) << 32)
        start = source - model.coeff_addr
        if load.op != newest.op or load.id > newest.id or not 0 <= start < len(model.coeff):
            continue
        begin, length = fields["dst_start_addr_l32"] - LANE_MEMORY, fields["src_wsize"] * 4
        brought = (inside >= begin) & (inside < begin + length) & (lane < fields["src_csize"])
        at = start + lane * fields["src_cstride"] * 4 + inside - begin
        offsets[brought] = at[brought]
    assert (offsets >= 0).all(), f"expected loads of all of {tensor}"
    return offsets


# --- faults ------------------------------------------------------------------------------


class Planted(NamedTuple):
    """A bmodel with a fault, whose fault it is, and the commands with it (none: it is in the constants)."""

    model: BModel
    op: str
    node: str
    keys: tuple[tuple[int, str, int], ...]


@dataclass(frozen=True)
class Fault:
    """A way to break a bmodel. ``kinds`` are what may be said of it."""

    name: str
    subject: Subject
    plant: Callable[[BModel], Planted]
    kinds: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.name}_{self.subject}"

    def planted(self) -> Planted:
        """The broken bmodel."""
        return self.plant(built(self.subject).bmodel)


def _only(model: BModel, found: Found, **fields: int) -> Planted:
    key = found.group, found.engine, found.id
    changed = edited(model, {key: fields})
    assert changed.groups != model.groups, "nothing was changed"
    return Planted(changed, found.op, found.node, (key,))


def _of(model: BModel, op: str, node: str = "") -> list[Found]:
    return [c for c in commands(model) if c.op == op and node in c.node]


def _convolutions(model: BModel) -> list[str]:
    """The ONNX nodes of the convolutions, in order."""
    return list(dict.fromkeys(c.node for c in commands(model) if c.op == "tpu.Conv2D"))


def _filter_of(model: BModel, node: str) -> str:
    """The constant of a node that has most elements."""
    names = {p.tensor for p in model.debug.places if p.node == node and p.kind == "loaded"
             and p.tensor.startswith("w")}  # fmt: skip
    return max(names, key=lambda name: model.debug.tensors[name].elements)


def filter_order(model: BModel) -> Planted:
    """Two output channels of the second convolution have exchanged their filters."""
    node = _convolutions(model)[1]
    name = _filter_of(model, node)
    at = constant_bytes(model, name)

    def swap(coeff: npt.NDArray[np.uint8]) -> None:
        channels = (
            np.unravel_index(np.arange(at.size).reshape(12, -1), at.shape) if at.shape[1] != 12 else None
        )
        rows = at[channels] if channels else np.moveaxis(at, 1, 0).reshape(12, -1)
        for byte in range(WIDTHS[model.debug.tensors[name].dtype]):
            a, b = rows[1] + byte, rows[5] + byte
            coeff[a], coeff[b] = coeff[b].copy(), coeff[a].copy()

    return Planted(with_coeff(model, swap), "tpu.Conv2D", node, ())


def missing_wait(model: BModel) -> Planted:
    """A computation no longer waits for what is loaded for it."""
    newest = Counter[int]()  # by groups
    for found in commands(model):
        waits, before = found.fields.get("cmd_id_dep", 0), newest[found.group]
        if found.engine == "tiu" and found.node == _convolutions(model)[1] and waits > before:
            return _only(model, found, cmd_id_dep=before)
        if found.engine == "tiu":
            newest[found.group] = max(before, waits)
    raise AssertionError("no command waits")


def missing_wait_of_store(model: BModel) -> Planted:
    """A store no longer waits for what is computed."""
    newest, last = Counter[int](), None
    for found in commands(model):
        waits = found.fields.get("cmd_id_dep", 0) if found.engine == "gdma" else 0
        if waits > newest[found.group] and _is_store(found):
            last = found, newest[found.group]
        newest[found.group] = max(newest[found.group], waits)
    assert last
    return _only(model, last[0], cmd_id_dep=last[1])


def store_over_another(model: BModel) -> Planted:
    """The result of the second convolution is stored where a tensor is that is read afterwards."""
    node = _convolutions(model)[1]
    result = next(
        p.result for p in model.debug.places if p.node == node and p.kind == "stored" and p.op != "top.Weight"
    )
    store = next(c for c in commands(model) if _is_store(c) and c.tensor == result)
    first = _convolutions(model)[0]
    held = next(
        p for p in model.debug.places if p.node == first and p.kind == "stored" and p.op == "tpu.Conv2D"
    )
    return _only(model, store, dst_start_addr_l32=held.address & 0xFFFFFFFF)


def _is_load(found: Found) -> bool:
    """Whether a command of GDMA brings something from global memory into the lanes."""
    fields = found.fields
    return (
        found.engine == "gdma"
        and bool(fields.get("src_start_addr_h8"))
        and fields["dst_start_addr_l32"] >= LANE_MEMORY
        and not fields.get("dst_start_addr_h8")
    )


def _is_store(found: Found) -> bool:
    """Whether a command of GDMA brings something from the lanes into global memory."""
    fields = found.fields
    return (
        found.engine == "gdma"
        and not fields.get("src_start_addr_h8")
        and fields["src_start_addr_l32"] >= LANE_MEMORY
        and bool(fields.get("dst_start_addr_h8"))
    )


def shifted_result(model: BModel) -> Planted:
    """The difference is written 64 bytes further."""
    found = [c for c in _of(model, "tpu.Sub") if c.engine == "tiu"][-1]
    return _only(model, found, res0_addr=found.fields["res0_addr"] + 64)


def shifted_load(model: BModel) -> Planted:
    """The first operand of the network is loaded from an element further on."""
    found = next(c for c in commands(model) if c.engine == "gdma" and c.op == "tpu.Conv2D")
    width = {0: 1, 1: 2, 2: 4, 5: 2}.get(found.fields["src_data_format"], 4)
    return _only(model, found, src_start_addr_l32=found.fields["src_start_addr_l32"] + width)


def short_halo(model: BModel) -> Planted:
    """A load of rows brings one row less."""
    loads = [c for c in commands(model) if _is_load(c) and c.fields["src_hsize"] > 2]
    found = loads[-1]
    return _only(model, found, src_hsize=found.fields["src_hsize"] - 1)


def wrong_constant(model: BModel) -> Planted:
    """An element of the first filter is another number."""
    node = _convolutions(model)[0]
    name = _filter_of(model, node)
    at = constant_bytes(model, name).reshape(-1)
    # The byte with the exponent of a float.
    byte = at[at.size // 3] + WIDTHS[model.debug.tensors[name].dtype] - 1
    return Planted(
        with_coeff(model, lambda coeff: coeff.__setitem__(byte, coeff[byte] ^ 0x11)), "tpu.Conv2D", node, ()
    )


def swapped_operands(model: BModel) -> Planted:
    """The difference has its operands exchanged."""
    found = next(c for c in _of(model, "tpu.Sub") if c.command.op == "arith.sub")
    a, b = found.fields["opd0_addr"], found.fields["opd1_addr"]
    return _only(model, found, opd0_addr=b, opd1_addr=a)


def wrong_table(model: BModel) -> Planted:
    """One entry of a table of INT8 is another number."""
    node = next(c.node for c in commands(model) if c.op == "tpu.Lut")
    tables = [t.name for t in model.debug.tensors.values() if t.name.endswith("::table")]
    name = next(p.tensor for p in model.debug.places if p.node == node and p.tensor in tables)
    at = np.unique(constant_bytes(model, name)[0, 0])
    return Planted(
        with_coeff(model, lambda coeff: coeff.__setitem__(at[37], coeff[at[37]] ^ 2)), "tpu.Lut", node, ()
    )


def bad_cast(model: BModel) -> Planted:
    """The cast of the input rounds towards zero instead of to the nearest."""
    found = next(c for c in commands(model) if c.command.op == "arith.cast" and c.op == "tpu.Cast")
    return _only(model, found, opd2_n_str=TOWARD_ZERO)


def bad_rounding(model: BModel) -> Planted:
    """The function computes in F32, and its result is rounded towards zero."""
    found = [
        c for c in _of(model, "tpu.Active") if c.command.op == "arith.cast" and c.fields["res0_prec"] == 1
    ][-1]
    return _only(model, found, opd2_n_str=TOWARD_ZERO)


def bad_stride(model: BModel) -> Planted:
    """The channels of a stored result lie an element too near."""
    found = [c for c in commands(model) if _is_store(c) and c.fields["src_csize"] > 1][-1]
    return _only(model, found, dst_cstride=found.fields["dst_cstride"] - 1)


def overlapping_place(model: BModel) -> Planted:
    """The function has the place of a tensor that is read afterwards, as its readers know too."""
    places = model.debug.places
    mine = next(p for p in places if p.op == "tpu.Active" and p.kind == "computed")
    victim = next(p for p in places if p.node == _convolutions(model)[0] and p.kind == "computed")
    to = victim.address + 64
    changes: dict[tuple[int, str, int], dict[str, int]] = {}
    for c in commands(model):
        names = {"tpu.Active": ("res0_addr", "opd0_addr", "opd1_addr"), "tpu.Sub": ("opd1_addr",)}.get(
            c.op, ()
        )
        fields = {name: to for name in names if c.engine == "tiu" and c.fields.get(name) == mine.address}
        if fields:
            changes[c.group, c.engine, c.id] = fields
    moved = with_places(
        edited(model, changes),
        lambda p: (
            dataclasses.replace(p, address=to) if p.tensor == mine.tensor and p.memory == "local" else p
        ),
    )
    keys = tuple(key for key in changes if getattr(model.debug.find(*key), "op", "") == "tpu.Active")
    return Planted(moved, "tpu.Active", mine.node, keys)


def _rows() -> Iterator[Fault]:
    everywhere = [Subject(precision, opt) for precision in (*PRECISIONS, MIXED) for opt in (2, 0)]
    grouped = [subject for subject in everywhere if subject.opt]
    halves = [subject for subject in everywhere if subject.precision == "F16"]
    floats = [subject for subject in everywhere if subject.precision != "INT8"]
    tables = [subject for subject in everywhere if subject.precision in {"INT8", MIXED}]
    plain = [subject for subject in floats if subject.opt and subject.precision != MIXED]
    constant, wait = frozenset({"wrong constant"}), frozenset({"missing wait"})
    for name, plant, subjects, kinds in (
        ("filter_order", filter_order, everywhere, constant),
        ("missing_wait", missing_wait, everywhere, wait),
        ("missing_wait_of_store", missing_wait_of_store, everywhere, wait),
        ("store_over_another", store_over_another, [Subject("F32", 0), Subject("F16", 0)], frozenset()),
        ("shifted_result", shifted_result, everywhere, frozenset()),
        ("shifted_load", shifted_load, everywhere, frozenset()),
        ("short_halo", short_halo, grouped, frozenset()),
        ("wrong_constant", wrong_constant, everywhere, constant),
        ("swapped_operands", swapped_operands, floats, frozenset()),
        ("bad_cast", bad_cast, halves, frozenset()),
        ("bad_rounding", bad_rounding, halves, frozenset()),
        ("wrong_table", wrong_table, tables, constant),
        ("bad_stride", bad_stride, everywhere, frozenset()),
        ("overlapping_place", overlapping_place, plain, frozenset({"overwritten"})),
    ):
        yield from (Fault(name, subject, plant, kinds) for subject in subjects)


FAULTS = list(_rows())
