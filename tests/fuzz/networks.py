"""Random small ONNX models, each with inputs: what tests/fuzz/judges.py takes through all stages.

A model grows node by node. ONNX Runtime evaluates each node as it is drawn, so shapes, types and values of
all tensors are known; a node that it refuses, or whose numbers leave what the model is about, is dropped and
another one drawn. In an *exact* model all numbers are small integers and every operation is exact on them:
the stages must agree in every bit. Operands that a network would keep as weights are run-time inputs or
results now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]

EXTENTS = (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17)
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 16, 31, 33, 63, 64, 65, 66, 129)
MOST_ELEMENTS = 30_000
OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)
_IR_VERSIONS = 8


@dataclass(frozen=True)
class Network:
    """A model, its inputs, and whether all of its numbers are small integers."""

    proto: onnx.ModelProto
    inputs: dict[str, Array]
    exact: bool
    largest: float
    """The largest magnitude of any tensor."""

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return [output.name for output in self.proto.graph.output]


class RefusedError(Exception):
    """A node that is no part of the model: ONNX Runtime does not take it, or its numbers do not fit."""


@dataclass
class Maker:
    """Grows a model from a seed."""

    seed: int
    exact: bool = False
    opset: int = 17
    vision: bool = False
    rng: np.random.Generator = field(init=False)
    values: dict[str, Array] = field(default_factory=dict)
    inputs: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, 77])

    # --- chance ---------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        """True with probability ``p``."""
        return bool(self.rng.random() < p)

    def one(self, choices: Sequence[Any]) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        """An integer of [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def numbers(self, shape: Sequence[int], dtype: Any = np.float32, scale: float = 1.0) -> Array:
        """Random values of a shape; small integers in an exact model."""
        kind = np.dtype(dtype)
        if kind == np.bool_:
            return self.rng.random(shape) < 0.5
        if kind.kind in "iu":
            return self.rng.integers(0 if kind.kind == "u" else -5, 6, shape).astype(kind)
        if self.exact:
            return self.rng.integers(-2, 3, shape).astype(kind)
        return np.asarray(self.rng.standard_normal(shape) * scale).astype(kind)

    # --- tensors --------------------------------------------------------------------

    def name(self, stem: str) -> str:
        """A new name."""
        self.count += 1
        return f"{stem}{self.count}"

    def input(self, value: Array) -> str:
        """A run-time input."""
        name = self.name("x")
        self.inputs[name] = self.values[name] = value
        return name

    def constant(self, value: Array) -> str:
        """An initializer."""
        name = self.name("w")
        self.constants[name] = self.values[name] = np.asarray(value)
        return name

    def ints(self, values: Sequence[int]) -> str:
        """A constant vector of int64."""
        return self.constant(np.array(values, np.int64))

    def operand(self, shape: Sequence[int], scale: float = 1.0, *, positive: bool = False) -> str:
        """What a network would have as a weight: a constant, an input, or a tensor that has the shape."""
        roll = self.rng.random()
        fits = [n for n in self.live() if self.values[n].shape == tuple(shape)]
        if roll < 0.15 and fits and not positive:
            return str(self.one(fits))
        same = [n for n, v in self.constants.items() if v.shape == tuple(shape) and v.dtype == np.float32]
        if roll < 0.25 and same and not positive:
            return str(self.one(same))
        value = self.numbers(shape, scale=scale)
        if positive:
            value = (np.abs(value) + (1 if self.exact else 0.5)).astype(np.float32)
        return self.input(value) if roll > 0.8 else self.constant(value)

    def live(self, dtype: Any = np.float32) -> list[str]:
        """The run-time tensors of a type."""
        made = {output for node in self.nodes for output in node.output}
        return [n for n, v in self.values.items() if v.dtype == dtype and (n in self.inputs or n in made)]

    def pick(self, rank: Sequence[int] | None = None, dtype: Any = np.float32) -> str:
        """A tensor, mostly a new one. Raises: RefusedError: there is none."""
        fits = [n for n in self.live(dtype) if rank is None or self.values[n].ndim in rank]
        if not fits:
            raise RefusedError
        return str(self.one(fits[-3:] if self.chance(0.7) else fits))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self.values[name].shape)

    def axis(self, rank: int) -> int:
        """An axis, often counted from the end."""
        return self.between(0, rank - 1) - (rank if self.chance(0.5) else 0)

    # --- nodes ----------------------------------------------------------------------

    def op(self, kind: str, *operands: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.ops(kind, *operands, outputs=1, **attributes)[0]

    def ops(self, kind: str, *operands: str, outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs. Raises: RefusedError."""
        domain, _, op_type = kind.rpartition(".")
        names = [self.name("t") for _ in range(outputs)]
        given = {k: v for k, v in attributes.items() if v is not None}
        node = helper.make_node(
            op_type, operands, names, name=self.name(f"{op_type}_"), domain=domain, **given
        )
        feeds = {n: self.values[n] for n in dict.fromkeys(operands) if n}
        results = evaluated(node, feeds, self.opset)
        for value in results:
            if value.size > MOST_ELEMENTS or value.ndim > 6:
                raise RefusedError
            if value.dtype.kind == "f" and value.size:
                most = float(np.abs(value).max())
                if not np.isfinite(most) or most > (250.0 if self.exact else 60.0):
                    raise RefusedError
                if self.exact and (value != np.rint(value)).any():
                    raise RefusedError
            if value.dtype.kind == "f" and value.dtype != np.float32:
                raise RefusedError
        self.nodes.append(node)
        self.values |= dict(zip(names, results, strict=True))
        return names

    def proto(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """The model with these outputs."""

        def info(name: str) -> onnx.ValueInfoProto:
            value = self.values[name]
            return helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )

        used = {n for node in self.nodes for n in node.input} | set(outputs)
        graph = helper.make_graph(
            self.nodes, f"random{self.seed}",
            [info(n) for n in self.inputs if n in used],
            [info(n) for n in outputs],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items() if n in used],
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=_opsets(self.opset), ir_version=_IR_VERSIONS)


def _opsets(opset: int) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]


def evaluated(node: onnx.NodeProto, feeds: dict[str, Array], opset: int) -> list[Array]:
    """What ONNX Runtime makes of a node. Raises: RefusedError."""
    import onnxruntime

    from tpumlir.onnx.reference import session_options

    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output]
    graph = helper.make_graph([node], "node", infos, outputs)
    model = helper.make_model(graph, opset_imports=_opsets(opset), ir_version=_IR_VERSIONS)
    options = session_options()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.asarray(v) for v in session.run(None, feeds)]
    except Exception as error:  # the classes of its errors are no part of its interface
        raise RefusedError(str(error)) from None


def random_network(seed: int) -> Network:
    """The model of a seed."""
    from fuzz.kinds import STEPS, VISION
    from fuzz.steps import start

    rng = np.random.default_rng(seed)
    exact = bool(rng.random() < 0.5)
    opset = int(rng.choice(OPSETS)) if rng.random() < 0.5 else 17
    maker = Maker(seed, exact, opset, vision=bool(rng.random() < 0.4))
    start(maker)
    names = [name for name in STEPS if not maker.vision or name in VISION]
    weights = np.array([STEPS[name][1] for name in names], float)
    if maker.vision:
        weights[[names.index(name) for name in ("reshape", "transpose", "softmax", "reduction")]] = 0.5
    wanted = maker.between(2, 12)
    for _ in range(60):
        if len(maker.nodes) >= wanted:
            break
        step: Callable[[Maker], Any] = STEPS[str(maker.rng.choice(names, p=weights / weights.sum()))][0]
        before = len(maker.nodes), dict(maker.values), dict(maker.inputs), dict(maker.constants)
        try:
            step(maker)
        except (RefusedError, ValueError, ZeroDivisionError):
            del maker.nodes[before[0] :]
            maker.values, maker.inputs, maker.constants = before[1:]
    if not maker.nodes:
        maker.op("Identity", next(iter(maker.inputs)))
    return _finished(maker)


def _finished(maker: Maker) -> Network:
    made = [output for node in maker.nodes for output in node.output]
    used = {n for node in maker.nodes for n in node.input}
    outputs = [n for n in made if n not in used or maker.chance(0.12)]
    if maker.chance(0.05):
        outputs.append(maker.one(list(maker.inputs)))
    if maker.chance(0.05) and maker.constants:
        outputs.append(maker.one(list(maker.constants)))
    outputs = list(dict.fromkeys(outputs))
    maker.rng.shuffle(outputs)
    proto = maker.proto(outputs)
    inputs = {i.name: maker.inputs[i.name] for i in proto.graph.input}
    floats = [v for v in maker.values.values() if v.dtype.kind == "f" and v.size]
    largest = max((float(np.abs(v).max()) for v in floats), default=0.0)
    return Network(proto, inputs, maker.exact, largest)
