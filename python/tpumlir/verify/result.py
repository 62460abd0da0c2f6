"""What a verification found: which operation goes wrong first, and of every tensor how far it is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy.typing as npt

from tpumlir.bmodel.places import Place
from tpumlir.compare import TensorResult

Array = npt.NDArray[Any]


class Wrong(NamedTuple):
    """A computed tensor that is not what its operation makes of its operands: from a place on."""

    tensor: str
    place: int
    position: int
    got: Array
    want: Array
    result: TensorResult
    kind: str
    detail: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong from a command on. ``op`` and ``node`` are what that command belongs to.

    ``tensor`` is what is seen to be wrong. Of a consequence the cause is another finding.
    """

    kind: str
    op: str
    node: str
    result: str  # what the operation computes
    tensor: str
    slice: int
    memory: str
    address: int
    group: int
    engine: str
    command: int
    position: int  # commands that ran before, of both engines
    detail: str
    worst: str = ""
    line: int = 0  # of the Tpu text
    is_consequence: bool = False

    @property
    def where(self) -> str:
        """The command."""
        group = f"group {self.group} " if self.group else ""
        return f"{group}{self.engine} command {self.command}"

    def lines(self) -> list[str]:
        """The report for a terminal."""
        node = f", node {self.node}" if self.node and self.node != self.tensor else ""
        line = f" (line {self.line} of the Tpu text)" if self.line else ""
        lines = [
            f"{self.op}{node}{line}: {self.where}",
            f"  {self.kind}: {self.detail}",
            f"  seen in: {self.tensor}, slice {self.slice}, {self.memory} memory at {self.address:#x}",
        ]
        return [*lines, f"  worst element: {self.worst}"] if self.worst else lines

    def to_json(self) -> dict[str, object]:
        """Every field."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


@dataclass(frozen=True)
class TensorCheck:
    """A tensor: how much of it was seen and in how many pieces, and how far it is off.

    ``excess`` is how many times more an element is off than it may be, by its operation alone; ``alone`` says
    that it was judged by what the interpreter makes of the operands that the chip had. ``verdict`` is one of
    equal, right, WRONG, consequence, unseen.
    """

    tensor: str
    op: str
    node: str
    depth: int
    dtype: str
    shape: tuple[int, ...]
    elements: int
    seen: int
    local: int
    stored: int
    verdict: str
    max_abs: float | None = None
    cosine: float | None = None
    excess: float | None = None
    alone: bool = False
    note: str = ""

    @property
    def is_off(self) -> bool:
        """Whether it is not what it should be."""
        return self.verdict in {"WRONG", "consequence"}

    def to_json(self) -> dict[str, object]:
        """Every field."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__} | {"shape": list(self.shape)}


@dataclass(frozen=True)
class Verification:
    """The whole verdict."""

    model: str
    reference: str
    precision: str
    commands: int
    ran: int
    places: int
    read: int
    findings: Sequence[Finding]  # in the order of the commands
    tensors: Sequence[TensorCheck]  # in the order of the module
    exact: bool = False
    seconds: float = 0.0
    pieces: Sequence[Place] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing is wrong."""
        return not self.findings and any(row.seen for row in self.tensors)

    @property
    def causes(self) -> list[Finding]:
        """The findings that are no consequence of others."""
        return [finding for finding in self.findings if not finding.is_consequence]

    @property
    def first(self) -> Finding | None:
        """The first cause, in the order of the commands."""
        return next(iter(self.causes), None)

    @property
    def worst(self) -> TensorCheck | None:
        """The tensor that is further off than any other, as its operation explains it."""
        rows = [row for row in self.tensors if row.excess is not None and row.verdict not in {"equal"}]
        return max(rows, key=lambda row: (row.is_off, row.excess or 0.0), default=None)

    @property
    def unseen(self) -> list[TensorCheck]:
        """Tensors of which not all elements were seen."""
        return [row for row in self.tensors if row.seen < row.elements]

    def coverage(self) -> str:
        """One line: how many tensors were seen."""
        whole = sum(row.seen == row.elements for row in self.tensors)
        partly = sum(0 < row.seen < row.elements for row in self.tensors)
        text = f"{whole} of {len(self.tensors)} tensors seen whole"
        text += f", {partly} in part" if partly else ""
        return f"{text}, in {self.read} of {self.places} places"

    def summary(self) -> str:
        """One line: the verdict, and the first cause."""
        if self.passed:
            equal = sum(row.verdict == "equal" for row in self.tensors)
            worst = self.worst
            tail = f"; worst: {worst.tensor} ({worst.excess:.3g} of what is allowed)" if worst else ""
            return f"passed: {self.coverage()}; {equal} equal bit for bit{tail}"
        if not self.findings:
            return f"FAILED: nothing was compared: {self.coverage()}"
        causes, first = self.causes, self.first
        more = f" and {len(causes) - 1} more" if len(causes) > 1 else ""
        assert first is not None
        node = f" @ {first.node}" if first.node else ""
        return f"FAILED: {first.kind} by {first.op}{node}{more}: {self.coverage()}"

    def to_json(self) -> dict[str, Any]:
        """The whole verdict in JSON's types."""
        worst = self.worst
        return {
            "model": self.model,
            "reference": self.reference,
            "precision": self.precision,
            "exact": self.exact,
            "passed": self.passed,
            "commands": self.commands,
            "commands_run": self.ran,
            "places": self.places,
            "places_read": self.read,
            "coverage": {
                "tensors": len(self.tensors),
                "whole": sum(row.seen == row.elements for row in self.tensors),
                "unseen": [
                    {"tensor": row.tensor, "seen": row.seen, "elements": row.elements, "why": row.note}
                    for row in self.unseen
                ],
            },
            "first": self.first.to_json() if self.first else None,
            "worst": worst.to_json() if worst else None,
            "findings": [finding.to_json() for finding in self.findings],
            "tensors": [row.to_json() for row in self.tensors],
            "seconds": round(self.seconds, 3),
        }
