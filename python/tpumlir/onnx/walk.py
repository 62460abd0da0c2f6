"""Which part of a graph is imported: its outputs, the nodes that they need, the names that they keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tpumlir.errors import Diagnostic, OnnxImportError
from tpumlir.onnx.load import Array, NodeInfo, OnnxModel, captured
from tpumlir.onnx.refusals import SAME


def outputs_of(model: OnnxModel, names: Sequence[str] | None) -> list[str]:
    """``names``, or the outputs of the model. Raises: OnnxImportError: what no node computes."""
    if not names:
        return list(dict.fromkeys(model.outputs))
    known = {o for n in model.nodes for o in n.outputs}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise OnnxImportError(
            *(Diagnostic("expected the name of a tensor that a node computes", n) for n in unknown)
        )
    return list(dict.fromkeys(names))


class Walk(NamedTuple):
    """The part of ``model`` that ``outputs`` need; inputs that have a value are ``constants``."""

    model: OnnxModel
    outputs: Sequence[str]
    constants: Mapping[str, Array]

    def nodes(self) -> list[NodeInfo]:
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
        if not _is_if(node):
            return node.reads
        condition = self._known(node.inputs[0])
        if condition is None or condition.size != 1:
            return node.reads
        chosen = node.attributes.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
        return [node.inputs[0], *captured(chosen)] if chosen is not None else node.reads

    def _known(self, name: str) -> Array | None:
        """The value of an input that is fixed or of a stored constant."""
        if name in self.constants:
            return self.constants[name]
        return self.model.initializer(name) if name in self.model.initializer_names else None

    def aliases(self, nodes: Sequence[NodeInfo]) -> dict[str, str]:
        """Names for tensors that a final Identity only renames: the model's outputs keep their own names."""
        alias: dict[str, str] = {}
        produced = {o for n in nodes for o in n.outputs}
        for node in reversed(nodes):
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


def _is_if(node: NodeInfo) -> bool:
    return node.op_type == "If" and not node.domain and bool(node.inputs)
