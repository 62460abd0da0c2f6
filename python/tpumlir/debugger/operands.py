"""What a command works on, read from its fields: operands with their addresses, shapes and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tpumlir._core import isa
from tpumlir.debugger.memory import address_text

_TYPES = {code: name for name, code in isa.dtype_codes().items()}
_LAYOUTS = {code: name for name, code in isa.layouts().items()}
_LOCAL = isa.LOCAL_MEMORY[0]


class Operand(NamedTuple):
    """An operand as the fields of a command state it; nothing where no field does."""

    name: str
    role: str
    what: str

    def __str__(self) -> str:
        return f"{self.name:<6} {self.role:<6} {self.what}"


def operands(command: isa.Command) -> list[Operand]:
    """The operands of a command that are used."""
    fields = command.fields
    found = []
    for name, role in isa.operands(command.instruction):
        what = _gdma(name, fields) if command.engine == "gdma" else _tiu(name, fields)
        if what and role != "unknown":
            found.append(Operand(name, role, what))
    return found


def _tiu(name: str, fields: Mapping[str, int]) -> str:
    if f"{name}_addr" not in fields:
        return ""
    number = name[-1]
    # The operands beyond the count of the command are not looked at.
    used = fields.get("tsk_opd_num")
    if name.startswith("opd") and used is not None and int(number) >= used:
        return ""
    value = fields[f"{name}_addr"]
    if fields.get(f"{name}_const"):
        return f"the constant {value:#x}{_type(name, fields)}"
    shape = [fields.get(f"{name}_{d}", 0) for d in "nchw"]
    if not any(shape) and not value and (used is None or name.startswith("res")):
        return ""
    size = f" {_sizes(shape)}" if any(shape) else ""
    layout = fields.get(f"{name}_str")
    # Some operands are in static memory, at its address for GDMA.
    address = _LOCAL + value if value < isa.LOCAL_MEMORY[1] - _LOCAL else value
    text = f"{address_text(address)}{size}{_type(name, fields)}"
    if layout is None:
        return text
    text += f", {_LAYOUTS.get(layout, f'layout {layout}')}"
    strides = [fields.get(f"{name}_{d}_str", 0) for d in "nchw"]
    return text + (f" {strides}" if any(strides) else "")


def _sizes(shape: Sequence[int]) -> str:
    """The extents; where some are not stated only the others, by their letters."""
    if all(shape):
        return "x".join(map(str, shape))
    return " ".join(f"{letter}={extent}" for letter, extent in zip("nchw", shape, strict=True) if extent)


def _type(name: str, fields: Mapping[str, int]) -> str:
    code = fields.get(f"{name}_prec")
    return f" {_TYPES.get(code, '?')}" if code is not None else ""


def _gdma(name: str, fields: Mapping[str, int]) -> str:
    if f"{name}_start_addr_l32" not in fields:
        return ""
    if name == "src" and fields.get("fill_constant_en"):
        return f"the constant {fields.get('constant_value', 0):#x}"
    address = fields.get(f"{name}_start_addr_h8", 0) << 32 | fields[f"{name}_start_addr_l32"]
    shape = [fields.get(f"{name}_{d}size", 0) for d in "nchw"]
    text = address_text(address)
    if any(shape):
        text += f" {_sizes(shape)}"
    code = fields.get("src_data_format")
    if code is not None and name != "index":
        text += f" {_TYPES.get(code, '?')}"
    strides = [fields.get(f"{name}_{d}stride", 0) for d in "nchw"]
    return text + (f", strides {strides}" if fields.get("stride_enable") and any(strides) else "")
