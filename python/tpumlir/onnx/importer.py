"""ONNX graph -> Top module: constants are folded, every other node goes to its converter.

Names: each result keeps the name of the ONNX tensor it equals. What cannot be imported is collected over the
whole graph and reported in one error, with node, operator, opset and remedy.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tpumlir.onnx as package
from tpumlir.data.record import EMPTY_OUTPUTS
from tpumlir.data.types import DType, is_float
from tpumlir.errors import Diagnostic, OnnxImportError, TpumlirError
from tpumlir.ir.module import TOP_PASSES, Module
from tpumlir.ir.names import part_of
from tpumlir.onnx import fold
from tpumlir.onnx.control import is_control_flow, unroll
from tpumlir.onnx.expand import definition, has_definition
from tpumlir.onnx.inputs import Inputs, choose_inputs
from tpumlir.onnx.load import Array, NodeInfo, load, node_info
from tpumlir.onnx.moves import moved, moves_quantized
from tpumlir.onnx.nothing import empty_results, expect_elements
from tpumlir.onnx.options import FixedInputs, ImportOptions, InputShapes
from tpumlir.onnx.refusals import (
    SAME,
    Unsupported,
    UnsupportedModelError,
    cut_before,
    is_known,
    no_converter,
    with_cut,
)
from tpumlir.onnx.registry import InvalidNodeError, Node, NotSupportedError, find_converter
from tpumlir.onnx.scope import Tensors
from tpumlir.onnx.sequences import evaluate, is_sequence_operator
from tpumlir.onnx.sums import values_of
from tpumlir.onnx.types import output_types

if TYPE_CHECKING:
    from tpumlir._core import ir
    from tpumlir._core.ir import Value

    Operands = Sequence[Value | Array | None]
    Results = Sequence[Value | Array]
    Types = Sequence[DType | None]

_CORRECT = "correct the node in the source model"


class Imported(NamedTuple):
    """A Top module of the extension, what nodes cost that a user would not expect, what may go wrong."""

    module: ir.Module
    notes: list[Diagnostic]
    warnings: list[Diagnostic]


def import_model(chosen: Inputs, options: ImportOptions) -> Imported:
    """Import a model whose inputs are chosen.

    Raises: OnnxImportError: a graph that is not valid, or shapes that do not fit; UnsupportedModelError:
    nodes that are not supported, all of them.
    """
    importer = Importer(chosen, options)
    return Imported(importer.run(), importer.notes, importer.wide.warnings)


def import_onnx(
    source: str | os.PathLike[str] | Any,
    *,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    name: str | None = None,
) -> ir.Module:
    """Import a file or a proto as a Top module of the extension. Raises: see ``load_onnx``."""
    options = ImportOptions(name, input_shapes, output_names)
    return import_model(choose_inputs(load(source), options), options).module


def load_onnx(  # noqa: PLR0913 - the keywords of the API
    source: str | os.PathLike[str] | Any,
    *,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    fixed_inputs: FixedInputs | None = None,
    runtime_inputs: Collection[str] = (),
    name: str | None = None,
    optimize: bool = True,
) -> Module:
    """Import an ONNX file (or ``onnx.ModelProto``) as a Top module.

    ``input_shapes`` fixes unknown extents, by name or in the order of the inputs; ``output_names`` cuts the
    graph. ``fixed_inputs`` makes constants of inputs, ``runtime_inputs`` are inputs though the file has
    values for them. Without ``optimize`` the operations stay as imported, one for one.

    Raises: OnnxImportError: a missing or broken file, shapes that do not fit. InputError: inputs that the
    model does not have. UnsupportedError: nodes that are not supported, all of them at once.
    """
    options = ImportOptions(name, input_shapes, output_names, fixed_inputs, runtime_inputs)
    chosen = choose_inputs(load(source), options)
    module = Module(import_model(chosen, options).module)
    if optimize:
        module.run_pipeline(TOP_PASSES)
    chosen.record(module)
    return module


class Importer(Tensors):
    """Converts the nodes that the outputs need, in their order."""

    tolerant = False
    """Whether a node that breaks the rules of its operator counts as refused, and is no error."""
    replaced: frozenset[str] = frozenset()
    """Labels of nodes that count as refused."""

    def __init__(self, chosen: Inputs, options: ImportOptions) -> None:
        load_converters()
        model = chosen.model
        title = options.name or (model.path.stem if model.path else "") or model.proto.graph.name or "model"
        super().__init__(model, title, options.output_names, chosen.fixed)
        self.unsupported: list[Unsupported] = []
        self.expansions = 0
        self.add_inputs(chosen.shapes, options.preprocess)

    def convert_nodes(self) -> None:
        """Convert every node that the outputs need."""
        for node in self.nodes:
            self._node(node)

    def run(self) -> ir.Module:
        """The module. Raises: UnsupportedModelError: there are nodes that are not supported."""
        self.convert_nodes()
        if self.unsupported:
            cut = self.cut()
            self.unsupported = [e._replace(remedy=with_cut(e.remedy, cut)) for e in self.unsupported]
            raise UnsupportedModelError(self.unsupported)
        empty = self.empty_outputs()
        expect_elements(self.outputs, empty)
        module = self.graph.finish([self.result(name) for name in self.outputs if name not in empty])
        if empty:
            module.set_attribute(EMPTY_OUTPUTS, json.dumps(empty))
        self.wide.record(module)
        return module

    # --- one node ---------------------------------------------------------------------

    def _node(self, info: NodeInfo) -> None:
        if self.broken and not self.broken.isdisjoint(info.reads):
            # Its operands are unknown, but whether its operator is known can still be said.
            if is_known(info, self.model.opset):
                self.unreachable(info)
            else:
                self.refuse(info, *no_converter(info))
            return
        if info.label in self.replaced:
            self.unknown(info)
            return
        try:
            # Constants may overflow or divide by zero as they do at run time: to infinity and NaN, silently.
            with np.errstate(all="ignore"):
                self.convert(info)
        except NotSupportedError as error:
            self.refuse(info, error.reason, error.remedy, error.constants)
        except (InvalidNodeError, ValueError, OverflowError) as error:
            if not self.tolerant:
                diagnostic = Diagnostic(f"{info.op_type}: {error}", info.label)
                opset = self.model.opset_of(info)
                raise OnnxImportError(diagnostic, op_type=info.op_type, opset=opset) from None
            self.refuse(info, str(error), _CORRECT)
        except TpumlirError as error:
            if not self.tolerant:
                raise
            self.refuse(info, error.diagnostics[0].message, _CORRECT)

    def unreachable(self, info: NodeInfo) -> None:
        """Go on without a node that reads what a refused one would have computed."""
        self.unknown(info)

    def unknown(self, info: NodeInfo) -> None:
        """Go on without the results of a node."""
        self.broken.update(filter(None, info.outputs))

    def refuse(self, info: NodeInfo, reason: str, remedy: str, constants: Sequence[str] = ()) -> None:
        """Take down why a node is not supported; ``constants`` are tensors that would have to be."""
        op_type = info.operator
        wanted = self.fixable(constants)
        remedy = self.fixing(wanted, remedy)
        opset = self.model.opset_of(info)
        self.unsupported.append(Unsupported(info.label, op_type, opset, reason, remedy, wanted))
        self.unknown(info)

    def cut(self) -> list[str]:
        """Where to end the graph so that nothing refused is left: at run-time tensors of the file."""
        read = {info.label: info.reads for info in self.nodes}
        refused = {entry.node for entry in self.unsupported} | self.replaced
        names = cut_before(self.nodes, read, refused, self.broken, self.outputs)
        moving = {n for n, v in self.env.items() if not isinstance(v, np.ndarray)} & self.model.computed_names
        return [name for name in names if name in moving]

    def convert(self, info: NodeInfo) -> None:
        """Convert a node whose operands have values."""
        outer, self.opset = self.opset, info.opset or self.opset
        try:
            self._convert_here(info)
        finally:
            self.opset = outer

    def _convert_here(self, info: NodeInfo) -> None:
        # What a shape is does not depend on values.
        read = [] if info.op_type in {"Shape", "Size"} and not info.domain else info.reads
        for output in info.outputs:
            self.origin[output] = read
        controls = is_control_flow(info)
        if controls or is_sequence_operator(info) or not self.lists.keys().isdisjoint(info.inputs):
            found = unroll(self, info) if controls else evaluate(self, info)
            for output, bound in zip(info.outputs, found, strict=False):
                if output and (not isinstance(bound, str) or bound != output):
                    self.bind(output, bound)
            return
        inputs = [self.lookup(info, name) for name in info.inputs]
        operands = [self.dtype(name) for name in info.inputs]
        types: Types | None = None
        results = self._apparent(info, inputs, operands)
        constants = [s for s in inputs if s is None or isinstance(s, np.ndarray)]
        if results is None and len(constants) == len(inputs) and _is_foldable(info):
            try:
                results = fold.evaluate(info, constants, self.opset)
                self.steps.folded(info, constants)
            except NotSupportedError:  # nobody can here, so it is computed at run time
                results = self._call(info, inputs, operands, self._output_types(info, operands))
        elif results is None:
            types = self._output_types(info, operands)
            with self.wide.node(types[0]):
                results = self._computed(info, inputs, operands, types)
        if types is None:
            types = self._output_types(info, operands)
        self.wide.converted(info, inputs, operands, results, types)
        for output, result, dtype in zip(info.outputs, results, types, strict=False):
            if output:
                self.env[output] = result
                # What an operator of another domain makes its converter knows.
                made = self.dtypes.get(self.rename.get(output, output)) if info.domain else None
                self.dtypes[output] = made or dtype

    def _apparent(self, info: NodeInfo, inputs: Operands, operands: Types) -> Results | None:
        """The results of a node to which the values of its first operand do not matter; None of others."""
        source = inputs[0] if inputs and not info.domain else None
        if source is None:
            return None
        if info.op_type == "Shape":
            return [fold.shape_of(info, tuple(source.shape))]
        if info.op_type == "Size":
            return [np.array(int(np.prod(source.shape)), np.int64)]
        if info.op_type in SAME:
            self.steps.folded(info, inputs)
            return self._identity(info, inputs)
        if info.op_type == "CastLike" and isinstance(source, np.ndarray):
            return [source.astype(operands[1] or np.float32)]
        return None

    def _computed(self, info: NodeInfo, inputs: Operands, operands: Types, types: Types) -> Results:
        """The results of a node of run-time tensors, which may be constants all the same."""
        nothing = empty_results(info, inputs, operands, self.opset)
        if nothing is not None:
            return nothing
        found = self.known_sums.evaluate(info, inputs, operands, types[0], self.opset)
        values = None if found is None or types[0] is None else values_of(found, types[0])
        results = self._call(info, inputs, operands, types) if values is None else [values]
        if found is not None and not isinstance(results[0], np.ndarray):
            self.known_sums.remember(results[0].name, found)
        return results

    def _output_types(self, info: NodeInfo, operands: Types) -> Types:
        if info.domain:  # what is known there computes in the type of its first operand
            first = operands[0] if operands else None
            return [first if first is not None and is_float(first) else None] * len(info.outputs)
        return output_types(info.op_type, self.opset, operands, info.attributes, len(info.outputs))

    def _identity(self, info: NodeInfo, inputs: Operands) -> list[Value | Array]:
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

    def _call(self, info: NodeInfo, inputs: Operands, operands: Types, types: Types) -> Results:
        convert = find_converter(info.operator, self.opset)
        if convert is None:
            return self._by_definition(info, inputs, operands)
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
            operands,
            types,
        )
        result = moved(node) if moves_quantized(node) else convert(node)
        return result if isinstance(result, (list, tuple)) else [result]  # type: ignore[list-item]

    def _by_definition(self, info: NodeInfo, inputs: Operands, operands: Types) -> Results:
        """What ONNX's own definition of the operator computes. Raises: NotSupportedError: there is none."""
        if info.domain or not has_definition(info.op_type, self.opset):
            raise NotSupportedError(*no_converter(info))
        self.expansions += 1
        nodes, opset = definition(
            info, inputs, operands, self.opset,
            part_of(info.outputs[0], f"{self.expansions}_"),
        )  # fmt: skip
        if not nodes:
            raise NotSupportedError(*no_converter(info))
        outer, self.opset = self.opset, opset
        try:
            for node in nodes:
                self.convert(node)
        except NotSupportedError as error:
            reason = f"its definition uses {node.op_type}: {error.reason}"
            raise NotSupportedError(reason, error.remedy, constants=error.constants) from None
        finally:
            self.opset = outer
        return [self.env[name] if name else self.none() for name in info.outputs]

    def compose(
        self,
        label: str,
        result: str,
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
    ) -> str:
        """Convert one more node, in the form of opset 18; returns ``result``, the name of its result."""
        self.compose_all(label, [result], op_type, operands, attributes, 18)
        return result

    def compose_all(
        self,
        label: str,
        results: Sequence[str],
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
        opset: int,
    ) -> None:
        """Convert one more node, in the form of ``opset``; its results get these names."""
        import onnx

        names = []
        for operand in operands:
            if isinstance(operand, np.ndarray):
                names.append(self.unique(part_of(results[0], "constant")))
                self.bind(names[-1], operand)
            else:
                names.append(operand)
        outer, self.opset = self.opset, opset
        try:
            self.convert(node_info(onnx.helper.make_node(op_type, names, results, name=label, **attributes)))
        finally:
            self.opset = outer


def _is_foldable(info: NodeInfo) -> bool:
    return info.op_type not in fold.RANDOM_OPS and not any(
        hasattr(v, "initializer") for v in info.attributes.values()
    )


@cache
def load_converters() -> None:
    """Import every module beside this one: each registers the converters of its family."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
