"""The tensors at hand while a graph is imported: what control flow and the converters of nodes see of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tpumlir._core.ir import GraphBuilder, registered_operations
from tpumlir.data.types import is_float
from tpumlir.errors import Diagnostic, OnnxImportError, UnsupportedError
from tpumlir.ir.names import part_of
from tpumlir.onnx.load import Array, NodeInfo, OnnxModel, TensorInfo
from tpumlir.onnx.registry import Attribute, NotSupportedError, TensorList
from tpumlir.onnx.shapes import resolve_input_shapes, shapes_by_name
from tpumlir.onnx.steps import StatedSteps
from tpumlir.onnx.sums import Sums
from tpumlir.onnx.types import is_whole
from tpumlir.onnx.walk import Walk, outputs_of
from tpumlir.onnx.wide import WideIntegers

if TYPE_CHECKING:
    from tpumlir._core.ir import Value
    from tpumlir.data.preprocess import Preprocess
    from tpumlir.onnx.options import InputShapes

_FEW = 64  # elements of an input that a user may know by heart, such as a shape or a flag


class Tensors:
    """The graph that is built, and what each name of the model stands for in it."""

    def __init__(
        self, model: OnnxModel, title: str, output_names: Sequence[str] | None, constants: Mapping[str, Array]
    ) -> None:
        self.model, self.constants = model, dict(constants)
        self.notes: list[Diagnostic] = []
        self.wide = WideIntegers()
        self.opset = model.opset  # of the nodes at hand: definitions may be written in an older one
        self.outputs = outputs_of(model, output_names)
        self.walk = Walk(model, self.outputs, self.constants)
        self.nodes = self.walk.nodes()
        self.rename = self.walk.aliases(self.nodes)
        self.graph = GraphBuilder(title)
        self.weights: dict[str, Value] = {}
        self.no_value: Value | None = None
        self.dtypes: dict[str, np.dtype[Any] | None] = {}
        self.origin: dict[str, Sequence[str]] = {}  # of each tensor, those that it is computed from
        # Absent from env and listed in `broken`: what an unsupported node would have computed.
        self.env: dict[str, Value | Array] = {}
        self.lists: dict[str, TensorList] = {}
        self.known_sums = Sums()
        self.steps = StatedSteps()
        self.broken: set[str] = set()
        self.counts: defaultdict[str, int] = defaultdict(lambda: 1)  # of the names given to each stem
        self.names = (
            {t for n in self.model.nodes for t in (*n.inputs, *n.outputs)}
            | self.model.initializer_names
            | {info.name for info in self.model.inputs}
            | self.model.computed_names
        )

    def add_inputs(self, input_shapes: InputShapes | None, preprocess: Preprocess | None) -> None:
        """Make inputs of the model's, with pictures described where one fits; constants are none."""
        used = {name for node in self.nodes for name in self.walk.reads(node)} | set(self.outputs)
        self.env.update(self.constants)
        runtime = [info for info in self.model.inputs if info.name not in self.constants]
        infos = [info for info in runtime if info.name in used] or runtime
        given = shapes_by_name(runtime, input_shapes)
        # Shapes may be given for all inputs of the file, also for those that --output_names cut off.
        shapes = resolve_input_shapes(infos, {i.name: given[i.name] for i in infos if i.name in given})
        self.shapes = shapes
        for info in infos:
            kind = top_dtype(info.dtype)
            if kind is None:
                raise UnsupportedError(
                    Diagnostic(f"expected an input of floats or integers, got {info.dtype}", info.name)
                )
            if 0 in shapes[info.name]:  # no element, so nothing of a run: a constant
                self.env[info.name] = np.empty(shapes[info.name], info.dtype)
                continue
            attrs = _image_attributes(info, shapes[info.name], preprocess)
            self.env[info.name] = self.graph.input(info.name, list(shapes[info.name]), kind, attrs)
            self.dtypes[info.name] = info.dtype

    # --- what is known of a name --------------------------------------------------------

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """The ONNX element type of a tensor that is there; None if it is not known."""
        source = self.env.get(name)
        return source.dtype if isinstance(source, np.ndarray) else self.dtypes.get(name)

    def lookup(self, info: NodeInfo, name: str) -> Value | Array | None:
        """The tensor that a node reads; None for the empty name."""
        if not name:
            return None
        if name not in self.env:
            if name not in self.model.initializer_names:
                raise OnnxImportError(Diagnostic(f"expected an input that exists, got {name}", info.label))
            self.env[name] = self.model.initializer(name)
        return self.env[name]

    def fixable(self, names: Sequence[str]) -> tuple[str, ...]:
        """The inputs of the model that decide the values of ``names``."""
        known = {source.name for source in self.model.inputs}
        return tuple(sorted(known & self._sources(names)))

    def _sources(self, names: Sequence[str]) -> set[str]:
        """``names`` and all tensors whose values decide those of ``names``."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self.origin.get(name, ())
        return found

    def fixing(self, inputs: Sequence[str], remedy: str) -> str:
        """How to make constants of the inputs that decide, or else ``remedy``; a picture decides nothing."""
        infos = [info for info in self.model.inputs if info.name in inputs]
        if not infos or any(math.prod(self.shapes.get(i.name, ())) > _FEW for i in infos):
            return remedy
        flags = " ".join(f"--fix_input {_assignment(i, self.shapes.get(i.name, ()))}" for i in infos)
        advice = f"make {'it a constant' if len(infos) == 1 else 'them constants'}: {flags}"
        return f"{advice}, or {remedy}" if remedy else advice

    def empty_outputs(self) -> dict[str, tuple[list[int], str]]:
        """Shape and type of the outputs without elements: no program computes them."""
        stored = self.model.initializer_names
        values = {
            name: self.model.initializer(name) if name in stored else self.env.get(name)
            for name in self.outputs
        }
        return {
            name: (list(value.shape), top_dtype(value.dtype) or "f32")
            for name, value in values.items()
            if isinstance(value, np.ndarray) and not value.size
        }

    def result(self, name: str) -> Value:
        """The output called ``name``. Raises: OnnxImportError, UnsupportedError: it is none."""
        if name in self.lists:
            raise UnsupportedError(
                Diagnostic("expected a tensor as output, got a sequence (make its tensors outputs)", name)
            )
        source = self.env.get(name)
        if source is None and name in self.model.initializer_names:
            source = self.model.initializer(name)
        if source is None:
            raise OnnxImportError(Diagnostic("expected an output that a node computes, got none", name))
        if isinstance(source, np.ndarray):
            try:
                stored = self.weight(name, source)
            except NotSupportedError as error:  # no node has it to be refused by
                message = f"expected an output of 32 bits: {error.reason}"
                raise UnsupportedError(
                    Diagnostic(f"{message} (leave it out with --output_names, its value is known)", name)
                ) from None
            return self.emit("top.Reshape", [stored], {"shape": list(source.shape)}, [name], name)[0]
        if (
            source.name != name
        ):  # the same tensor is another output or an input of the model: copy it under this name
            return self.emit("top.Reshape", [source], {"shape": list(source.shape)}, [name], name)[0]
        return source

    # --- what control flow sees: ``tpumlir.onnx.control.Scope`` --------------------------

    @property
    def folder(self) -> str:
        """Where external data lies."""
        return self.model.folder

    def value(self, info: NodeInfo, name: str) -> Value | Array | TensorList | None:
        """The tensor or sequence called ``name``; None for the empty name."""
        return self.lists.get(name) or self.lookup(info, name)

    def kind(self, name: str) -> str:
        """Element type and shape of a tensor in words."""
        if name in self.lists:
            return f"a sequence of {', '.join(map(self.kind, self.lists[name].names)) or 'nothing'}"
        if name not in self.env:
            self.env[name] = self.model.initializer(name)
        source = self.env[name]
        dtype = self.dtype(name) or np.dtype(np.float32 if source.dtype == "f32" else np.int32)
        return f"{dtype} {list(source.shape)}"

    def note(self, info: NodeInfo, text: str, deciders: Sequence[str]) -> None:
        """Tell the user what a node costs; the tensors ``deciders`` could be fixed to change that."""
        advice = self.fixing(self.fixable(deciders), "")
        note = Diagnostic(f"{info.op_type}: {text}" + (f" ({advice})" if advice else ""), info.label)
        if note not in self.notes:
            self.notes.append(note)

    def branch(self, name: str, taken: bool) -> AbstractContextManager[None]:
        """What is converted meanwhile counts only if the condition ``name`` is ``taken``."""
        condition = self.env.get(name)
        return self.wide.branch(None if isinstance(condition, np.ndarray) else condition, taken)

    def bind(self, name: str, source: str | Array | TensorList) -> None:
        """Call a constant, a sequence, or the tensor called ``source``, ``name``."""
        if isinstance(source, np.ndarray):
            self.env[name] = source
            return
        if isinstance(source, TensorList) or source in self.lists:
            self.lists[name] = source if isinstance(source, TensorList) else self.lists[source]
            return
        if source not in self.env:
            self.env[source] = self.model.initializer(source)
        self.env[name] = self.env[source]
        self.dtypes[name] = self.dtype(source)
        self.origin[name] = [source]

    # --- what nodes see: ``tpumlir.onnx.registry.Emitter`` --------------------------------

    def emit(
        self,
        kind: str,
        operands: Sequence[Value],
        attrs: dict[str, Attribute],
        names: Sequence[str],
        node: str,
    ) -> list[Value]:
        """Emit one operation; its node name is recorded unless it is the tensor's name."""
        if kind not in _operations():
            raise NotSupportedError(f"{kind} is not implemented yet")
        results = self.graph.op(
            kind, list(operands), attrs, names=list(names), node="" if node == names[0] else node
        )
        self.wide.emitted(kind, results)
        return list(results)

    def weight(self, name: str, array: Array, source: str = "") -> Value:
        """The value of a constant, made of constant ``source``; one `top.Weight` per name."""
        if name not in self.weights:
            if array.size == 0:
                raise NotSupportedError(f"{name} has no elements", "remove the branch that needs it")
            # The name of an output is that of the copy that `result` makes.
            stored = self.unique(part_of(name, "constant")) if name in self.outputs else name
            held = _weight_array(name, array)
            self.weights[name] = self.graph.weight(stored, held, self.steps.type_of(source or name, held))
        return self.weights[name]

    def tensor(self, name: str) -> Value | Array:
        """The tensor called ``name``."""
        return self.env[name]

    def sums(self, name: str) -> Array | None:
        """The integers of a small tensor as sums; None for any other."""
        return self.known_sums.of(self.env.get(name), self.dtype(name))

    def none(self) -> Value:
        """The value of an absent operand."""
        if self.no_value is None:
            self.no_value = self.graph.none()
        return self.no_value

    def unique(self, stem: str) -> str:
        """A tensor name that nothing else has."""
        name = stem
        while name in self.names:
            self.counts[stem] += 1
            name = f"{stem}_{self.counts[stem]}"
        self.names.add(name)
        return name


def _image_attributes(
    info: TensorInfo, shape: Sequence[int], preprocess: Preprocess | None
) -> dict[str, Attribute]:
    """How a picture becomes this input; nothing if none can."""
    if preprocess is None:
        return {}
    preprocess = replace(preprocess, onnx_type=info.dtype.name)
    return dict(preprocess.attributes()) if preprocess.fits(shape) else {}


def _assignment(info: TensorInfo, shape: Sequence[int]) -> str:
    """``NAME=VALUE`` as a shell takes it."""
    import shlex

    is_flag = info.dtype.kind == "b" and math.prod(shape) == 1
    return shlex.quote(f"{info.name}={'true' if is_flag else 'VALUE'}")


def top_dtype(dtype: np.dtype[Any]) -> str | None:
    """What Top holds a tensor of this type in: truth values are 0 and 1."""
    if is_float(dtype):
        return "f32"
    return "i32" if dtype.kind in "iub" else None


def _weight_array(name: str, array: Array) -> Array:
    """What a `top.Weight` stores: float32, or int32 for integers."""
    if is_float(array.dtype):
        return np.ascontiguousarray(array, np.float32).reshape(array.shape)
    if is_whole(array.dtype):
        limits = np.iinfo(np.int32)
        if array.dtype.itemsize > 1 and array.size and (array.max() > limits.max or array.min() < limits.min):
            far = max((int(array.min()), int(array.max())), key=abs)
            raise NotSupportedError(
                f"the constant {name} holds {far}, expected integers of 32 bits",
                "compute in float32, or with smaller numbers",
            )
        return np.ascontiguousarray(array, np.int32).reshape(array.shape)
    raise UnsupportedError(Diagnostic(f"expected a tensor of numbers, got {array.dtype}", name))


@cache
def _operations() -> frozenset[str]:
    return frozenset(registered_operations())
