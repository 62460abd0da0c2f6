"""Calibration tables: for each float tensor where its scale ends, and the least and greatest number it held.

The text form is TPU-MLIR's: one ``name threshold min max`` a line, blank lines and lines that start with
``#`` left out. A name may hold spaces; the last three words are the numbers. Names are those of the Top
module, which are those of the ONNX model, and the rows are in its order.

Behind the rows stands what the channels of some tensors hold, in lines that TPU-MLIR takes for comments:
``#channels``, how many there are, the name, and min and max of each.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tpumlir.errors import CalibrationError, Diagnostic, Note, unknown_name
from tpumlir.files import atomic_write

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

FORM = "name threshold min max"
COLUMNS = "op_name    threshold    min    max"
CHANNELS = "#channels"
CHANNEL_COLUMNS = "#channels    channels    op_name    min and max of each"
_SHORT = 60
SHOWN = 5  # faults that are told one by one

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NO_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)", re.IGNORECASE)
# Sections of TPU-MLIR's tables whose rows say something else, and why they are not needed.
_SECTIONS = {
    "#int4_th": "thresholds of INT4, which BM1684X does not have",
    "#weight_scale": "scales of weights, which are found anew from the weights",
    "#asym_op": "operations that were searched to be asymmetric",
}
_FP8 = re.compile(r"#\s*tpu-mlir-fp8\b", re.IGNORECASE)


class Module(Protocol):
    """What is read of a module here."""

    def ops(self) -> list[OpInfo]:
        """Every operation in order."""


@dataclass(frozen=True)
class Row:
    """Of one tensor: the magnitude where its scale ends, and the true extremes; numbers of float32."""

    threshold: float
    low: float
    high: float
    channels: tuple[tuple[float, float], ...] = ()  # low and high of each index of axis 1, if they are known

    def fault(self) -> str | None:
        """What is wrong with the numbers together."""
        if not all(map(math.isfinite, (self.threshold, self.low, self.high))):
            return f"expected finite numbers, got {self.threshold:g} {self.low:g} {self.high:g}"
        if self.threshold <= 0:
            return f"expected a threshold above 0, got {self.threshold:g}"
        if self.low > self.high:
            return f"expected min <= max, got {self.low:g} > {self.high:g}"
        for low, high in self.channels:
            if not self.low <= low <= high <= self.high:
                wanted = f"{self.low:g} and {self.high:g}"
                return f"expected channels within {wanted}, got min {low:g} and max {high:g}"
        return None


@dataclass(frozen=True)
class CalibrationTable:
    """The rows by tensor, in the order of the module, and what the lines in front say."""

    rows: Mapping[str, Row]
    comments: tuple[str, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Row:
        return self.rows[name]

    def ranges(self) -> dict[str, tuple[float, float, float]]:
        """Threshold, min and max of each tensor."""
        return {name: (row.threshold, row.low, row.high) for name, row in self.rows.items()}

    def channel_ranges(self) -> dict[str, tuple[list[float], list[float]]]:
        """Where they are known: the least and the greatest number of each channel of a tensor."""
        return {
            name: ([low for low, _ in row.channels], [high for _, high in row.channels])
            for name, row in self.rows.items()
            if row.channels
        }

    def without_channels(self) -> CalibrationTable:
        """The same with one scale for each tensor."""
        rows = {name: replace(row, channels=()) for name, row in self.rows.items()}
        return CalibrationTable(rows, self.comments)

    # --- text ------------------------------------------------------------------

    @staticmethod
    def parse(text: str, *, source: str = "calibration table") -> CalibrationTable:
        """Read the text form.

        Raises: CalibrationError: every line that is no row, every number that is none, every name that is
        there twice, each with its line; a table without rows, or for FP8.
        """
        return _Reader(source).read(text)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> CalibrationTable:
        """Read a table file. Raises: CalibrationError: see ``parse``, and a file that cannot be read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise CalibrationError(f"{path}: expected lines of text `{FORM}`, got a binary file") from None
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise CalibrationError(f"{path}: {reason}") from None
        return CalibrationTable.parse(text, source=str(path))

    def text(self) -> str:
        """The text form. Raises: CalibrationError: names or numbers that it cannot hold.

        A name with a line break, with blanks around it or with ``#`` in front has no text form.
        """
        faults = [
            Diagnostic("expected a name without line breaks, outer blanks and a leading #", name)
            for name in self.rows
            if not name or name != name.strip() or name.startswith("#") or len(name.splitlines()) != 1
        ]
        faults += [Diagnostic(fault, name) for name, row in self.rows.items() if (fault := row.fault())]
        if faults:
            raise CalibrationError(*faults)
        lines = [f"# {line}" for comment in self.comments for line in comment.splitlines()]
        lines += ["###", f"# {COLUMNS}"]
        lines += [
            f"{name} {_text(row.threshold)} {_text(row.low)} {_text(row.high)}"
            for name, row in self.rows.items()
        ]
        known = {name: row.channels for name, row in self.rows.items() if row.channels}
        lines += [f"# {CHANNEL_COLUMNS}"] * bool(known)
        lines += [
            " ".join([CHANNELS, str(len(channels)), name, *(_text(x) for both in channels for x in both)])
            for name, channels in known.items()
        ]
        return "".join(f"{line}\n" for line in lines)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the text form; the file appears whole or not at all. Raises: see ``text``; OSError."""
        text = self.text()
        with atomic_write(Path(path)) as out:
            out.write(text.encode())

    # --- whose table it is -------------------------------------------------------

    def check(self, module: Module, *, source: str = "calibration table") -> None:
        """Whether this is a table of ``module``.

        Raises: CalibrationError: rows of tensors that the module does not have, with similar names, and
        float tensors of the module without a row.
        """
        tensors = float_tensors(module)
        names = {result.name for op in module.ops() for result in op.results}
        unknown = [name for name in self.rows if name not in names]
        missing = [name for name in tensors if name not in self.rows]
        if unknown and len(unknown) == len(self.rows):
            raise CalibrationError(
                f"{source}: expected a table of this model, got one whose {len(unknown)} tensors it does not "
                f"have ({_first(unknown)}; this model has {_first(tensors)}): run_calibration makes its own"
            )
        faults = [Diagnostic(f"{source}: {d.message}", d.node) for d in _unknown(unknown, missing or tensors)]
        if len(unknown) > SHOWN:
            faults.append(Diagnostic(f"{source}: and {len(unknown) - SHOWN} more such names"))
        # A misspelled name is missing under its right one too: that is said already.
        if len(missing) > len(unknown):
            faults.append(
                Diagnostic(
                    f"{source}: expected a row for each of {len(tensors)} float tensors, got none for "
                    f"{len(missing)} of them ({_first(missing)}): run_calibration on this module makes them"
                )
            )
        if faults:
            raise CalibrationError(*faults)


def resolve(
    source: CalibrationTable | str | os.PathLike[str], module: Module | None = None
) -> CalibrationTable:
    """The table of a file, or the table itself; checked against ``module``. Raises: CalibrationError."""
    if isinstance(source, CalibrationTable):
        table, name = source, "calibration table"
    else:
        table, name = CalibrationTable.read(source), str(source)
    if module is not None:
        table.check(module, source=name)
    return table


def float_tensors(module: Module) -> list[str]:
    """The tensors that a table has a row for: computed, of float type, with elements, in order.

    What becomes of a frame of bytes needs none: the row of its input says what the picture is at its end.
    """
    skip = {"top.Weight", "top.None"}
    ops = module.ops()
    inputs = [op.results[0] for op in ops if op.kind == "top.Input"]
    parts = tuple(f"{frame.name}::" for frame in inputs if frame.dtype == "ui8")
    return [
        result.name
        for op in ops
        if op.kind not in skip
        for result in op.results
        if result.dtype == "f32" and result.name and 0 not in (result.shape or ())
        if not result.name.startswith(parts)
    ]


# What keeps channels apart, as the lowering to integers knows it (ChannelScales.cpp, isTaken).
_BY_CHANNEL = {
    "top.AddConst", "top.SubConst", "top.MulConst", "top.MaxConst", "top.MinConst", "top.Relu", "top.Clip",
    "top.HardSigmoid", "top.HardSwish", "top.LeakyRelu", "top.PRelu", "top.Scale",
}  # fmt: skip
_FEWEST_AXES = 3


def read_by_channel(module: Module) -> list[str]:
    """The float tensors of which every reader keeps the channels (axis 1) apart: each may have a scale.

    Such are depthwise convolutions and functions of single elements.
    """
    ops = module.ops()
    shapes = {result.name: result.shape or () for op in ops for result in op.results}
    mixed: set[str] = set()
    read: set[str] = set()
    for op in ops:
        for place, name in enumerate(op.operands):
            read.add(name)
            if place > 0 or not _keeps_apart(op, shapes.get(name, ())):
                mixed.add(name)
    return [
        name
        for name in float_tensors(module)
        if name in read - mixed and len(shapes[name]) >= _FEWEST_AXES and shapes[name][1] > 1
    ]


def _keeps_apart(op: OpInfo, shape: Sequence[int]) -> bool:
    if op.kind == "top.Conv":
        return int(op.attrs["group"]) == shape[1]
    return op.kind in _BY_CHANNEL


class _Reader:
    """Reads a table line by line, and goes on behind a fault."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.rows: dict[str, Row] = {}
        self.lines: dict[str, int] = {}
        self.faults: list[Diagnostic] = []

    def read(self, text: str) -> CalibrationTable:
        comments = []
        section = ""
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip().lstrip("\ufeff")
            if _FP8.match(line):
                self._fault(number, "expected a table for INT8, got one for FP8, which BM1684X does not have")
                break
            if line.lower() in _SECTIONS:
                section = line.lower()
                warnings.warn(
                    f"{self.source}:{number}: the section {line} is not read: {_SECTIONS[section]}",
                    Note,
                    stacklevel=4,
                )
            elif line.split(maxsplit=1)[:1] == [CHANNELS]:
                self._channels(number, line)
            elif line.startswith("#"):
                if not self.rows and line.strip("# ") not in {"", COLUMNS}:
                    comments.append(line.removeprefix("#").strip())
            elif line and not section:
                self._row(number, line)
        if not self.rows and not self.faults:
            self.faults.append(Diagnostic(f"{self.source}: expected rows `{FORM}`, got none"))
        if self.faults:
            more = len(self.faults) - SHOWN
            shown = self.faults[:SHOWN]
            if more > 0:
                shown.append(Diagnostic(f"{self.source}: and {more} more such lines"))
            raise CalibrationError(*shown)
        return CalibrationTable(self.rows, tuple(comments))

    def _fault(self, number: int, message: str) -> None:
        self.faults.append(Diagnostic(f"{self.source}:{number}: {message}"))

    def _row(self, number: int, line: str) -> None:
        name, *words = line.rsplit(maxsplit=3)
        if len(words) < 3 or not name:
            numbers = sum(bool(_NUMBER.fullmatch(word)) for word in words)
            old = " (an old table without min and max: run run_calibration again)" if numbers == 1 else ""
            self._fault(number, f"expected `{FORM}`, got {line!r}{old if len(words) == 1 else ''}")
            return
        for word, what in zip(words, FORM.split()[1:], strict=True):
            if not _NUMBER.fullmatch(word):
                kind = "a finite number" if _NO_NUMBER.fullmatch(word) else "a number"
                self._fault(number, f"expected {kind} as {what} of {name!r} (`{FORM}`), got {word!r}")
                return
        threshold, low, high = map(_float32, words)
        row = Row(threshold, low, high)
        fault = row.fault()
        if fault:
            self._fault(number, f"{name!r}: {fault}")
        elif name in self.rows:
            self._fault(
                number, f"expected each name once, got {name!r} again (first in line {self.lines[name]})"
            )
        else:
            self.rows[name] = row
            self.lines[name] = number

    def _channels(self, number: int, line: str) -> None:
        form = "`#channels COUNT name min max min max ...`"
        words = line.split(maxsplit=2)
        count = int(words[1]) if len(words) == 3 and words[1].isdecimal() else 0
        name, *ends = words[2].rsplit(maxsplit=2 * count) if count else ("",)
        if len(ends) != 2 * count or not count or not all(map(_NUMBER.fullmatch, ends)):
            self._fault(number, f"expected {form} with finite numbers, got {_short(line)!r}")
        elif name not in self.rows:
            self._fault(number, f"expected the channels of a tensor with a row above, got {name!r}")
        elif self.rows[name].channels:
            self._fault(number, f"expected the channels of {name!r} once, got them again")
        else:
            numbers = [*map(_float32, ends)]
            row = replace(self.rows[name], channels=tuple(zip(numbers[::2], numbers[1::2], strict=True)))
            fault = row.fault()
            if fault:
                self._fault(number, f"{name!r}: {fault}")
            else:
                self.rows[name] = row


def _short(line: str) -> str:
    return line if len(line) <= _SHORT else f"{line[:_SHORT]} ..."


def _float32(word: str) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(word)) + 0.0  # one zero, whatever its sign


def _text(value: float) -> str:
    """The shortest decimal that is the same float32; without "e+", which TPU-MLIR does not read."""
    number = np.float32(value) + np.float32(0)
    if number == 0 or abs(number) >= 1e-4:
        return np.format_float_positional(number, trim="0")
    return np.format_float_scientific(number, trim="0")


def _unknown(names: Iterable[str], known: Iterable[str]) -> list[Diagnostic]:
    return [unknown_name("tensor of the module", name, known) for name in list(names)[:SHOWN]]


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
