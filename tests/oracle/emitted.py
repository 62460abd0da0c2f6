"""Which row of the coverage page a command of the code generator belongs to."""

from __future__ import annotations

import re

from oracle.coverage import PAGE
from oracle.values import CODES
from tpumlir._core import isa

Kind = tuple[str, str]
NAMES = {code: name for name, code in CODES.items()}


def covered(cases: int) -> set[Kind]:
    """The rows of the coverage page with at least so many cases and no mismatch."""
    found = re.findall(r"^\| (\S.*?) \| (\S+) \| (\d+) \| 0 \|$", PAGE.read_text(), re.MULTILINE)
    return {(op, dtype) for op, dtype, count in found if int(count) >= cases}


def kind_of(command: isa.Command) -> Kind:
    """Operation and element types of a command, spelled as the rows are."""
    fields, op = command.fields, command.op
    if command.engine == "gdma":
        return op + _copy_form(op, fields), NAMES[fields["src_data_format"]]
    family = op.split(".")[0]
    if family == "arith":
        return _arithmetic(op, fields)
    if family == "cmp":
        compared, selected = NAMES[fields["opd0_prec"]], NAMES[fields["opd2_prec"]]
        return op, compared if compared == selected else f"{compared},{selected}"
    if family == "sg":
        return op, f"{NAMES[fields['opd0_prec']]},{NAMES[fields['opd1_prec']]}"
    if family == "tsbc":
        return op, NAMES[fields["res0_prec"]]
    source, result = NAMES[fields["opd0_prec"]], NAMES[fields["res0_prec"]]
    return op, source if source == result else f"{source}->{result}"


def _copy_form(op: str, fields: dict[str, int]) -> str:
    if op == "dma.tensor":
        return " (fill)" if fields["fill_constant_en"] else "" if fields["nchw_copy"] else " (reshape)"
    if op.startswith("dma.matrix"):
        low, high = isa.LOCAL_MEMORY
        destination = fields["dst_start_addr_l32"] | fields["dst_start_addr_h8"] << 32
        return " (load)" if low <= destination < high else " (store)"
    return ""


def _arithmetic(op: str, fields: dict[str, int]) -> Kind:
    sources = fields["tsk_opd_num"]
    if op in ("arith.ashift", "arith.logicShift") and not fields["opd1_const"]:
        return f"{op} (amounts)", f"{NAMES[fields['res0_prec']]},{NAMES[fields['opd1_prec']]}"
    result, first = NAMES[fields["res0_prec"]], NAMES[fields["opd0_prec"]]
    second = NAMES[fields["opd1_prec"]] if sources > 1 else first
    given = first if first == second else f"{first},{second}"
    label = given if given == result else f"{given}->{result}"
    if op in ("arith.max", "arith.min") and first.startswith("i") and not fields["opd0_sign"]:
        label = label.replace("i", "u")
    shifts = sources == 3 and op in ("arith.adds", "arith.subs", "arith.muls")
    return op + (" (shift)" if shifts else ""), label
