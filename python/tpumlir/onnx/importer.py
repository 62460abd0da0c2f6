"""ONNX graph -> Top module: constants are folded, every other node goes to its converter.

Names: each result keeps the name of the ONNX tensor it equals. What cannot be imported is collected over the
whole graph and reported in one error, with node, operator, opset and remedy.
"""

from __future__ import annotations

import json
import math
import os
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tpumlir.errors import Diagnostic, OnnxImportError, TpumlirError, UnsupportedError
from tpumlir.onnx import fold
from tpumlir.onnx.control import is_control_flow, unroll
from tpumlir.onnx.expand import definition, has_definition
from tpumlir.onnx.load import Array, NodeInfo, OnnxModel, TensorInfo, captured, load, node_info
from tpumlir.onnx.nothing import empty_results, expect_elements
from tpumlir.onnx.refusals import (
    SAME,
    Unsupported,
    UnsupportedModelError,
    cut_before,
    is_known,
    no_converter,
    reads,
    with_cut,
)
from tpumlir.onnx.registry import (
    Attribute,
    InvalidNodeError,
    Node,
    NotSupportedError,
    TensorList,
    find_converter,
)
from tpumlir.onnx.sequences import evaluate, is_sequence_operator
from tpumlir.onnx.shapes import InputShapes, infer_types, resolve_input_shapes, shapes_by_name
from tpumlir.onnx.sums import Sums, values_of
from tpumlir.onnx.types import is_float, is_whole, output_types
from tpumlir.onnx.wide import WideIntegers

if TYPE_CHECKING:
    from tpumlir._core.ir import GraphBuilder, Module, Value
    from tpumlir.data.preprocess import Preprocess

EMPTY_OUTPUTS = "module.empty_outputs"
"""The outputs of the file that a module does not have, for they have no elements, as JSON."""

_FEW = 64  # elements of an input that a user may know by heart, such as a shape or a flag


def import_onnx(
    source: str | os.PathLike[str] | OnnxModel | Any,
    *,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    name: str | None = None,
    preprocess: Preprocess | None = None,
    constants: Mapping[str, Array] | None = None,
    notes: list[Diagnostic] | None = None,
    warnings: list[Diagnostic] | None = None,
) -> Module:
    """Import a file, a proto or a loaded model as a Top module.

    ``output_names`` cuts the graph: only what these tensors need is imported. ``preprocess`` is recorded on
    inputs that a picture can fill. Inputs with a value in ``constants`` are no inputs of the module. What
    a node costs that a user would not expect is added to ``notes``, what may go wrong to ``warnings``.

    Raises: OnnxImportError: a file or graph that is not valid, or shapes that do not fit;
    UnsupportedModelError: nodes that are not supported, all of them.
    """
    model = source if isinstance(source, OnnxModel) else load(source)
    title = name or (model.path.stem if model.path else "") or model.proto.graph.name or "model"
    importer = _Importer(model, title, input_shapes, output_names, preprocess, dict(constants or {}))
    module = importer.run()
    if notes is not None:
        notes += importer.notes
    if warnings is not None:
        warnings += importer.wide.warnings
    return module


@dataclass
class Survey:
    """What there is to say of a model, refused nodes or not.

    ``module`` holds all that can be imported: what a refused node computes is an input of it where its shape
    is known. The nodes behind an unknown shape are ``unreached``. None if nothing remains to be computed.
    ``cut`` are tensors at which the graph can end before its refused nodes; the remedies do not name them.
    """

    nodes: list[NodeInfo]
    unsupported: list[Unsupported]
    unreached: list[NodeInfo]
    module: Module | None
    notes: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


def survey_onnx(
    source: str | os.PathLike[str] | OnnxModel | Any,
    *,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    replaced: Collection[str] = (),
    constants: Mapping[str, Array] | None = None,
) -> Survey:
    """Import what can be imported; nodes whose label is among ``replaced`` count as refused.

    Raises: OnnxImportError: a file or graph that is not valid, or shapes that do not fit.
    """
    model = source if isinstance(source, OnnxModel) else load(source)
    importer = _Importer(
        model, "survey", input_shapes, output_names, constants=dict(constants or {}), survey=True,
        replaced=frozenset(replaced),
    )  # fmt: skip
    return importer.look()


@dataclass
class _Importer:
    model: OnnxModel
    title: str
    input_shapes: InputShapes | None
    output_names: Sequence[str] | None
    preprocess: Preprocess | None = None
    constants: dict[str, Array] = field(default_factory=dict)
    survey: bool = False
    replaced: frozenset[str] = frozenset()
    unsupported: list[Unsupported] = field(default_factory=list)
    expansions: int = 0
    notes: list[Diagnostic] = field(default_factory=list)
    wide: WideIntegers = field(default_factory=WideIntegers)

    def run(self) -> Module:
        """The module. Raises: UnsupportedModelError: there are nodes that are not supported."""
        self._walk()
        if self.unsupported:
            cut = self._cut()
            self.unsupported = [replace(e, remedy=with_cut(e.remedy, cut)) for e in self.unsupported]
            raise UnsupportedModelError(self.unsupported)
        empty = self._empty_outputs()
        expect_elements(self.outputs, empty)
        module = self.graph.finish([self._result(name) for name in self.outputs if name not in empty])
        if empty:
            module.set_attribute(EMPTY_OUTPUTS, json.dumps(empty))
        self.wide.record(module)
        return module

    def _empty_outputs(self) -> dict[str, tuple[list[int], str]]:
        """Shape and type of the outputs without elements: no program computes them."""
        stored = self.model.initializer_names
        values = {
            name: self.model.initializer(name) if name in stored else self.env.get(name)
            for name in self.outputs
        }
        return {
            name: (list(value.shape), _top_dtype(value.dtype) or "f32")
            for name, value in values.items()
            if isinstance(value, np.ndarray) and not value.size
        }

    def look(self) -> Survey:
        """All that can be said; see ``Survey``."""
        self.stand_ins: set[str] = set()
        self.frontier: dict[str, Value] = {}
        self.unreached: list[NodeInfo] = []
        self.inferred: dict[str, tuple[list[int], np.dtype[Any]]] | None = None
        self._walk()
        results, empty = self.frontier, self._empty_outputs()
        if not self.unsupported and not self.replaced:
            expect_elements(self.outputs, empty)
        for name in self.outputs:
            if name not in self.broken and name not in self.stand_ins and name not in empty:
                results[name] = self._result(name)
        module = self.graph.finish(list(results.values())) if results else None
        return Survey(
            self.nodes, self.unsupported, self.unreached, module, self.notes, self.wide.warnings, self._cut()
        )

    def _walk(self) -> None:
        """Convert every node that the outputs need."""
        from tpumlir._core.ir import GraphBuilder

        load_converters()
        self.opset = self.model.opset  # of the nodes at hand: definitions may be written in an older one
        self.outputs = self._outputs()
        self.nodes = self._needed_nodes()
        self.rename = self._output_aliases()
        self.graph: GraphBuilder = GraphBuilder(self.title)
        self.weights: dict[str, Value] = {}
        self.no_value: Value | None = None
        self.dtypes: dict[str, np.dtype[Any] | None] = {}
        self.origin: dict[str, Sequence[str]] = {}  # of each tensor, those that it is computed from
        # Absent from env and listed in `broken`: what an unsupported node would have computed.
        self.env: dict[str, Value | Array] = {}
        self.lists: dict[str, TensorList] = {}
        self.known_sums = Sums()
        self.broken: set[str] = set()
        self.counts: defaultdict[str, int] = defaultdict(lambda: 1)  # of the names given to each stem
        self.names = (
            {t for n in self.model.nodes for t in (*n.inputs, *n.outputs)}
            | self.model.initializer_names
            | {info.name for info in self.model.inputs}
            | self.model.computed_names
        )
        self._inputs()
        for node in self.nodes:
            self._node(node)

    # --- which part of the graph ------------------------------------------------

    def _outputs(self) -> list[str]:
        if not self.output_names:
            return list(dict.fromkeys(self.model.outputs))
        known = {o for n in self.model.nodes for o in n.outputs}
        unknown = [name for name in self.output_names if name not in known]
        if unknown:
            raise OnnxImportError(
                *(Diagnostic("expected the name of a tensor that a node computes", n) for n in unknown)
            )
        return list(dict.fromkeys(self.output_names))

    def _needed_nodes(self) -> list[NodeInfo]:
        """The nodes that the outputs depend on, in topological order (files need not be sorted)."""
        producer = {o: n for n in self.model.nodes for o in n.outputs if o}
        order: dict[int, NodeInfo] = {}
        open_nodes: set[int] = set()
        for output in self.outputs:
            stack: list[tuple[NodeInfo, Iterator[str]]] = []
            if output in producer and id(producer[output]) not in order:
                stack.append((producer[output], iter(self.reads(producer[output]))))
                open_nodes.add(id(producer[output]))
            while stack:
                node, pending = stack[-1]
                for name in pending:
                    source = producer.get(name)
                    if source is None or id(source) in order:
                        continue
                    if id(source) in open_nodes:
                        raise OnnxImportError(
                            Diagnostic(
                                "expected a graph without cycles, got one through this node", node.label
                            )
                        )
                    open_nodes.add(id(source))
                    stack.append((source, iter(self.reads(source))))
                    break
                else:
                    stack.pop()
                    order[id(node)] = node
        return list(order.values())

    def reads(self, node: NodeInfo) -> list[str]:
        """As the function; of an If whose condition is known, only what the branch that runs takes."""
        condition = self._known(node.inputs[0]) if _is_if(node) else None
        if condition is None or condition.size != 1:
            return reads(node)
        chosen = node.attributes.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
        return [node.inputs[0], *captured(chosen)] if chosen is not None else reads(node)

    def _known(self, name: str) -> Array | None:
        """The value of an input that is fixed or of a stored constant."""
        if name in self.constants:
            return self.constants[name]
        return self.model.initializer(name) if name in self.model.initializer_names else None

    def _output_aliases(self) -> dict[str, str]:
        """Names for tensors that a final Identity only renames: the model's outputs keep their own names."""
        alias: dict[str, str] = {}
        produced = {o for n in self.nodes for o in n.outputs}
        for node in reversed(self.nodes):
            if node.domain or node.op_type not in SAME:
                continue
            source, target = node.inputs[0], alias.get(node.outputs[0], node.outputs[0])
            if (
                target in self.outputs
                and source in produced
                and source not in self.outputs
                and source not in alias
            ):
                alias[source] = target
        return alias

    def _inputs(self) -> None:
        used = {name for node in self.nodes for name in self.reads(node)} | set(self.outputs)
        self.env.update(self.constants)
        runtime = [info for info in self.model.inputs if info.name not in self.constants]
        infos = [info for info in runtime if info.name in used] or runtime
        given = shapes_by_name(runtime, self.input_shapes)
        # Shapes may be given for all inputs of the file, also for those that --output_names cut off.
        shapes = resolve_input_shapes(infos, {i.name: given[i.name] for i in infos if i.name in given})
        self.shapes = shapes
        for info in infos:
            kind = _top_dtype(info.dtype)
            if kind is None:
                raise UnsupportedError(
                    Diagnostic(f"expected an input of floats or integers, got {info.dtype}", info.name)
                )
            if 0 in shapes[info.name]:  # no element, so nothing of a run: a constant
                self.env[info.name] = np.empty(shapes[info.name], info.dtype)
                continue
            attrs = self._image_attributes(info, shapes[info.name])
            self.env[info.name] = self.graph.input(info.name, list(shapes[info.name]), kind, attrs)
            self.dtypes[info.name] = info.dtype

    def _image_attributes(self, info: TensorInfo, shape: Sequence[int]) -> dict[str, Attribute]:
        """How a picture becomes this input; nothing if none can."""
        if self.preprocess is None:
            return {}
        preprocess = replace(self.preprocess, onnx_type=info.dtype.name)
        return dict(preprocess.attributes()) if preprocess.fits(shape) else {}

    # --- one node ---------------------------------------------------------------------

    def _node(self, info: NodeInfo) -> None:
        if any(name in self.broken for name in reads(info)):
            # Its operands are unknown, but whether its operator is known can still be said.
            if not is_known(info, self.model.opset):
                self._refuse(info, *no_converter(info))
                return
            if self.survey:
                self.unreached.append(info)
            self._unknown(info)
            return
        if info.label in self.replaced:
            self._unknown(info)
            return
        try:
            # Constants may overflow or divide by zero as they do at run time: to infinity and NaN, silently.
            with np.errstate(all="ignore"):
                self._convert(info)
        except NotSupportedError as error:
            self._refuse(info, error.reason, error.remedy, error.constants)
        except (InvalidNodeError, ValueError, OverflowError) as error:
            if self.survey:
                self._refuse(info, str(error), "correct the node in the source model")
                return
            raise OnnxImportError(
                Diagnostic(f"{info.op_type}: {error}", info.label),
                op_type=info.op_type,
                opset=self.model.opset,
            ) from None
        except TpumlirError as error:
            if not self.survey:
                raise
            self._refuse(info, error.diagnostics[0].message, "correct the node in the source model")

    def _refuse(self, info: NodeInfo, reason: str, remedy: str, constants: Sequence[str] = ()) -> None:
        op_type = info.operator
        wanted = self._fixable(constants)
        remedy = self._fixing(wanted, remedy)
        self.unsupported.append(Unsupported(info.label, op_type, self.model.opset, reason, remedy, wanted))
        self._unknown(info)

    def _cut(self) -> list[str]:
        """Where to end the graph so that nothing refused is left: at run-time tensors of the file."""
        read = {info.label: reads(info) for info in self.nodes}
        refused = {entry.node for entry in self.unsupported} | self.replaced
        names = cut_before(self.nodes, read, refused, self.broken, self.outputs)
        moving = {n for n, v in self.env.items() if not isinstance(v, np.ndarray)} & self.model.computed_names
        return [name for name in names if name in moving]

    def _fixing(self, inputs: Sequence[str], remedy: str) -> str:
        """How to make constants of the inputs that decide, or else ``remedy``; a picture decides nothing."""
        infos = [info for info in self.model.inputs if info.name in inputs]
        if not infos or any(math.prod(self.shapes.get(i.name, ())) > _FEW for i in infos):
            return remedy
        flags = " ".join(f"--fix_input {_assignment(i, self.shapes.get(i.name, ()))}" for i in infos)
        advice = f"make {'it a constant' if len(infos) == 1 else 'them constants'}: {flags}"
        return f"{advice}, or {remedy}" if remedy else advice

    def _unknown(self, info: NodeInfo) -> None:
        """Go on without the results of a node; a survey puts inputs in their place if it knows the shapes."""
        if self.survey:
            for name in reads(info):
                source = self.env.get(name)
                if source is None or isinstance(source, np.ndarray):
                    continue
                if source.name not in self.stand_ins and source.name not in self.shapes:
                    self.frontier[source.name] = source
        for name in filter(None, info.outputs):
            kind = self._stand_in_type(name) if self.survey else None
            if kind is None:
                self.broken.add(name)
                continue
            shape, dtype = kind
            self.env[name] = self.graph.input(name, shape, "f32" if is_float(dtype) else "i32", {})
            self.dtypes[name] = dtype
            self.stand_ins.add(name)

    def _stand_in_type(self, name: str) -> tuple[list[int], np.dtype[Any]] | None:
        """Static shape and type of a tensor by ONNX's shape inference, None if it does not find them."""
        if self.inferred is None:
            self.inferred = infer_types(self.model, self.shapes)
        shape, dtype = self.inferred.get(name, ([0], np.dtype(np.float32)))
        return (shape, dtype) if _top_dtype(dtype) and min(shape, default=1) > 0 else None

    def _fixable(self, names: Sequence[str]) -> tuple[str, ...]:
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

    def _convert(self, info: NodeInfo) -> None:
        outer, self.opset = self.opset, info.opset or self.opset
        try:
            self._convert_here(info)
        finally:
            self.opset = outer

    def _convert_here(self, info: NodeInfo) -> None:
        # What a shape is does not depend on values.
        read = [] if info.op_type in {"Shape", "Size"} and not info.domain else reads(info)
        self.origin.update(dict.fromkeys(info.outputs, read))
        controls = is_control_flow(info)
        if controls or is_sequence_operator(info) or any(name in self.lists for name in info.inputs):
            found = unroll(self, info) if controls else evaluate(self, info)
            for output, bound in zip(info.outputs, found, strict=False):
                if output and (not isinstance(bound, str) or bound != output):
                    self.bind(output, bound)
            return
        inputs = [self._lookup(info, name) for name in info.inputs]
        arrays = [source for source in inputs if isinstance(source, np.ndarray)]
        results: Sequence[Value | Array]
        if info.op_type == "Shape" and not info.domain and inputs[0] is not None:
            results = [fold.shape_of(info, tuple(inputs[0].shape))]
        elif info.op_type == "Size" and not info.domain and inputs[0] is not None:
            results = [np.array(int(np.prod(inputs[0].shape)), np.int64)]
        elif info.op_type in SAME and not info.domain and inputs[0] is not None:
            results = self._identity(info, inputs)
        elif info.op_type == "CastLike" and not info.domain and isinstance(inputs[0], np.ndarray):
            results = [inputs[0].astype(self._dtype(info.inputs[1]) or np.float32)]
        elif len(arrays) == sum(s is not None for s in inputs) and _is_foldable(info):
            constants = [s if isinstance(s, np.ndarray) else None for s in inputs]
            try:
                results = fold.evaluate(info, constants, self.opset)
            except NotSupportedError:  # nobody can here, so it is computed at run time
                results = self._call(info, inputs)
        else:
            with self.wide.node(self._output_types(info)[0]):
                results = self._computed(info, inputs)
        types = self._output_types(info)
        self.wide.converted(info, inputs, [self._dtype(name) for name in info.inputs], results, types)
        for output, result, dtype in zip(info.outputs, results, types, strict=False):
            if output:
                self.env[output] = result
                self.dtypes[output] = dtype

    def _computed(self, info: NodeInfo, inputs: Sequence[Value | Array | None]) -> Sequence[Value | Array]:
        """The results of a node of run-time tensors, which may be constants all the same."""
        (dtype, *_), operands = self._output_types(info), [self._dtype(name) for name in info.inputs]
        nothing = empty_results(info, inputs, operands, self.opset)
        if nothing is not None:
            return nothing
        found = self.known_sums.evaluate(info, inputs, operands, dtype, self.opset)
        values = None if found is None or dtype is None else values_of(found, dtype)
        results = self._call(info, inputs) if values is None else [values]
        if found is not None and not isinstance(results[0], np.ndarray):
            self.known_sums.remember(results[0].name, found)
        return results

    def _dtype(self, name: str) -> np.dtype[Any] | None:
        """The ONNX element type of a tensor that is there; None if it is not known."""
        source = self.env.get(name)
        return source.dtype if isinstance(source, np.ndarray) else self.dtypes.get(name)

    def _output_types(self, info: NodeInfo) -> list[np.dtype[Any] | None]:
        inputs = [self._dtype(name) for name in info.inputs]
        if info.domain:  # what is known there computes in the type of its first operand
            first = inputs[0] if inputs else None
            return [first if first is not None and is_float(first) else None] * len(info.outputs)
        return output_types(info.op_type, self.opset, inputs, info.attributes, len(info.outputs))

    def _identity(self, info: NodeInfo, inputs: Sequence[Value | Array | None]) -> list[Value | Array]:
        """A tensor under another name, and a mask that keeps all of it.

        Source: ONNX Dropout, opset 13: outside of training nothing is dropped.
        """
        source, mode = inputs[0], inputs[2] if len(inputs) > 2 else None
        assert source is not None
        if mode is not None and (not isinstance(mode, np.ndarray) or mode.any()):
            ratio = inputs[1] if inputs[1] is not None else np.array(0.5)
            if not isinstance(mode, np.ndarray) or not isinstance(ratio, np.ndarray) or ratio.any():
                raise NotSupportedError(
                    "its training mode", "export the model for inference", constants=info.inputs[1:]
                )
        return [source, np.broadcast_to(np.bool_(True), tuple(source.shape))]

    def _lookup(self, info: NodeInfo, name: str) -> Value | Array | None:
        if not name:
            return None
        if name not in self.env:
            if name not in self.model.initializer_names:
                raise OnnxImportError(Diagnostic(f"expected an input that exists, got {name}", info.label))
            self.env[name] = self.model.initializer(name)
        return self.env[name]

    def _call(self, info: NodeInfo, inputs: Sequence[Value | Array | None]) -> Sequence[Value | Array]:
        convert = find_converter(info.operator, self.opset)
        if convert is None:
            return self._by_definition(info, inputs)
        wanted = [self.rename.get(name, name) for name in info.outputs]
        node = Node(
            info.op_type,
            info.name or info.outputs[0],
            self.opset,
            list(info.inputs),
            inputs,
            wanted,
            info.attributes,
            self,
            [self._dtype(name) for name in info.inputs],
            self._output_types(info),
        )
        result = convert(node)
        return result if isinstance(result, (list, tuple)) else [result]  # type: ignore[list-item]

    def _by_definition(
        self, info: NodeInfo, inputs: Sequence[Value | Array | None]
    ) -> Sequence[Value | Array]:
        """What ONNX's own definition of the operator computes. Raises: NotSupportedError: there is none."""
        if info.domain or not has_definition(info.op_type, self.opset):
            raise NotSupportedError(*no_converter(info))
        self.expansions += 1
        nodes, opset = definition(
            info, inputs, [self._dtype(name) for name in info.inputs], self.opset,
            f"{info.outputs[0]}::{self.expansions}_",
        )  # fmt: skip
        if not nodes:
            raise NotSupportedError(*no_converter(info))
        outer, self.opset = self.opset, opset
        try:
            for node in nodes:
                self._convert(node)
        except NotSupportedError as error:
            reason = f"its definition uses {node.op_type}: {error.reason}"
            raise NotSupportedError(reason, error.remedy, constants=error.constants) from None
        finally:
            self.opset = outer
        return [self.env[name] if name else self.none() for name in info.outputs]

    # --- the Scope that control flow sees ----------------------------------------------

    @property
    def folder(self) -> str:
        """Where external data lies."""
        return self.model.folder

    def value(self, info: NodeInfo, name: str) -> Value | Array | TensorList | None:
        """The tensor or sequence called ``name``; None for the empty name."""
        return self.lists.get(name) or self._lookup(info, name)

    def kind(self, name: str) -> str:
        """Element type and shape of a tensor in words."""
        if name in self.lists:
            return f"a sequence of {', '.join(map(self.kind, self.lists[name].names)) or 'nothing'}"
        if name not in self.env:
            self.env[name] = self.model.initializer(name)
        source = self.env[name]
        dtype = self._dtype(name) or np.dtype(np.float32 if source.dtype == "f32" else np.int32)
        return f"{dtype} {list(source.shape)}"

    def note(self, info: NodeInfo, text: str, deciders: Sequence[str]) -> None:
        """Tell the user what a node costs; the tensors ``deciders`` could be fixed to change that."""
        advice = self._fixing(self._fixable(deciders), "")
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
        self.dtypes[name] = self._dtype(source)
        self.origin[name] = [source]

    def convert(self, info: NodeInfo) -> None:
        """Convert a node whose operands have values."""
        self._convert(info)

    # --- the Emitter that nodes see ------------------------------------------------------

    def emit(
        self,
        kind: str,
        operands: Sequence[Value],
        attrs: dict[str, Attribute],
        names: Sequence[str],
        node: str,
    ) -> list[Value]:
        """Emit one operation; its node name is recorded unless it is the tensor's name."""
        if not _has_op(kind):
            raise NotSupportedError(f"{kind} is not implemented yet")
        results = self.graph.op(
            kind, list(operands), attrs, names=list(names), node="" if node == names[0] else node
        )
        self.wide.emitted(kind, results)
        return list(results)

    def weight(self, name: str, array: Array) -> Value:
        """The value of a constant; one `top.Weight` per name."""
        if name not in self.weights:
            if array.size == 0:
                raise NotSupportedError(f"{name} has no elements", "remove the branch that needs it")
            # The name of an output is that of the copy that `_result` makes.
            stored = self.unique(f"{name}::constant") if name in self.outputs else name
            self.weights[name] = self.graph.weight(stored, _weight_array(name, array))
        return self.weights[name]

    def compose(
        self,
        label: str,
        result: str,
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
    ) -> str:
        """Convert one more node, in the form of opset 18; returns ``result``, the name of its result."""
        import onnx

        names = []
        for operand in operands:
            if isinstance(operand, np.ndarray):
                names.append(self.unique(f"{result}::constant"))
                self.bind(names[-1], operand)
            else:
                names.append(operand)
        outer, self.opset = self.opset, 18
        try:
            self._convert(
                node_info(onnx.helper.make_node(op_type, names, [result], name=label, **attributes))
            )
        finally:
            self.opset = outer
        return result

    def tensor(self, name: str) -> Value | Array:
        """The tensor called ``name``."""
        return self.env[name]

    def sums(self, name: str) -> Array | None:
        """The integers of a small tensor as sums; None for any other."""
        return self.known_sums.of(self.env.get(name), self._dtype(name))

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

    # --- results --------------------------------------------------------------------------

    def _result(self, name: str) -> Value:
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
            stored = self.weight(name, source)
            return self.emit("top.Reshape", [stored], {"shape": list(source.shape)}, [name], name)[0]
        if (
            source.name != name
        ):  # the same tensor is another output or an input of the model: copy it under this name
            return self.emit("top.Reshape", [source], {"shape": list(source.shape)}, [name], name)[0]
        return source


def _is_if(node: NodeInfo) -> bool:
    return node.op_type == "If" and not node.domain and bool(node.inputs)


def _assignment(info: TensorInfo, shape: Sequence[int]) -> str:
    """``NAME=VALUE`` as a shell takes it."""
    is_flag = info.dtype.kind == "b" and math.prod(shape) == 1
    return shlex.quote(f"{info.name}={'true' if is_flag else 'VALUE'}")


def _is_foldable(info: NodeInfo) -> bool:
    return info.op_type not in fold.RANDOM_OPS and not any(
        hasattr(v, "initializer") for v in info.attributes.values()
    )


def _top_dtype(dtype: np.dtype[Any]) -> str | None:
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


def load_converters() -> None:
    """Import every module beside this one: each registers the converters of its family."""
    import importlib
    import pkgutil

    import tpumlir.onnx as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


_OPS: frozenset[str] | None = None


def _has_op(kind: str) -> bool:
    global _OPS  # noqa: PLW0603
    if _OPS is None:
        from tpumlir._core import ir

        _OPS = frozenset(ir.registered_operations()) if hasattr(ir, "registered_operations") else frozenset()
    return not _OPS or kind in _OPS


__all__ = ["TpumlirError", "Unsupported", "UnsupportedModelError", "import_onnx"]
