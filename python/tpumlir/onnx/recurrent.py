"""RNN, GRU and LSTM: one product of all inputs with W, then step by step what depends on the state.

The steps are unrolled: a chip program has no loops either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tpumlir.onnx.registry import Array, InvalidNodeError, Node, Result, converts

Function = Callable[[str], str]


class Activation(NamedTuple):
    """An activation function of tensors by name."""

    name: str
    function: Function

    def __call__(self, tensor: str) -> str:
        """The function of a tensor."""
        return self.function(tensor)


@converts("RNN", since=7)
def rnn(node: Node) -> list[Result]:
    """H = f(X W + H R + b). Source: ONNX RNN, opset 22 (7 and 14 mean the same)."""
    return _Recurrent(node, gates=1, activations=["Tanh"]).run(_rnn_step)


@converts("GRU", since=7)
def gru(node: Node) -> list[Result]:
    """Gates z, r, h. Source: ONNX GRU, opset 22 (7 and 14 mean the same)."""
    return _Recurrent(node, gates=3, activations=["Sigmoid", "Tanh"]).run(_gru_step)


@converts("LSTM", since=7)
def lstm(node: Node) -> list[Result]:
    """Gates i, o, f, c, with or without peepholes. Source: ONNX LSTM, opset 22 (7 and 14 mean the same)."""
    return _Recurrent(node, gates=4, activations=["Sigmoid", "Tanh", "Tanh"]).run(_lstm_step)


@dataclass
class _Direction:
    """What one direction's steps share. ``x`` is X W + Wb [steps, batch, gates * hidden].

    ``r`` is [hidden, gates * hidden], ``rb`` [gates * hidden], each of ``peepholes`` [hidden]; "" is absent.
    """

    x: str
    r: str
    rb: str
    activations: list[Activation]
    peepholes: list[str]


class _Recurrent:
    """The frame that the three operators share: operands, directions, sequence lengths, outputs."""

    def __init__(self, node: Node, *, gates: int, activations: Sequence[str]) -> None:
        self.node, self.gates = node, gates
        shape = node.shape(0)
        if len(shape) != 3:
            raise InvalidNodeError(f"expected an input of rank 3, got {list(shape)}")
        self.batch_first = bool(node.int("layout", 0))
        self.steps, self.batch = shape[:2][::-1] if self.batch_first else shape[:2]
        kind = node.str("direction", "forward")
        if kind not in {"forward", "reverse", "bidirectional"}:
            raise InvalidNodeError(f"expected direction forward, reverse or bidirectional, got {kind}")
        self.backwards = [False, True] if kind == "bidirectional" else [kind == "reverse"]
        self.hidden = node.shape(2)[-1]
        if node.shape(1) != (len(self.backwards), gates * self.hidden, shape[2]):
            raise InvalidNodeError(
                f"expected W [{len(self.backwards)}, {gates * self.hidden}, {shape[2]}], "
                f"got {list(node.shape(1))}"
            )
        self.clip = node.float("clip", 0.0)
        self.activations = self._activations(activations)
        self.lengths = self._lengths()
        self.cuts: dict[tuple[str, int, int], str] = {}

    # --- operands ---------------------------------------------------------------------

    def _activations(self, defaults: Sequence[str]) -> list[Activation]:
        """The functions of all directions in a row; the parameters are given to those that have some."""
        node = self.node
        names = [name.decode().lower() for name in node.attributes.get("activations") or []]
        names = names or [name.lower() for name in defaults] * len(self.backwards)
        if len(names) != len(defaults) * len(self.backwards):
            raise InvalidNodeError(f"expected {len(defaults)} activations for each direction, got {names}")
        parameters = {name: list(node.floats(f"activation_{name}")) for name in ("alpha", "beta")}
        made = []
        for index, name in enumerate(names):
            if name not in _ACTIVATIONS:
                raise InvalidNodeError(f"expected activations of {', '.join(_ACTIVATIONS)}, got {name}")
            defaults_of, make = _ACTIVATIONS[name]
            values = [
                (given.pop(0) if given else default)
                for (_, given), default in zip(parameters.items(), defaults_of, strict=False)
            ]
            function = make(node, *values)
            # Gates are clipped; what an LSTM makes of the state of its cell is not, as in ONNX Runtime.
            made.append(
                Activation(
                    name, function if (index + 1) % 3 == 0 and self.gates == 4 else self._clipped(function)
                )
            )
        return made

    def _clipped(self, function: Function) -> Function:
        if not self.clip:
            return function
        limits = (np.array(-self.clip, np.float32), np.array(self.clip, np.float32))
        return lambda name: function(self.node.onnx("Clip", name, *limits))

    def _lengths(self) -> Array | None:
        """The steps of each sequence, or None if all have all."""
        lengths = self.node.known(4, "its sequence lengths")
        if lengths is None or (lengths == self.steps).all():
            return None
        if lengths.shape != (self.batch,) or lengths.min() < 0 or lengths.max() > self.steps:
            raise InvalidNodeError(
                f"expected {self.batch} lengths of 0 to {self.steps}, got {lengths.tolist()}"
            )
        return lengths

    def part(self, name: str, index: int) -> str:
        """Row ``index`` of a tensor."""
        return self.node.onnx("Gather", name, np.array(index), axis=0)

    def cut(self, name: str, start: int, count: int) -> str:
        """``count`` gates of a tensor from gate ``start`` on; weights are cut once for all steps."""
        key = (name, start, count)
        if key not in self.cuts:
            begin, end = (np.array([gate * self.hidden]) for gate in (start, start + count))
            self.cuts[key] = self.node.onnx("Slice", name, begin, end, np.array([-1]))
        return self.cuts[key]

    def _state(self, index: int, direction: int) -> str:
        """An initial state [batch, hidden]; "" for zeros."""
        if not self.node.has(index):
            return ""
        name = self.node.input_names[index]
        return self.node.onnx("Gather", name, np.array(direction), axis=1 if self.batch_first else 0)

    def _direction(self, inputs: str, direction: int) -> _Direction:
        node, names = self.node, self.node.input_names
        w, r = (node.onnx("Transpose", self.part(names[i], direction), perm=[1, 0]) for i in (1, 2))
        x, rb = node.onnx("MatMul", inputs, w), ""
        if node.has(3):
            bias = self.part(names[3], direction)
            x, rb = node.onnx("Add", x, self.cut(bias, 0, self.gates)), self.cut(bias, self.gates, self.gates)
        peepholes = []
        if node.has(7):
            weights = self.part(names[7], direction)
            peepholes = [self.cut(weights, i, 1) for i in range(3)]
        count = len(self.activations) // len(self.backwards)
        return _Direction(x, r, rb, self.activations[direction * count : (direction + 1) * count], peepholes)

    # --- the steps -----------------------------------------------------------------------

    def run(self, step: Step) -> list[Result]:
        """All outputs of the node: Y, Y_h and, for an LSTM, Y_c."""
        node = self.node
        inputs = node.input_names[0]
        if self.batch_first:
            inputs = node.onnx("Transpose", inputs, perm=[1, 0, 2])
        all_rows, states = [], []
        for index, backwards in enumerate(self.backwards):
            direction = self._direction(inputs, index)
            state = (self._state(5, index), self._state(6, index) if self.gates == 4 else "")
            rows = [""] * self.steps
            for t in reversed(range(self.steps)) if backwards else range(self.steps):
                after = step(self, direction, self.part(direction.x, t), *state)
                rows[t], state = self._masked(t, state, after)
            all_rows.append(rows)
            states.append(state)
        results = [self._sequence(all_rows)]
        for i, output in ((0, 1), (1, 2)):
            if output < len(node.output_names):
                results.append(self._last([state[i] for state in states], output))
        return results

    def _masked(self, t: int, before: tuple[str, str], after: tuple[str, str]) -> tuple[str, tuple[str, str]]:
        """The row of Y and the state after step ``t``: sequences that are over keep theirs, and Y is 0."""
        if self.lengths is None or (t < self.lengths).all():
            return after[0], after
        runs = (t < self.lengths).reshape(self.batch, 1)
        zeros = np.zeros((self.batch, self.hidden), np.float32)
        kept = [
            self.node.onnx("Where", runs, new, old or zeros) if new else ""
            for old, new in zip(before, after, strict=True)
        ]
        return self.node.onnx("Where", runs, after[0], zeros), (kept[0], kept[1])

    def _sequence(self, all_rows: Sequence[Sequence[str]]) -> Result:
        node, name = self.node, self.node.output_names[0]
        if not name:
            return node.emitter.none()
        shape = (self.steps, 1, self.batch, self.hidden)
        joined = [self._joined(rows, shape) for rows in all_rows]
        y = joined[0] if len(joined) == 1 else node.onnx("Concat", *joined, axis=1)
        return node.tensor(self._output(y, (self.steps, len(joined), *shape[2:]), [2, 0, 1, 3], 0))

    def _last(self, parts: Sequence[str], output: int) -> Result:
        if not self.node.output_names[output]:
            return self.node.emitter.none()
        shape = (1, self.batch, self.hidden)
        joined = self._joined(parts, (len(parts), *shape[1:]))
        return self.node.tensor(self._output(joined, (len(parts), *shape[1:]), [1, 0, 2], output))

    def _joined(self, rows: Sequence[str], shape: tuple[int, ...]) -> str:
        whole = rows[0] if len(rows) == 1 else self.node.onnx("Concat", *rows, axis=0)
        return self.node.onnx("Reshape", whole, np.array(shape))

    def _output(self, name: str, shape: Sequence[int], batch_first: Sequence[int], output: int) -> str:
        result = self.node.output_names[output]
        if self.batch_first:
            return self.node.onnx("Transpose", name, into=result, perm=list(batch_first))
        return self.node.onnx("Reshape", name, np.array(shape), into=result)

    def recur(self, direction: _Direction, h: str, gates: tuple[int, int] | None = None) -> str:
        """H R + Rb of some ``gates`` (first, count) or of all; "" if that is 0."""
        r, rb = direction.r, direction.rb
        if gates is not None:
            r, rb = self.cut(r, *gates), rb and self.cut(rb, *gates)
        product = self.node.onnx("MatMul", h, r) if h else ""
        return self.node.onnx("Add", product, rb) if product and rb else product or rb

    def sum(self, *names: str) -> str:
        """The sum of the tensors that are there."""
        present = [name for name in names if name]
        result = present[0]
        for name in present[1:]:
            result = self.node.onnx("Add", result, name)
        return result


Step = Callable[[_Recurrent, _Direction, str, str, str], tuple[str, str]]


def _rnn_step(frame: _Recurrent, d: _Direction, x: str, h: str, _: str) -> tuple[str, str]:
    return d.activations[0](frame.sum(x, frame.recur(d, h))), ""


def _gru_step(frame: _Recurrent, d: _Direction, x: str, h: str, _: str) -> tuple[str, str]:
    node, (f, g) = frame.node, d.activations
    gates = frame.sum(frame.cut(x, 0, 2), frame.recur(d, h, (0, 2)))
    r = f(frame.cut(gates, 1, 1))
    share = _complement(node, f, frame.cut(gates, 0, 1))
    if node.int("linear_before_reset", 0):
        inner = frame.recur(d, h, (2, 1))
        inner = node.onnx("Mul", r, inner) if inner else ""
    else:
        inner = frame.recur(d, node.onnx("Mul", r, h) if h else "", (2, 1))
    new = g(frame.sum(frame.cut(x, 2, 1), inner))
    # (1 - z) new + z h
    change = node.onnx("Sub", new, h) if h else new
    return frame.sum(node.onnx("Mul", share, change), h), ""


def _complement(node: Node, function: Activation, name: str) -> str:
    """1 - f(x), for the logistic function without the loss of digits that the difference has near 1."""
    if function.name == "sigmoid":
        return function(node.onnx("Neg", name))
    return node.onnx("Sub", np.array([1], np.float32), function(name))


def _lstm_step(frame: _Recurrent, d: _Direction, x: str, h: str, c: str) -> tuple[str, str]:
    node, (f, g, out) = frame.node, d.activations
    total = frame.sum(x, frame.recur(d, h))

    def gate(index: int, state: str) -> str:
        """Gate ``index`` of i, o, f, which look at a state of the cell through their peepholes."""
        look = node.onnx("Mul", d.peepholes[index], state) if d.peepholes and state else ""
        return f(frame.sum(frame.cut(total, index, 1), look))

    coupled = bool(node.int("input_forget", 0))
    new = g(frame.cut(total, 3, 1))
    if d.peepholes or coupled:
        i = gate(0, c)
        forget = node.onnx("Sub", np.array([1], np.float32), i) if coupled else gate(2, c)
        o = ""
    else:
        gates = f(frame.cut(total, 0, 3))
        i, o, forget = (frame.cut(gates, k, 1) for k in range(3))
    cell = frame.sum(node.onnx("Mul", i, new), node.onnx("Mul", forget, c) if c else "")
    o = o or gate(1, cell)
    return node.onnx("Mul", o, out(cell)), cell


# --- activation functions: the defaults of alpha and beta, and the operators they are made of --------------


def _plain(op_type: str) -> Callable[..., Function]:
    return lambda node: lambda name: node.onnx(op_type, name)


def _with_alpha(op_type: str) -> Callable[..., Function]:
    return lambda node, alpha: lambda name: node.onnx(op_type, name, alpha=alpha)


def _hard_sigmoid(node: Node, alpha: float, beta: float) -> Function:
    return lambda name: node.onnx("HardSigmoid", name, alpha=alpha, beta=beta)


def _scaled(node: Node, name: str, factor: float) -> str:
    return node.onnx("Mul", name, np.array([factor], np.float32))


def _affine(node: Node, alpha: float, beta: float) -> Function:
    return lambda name: node.onnx("Add", _scaled(node, name, alpha), np.array([beta], np.float32))


def _scaled_tanh(node: Node, alpha: float, beta: float) -> Function:
    return lambda name: _scaled(node, node.onnx("Tanh", _scaled(node, name, beta)), alpha)


_ACTIVATIONS: dict[str, tuple[tuple[float, ...], Callable[..., Function]]] = {
    "relu": ((), _plain("Relu")),
    "tanh": ((), _plain("Tanh")),
    "sigmoid": ((), _plain("Sigmoid")),
    "softsign": ((), _plain("Softsign")),
    "softplus": ((), _plain("Softplus")),
    "leakyrelu": ((0.01,), _with_alpha("LeakyRelu")),
    "thresholdedrelu": ((1.0,), _with_alpha("ThresholdedRelu")),
    "elu": ((1.0,), _with_alpha("Elu")),
    "hardsigmoid": ((0.2, 0.5), _hard_sigmoid),
    "affine": ((1.0, 0.0), _affine),
    "scaledtanh": ((1.0, 1.0), _scaled_tanh),
}
