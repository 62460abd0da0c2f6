"""What a model showed: the kinds of faults, told apart so that a reduction does not slip to another one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PREDICATES = ("fails-validation", "crashes", "refused", "wrong", "script")


@dataclass(frozen=True)
class Kind:
    """One fault: ``parts`` tell it from others, ``text`` says it to people.

    ``where`` are names of nodes and tensors at which it shows. Several operations may be to blame: ``ops``
    are those between ``ends``, the last tensors that agree, and the first that does not; ``region`` is what
    they compute.
    """

    what: str
    parts: tuple[str, ...] = ()
    text: str = ""
    where: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def is_same(self, other: Kind) -> bool:
        """Whether ``other``, seen in a smaller model, is this fault.

        One of the operations must be among those of this one, or compute a tensor of its region (what was
        fused is alone there). Where no operation is known any will do.
        """
        if self.what != other.what or self.parts != other.parts:
            return False
        if not self.ops or not set(self.ops).isdisjoint(other.ops):
            return True
        return not set(self.region).isdisjoint(other.where)

    def narrowed(self, seen: Kind) -> Kind:
        """This fault after ``seen``, the same one in a smaller model, with the operations of both."""
        both = tuple(op for op in self.ops if op in seen.ops) if self.ops else seen.ops
        return replace(self, ops=both or self.ops)

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return {
            "what": self.what, "parts": list(self.parts), "text": self.text, "where": list(self.where),
            "ops": list(self.ops), "region": list(self.region), "ends": list(self.ends),
        }  # fmt: skip

    @staticmethod
    def of_json(document: Mapping[str, Any]) -> Kind:
        """The kind that ``to_json`` wrote."""
        return Kind(
            document["what"], tuple(document["parts"]), document["text"], tuple(document["where"]),
            tuple(document["ops"]), tuple(document["region"]), tuple(document["ends"]),
        )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one model showed: ``kinds`` of the predicate's faults, or the reason why there are none.

    ``foreign``: ONNX's checker or ONNX Runtime does not take the model.
    """

    kinds: tuple[Kind, ...] = ()
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)
    foreign: bool = False

    def shown(self, wanted: Kind | None) -> Kind | None:
        """The fault like ``wanted``; any if that is None."""
        return next((kind for kind in self.kinds if wanted is None or wanted.is_same(kind)), None)

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return {
            "kinds": [kind.to_json() for kind in self.kinds], "reason": self.reason,
            "seconds": round(self.seconds, 3), "foreign": self.foreign,
        }  # fmt: skip

    @staticmethod
    def of_json(document: Mapping[str, Any]) -> Outcome:
        """The outcome that ``to_json`` wrote."""
        return Outcome(
            tuple(map(Kind.of_json, document["kinds"])), document["reason"], document["seconds"],
            document["foreign"],
        )  # fmt: skip


def skeleton(text: str, names: Collection[str] = ()) -> str:
    """A message without what depends on the model: its names and its numbers."""
    words = [
        "@" if word.strip("()[],:;'\"") in names else re.sub(r"\d+(\.\d+)?", "#", word)
        for word in text.split()
    ]
    # Shapes lose their number of extents too.
    return re.sub(r"#(x|, ?#|,#|#)*", "#", " ".join(words))


_CLASSES = {
    "overflow": "not finite",
    "NaN": "not finite",
    "wrong shape": "form",
    "wrong type": "form",
    "missing": "missing",
    "fault": "fault",
}


def coarse(kind: str) -> str:
    """The class of a difference: values, numbers that are none, shape or type, no result."""
    return _CLASSES.get(kind, "values")


def first_lines(text: str, most: int = 300) -> str:
    """A text as one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
