"""A page that draws a module: boxes and edges on a canvas, with colours to choose, a search and details."""

from __future__ import annotations

from importlib import resources
from typing import Any

from tpumlir.drawing.layout import lay_out
from tpumlir.drawing.scene import Box, Scene, Tensor
from tpumlir.drawing.verdicts import STATES
from tpumlir.pages import fill_plain

_NAME = 26  # characters of a name that a box has room for
_LETTER, _EDGE, _LEAST = 6.4, 20.0, 96.0  # widths


def page(scene: Scene) -> bytes:
    """A page that needs nothing else, neither a network nor another file."""
    labels = [_short(box.name) for box in scene.boxes]
    widths = [
        max(_LEAST, _EDGE + _LETTER * max(len(label), len(box.op)))
        for label, box in zip(labels, scene.boxes, strict=True)
    ]
    places = lay_out(widths, [(a, b) for a, b, _ in scene.edges])
    document = {
        "title": scene.title,
        "state": scene.state,
        "cycles": scene.cycles,
        "unmatched": scene.unmatched,
        "states": STATES,
        "nodes": [
            _node(box, label, [x, y, width])
            for box, label, x, y, width in zip(
                scene.boxes, labels, places.x.tolist(), places.y.tolist(), widths, strict=True
            )
        ],
        "edges": [
            [a, b, name, [round(value, 1) for corner in corners for value in corner]]
            for (a, b, name), corners in zip(scene.edges, places.edges, strict=True)
        ],
    }
    text = resources.files("tpumlir.drawing").joinpath("graph.html").read_text(encoding="utf-8")
    return fill_plain(text, document)


def _node(box: Box, label: str, place: list[float]) -> dict[str, Any]:
    return {
        "kind": box.kind, "op": box.op, "label": label, "name": box.name, "node": box.node,
        "place": [round(value, 1) for value in place], "precision": box.precision, "group": box.group,
        "cycles": None if box.cycles is None else round(box.cycles, 1), "shared": box.shared,
        "state": box.verdict.state if box.verdict else None,
        "message": box.verdict.message if box.verdict else "",
        "attributes": list(box.attributes.items()),
        "inputs": [_tensor(tensor) for tensor in box.inputs],
        "outputs": [_tensor(tensor) for tensor in box.outputs],
    }  # fmt: skip


def _tensor(tensor: Tensor) -> list[str]:
    return [tensor.name, tensor.text, tensor.place]


def _short(name: str) -> str:
    """A name by its end, which is what tells tensors apart."""
    return name if len(name) <= _NAME else f"...{name[3 - _NAME :]}"
