"""Top text in the vendor's spelling, written line by line, and the recurrent layers in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import tpumlir
from harness import rounded
from onnx import helper
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx

Array = npt.NDArray[Any]


@dataclass
class Text:
    """A text that is being written, line by line, as the vendor's tool prints one."""

    inputs: dict[str, Array] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)

    def input(self, name: str, value: Array, shape: Sequence[int] | None = None) -> str:
        """A model input; integers are si32 outside and f32 inside. ``shape`` is what the op states."""
        whole = value.dtype.kind == "i"
        kind, inner = _type(value.shape, "si32" if whole else "f32"), _type(shape or value.shape)
        self.arguments.append(f"%arg{len(self.inputs)}: {kind}")
        self._line(f'%{name} = "top.Input"(%arg{len(self.inputs)}) : ({kind}) -> {inner} loc("{name}")')
        self.inputs[name], self.types[name] = value, inner
        return name

    def weight(self, name: str, value: Array, shape: Sequence[int] | None = None) -> str:
        """A constant, f32 whatever it is; ``shape`` is that of the type."""
        self.weights[name] = value.astype(np.float32)
        self.types[name] = _type(value.shape if shape is None else shape)
        self._line(f'%{name} = "top.Weight"() : () -> {self.types[name]} loc("{name}")')
        return name

    def none(self) -> str:
        """An operand that is not there."""
        if "none" not in self.types:
            self.types["none"] = "none"
            self._line('%none = "top.None"() : () -> none loc(unknown)')
        return "none"

    def op(self, kind: str, operands: Sequence[str], attributes: str = "", **results: Any) -> None:
        """An operation: name and shape (or None for a result that nobody reads) of each result."""
        types = ["none" if shape is None else _type(shape) for shape in results.values()]
        self.types |= dict(zip(results, types, strict=True))
        names = [f'"{name}"' for name in results]
        loc = names[0] if len(names) == 1 else f"fused[{', '.join(names)}]"
        read = ", ".join(f"%{name}" for name in operands)
        given = ", ".join(self.types[name] for name in operands)
        made = ", ".join(f"%{name}" for name in results)
        call = f'{made} = "top.{kind}"({read}) {{{attributes}}}'
        self._line(f"{call} : ({given}) -> ({', '.join(types)}) loc({loc})")

    def text(self, *outputs: str) -> str:
        """The whole of it."""
        types = ", ".join(self.types[name] for name in outputs)
        return "\n".join(
            [
                'module @net attributes {module.chip = "ALL", module.state = "TOP_F32", '
                'module.weight_file = "net.npz"} {',
                f"func.func @main({', '.join(self.arguments)}) -> ({types}) {{",
                *self.lines,
                f"return {', '.join(f'%{name}' for name in outputs)} : {types}",
                "} }",
            ]
        )

    def module(self, *outputs: str) -> tpumlir.Module:
        """What is read."""
        return tpumlir.Module.parse(self.text(*outputs), self.weights)

    def _line(self, line: str) -> None:
        self.lines.append(line)


def _type(shape: Sequence[int] | str, element: str = "f32") -> str:
    return f"tensor<{''.join(f'{extent}x' for extent in shape)}{element}>"


RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    """Numbers that every precision holds."""
    return rounded(RNG.standard_normal(shape).astype(np.float32), "BF16").astype(np.float32)


@dataclass(frozen=True)
class Layer:
    """One LSTM or GRU."""

    kind: str
    why: str
    directions: int = 1
    hidden: int = 6
    steps: int = 4
    batch: int = 2
    features: int = 5
    bias: bool = True
    states: bool = False
    batch_first: bool = False
    reset: bool = True
    outputs: tuple[bool, ...] = (True, True, True)
    runtime: bool = False


LAYERS = [
    Layer(kind, **options)
    for kind in ("LSTM", "GRU")
    for options in (
        {"why": "plain"},
        {"why": "bidirectional", "directions": 2},
        {"why": "no_bias", "bias": False},
        {"why": "states", "states": True, "directions": 2},
        {"why": "states_no_bias", "states": True, "bias": False},
        {"why": "batch_first", "batch_first": True, "directions": 2, "states": True},
        {"why": "one_step", "steps": 1},
        {"why": "one_of_all", "steps": 1, "batch": 1, "hidden": 1, "features": 1},
        {"why": "odd_sizes", "hidden": 67, "features": 33, "batch": 3, "steps": 3},
        {"why": "last_state_only", "outputs": (False, True, False), "directions": 2},
        {"why": "filters_at_run_time", "runtime": True, "directions": 2, "states": True},
    )
] + [
    Layer("GRU", "reset_before", reset=False),
    Layer("GRU", "reset_before_states", reset=False, states=True, directions=2),
    Layer("GRU", "reset_before_no_bias", reset=False, states=True, bias=False),
    Layer("LSTM", "last_cell_only", outputs=(False, False, True), directions=2, batch_first=True),
]


def recurrent(layer: Layer) -> tuple[Text, list[str], list[Array]]:
    """Its text, the names of what it returns, and what ONNX Runtime makes of the same node."""
    d, h, gates = layer.directions, layer.hidden, {"LSTM": 4, "GRU": 3}[layer.kind]
    scale = np.float32(1 / np.sqrt(h))
    x = normal(layer.steps, layer.batch, layer.features)
    w, r = normal(d, gates * h, layer.features) * scale, normal(d, gates * h, h) * scale
    given = {"x": x, "w": w, "r": r}
    if layer.bias:
        given["b"] = normal(d, 2 * gates * h)
    states = (["h0", "c0"] if layer.kind == "LSTM" else ["h0"]) if layer.states else []
    given |= {name: normal(d, layer.batch, h) for name in states}
    b = "b" if layer.bias else ""
    count = 3 if layer.kind == "LSTM" else 2
    names = ["y", "y_h", "y_c"][:count]
    attributes: dict[str, Any] = {"linear_before_reset": int(layer.reset)} if layer.kind == "GRU" else {}
    direction = "bidirectional" if d == 2 else "forward"
    node = helper.make_node(
        layer.kind, ["x", "w", "r", b, "", *states], names, hidden_size=h, direction=direction, **attributes
    )
    infos = [helper.make_tensor_value_info(name, 1, value.shape) for name, value in given.items()]
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info(n, 1, None) for n in names])
    onnx_model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10))
    wants = run_onnx(onnx_model, given)

    text = Text()
    text.input("x", x.transpose(1, 0, 2).copy() if layer.batch_first else x)
    add: Callable[[str, Array], str] = text.input if layer.runtime else text.weight
    for name, value in given.items():
        if name != "x":
            add(name, value)
    operands = ["x", "w", "r", b or text.none()]
    operands += states or [text.none()] * (count - 1)
    if layer.kind == "LSTM":
        operands.append(text.none())
    y = (layer.steps, d, layer.batch, h)
    if layer.batch_first:
        wants["y"], y = wants["y"].transpose(2, 0, 1, 3), (layer.batch, layer.steps, d, h)
    shapes = [y, (d, layer.batch, h), (d, layer.batch, h)]
    flags = f"bidirectional = {str(d == 2).lower()}, batch_first = {str(layer.batch_first).lower()}"
    if layer.kind == "GRU":
        flags += f", linear_before_reset = {str(layer.reset).lower()}"
    results = {n: s if o else None for n, s, o in zip(names, shapes, layer.outputs, strict=False)}
    text.op(layer.kind, operands, f"{flags}, hidden_size = {h} : i64", **results)
    wanted = [name for name, shape in results.items() if shape is not None]
    return text, wanted, [wants[name] for name in wanted]
