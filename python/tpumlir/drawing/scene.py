"""What a picture of a module shows: its operations with all that is known of each, and who reads whom."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tpumlir.drawing.verdicts import STATES, Verdict
from tpumlir.ir.graph import operands
from tpumlir.ir.names import whole_of

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo, TensorInfo
    from tpumlir.bmodel.profile import Profile
    from tpumlir.ir.module import Module

_GROUP = re.compile(r"id = (\d+)")
_PLACE = re.compile(r"#tpu\.gmem<region = (\w+), offset = (\d+)>")
_WORDS = re.compile(r"^#(?:tpu|top)<\w+ (.+)>$")
_NOT_ATTRIBUTES = {"tpu.group", "tpu.place", "tpu.image"}


@dataclass(frozen=True)
class Tensor:
    """A tensor as it is read or written by an operation."""

    name: str
    type: str  # such as f16, or i8 with its scale
    shape: tuple[int, ...] | None
    info: TensorInfo | None = field(default=None, repr=False)
    place: str = ""  # in global memory, where the module says it

    @property
    def text(self) -> str:
        """Type and shape."""
        shape = "?" if self.shape is None else "x".join(map(str, self.shape)) or "scalar"
        return f"{self.type} {shape}"


@dataclass
class Box:
    """An operation, a model output or a constant."""

    kind: str
    name: str
    node: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    attributes: dict[str, str]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    precision: str = ""
    group: int | None = None
    cycles: float | None = None
    shared: int = 1  # operations that the profile does not tell apart; each has its part of the cycles
    verdict: Verdict | None = None

    @property
    def op(self) -> str:
        """The kind without its dialect."""
        return self.kind.rpartition(".")[2]


@dataclass(frozen=True)
class Scene:
    """The boxes in the order of the module, and edges between them with the tensor of each."""

    title: str
    state: str
    boxes: list[Box]
    edges: list[tuple[int, int, str]]
    unmatched: tuple[str, ...] = ()  # names with a verdict that the module does not have
    cycles: int | None = None  # of the whole bmodel

    @staticmethod
    def of(
        module: Module,
        title: str,
        *,
        profile: Profile | None = None,
        verdicts: Mapping[str, Verdict] | None = None,
        weights: bool = False,
    ) -> Scene:
        """A module with the cycles of its bmodel and the verdicts on its tensors; constants if wanted."""
        ops = module.ops()
        known = {result.name: result for op in ops for result in op.results if result.name}
        shown = {spec.name for spec in module.outputs}  # a constant may be one
        boxes = [_box(op, known) for op in ops if weights or op.kind != "top.Weight" or op.name in shown]
        made: dict[str, int] = {}
        edges: list[tuple[int, int, str]] = []
        for place, box in enumerate(boxes):
            edges += [(made[t.name], place, t.name) for t in box.inputs if t.name in made]
            made |= {tensor.name: place for tensor in box.outputs}
        for spec in module.outputs:
            if spec.name not in made:
                continue
            edges.append((made[spec.name], len(boxes), spec.name))
            tensor = _tensor(spec.name, known)
            boxes.append(
                Box("output", spec.name, spec.name, [tensor], [], {}, precision=_precision([tensor]))
            )
        if profile is not None:
            _spread(boxes, profile)
        unmatched = _judge(boxes, verdicts or {})
        state = str(module.attributes.get("module.state", ""))
        return Scene(title, state, boxes, edges, unmatched, profile.cycles if profile else None)


def _box(op: OpInfo, known: Mapping[str, TensorInfo]) -> Box:
    places = _PLACE.findall(str(op.attrs.get("tpu.place", "")))
    outputs = [_tensor(result.name, known) for result in op.results if result.name and result.dtype != "none"]
    if len(places) == len(outputs):
        outputs = [
            Tensor(t.name, t.type, t.shape, t.info, f"{region} + {int(offset):#x}")
            for t, (region, offset) in zip(outputs, places, strict=True)
        ]
    inputs = [] if op.kind == "top.Input" else [_tensor(name, known) for name in operands(op)]
    attributes = {
        key: value for key, v in op.attrs.items() if key not in _NOT_ATTRIBUTES and (value := _text(v))
    }
    if op.why:
        attributes["why"] = op.why
    images = _PLACE.findall(str(op.attrs.get("tpu.image", "")))
    if images:
        attributes["constants at"] = ", ".join(f"{region} + {int(offset):#x}" for region, offset in images)
    group = _GROUP.search(str(op.attrs.get("tpu.group", "")))
    if group:
        attributes["group"] = str(op.attrs["tpu.group"]).removeprefix("#tpu.group<").removesuffix(">")
    return Box(
        op.kind, op.name, op.node, inputs, outputs, attributes, op.attrs, _precision(outputs),
        int(group.group(1)) if group else None,
    )  # fmt: skip


def _tensor(name: str, known: Mapping[str, TensorInfo]) -> Tensor:
    info = known.get(name)
    if info is None:
        return Tensor(name, "?", None)
    text = info.dtype
    if len(info.scales) == 1:
        zero = f" - {info.zero_points[0]}" if info.zero_points and info.zero_points[0] else ""
        text = (
            f"{info.dtype} ((q{zero}) * {info.scales[0]:.6g})"
            if zero
            else f"{info.dtype} (* {info.scales[0]:.6g})"
        )
    elif info.scales:
        text = f"{info.dtype} (* {len(info.scales)} scales, axis {info.axis})"
    return Tensor(name, text, info.shape, info)


def _precision(outputs: Sequence[Tensor]) -> str:
    """As tables call it: INT8 where integers stand for numbers."""
    for tensor in outputs:
        if tensor.info is not None:
            return "INT8" if tensor.info.scales else tensor.info.dtype.upper()
    return ""


def _text(value: object) -> str:
    """An attribute as text."""
    if isinstance(value, str):
        words = _WORDS.match(value)
        return words.group(1) if words else value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)


def _spread(boxes: Sequence[Box], profile: Profile) -> None:
    """Give each operation the cycles that the profile has for it, or its part of those of its node."""
    by_op = {(row.op, row.node): row.sums.cycles for row in profile.ops}
    by_node = {row.node: row.sums.cycles for row in profile.nodes}
    is_top = not any(box.kind.startswith("tpu.") for box in boxes)
    sharing: dict[tuple[str, str], list[Box]] = defaultdict(list)
    for box in boxes:
        if box.kind in {"output", "top.Weight"}:
            continue
        if box.kind.startswith("top."):
            # An input of a Top module becomes a cast; that of a Tpu module has one beside it.
            if is_top or box.kind != "top.Input":
                sharing["", box.node].append(box)
        elif (box.kind, box.name) in by_op:
            sharing[box.kind, box.name].append(box)
        else:
            sharing[box.kind, box.node].append(box)
    for (op, node), members in sharing.items():
        cycles = by_op.get((op, node)) if op else by_node.get(node)
        for box in members:
            box.cycles = (cycles or 0.0) / len(members)
            box.shared = len(members)


def _judge(boxes: Sequence[Box], verdicts: Mapping[str, Verdict]) -> tuple[str, ...]:
    """Hang verdicts on what computes the tensors; returns the names that nothing here has."""
    used: set[str] = set()
    for box in boxes:
        names = [tensor.name for tensor in box.outputs] or [box.name]
        found = [verdicts[name] for name in names if name in verdicts]
        used.update(name for name in names if name in verdicts)
        if not found and box.node in verdicts and whole_of(box.name) == "":
            found = [verdicts[box.node]]
            used.add(box.node)
        if found:
            box.verdict = min(found, key=lambda verdict: STATES.index(verdict.state))
    return tuple(name for name in verdicts if name not in used)
