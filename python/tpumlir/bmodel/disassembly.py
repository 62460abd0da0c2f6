"""Commands as text, in the formats that the vendor's disassembler names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tpumlir._core import isa
from tpumlir.bmodel.debug import DebugEntry
from tpumlir.bmodel.model import BModel

FORMATS = ("mlir", "reg", "bits", "bin")
"""mlir: a module of generic operations; reg: JSON lines; bits: a row per field; bin: hexadecimal bytes."""


@dataclass(frozen=True)
class _Line:
    group: int
    engine: str
    index: int
    command: isa.Command
    data: bytes
    source: DebugEntry | None


def disassemble(model: BModel, form: str = "mlir") -> Iterator[str]:
    """Yield the lines of all commands, group by group, TIU first. ``form`` is one of FORMATS.

    Raises: DecodeError: bytes that are no instruction.
    """
    if form == "mlir":
        yield from _mlir(model)
        return
    render = {"reg": _reg, "bits": _bits, "bin": _bin}[form]
    for group in range(len(model.groups)):
        for engine in ("tiu", "gdma"):
            for line in _lines(model, group, engine):
                yield from render(line)


def _lines(model: BModel, group: int, engine: str) -> Iterator[_Line]:
    stream = model.groups[group].tiu if engine == "tiu" else model.groups[group].gdma
    for index, command in enumerate(isa.decode(engine, stream)):
        data = stream[command.offset : command.offset + command.size]
        yield _Line(group, engine, index, command, data, model.debug.find(group, engine, command.id))


def _mlir(model: BModel) -> Iterator[str]:
    yield f"module @{_quoted(model.name)} attributes {{tpu.chip = {_quoted(model.chip)}}} {{"
    for group in range(len(model.groups)):
        for engine in ("tiu", "gdma"):
            yield f"  func.func @group{group}_{engine}() {{"
            for line in _lines(model, group, engine):
                yield f"    {_generic_op(line)}"
            yield "    return"
            yield "  }"
    yield "}"


def _generic_op(line: _Line) -> str:
    shown = {name: value for name, value in line.command.fields.items() if value}
    for name in ("cmd_short", "tsk_typ", "tsk_eu_typ", "cmd_type", "cmd_special_function"):
        shown.pop(name, None)
    # A signless i64 literal ends at 2^63 - 1; only lane masks go beyond.
    attributes = [
        f"{name} = {value} : {'i64' if value < 1 << 63 else 'ui64'}" for name, value in shown.items()
    ]
    attributes.insert(0, f"instruction = {_quoted(line.command.instruction)}")
    location = ""
    if line.source:
        attributes.insert(1, f"source = {_quoted(line.source.op)}")
        if line.source.node:
            location = f" loc({_quoted(line.source.node)})"
    return f'"{line.engine}.{line.command.op}"() {{{", ".join(attributes)}}} : () -> (){location}'


def _quoted(text: str) -> str:
    """Return an MLIR string literal."""
    body = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02X}" for byte in text.encode()
    )
    return f'"{body}"'


def _reg(line: _Line) -> Iterator[str]:
    yield json.dumps(
        {
            "group": line.group,
            "engine": line.engine,
            "index": line.index,
            "offset": line.command.offset,
            "instruction": line.command.instruction,
            "op": line.command.op,
            "source": [line.source.op, line.source.node] if line.source else None,
            "fields": line.command.fields,
        }
    )


def _bits(line: _Line) -> Iterator[str]:
    command = line.command
    yield f"{line.engine} {line.index} at byte {command.offset}: {command.instruction} {command.op}"
    values = command.fields
    for row in isa.fields(command.instruction):
        name = row.name or "(reserved)"
        value = values.get(row.name, 0)
        yield f"  [{row.lsb:4} +{row.width:2}] {name:<22} {value:0{row.width}b} ({value})"


def _bin(line: _Line) -> Iterator[str]:
    yield f"{line.engine} {line.index} {line.data.hex()}"
