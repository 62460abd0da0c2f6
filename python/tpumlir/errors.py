"""Every error that tpumlir raises on purpose.

Callers need one class to catch and the name of the ONNX node to show; both are here. The text of a
diagnostic reads ``<node>: expected <rule>, got <value>``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "AccuracyError",
    "AllocationError",
    "BModelError",
    "CalibrationError",
    "CompareError",
    "DecodeError",
    "DeviceFault",
    "Diagnostic",
    "EncodeError",
    "InputError",
    "LegalityError",
    "Note",
    "OnnxImportError",
    "OutOfRangeError",
    "ParseError",
    "PassError",
    "TpumlirError",
    "UnsupportedError",
    "VerifyError",
    "unknown_name",
]


@dataclass(frozen=True)
class Diagnostic:
    """One message, with the graph node it speaks about."""

    message: str
    node: str | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.node}: {self.message}" if self.node else self.message
        return "\n".join([head, *(f"  note: {note}" for note in self.notes)])


class Note(UserWarning):
    """What the user of a command should know though nothing is wrong; commands print it as one line."""


_FEW = 6  # names that are listed one by one


def unknown_name(what: str, name: str, known: Iterable[str]) -> Diagnostic:
    """Say that there is no ``what`` of this name, and which similar names there are."""
    import difflib

    names = list(known)
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" (similar names: {', '.join(similar)})" if similar else ""
    if not similar and 0 < len(names) <= _FEW:
        hint = f" (there {'is' if len(names) == 1 else 'are'}: {', '.join(names)})"
    return Diagnostic(f"expected the name of a {what}, got one that it does not have{hint}", name)


class TpumlirError(Exception):
    """Base class of every error raised on purpose; ``diagnostics`` is never empty."""

    def __init__(self, *diagnostics: Diagnostic | str) -> None:
        if not diagnostics:
            raise ValueError("expected at least one diagnostic, got none")
        self.diagnostics = tuple(Diagnostic(d) if isinstance(d, str) else d for d in diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))

    @property
    def node(self) -> str | None:
        """Name of the first ONNX node concerned, or None for a global error."""
        return next((d.node for d in self.diagnostics if d.node), None)


class OnnxImportError(TpumlirError):
    """The model uses what the importer does not read."""

    def __init__(
        self, *diagnostics: Diagnostic | str, op_type: str | None = None, opset: int | None = None
    ) -> None:
        super().__init__(*diagnostics)
        self.op_type = op_type
        self.opset = opset


class UnsupportedError(TpumlirError):
    """The model is valid, but a part of it is not lowered; every such node has a diagnostic."""

    def __init__(
        self, *diagnostics: Diagnostic | str, op: str | None = None, precision: str | None = None
    ) -> None:
        super().__init__(*diagnostics)
        self.op = op
        self.precision = precision


class ParseError(TpumlirError):
    """A text (MLIR, table, option) that cannot be read."""


class VerifyError(TpumlirError):
    """A rule of an operation does not hold."""


class PassError(TpumlirError):
    """A pass failed."""

    def __init__(self, *diagnostics: Diagnostic | str, pass_name: str | None = None) -> None:
        super().__init__(*diagnostics)
        self.pass_name = pass_name


class CalibrationError(TpumlirError):
    """A range is missing, or a calibration table cannot be read."""


class AccuracyError(TpumlirError):
    """No table of precisions meets a target; ``score`` is that of the nearest."""

    def __init__(self, *diagnostics: Diagnostic | str, score: float | None = None) -> None:
        super().__init__(*diagnostics)
        self.score = score


class AllocationError(TpumlirError):
    """A tensor does not fit; ``need`` and ``have`` are bytes."""

    def __init__(
        self, *diagnostics: Diagnostic | str, need: int | None = None, have: int | None = None
    ) -> None:
        super().__init__(*diagnostics)
        self.need = need
        self.have = have


class EncodeError(TpumlirError):
    """A value that its instruction field cannot hold; ``width`` is in bits, 0 if there is no such field."""

    def __init__(
        self,
        *diagnostics: Diagnostic | str,
        field: str | None = None,
        value: int | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__(*diagnostics)
        self.field = field
        self.value = value
        self.width = width


class LegalityError(EncodeError):
    """Commands that break a rule of the hardware, one diagnostic for each violation."""


class DeviceFault(TpumlirError):
    """The simulator refused a command; ``command`` is its id, ``address`` the one touched."""

    def __init__(
        self,
        *diagnostics: Diagnostic | str,
        engine: str | None = None,
        command: int | None = None,
        address: int | None = None,
    ) -> None:
        super().__init__(*diagnostics)
        self.engine = engine
        self.command = command
        self.address = address


class BModelError(TpumlirError):
    """A bmodel file that is damaged or not supported; ``offset`` is in bytes from its start, if known."""

    def __init__(self, *diagnostics: Diagnostic | str, offset: int | None = None) -> None:
        super().__init__(*diagnostics)
        self.offset = offset


class DecodeError(BModelError):
    """Bytes that are no instruction; ``offset`` is in bytes from the start of the command stream."""


class InputError(TpumlirError):
    """A run-time input with a wrong name, shape, type or value; ``tensor`` names it."""

    def __init__(self, *diagnostics: Diagnostic | str, tensor: str | None = None) -> None:
        super().__init__(*diagnostics)
        self.tensor = tensor


class OutOfRangeError(TpumlirError):
    """A type does not hold what the model computes; ``tensors`` are those concerned.

    A half precision what F32 does, or the 32 bits of every integer what int64, uint32 or uint64 does.
    """

    def __init__(self, *diagnostics: Diagnostic | str, tensors: tuple[str, ...] = ()) -> None:
        super().__init__(*diagnostics)
        self.tensors = tensors


class CompareError(TpumlirError):
    """Two tensors that should agree and do not."""

    def __init__(
        self,
        *diagnostics: Diagnostic | str,
        tensor: str | None = None,
        metric: str | None = None,
        got: float | None = None,
        want: float | None = None,
    ) -> None:
        super().__init__(*diagnostics)
        self.tensor = tensor
        self.metric = metric
        self.got = got
        self.want = want
