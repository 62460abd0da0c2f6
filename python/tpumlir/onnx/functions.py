"""Model-local functions: each call is replaced by the nodes of the function, its attributes bound.

The onnx package has an inliner too; it drops the default values of attributes, and leaves functions of
another opset alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tpumlir.errors import Diagnostic, OnnxImportError
from tpumlir.ir.names import part_of

OPSET_KEY = "tpumlir.opset"
"""Metadata of an inlined node: the opset of its function, where the model has another one."""

_DEEPEST = 64


def inline_functions(proto: Any) -> Any:
    """A copy of a model without calls of its functions, and without the functions.

    Tensors inside of a function get names that start with the first result of the call and "::"; no other
    tensor of the model has their name. Raises: OnnxImportError: a call that does not fit its function.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(proto)
    del result.functions[:]
    inliner = _Inliner(proto)
    inliner.graph(result.graph, {}, {}, None)
    declared = {opset.domain for opset in result.opset_import}
    for function in proto.functions:  # what function bodies import must be imported once they are gone
        for opset in function.opset_import:
            if opset.domain not in declared:
                declared.add(opset.domain)
                result.opset_import.append(opset)
    return result


class _Inliner:
    def __init__(self, proto: Any) -> None:
        self._functions = {_key(f, f.name): f for f in proto.functions}
        self._opset = _opset(proto)
        self._taken = set(_names(proto.graph))
        self._depth = 0

    def graph(
        self,
        graph: Any,
        names: Mapping[str, str],
        bound: Mapping[str, Any],
        opset: int | None,
        stem: str = "",
    ) -> None:
        """Replace the calls in ``graph``, in place.

        Inside of a function, with a ``stem``, its own tensors get new names, others those of ``names``.
        ``bound`` are the attributes of the function, ``opset`` is the one of its nodes.
        """
        if stem:
            names = {**names, **{local: self._unique(stem + local) for local in _local(graph)}}
            del graph.value_info[:]
            for value in (*graph.input, *graph.output, *graph.initializer):
                value.name = names.get(value.name, value.name)
            for sparse in graph.sparse_initializer:
                sparse.values.name = names.get(sparse.values.name, sparse.values.name)
        nodes = [n for node in graph.node for n in self._node(node, names, bound, opset, stem)]
        del graph.node[:]
        graph.node.extend(nodes)

    def _node(
        self, source: Any, names: Mapping[str, str], bound: Mapping[str, Any], opset: int | None, stem: str
    ) -> list[Any]:
        """What becomes of one node: itself with names and attributes bound, or the body that it calls."""
        import onnx

        node = onnx.NodeProto()
        node.CopyFrom(source)
        for fields in (node.input, node.output):
            fields[:] = [names.get(name, name) for name in fields]
        attributes = [a for a in (_bind(a, bound) for a in source.attribute) if a is not None]
        del node.attribute[:]
        node.attribute.extend(attributes)
        for attribute in node.attribute:
            for graph in _graphs(attribute):
                self.graph(graph, names, bound, opset, stem)
        function = self._functions.get(_key(node, node.op_type))
        if function is not None:
            return self._call(node, function)
        if opset is not None and opset != self._opset:
            _record_opset(node, opset)
        return [node]

    def _call(self, call: Any, function: Any) -> list[Any]:
        import onnx

        label = call.name or next(filter(None, call.output), call.op_type)
        if len(call.input) > len(function.input) or len(call.output) > len(function.output):
            raise OnnxImportError(
                Diagnostic(
                    f"{call.op_type}: expected at most {len(function.input)} inputs and "
                    f"{len(function.output)} outputs as the function has, got {len(call.input)} and "
                    f"{len(call.output)}",
                    label,
                )
            )
        bound = {a.name: a for a in function.attribute_proto}
        bound.update((a.name, a) for a in call.attribute)
        stem = part_of(next(filter(None, call.output), label), "")
        # Operands that the call leaves out are absent in the body too.
        names = dict.fromkeys(function.input, "")
        names.update(zip(function.input, call.input, strict=False))
        copies = []
        for formal, actual in zip(function.output, call.output, strict=False):
            if not actual:
                continue
            if formal in function.input or formal in copies:  # a result that is an operand, or another result
                copies.append(onnx.helper.make_node("Identity", [names[formal]], [actual]))
            else:
                names[formal] = actual
        body = [output for node in function.node for output in node.output if output]
        names.update({name: self._unique(stem + name) for name in body if name not in names})
        self._depth += 1
        if self._depth > _DEEPEST:
            raise OnnxImportError(
                Diagnostic(f"{call.op_type}: expected a function that does not call itself", label)
            )
        nodes = []
        for inner in function.node:
            for node in self._node(inner, names, bound, _opset(function), stem):
                if node.name:
                    node.name = f"{label}/{node.name}"
                nodes.append(node)
        self._depth -= 1
        return nodes + copies

    def _unique(self, stem: str) -> str:
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


def _key(proto: Any, name: str) -> tuple[str, str, str]:
    """What a call and its function have in common; overloads are younger than some onnx packages."""
    return ("" if proto.domain == "ai.onnx" else proto.domain, name, getattr(proto, "overload", ""))


def _opset(proto: Any) -> int | None:
    return next((o.version for o in proto.opset_import if o.domain in {"", "ai.onnx"}), None)


def _bind(attribute: Any, bound: Mapping[str, Any]) -> Any:
    """An attribute with the value of the function's attribute that it refers to; None if that has none."""
    import onnx

    if not attribute.ref_attr_name:
        return attribute
    value = bound.get(attribute.ref_attr_name)
    if value is None:
        return None
    copy = onnx.AttributeProto()
    copy.CopyFrom(value)
    copy.name = attribute.name
    return copy


def _record_opset(node: Any, opset: int) -> None:
    if not hasattr(node, "metadata_props"):
        raise OnnxImportError(
            Diagnostic(
                f"{node.op_type}: expected a function of the model's opset, got one of opset {opset} "
                "(install onnx 1.16 or newer)",
                node.name or node.output[0],
            )
        )
    del node.metadata_props[:]
    node.metadata_props.add(key=OPSET_KEY, value=str(opset))


def recorded_opset(node: Any) -> int | None:
    """The opset of an inlined node whose function has another one than the model."""
    properties = getattr(node, "metadata_props", ())
    return next((int(p.value) for p in properties if p.key == OPSET_KEY), None) if properties else None


def _local(graph: Any) -> list[str]:
    """The tensors that a graph has by itself."""
    names = [value.name for value in (*graph.input, *graph.initializer)]
    names += [sparse.values.name for sparse in graph.sparse_initializer]
    return list(dict.fromkeys([*names, *(o for node in graph.node for o in node.output if o)]))


def _names(graph: Any) -> Iterator[str]:
    """All tensor names of a graph and its subgraphs."""
    yield from _local(graph)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                yield from _names(inner)


def _graphs(attribute: Any) -> Sequence[Any]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
