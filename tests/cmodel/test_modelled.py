"""Every sub-operation is executed and compared with the vendor's simulator, or stands in unmodelled.def."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmodel import chip
from oracle import cases
from tpumlir._core import isa
from tpumlir.errors import DecodeError, DeviceFault, EncodeError

LISTED = Path(__file__).resolve().parents[2].joinpath("csrc/tpumlir/cmodel/unmodelled.def").read_text("utf-8")
CHIP = chip.machine()
F32, I8 = 2, 0
# Executed, but what they do beyond the fields of a copy is nothing to compare.
CONTROL = {"sys.end", "sys.nop", "dma.sys", "dma.sys.nop"}
# Compared with the vendor's simulator as part of whole models only.
IN_MODELS = {"dma.matrix", "dma.matrix.transpose"}


def sub_operations() -> Iterator[tuple[str, isa.InstructionInfo, int]]:
    """Name, encoding and code of each sub-operation."""
    for info in isa.instructions():
        for code, name in info.sub_ops.items():
            yield name, info, code


def outcome(info: isa.InstructionInfo, code: int, prec: int) -> str | None:
    """What running it says, in a command that is empty but for the types; None if this form has no layout."""
    field = "tsk_eu_typ" if info.engine == "tiu" else "cmd_special_function"
    names = {row.name for row in isa.fields(info.name)}
    types = {name: prec for name in names if name.endswith("_prec") or name == "src_data_format"}
    given = {key: value for key, value in ({field: code} | types).items() if key in names}
    try:
        command = isa.encode(info.name, given)
        isa.decode(info.engine, command)
    except (DecodeError, EncodeError):
        return None
    try:
        CHIP.execute("tiu" if info.engine == "tiu" else "gdma", command)
    except DeviceFault as error:
        return str(error)
    return ""


def test_the_list_and_the_comparisons_have_each_sub_operation_once() -> None:
    names = {name for name, _, _ in sub_operations()}
    compared = {op for family in cases.FAMILIES.values() for op, _, _ in family}
    said: dict[str, list[str]] = defaultdict(list)
    for name, info, code in sub_operations():
        said[name] += [text for prec in (F32, I8) if (text := outcome(info, code, prec)) is not None]
    assert set(said) == names
    fails = {name for name in names if all("that the simulator models" in text for text in said[name])}
    known = compared | CONTROL | IN_MODELS
    assert names - known - fails == set(), "executed, but neither compared nor in unmodelled.def"
    assert fails & known == set(), "in unmodelled.def, but compared"


def test_the_list_counts_what_fails() -> None:
    kinds = re.findall(r"^UNMODELLED\((\w+)\)", LISTED, re.MULTILINE)
    rows = re.findall(r"^UNMODELLED_OP\((\w+), (\w+)\)", LISTED, re.MULTILINE)
    assert len(set(rows)) == len(rows)
    assert not {kind for kind, _ in rows} & set(kinds), "all of it is listed"


@pytest.mark.parametrize("name", [info.name for info in isa.instructions()])
def test_operands_are_fields(name: str) -> None:
    fields = {row.name for row in isa.fields(name)}
    for operand, role in isa.operands(name):
        assert {f"{operand}_addr", f"{operand}_start_addr_l32"} & fields, operand
        assert role in {"read", "write", "number", "unknown"}
