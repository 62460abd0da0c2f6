"""Encoding and decoding of every instruction, from the tables that the library itself exports."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from tpumlir import _core, bmodel
from tpumlir.errors import DecodeError, EncodeError

isa = _core.isa
INSTRUCTIONS = isa.instructions()
NAMES = [info.name for info in INSTRUCTIONS]
TIU_SIZES = {
    # opcode: bytes of the short form, as the vendor's runtime derives them
    0: {64},
    1: {64},
    2: {48, 32},
    3: {64},
    4: {32},
    5: {32},
    6: {48},
    9: {32},
    10: {32},
    13: {48},
    14: {48},
    15: {16},
}
OPCODE_FIELDS = {"tiu": ("tsk_typ", "tsk_eu_typ"), "gdma": ("cmd_type", "cmd_special_function")}


def info_of(name: str) -> _core.isa.InstructionInfo:
    return next(info for info in INSTRUCTIONS if info.name == name)


def encodable_sub_ops(info: _core.isa.InstructionInfo) -> list[int]:
    # Only the length of the short index generators is known, not their layout.
    unknown = {24, 25} if info.name == "sAR" else set()
    return [code for code in info.sub_ops if code not in unknown] or [0]


def random_fields(info: _core.isa.InstructionInfo, rng: random.Random) -> dict[str, int]:
    opcode, sub_op = OPCODE_FIELDS[info.engine]
    fixed = {opcode: info.opcode, "cmd_short": int(info.is_short)}
    values = {}
    for field in isa.fields(info.name):
        if field.reserved:
            continue
        # All ones and zero are the edges at which a neighbour would be hit.
        edges = [0, (1 << field.width) - 1, rng.getrandbits(field.width)]
        values[field.name] = fixed.get(field.name, rng.choice(edges))
    values[sub_op] = rng.choice(encodable_sub_ops(info))
    return values


@pytest.mark.parametrize("name", NAMES)
def test_rows_tile_the_instruction(name: str) -> None:
    rows = isa.fields(name)
    ends = [row.lsb + row.width for row in rows]
    assert [row.lsb for row in rows] == [0, *ends[:-1]]
    assert ends[-1] == 8 * info_of(name).size
    named = [row.name for row in rows if not row.reserved]
    assert len(set(named)) == len(named)
    assert all(row.what for row in rows if not row.reserved)


@pytest.mark.parametrize("name", NAMES)
def test_random_commands_come_back(name: str) -> None:
    info = info_of(name)
    rng = random.Random(name)
    for _ in range(50):
        values = random_fields(info, rng)
        data = isa.encode(name, values)
        # A stream may end anywhere; only the end command closes it.
        (command,) = isa.decode(info.engine, data)
        assert (command.instruction, command.size, command.offset) == (name, info.size, 0)
        assert command.fields == values
        assert command.op == info.sub_ops.get(values[OPCODE_FIELDS[info.engine][1]], name)


@pytest.mark.parametrize("name", NAMES)
def test_each_field_sets_its_own_bits(name: str) -> None:
    info = info_of(name)
    sub_op = OPCODE_FIELDS[info.engine][1]
    base = {sub_op: encodable_sub_ops(info)[0]}
    empty = int.from_bytes(isa.encode(name, base), "little")
    for field in isa.fields(name):
        if field.reserved or field.name in (*OPCODE_FIELDS[info.engine], "cmd_short"):
            continue
        ones = (1 << field.width) - 1
        low = int.from_bytes(isa.encode(name, {**base, field.name: 0}), "little")
        high = int.from_bytes(isa.encode(name, {**base, field.name: ones}), "little")
        assert low ^ high == ones << field.lsb
        assert empty | high == high


@pytest.mark.parametrize("name", NAMES)
def test_a_value_too_wide_is_refused(name: str) -> None:
    field = max((row for row in isa.fields(name) if row.name and row.width < 60), key=lambda row: row.lsb)
    info = info_of(name)
    base = {OPCODE_FIELDS[info.engine][1]: encodable_sub_ops(info)[0]}
    with pytest.raises(EncodeError, match=f"{field.name}: value {1 << field.width} needs more") as caught:
        isa.encode(name, {**base, field.name: 1 << field.width})
    error = caught.value
    assert (error.field, error.value, error.width) == (field.name, 1 << field.width, field.width)


def test_no_two_encodings_overlap() -> None:
    def key(info: _core.isa.InstructionInfo, sub_op: int | None) -> set[tuple[object, ...]]:
        subs = info.sub_ops or range(32)
        # LAR and SYS have one form and no bit for it: they take both.
        forms = {True, False} if info.name in ("LAR", "SYS") else {info.is_short}
        return {(info.engine, info.opcode, s, form) for s in subs for form in forms if sub_op in (None, s)}

    for left, right in itertools.combinations(INSTRUCTIONS, 2):
        assert not key(left, None) & key(right, None), f"{left.name} and {right.name}"


@pytest.mark.parametrize("name", [info.name for info in INSTRUCTIONS if info.engine == "tiu"])
def test_tiu_lengths_are_those_of_the_runtime(name: str) -> None:
    info = info_of(name)
    if not info.is_short:
        assert info.size == 128
    elif name not in ("LAR", "sSEG"):  # the runtime does not know these
        assert info.size in TIU_SIZES[info.opcode]


@pytest.mark.parametrize("engine", ["tiu", "gdma"])
def test_random_words_decode_or_fail_cleanly(engine: str) -> None:
    rng = random.Random(engine)
    decoded = 0
    for _ in range(20000):
        data = rng.randbytes(rng.choice((0, 7, 8, 16, 32, 48, 64, 96, 128, 200)))
        try:
            commands = isa.decode(engine, data)
        except DecodeError as error:
            offset = error.offset
        else:
            decoded += 1
            offset = sum(command.size for command in commands)
        assert offset is not None
        assert 0 <= offset <= len(data)
    assert decoded, "expected some of the words to be instructions"


@pytest.mark.parametrize("name", [n for n in NAMES if any(row.reserved for row in isa.fields(n))])
def test_a_set_reserved_bit_is_refused(name: str) -> None:
    info = info_of(name)
    reserved = [row for row in isa.fields(name) if row.reserved]
    sub_op = OPCODE_FIELDS[info.engine][1]
    word = int.from_bytes(isa.encode(name, {sub_op: encodable_sub_ops(info)[0]}), "little")
    for row in reserved:
        data = (word | 1 << row.lsb).to_bytes(info.size, "little")
        with pytest.raises(DecodeError, match="expected reserved bits"):
            isa.decode(info.engine, data)


def test_decoding_refuses_what_is_no_instruction() -> None:
    end = isa.encode("SYS", {"tsk_eu_typ": 31, "cmd_id": 1})
    with pytest.raises(DecodeError, match="expected a known opcode, got 11") as caught:
        isa.decode("tiu", end[:5] + bytes([(11 << 1) & 0xFF, 0, 0]) + bytes(120))
    assert caught.value.offset == 0
    with pytest.raises(DecodeError, match="expected a known sub-operation of opcode 3, got 17"):
        isa.decode("tiu", (1 | 3 << 41 | 17 << 45).to_bytes(64, "little"))
    with pytest.raises(DecodeError, match="expected 64 bytes for sCONV, got 63"):
        isa.decode("tiu", isa.encode("sCONV", {})[:63])
    with pytest.raises(DecodeError, match="expected zeros after the end command") as caught:
        isa.decode("tiu", end + bytes(7) + b"\1")
    assert caught.value.offset == 23


def test_encoding_refuses_unknown_names() -> None:
    with pytest.raises(EncodeError, match="expected a field of sCONV, got 'res9_c'"):
        isa.encode("sCONV", {"res9_c": 1})
    with pytest.raises(EncodeError, match="expected the name of an instruction, got 'sFOO'"):
        isa.encode("sFOO", {})
    with pytest.raises(EncodeError, match="expected a known sub-operation, got 17"):
        isa.encode("sAR", {"tsk_eu_typ": 17})
    with pytest.raises(EncodeError, match="expected opcode 3, got 4"):
        isa.encode("sAR", {"tsk_typ": 4})


def test_disassembly_names_what_is_set() -> None:
    (command,) = isa.decode("tiu", isa.encode("sAR", {"tsk_eu_typ": 2, "cmd_id": 7, "res0_addr": 0x40}))
    assert isa.disassemble(command) == "sAR arith.add cmd_id=7 cmd_id_en=1 res0_addr=0x40"


@pytest.mark.parametrize("engine", ["tiu", "gdma"])
def test_vendor_streams_come_back_byte_for_byte(samples: list[Path], engine: str) -> None:
    for path in samples:
        for group in bmodel.read(path).groups:
            stream = getattr(group, engine)
            again = b"".join(isa.encode(c.instruction, c.fields) for c in isa.decode(engine, stream))
            assert again.ljust(len(stream), b"\0") == stream, path
