"""Tables of the schema to flatbuffers bytes and back, as plain dictionaries.

The reader checks every offset, length and count before it is used: damaged bytes give a BModelError with the
place, never an index error, a hang or an allocation that the file does not justify.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from tpumlir.bmodel.schema import SCALARS, STRUCTS, TABLES, Slot
from tpumlir.errors import BModelError

Table = dict[str, Any]
"""Field name -> int, float, str, bytes (vector of u8), tuple (struct), list or Table."""


def encode(root: str, table: Mapping[str, Any]) -> bytes:
    """Return the flatbuffers bytes of ``table``, a ``root`` of the schema; equal tables give equal bytes."""
    builder = flatbuffers.Builder(4096)
    builder.Finish(_build_table(builder, root, table))
    return bytes(builder.Output())


def _build_table(builder: Any, name: str, table: Mapping[str, Any]) -> int:
    slots = TABLES[name]
    unknown = set(table) - {slot.name for slot in slots}
    if unknown:
        raise ValueError(f"{name}: expected fields of the schema, got {sorted(unknown)}")
    # Everything that a table points to is built before the table starts.
    offsets = {
        slot.id: _build_reference(builder, slot, table[slot.name])
        for slot in slots
        if slot.name in table and (slot.is_vector or slot.kind in ("string", "table"))
    }
    builder.StartObject(len(slots))
    for slot in slots:
        if slot.name not in table:
            if slot.required:
                raise ValueError(f"{name}.{slot.name}: expected a value, got none")
        elif slot.id in offsets:
            builder.PrependUOffsetTRelativeSlot(slot.id, offsets[slot.id], 0)
        elif slot.kind == "struct":
            _prepend_struct(builder, slot.element, table[slot.name])
            builder.PrependStructSlot(slot.id, builder.Offset(), 0)
        else:
            _prepend_scalar(builder, slot, table[slot.name])
    return int(builder.EndObject())


def _prepend_scalar(builder: Any, slot: Slot, value: float) -> None:
    prepend = {
        "u8": builder.PrependUint8Slot,
        "i32": builder.PrependInt32Slot,
        "u32": builder.PrependUint32Slot,
        "u64": builder.PrependUint64Slot,
        "f32": builder.PrependFloat32Slot,
    }[slot.element]
    default = slot.default if slot.element == "f32" else int(slot.default)
    prepend(slot.id, value, default)


def _prepend_struct(builder: Any, name: str, values: Sequence[int]) -> None:
    letters = [letter for _, letter in STRUCTS[name]]
    align = max(struct.calcsize(letter) for letter in letters)
    builder.Prep(align, struct.calcsize("<" + "".join(letters)))
    for letter, value in zip(reversed(letters), reversed(values), strict=True):
        (builder.PrependUint64 if letter == "Q" else builder.PrependUint32)(value)


def _build_reference(builder: Any, slot: Slot, value: Any) -> int:
    if not slot.is_vector:
        if slot.kind == "string":
            return int(builder.CreateString(value))
        return _build_table(builder, slot.element, value)
    if slot.element == "u8":
        return int(builder.CreateByteVector(value))
    if slot.kind == "table":
        offsets = [_build_table(builder, slot.element, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    if slot.kind == "struct":
        letters = "".join(letter for _, letter in STRUCTS[slot.element])
        align = max(struct.calcsize(letter) for letter in letters)
        builder.StartVector(struct.calcsize("<" + letters), len(value), align)
        for item in reversed(value):
            _prepend_struct(builder, slot.element, item)
        return int(builder.EndVector())
    size = struct.calcsize(SCALARS[slot.element])
    builder.StartVector(size, len(value), size)
    prepend = {"i32": builder.PrependInt32, "u32": builder.PrependUint32, "u64": builder.PrependUint64}
    for item in reversed(value):
        prepend[slot.element](item)
    return int(builder.EndVector())


def decode(root: str, data: bytes | memoryview, *, base: int = 0) -> Table:
    """Return the ``root`` table in ``data``; fields that are absent and have a default carry it.

    ``base`` is where ``data`` starts in its file, for messages. Raises: BModelError.
    """
    return _Reader(data, base).root(root)


class _Reader:
    def __init__(self, data: bytes | memoryview, base: int) -> None:
        self.data = memoryview(data)
        self.base = base
        # Tables may be shared, so their sum can exceed the file; not by much in a file that a person made.
        self.budget = 4 * len(self.data) + 1024

    def fail(self, position: int, rule: str, got: object) -> BModelError:
        offset = self.base + position
        return BModelError(f"expected {rule}, got {got} (at byte {offset})", offset=offset)

    def number(self, letter: str, position: int) -> Any:
        size = struct.calcsize(letter)
        if position < 0 or position + size > len(self.data):
            raise self.fail(position, f"{size} bytes of the table section", "its end")
        return struct.unpack_from("<" + letter, self.data, position)[0]

    def spend(self, position: int, amount: int) -> None:
        self.budget -= amount
        if self.budget < 0:
            raise self.fail(position, "tables no larger than their section", "more")

    def root(self, name: str) -> Table:
        return self.table(name, self.number("I", 0))

    def table(self, name: str, position: int) -> Table:
        vtable = position - self.number("i", position)
        vtable_size = self.number("H", vtable)
        table_size = self.number("H", vtable + 2)
        if vtable_size < 4 or vtable_size % 2:
            raise self.fail(vtable, f"the field table of {name}", f"one of {vtable_size} bytes")
        self.number("B", position + max(table_size, 4) - 1)
        self.spend(position, table_size + 4)
        result: Table = {}
        for slot in TABLES[name]:
            entry = 4 + 2 * slot.id
            offset = self.number("H", vtable + entry) if entry + 2 <= vtable_size else 0
            if offset >= table_size and offset:
                raise self.fail(vtable + entry, f"{name}.{slot.name} inside its table", f"offset {offset}")
            if offset:
                result[slot.name] = self.value(slot, position + offset)
            elif slot.required:
                raise self.fail(position, f"{name}.{slot.name}", "none")
            elif slot.kind == "scalar" and not slot.is_vector:
                result[slot.name] = slot.default if slot.element == "f32" else int(slot.default)
        return result

    def value(self, slot: Slot, position: int) -> Any:
        if slot.is_vector:
            return self.vector(slot, position + self.number("I", position))
        if slot.kind == "scalar":
            return self.number(SCALARS[slot.element], position)
        if slot.kind == "struct":
            return self.struct_(slot.element, position)
        target = position + self.number("I", position)
        if slot.kind == "table":
            return self.table(slot.element, target)
        raw = self.bytes_(target)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail(target, f"a UTF-8 string for {slot.name}", repr(raw[:40])) from None

    def struct_(self, name: str, position: int) -> tuple[int, ...]:
        letters = "<" + "".join(letter for _, letter in STRUCTS[name])
        if position + struct.calcsize(letters) > len(self.data):
            raise self.fail(position, f"a {name} in the table section", "its end")
        return struct.unpack_from(letters, self.data, position)

    def length(self, position: int, item_size: int) -> int:
        count: int = self.number("I", position)
        if count * item_size > len(self.data) - position - 4:
            raise self.fail(position, "a vector inside the table section", f"one of {count} items")
        self.spend(position, count * item_size + 4)
        return count

    def bytes_(self, position: int) -> bytes:
        count = self.length(position, 1)
        return bytes(self.data[position + 4 : position + 4 + count])

    def vector(self, slot: Slot, position: int) -> Any:
        first = position + 4
        if slot.element == "u8":
            return self.bytes_(position)
        if slot.kind == "scalar":
            letter = SCALARS[slot.element]
            count = self.length(position, struct.calcsize(letter))
            return list(struct.unpack_from(f"<{count}{letter}", self.data, first))
        if slot.kind == "struct":
            size = struct.calcsize("<" + "".join(letter for _, letter in STRUCTS[slot.element]))
            count = self.length(position, size)
            return [self.struct_(slot.element, first + size * i) for i in range(count)]
        count = self.length(position, 4)
        places = [first + 4 * i for i in range(count)]
        return [self.table(slot.element, place + self.number("I", place)) for place in places]
