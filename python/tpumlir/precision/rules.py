"""What the precision rules chose for a lowered module, for reports: docs/precision.md states the rules.

The choice is made by the pass ``choose-precision``; here it is only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tpumlir._core.precision import FLOAT_TYPES
from tpumlir.precision.formats import least_precise

if TYPE_CHECKING:
    from tpumlir.ir.module import Module

_AGAINST = ", against "


class Choice(NamedTuple):
    """An operation whose precision is not simply that of the deploy, and the rule that says so."""

    tensor: str
    kind: str
    node: str
    precision: str  # a mode, such as F32
    why: str

    @property
    def label(self) -> str:
        """The label of the rule, such as P4."""
        return self.why[1:].partition(")")[0]

    @property
    def overruled(self) -> str:
        """The rule that the quantize table overrules; empty if none."""
        return self.why.partition(_AGAINST)[2]

    def __str__(self) -> str:
        return f"{self.tensor}: {self.precision}, {self.why}"


def choices(tpu: Module) -> list[Choice]:
    """The choices of a Tpu module that have a reason, in its order."""
    found = []
    for op in tpu.ops():
        if op.why and op.results:
            # What has integers only has the precision of what it reads.
            types = [result.dtype for result in op.results if result.dtype in FLOAT_TYPES]
            found.append(Choice(op.name, op.kind, op.node, least_precise(types[:1]), op.why))
    return found


def by_rule(found: Sequence[Choice]) -> dict[str, list[str]]:
    """The tensors of each rule, in the order of the rules."""
    rules: dict[str, list[str]] = {}
    for choice in sorted(found, key=lambda choice: choice.label):
        rules.setdefault(choice.why, []).append(choice.tensor)
    return rules
