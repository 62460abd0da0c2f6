"""Reading ONNX files: one line for whatever is wrong with them, and no protobuf goes further than here."""

from __future__ import annotations

import math
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.types import numpy_type
from tpumlir.errors import Diagnostic, OnnxImportError, UnsupportedError
from tpumlir.onnx.external import embed, has_external, read_tensor
from tpumlir.onnx.formats import has_mark, name_format
from tpumlir.onnx.functions import inline_functions, recorded_opset

OLDEST_OPSET = 7
# Elements of a constant that may decide a shape: it has as many as a tensor has axes.
_SMALL = 1024
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorInfo:
    """A declared input: ``shape`` has None for an unknown extent, and is None if the rank is unknown."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None
    dims: tuple[str, ...] = ()
    usual: tuple[int, ...] | None = None
    """The shape of the initializer of an input whose declared shape is open."""


@dataclass(frozen=True)
class NodeInfo:
    """One node, its attributes as Python values (tensors as arrays, graphs as protos)."""

    op_type: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any = field(default=None, repr=False, compare=False)
    opset: int | None = None
    """Of a node that comes from a function of another opset than the model's."""

    @property
    def operator(self) -> str:
        """The operator with its domain, if that is not ONNX's own."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @property
    def label(self) -> str:
        """What to call the node in messages: its name, or its first output."""
        return self.name or next((o for o in self.outputs if o), self.op_type)

    @property
    def reads(self) -> list[str]:
        """The tensors it reads, those that its subgraphs take from outside included."""
        # Every node is asked several times; before Python 3.12 a cached_property takes a lock.
        known: list[str] | None = self.__dict__.get("_reads")
        if known is None:
            known = [name for name in self.inputs if name]
            for value in self.attributes.values():
                if hasattr(value, "node") and hasattr(value, "initializer"):
                    known += captured(value)
            self.__dict__["_reads"] = known
        return known


@dataclass
class OnnxModel:
    """A checked ONNX model; external data is read tensor by tensor from ``folder``, never into ``proto``.

    ``original`` is what the file holds; in ``proto`` and ``nodes`` its functions are inlined. ``defaults``
    are inputs with an initializer: constants, unless ``at_run_time`` makes ``inputs`` of them.
    """

    proto: Any
    original: Any
    path: Path | None
    folder: str
    opset: int
    inputs: list[TensorInfo]
    defaults: list[TensorInfo]
    outputs: list[str]
    nodes: list[NodeInfo]
    external_files: list[str]
    """The files with external data, relative to ``folder``."""
    _initializers: dict[str, Any] = field(default_factory=dict, repr=False)

    def at_run_time(self, names: Collection[str]) -> OnnxModel:
        """The model with the ``defaults`` among ``names`` as ``inputs``, in the order of the file."""
        if not any(info.name in names for info in self.defaults):
            return self
        known = {info.name: info for info in (*self.inputs, *self.defaults)}
        chosen = {info.name for info in self.inputs} | set(names)
        order = [value.name for value in self.proto.graph.input]
        return replace(
            self,
            inputs=[known[name] for name in order if name in chosen],
            defaults=[info for info in self.defaults if info.name not in names],
            _initializers={n: t for n, t in self._initializers.items() if n not in names},
        )

    def opset_of(self, node: NodeInfo) -> int:
        """The version of the operators that a node is written in: of its domain, of its function."""
        if not node.domain:
            return node.opset or self.opset
        return next((o.version for o in self.proto.opset_import if o.domain == node.domain), 0)

    def with_data(self) -> Any:
        """A copy of ``original`` that holds its external data."""
        import onnx

        copy = onnx.ModelProto()
        copy.CopyFrom(self.original)
        if self.external_files:
            embed(copy.graph, self.folder, sys.maxsize)
        return copy

    @cached_property
    def initializer_names(self) -> set[str]:
        """The names of all stored constants."""
        return set(self._initializers)

    @cached_property
    def computed_names(self) -> set[str]:
        """The names of all tensors that the nodes of the file compute, insides of functions left out."""
        if self.proto is self.original:
            return {name for node in self.nodes for name in node.outputs if name}
        return {name for node in self.original.graph.node for name in node.output if name}

    def initializer(self, name: str) -> Array:
        """The data of a stored constant. Raises: OnnxImportError: unreadable."""
        if name not in self._initializers:
            raise OnnxImportError(Diagnostic("expected the name of a tensor, got one of none", name or None))
        return read_tensor(self._initializers[name], self.folder)


def load(source: str | os.PathLike[str] | Any) -> OnnxModel:
    """Read and check a model from a file or an ``onnx.ModelProto``.

    Raises: OnnxImportError: missing or truncated file, not ONNX, or an invalid graph. UnsupportedError:
    an opset before 7, an input that is no tensor.
    """
    import onnx

    path: Path | None = None
    proto: Any = source
    if not isinstance(source, onnx.ModelProto):
        path = Path(source)
        proto = read_proto(path)
    where = str(path) if path else "model"
    broken_text, external = _seen(proto)
    if broken_text:
        raise OnnxImportError(f"{where}: expected names in UTF-8, got other bytes")
    where = str(path) if path else proto.graph.name or "model"
    if not proto.graph.output:
        other = name_format(path) if path else ""
        raise OnnxImportError(f"{where}: expected an ONNX model, got {other or 'a file without a graph'}")
    if not proto.opset_import:
        raise OnnxImportError(f"{where}: expected an opset import, got none")
    opset = next((o.version for o in proto.opset_import if o.domain in {"", "ai.onnx"}), None)
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and not OLDEST_OPSET <= opset <= newest:
        # Not onnx.version_converter: what it makes of old models does not always mean the same.
        advice = f"export it again with an opset in this range, for instance {min(17, newest)}"
        raise UnsupportedError(
            f"{where}: expected an opset from {OLDEST_OPSET} to {newest}, got {opset} ({advice})"
        )
    files = _external_files(proto) if external else []
    folder = _folder(path, files) if path else ""
    _check(proto, path, where, folder, external=external)
    return _collect(proto, path, opset or 0, where, folder, files)


def read_proto(path: Path) -> Any:
    """What the file holds, not checked, external data where it is. Raises: OnnxImportError."""
    import onnx.parser
    from google.protobuf import json_format, text_format
    from google.protobuf.message import DecodeError

    import onnx

    try:
        if path.is_dir() or has_mark(path):
            raise OnnxImportError(f"{path}: expected an ONNX model, got {name_format(path)}")
        return onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise OnnxImportError(f"{path}: no such file") from None
    except OSError as error:
        raise OnnxImportError(f"{path}: {error.strerror or error}") from None
    # By their suffixes, onnx reads some files as text.
    except (DecodeError, ValueError, json_format.ParseError, text_format.ParseError, onnx.parser.ParseError):
        what = name_format(path) or "a truncated file or another format"
        raise OnnxImportError(f"{path}: expected an ONNX model, got {what}") from None


def _seen(proto: Any) -> tuple[bool, bool]:
    """Whether a text of a model is not UTF-8 (protobuf hands it out as bytes, or raises); external data."""
    from google.protobuf.descriptor import FieldDescriptor

    text, message, external = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE, False
    repeated = type(proto.opset_import)
    pending = [proto]
    while pending:
        for kind, value in pending.pop().ListFields():
            form = kind.type
            if form == text:
                if not isinstance(value, str) and (isinstance(value, bytes) or bytes in map(type, value)):
                    return True, external
            elif form == message:
                if isinstance(value, repeated):
                    pending += value
                else:
                    pending.append(value)
            elif kind.name == "data_location":
                external = True
    return False, external


# What the importer copes with: operators that the onnx package does not know or calls deprecated (it reports
# all at once that it does not know either), outputs without a declared shape, results without a name that
# nobody reads, unsorted nodes.
_HARMLESS = (
    r"No Op registered|No opset import for domain|is deprecated in domain_version"
    r"|Field 'shape' of 'type' is required|'s output \d+ is marked single but has an empty string"
    r"|Nodes in a graph must be topologically sorted"
)


def _check(proto: Any, path: Path | None, where: str, folder: str, *, external: bool) -> None:
    import onnx

    def invalid(error: Exception) -> OnnxImportError | None:
        text = str(error)
        if re.search(_HARMLESS, text):
            return None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        context = next((line for line in lines[1:] if line.startswith("==> Context")), "")
        reason = " ".join([lines[0], context.removeprefix("==> Context: ")]).rstrip()
        return OnnxImportError(f"{where}: expected a valid ONNX model, got: {reason}")

    try:
        onnx.checker.check_model(sketch(proto, folder, external=external))
    except onnx.checker.ValidationError as error:
        if refusal := invalid(error):
            raise refusal from None
        # The checker stops at the first complaint, so of the rest it has said nothing yet.
        for complaint in _complaints(proto):
            if refusal := invalid(complaint):
                raise refusal from None
    except ValueError as error:  # a proto of more than 2 GB cannot be serialised for the checker
        if path is None:
            reason = " ".join(str(error).split())
            raise OnnxImportError(
                f"{where}: {reason} (save it with external data and give the path)"
            ) from None


def _complaints(proto: Any) -> Iterator[Exception]:
    """What the checker says about each node by itself, those of subgraphs included."""
    import onnx

    context = onnx.checker.C.CheckerContext()
    context.ir_version = proto.ir_version
    context.opset_imports = {o.domain: o.version for o in proto.opset_import}
    pending = list(proto.graph.node)
    while pending:
        node = pending.pop(0)
        alone = onnx.NodeProto(
            op_type=node.op_type, domain=node.domain, name=node.name, input=node.input, output=node.output
        )
        for attribute in node.attribute:
            copy = alone.attribute.add(name=attribute.name, type=attribute.type)
            graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            pending += [inner for graph in graphs for inner in graph.node]
            # Of graphs and tensors only that they are there: what a graph takes from outside would be the
            # complaint, and the data of a tensor may lie elsewhere.
            if attribute.HasField("g"):
                copy.g.name = "graph"
            elif attribute.HasField("t"):
                copy.t.data_type = onnx.TensorProto.FLOAT
                copy.t.dims.append(0)
            elif not graphs and not attribute.tensors:
                copy.CopyFrom(attribute)
        try:
            onnx.checker.check_node(alone, context)
        except onnx.checker.ValidationError as error:
            yield error


def sketch(proto: Any, folder: str | None = None, *, external: bool = True) -> Any:
    """A copy in which large constants are inputs: for tools that serialise what they get, data and all.

    External data of small ones is read from ``folder``; without it none is. ``external``: there may be some.
    """
    import onnx

    copy, graph = onnx.ModelProto(), proto.graph
    copy.ir_version = proto.ir_version
    copy.opset_import.extend(proto.opset_import)
    copy.functions.extend(proto.functions)
    copy.graph.name = graph.name
    for field_name in (
        "node",
        "input",
        "output",
        "value_info",
        "sparse_initializer",
        "quantization_annotation",
    ):
        getattr(copy.graph, field_name).extend(getattr(graph, field_name))
    declared = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            copy.graph.initializer.append(tensor)
        elif tensor.name not in declared:
            copy.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    for part in (copy.graph, *copy.functions):
        if external and has_external(part):
            embed(part, folder or "", -1 if folder is None else _SMALL)
    return copy


def _collect(
    original: Any, path: Path | None, opset: int, where: str, folder: str, files: list[str]
) -> OnnxModel:
    proto = inline_functions(original) if original.functions else original
    graph = proto.graph
    initializers = {t.name: t for t in graph.initializer}
    if graph.sparse_initializer:
        raise OnnxImportError(f"{where}: expected dense initializers, got sparse ones")
    # Before IR version 4 every initializer was listed as an input too.
    inputs = [_info(value) for value in graph.input if value.name not in initializers]
    defaults = [
        _default(value, initializers[value.name]) for value in graph.input if value.name in initializers
    ]
    nodes = [node_info(n, folder) for n in graph.node]
    produced = Counter(o for n in nodes for o in n.outputs if o)
    twice = [name for name, count in produced.items() if count > 1]
    if twice:
        raise OnnxImportError(Diagnostic("expected one node to write this tensor, got several", twice[0]))
    outputs = [o.name for o in graph.output]
    return OnnxModel(
        proto, original, path, folder, opset, inputs, defaults, outputs, nodes, files, initializers
    )


def _external_files(proto: Any) -> list[str]:
    """The files that tensors of a model refer to, those of subgraphs and functions included."""
    found: dict[str, None] = {}
    tensors = [*proto.graph.initializer]
    pending = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    while pending:
        for attribute in pending.pop().attribute:
            tensors += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                tensors += graph.initializer
                pending += graph.node
    for tensor in tensors:
        if tensor.data_location == tensor.EXTERNAL:
            found.update((entry.value, None) for entry in tensor.external_data if entry.key == "location")
    return list(found)


def _folder(path: Path, files: Sequence[str]) -> str:
    """Where the external data of a model lies: beside the file, or beside what a symbolic link leads to."""
    first, seen = path.parent, {path}
    while True:
        if all((path.parent / name).exists() for name in files):
            return str(path.parent)
        if not path.is_symlink():
            return str(first)
        path = path.parent / path.readlink()
        if path in seen:
            return str(first)
        seen.add(path)


def _default(value: Any, tensor: Any) -> TensorInfo:
    """An input with an initializer, which has a type and a shape even if the input is declared with none."""
    if value.type.tensor_type.elem_type:
        info = _info(value)
        if info.shape is not None and None not in info.shape:
            return info
        return replace(info, usual=tuple(tensor.dims))
    dtype = numpy_type(tensor.data_type) or np.dtype(object)
    return TensorInfo(value.name, dtype, None, (), tuple(tensor.dims))


def _info(value: Any) -> TensorInfo:
    import onnx

    if not value.type.HasField("tensor_type"):
        raise UnsupportedError(
            Diagnostic("expected a tensor as input, got a sequence, map or optional", value.name)
        )
    tensor = value.type.tensor_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        raise OnnxImportError(
            Diagnostic(f"expected an element type, got code {tensor.elem_type}", value.name)
        ) from None
    if not tensor.HasField("shape"):
        return TensorInfo(value.name, dtype, None)
    dims = tensor.shape.dim
    # A negative or zero extent is how some exporters write "unknown".
    shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims)
    return TensorInfo(value.name, dtype, shape, tuple(d.dim_param for d in dims))


def reads(node: Any) -> list[str]:
    """The tensors that a node of a file reads, those that its subgraphs take from outside included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            names += captured(graph)
    return names


def captured(graph: Any) -> list[str]:
    """The tensors that a graph takes from outside."""
    local = {value.name for value in (*graph.initializer, *graph.input)}
    local |= {output for node in graph.node for output in node.output}
    names = [name for node in graph.node for name in reads(node)]
    return [n for n in (*names, *(output.name for output in graph.output)) if n not in local]


def node_info(proto: Any, folder: str = "") -> NodeInfo:
    """A node as values; tensors with external data are read from ``folder``."""
    import onnx

    lists = (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS)
    attributes = {}
    for attribute in proto.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError:
            got = f"a reference to {attribute.ref_attr_name!r}" if attribute.ref_attr_name else "none"
            message = f"expected a value of the attribute {attribute.name!r}, got {got}"
            raise OnnxImportError(Diagnostic(message, proto.name or None)) from None
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = read_tensor(value, folder)
        attributes[attribute.name] = list(value) if attribute.type in lists else value
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    return NodeInfo(
        proto.op_type, domain, proto.name, tuple(proto.input), tuple(proto.output), attributes, proto,
        recorded_opset(proto),
    )  # fmt: skip
