"""Quantisation tables: the precision of single tensors, where it differs from that of the deploy.

The text form is TPU-MLIR's: one ``name mode`` a line, blank lines and lines that start with ``#`` left out.
A name may hold spaces; the mode is the last word. Names are those of the Top module, which are those of the
ONNX model; an operation computes in the precision of its result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tpumlir.errors import Diagnostic, InputError, ParseError
from tpumlir.files import atomic_write
from tpumlir.precision.formats import MODES

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

QuantizeTable = Mapping[str, str]


class Module(Protocol):
    """What is read of a module here."""

    def tensor_names(self) -> list[str]:
        """The names of all computed tensors."""

    def ops(self) -> list[OpInfo]:
        """Every operation in order."""


def parse(text: str, *, source: str = "quantize table") -> dict[str, str]:
    """Read the text form; modes come back in capitals.

    Raises: ParseError: every line that is not ``name mode``, every unknown mode, every name that is there
    twice, each with its line.
    """
    table: dict[str, str] = {}
    faults: list[Diagnostic] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        *names, mode = line.rsplit(maxsplit=1)
        name = names[0] if names else ""
        fault = None if name else f"expected `name mode`, got {line!r}"
        fault = fault or _mode_fault(mode)
        if fault is None and name in table:
            fault = f"expected each name once, got {name!r} again"
        if fault:
            faults.append(Diagnostic(f"{source}:{number}: {fault}"))
        table[name] = mode.upper()
    if faults:
        raise ParseError(*faults)
    return table


def read(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a table file. Raises: ParseError: see ``parse``; OSError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ParseError(f"{path}: expected lines of text `name mode`, got a binary file") from None
    return parse(text, source=str(path))


def write(
    path: str | os.PathLike[str],
    table: QuantizeTable,
    *,
    comments: Iterable[str] = (),
    reasons: Mapping[str, str] | None = None,
) -> None:
    """Write a table, the comments in front and above a name its reason.

    Raises: InputError: names or modes that no table holds; OSError.

    A name with a line break, with blanks around it or with ``#`` in front has no text form.
    """
    faults = [
        Diagnostic("expected a name without line breaks, outer blanks and a leading #", name)
        for name in table
        if name != name.strip() or name.startswith("#") or len(name.splitlines()) != 1
    ]
    faults += [Diagnostic(fault, name) for name, mode in table.items() if (fault := _mode_fault(mode))]
    if faults:
        raise InputError(*faults)
    lines = [f"# {line}" for comment in comments for line in comment.splitlines()]
    for name, mode in table.items():
        lines += [f"# {line}" for line in (reasons or {}).get(name, "").splitlines()]
        lines.append(f"{name} {mode.upper()}")
    with atomic_write(Path(path)) as out:
        out.write("".join(f"{line}\n" for line in lines).encode())


def validate(table: QuantizeTable, module: Module) -> dict[str, str]:
    """The table with modes in capitals, every name a computed tensor of ``module``.

    Raises: InputError: every unknown name, with the closest known ones, and every unknown mode.
    """
    names = module.tensor_names()
    known = set(names)
    faults: list[Diagnostic] = []
    for name, mode in table.items():
        if name not in known:
            faults.append(
                Diagnostic(f"expected the name of a computed tensor{_hint(name, names, module)}", name)
            )
        if fault := _mode_fault(mode):
            faults.append(Diagnostic(fault, name))
    if faults:
        raise InputError(*faults, tensor=faults[0].node)
    return {name: mode.upper() for name, mode in table.items()}


def resolve(source: QuantizeTable | str | os.PathLike[str] | None, module: Module) -> dict[str, str]:
    """The valid table of a mapping, of a file, or of None (empty). Raises: see ``read`` and ``validate``."""
    if source is None:
        return {}
    return validate(source if isinstance(source, Mapping) else read(source), module)


def _mode_fault(mode: str) -> str | None:
    if mode.upper() in MODES:
        return None
    return f"expected a mode of {', '.join(MODES)}, got {mode!r}"


def _hint(name: str, names: Sequence[str], module: Module) -> str:
    """What may have been meant: the tensor of a node of this name, or similar names."""
    meant = [op.name for op in module.ops() if op.node == name and op.name != name]
    if meant:
        return f" (the node of this name computes {meant[-1]})"
    close = get_close_matches(name, names, 3)
    return f" (similar: {', '.join(close)})" if close else ""
