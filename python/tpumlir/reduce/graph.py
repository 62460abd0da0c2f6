"""A model that is cut: any of its nodes, with the values of one run where others fed them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.ir.names import whole_of
from tpumlir.onnx.fold import RANDOM_OPS
from tpumlir.onnx.load import OnnxModel, reads
from tpumlir.reduce.case import Case, all_nodes, with_data
from tpumlir.reduce.values import Values

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Source:
    """A model with its nodes in order, the values of a run, and which tensors must stay its outputs."""

    proto: Any
    inputs: Mapping[str, Array]
    values: Values
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    """Inputs that have a value for good."""
    fixed_outputs: bool = False
    """Whether every cut has the outputs, and no others."""

    @staticmethod
    def of_model(
        model: OnnxModel, values: Values, outputs: Sequence[str] | None, fixed: Collection[str], *, keep: bool
    ) -> Source:
        """A file as the user gave it; ``fixed`` are inputs that became constants."""
        inputs = {name: values.array(name) for name in values.feeds if name not in fixed}
        constants = {name: values.array(name) for name in fixed if name in values}
        names = tuple(dict.fromkeys(outputs or model.outputs))
        return Source(with_data(model), inputs, values, names, constants, fixed_outputs=keep)

    @staticmethod
    def of_case(case: Case, values: Values, *, keep: bool) -> Source:
        """A case as a new model to cut."""
        outputs = tuple(output.name for output in case.proto.graph.output)
        return Source(case.proto, case.inputs, values, outputs, {}, fixed_outputs=keep)

    @cached_property
    def nodes(self) -> list[Any]:
        """The nodes in topological order, near to that of the file."""
        pending = list(self.proto.graph.node)
        made = {output for node in pending for output in node.output if output}
        done: set[str] = set()
        order: list[Any] = []
        while pending:
            later = []
            for node in pending:
                if all(name in done or name not in made for name in reads(node)):
                    order.append(node)
                    done.update(node.output)
                else:
                    later.append(node)
            if len(later) == len(pending):  # a circle, which the import tells of
                return order + later
            pending = later
        return order

    @cached_property
    def _initializers(self) -> dict[str, Any]:
        return {tensor.name: tensor for tensor in self.proto.graph.initializer}

    @cached_property
    def _producers(self) -> dict[str, int]:
        return {output: i for i, node in enumerate(self.nodes) for output in node.output if output}

    @cached_property
    def _reads(self) -> list[list[str]]:
        return [reads(node) for node in self.nodes]

    @cached_property
    def _foldable(self) -> set[str]:
        """What does not depend on the inputs' values; shapes do not."""
        known = {*self._initializers, *self.constants} - set(self.inputs)
        for node, names in zip(self.nodes, self._reads, strict=True):
            if node.op_type in RANDOM_OPS:
                continue
            shape = node.op_type in {"Shape", "Size"} and node.domain in {"", "ai.onnx"}
            if shape or all(name in known for name in names):
                known.update(output for output in node.output if output in self.values)
        return known

    def moving(self) -> list[int]:
        """The nodes whose results depend on the inputs' values."""
        return [
            i for i, node in enumerate(self.nodes) if not self._foldable.issuperset(filter(None, node.output))
        ]

    def sources(self, index: int) -> list[int]:
        """The nodes that compute what a node reads at run time."""
        names = [name for name in self._reads[index] if name not in self._foldable]
        return sorted({self._producers[name] for name in names if name in self._producers})

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        readers: dict[str, list[int]] = {}
        for i, names in enumerate(self._reads):
            for name in names:
                readers.setdefault(name, []).append(i)
        return readers

    def readers(self, index: int) -> list[int]:
        """The nodes that read what a node computes."""
        return sorted({i for name in self.nodes[index].output for i in self._readers.get(name, ())})

    def find(self, names: Iterable[str]) -> list[int]:
        """The nodes of these names, or that compute the tensors (or what is a part of one) of these names."""
        labels = {node.name: i for i, node in enumerate(self.nodes) if node.name}
        found: dict[int, None] = {}
        for name in names:
            part = name
            while part:
                index = self._producers.get(part, labels.get(part))
                if index is not None:
                    found[index] = None
                    break
                part = whole_of(part)
        return list(found)

    def cut(self, kept: Collection[int]) -> tuple[frozenset[int], Case] | None:
        """The model of the nodes ``kept``, and of those that must come with them; None if there is none.

        What nodes that are left out computed is a constant if it does not depend on inputs, else an input.
        """
        chosen = self._closed(kept)
        if chosen is None:
            return None
        nodes = [self.nodes[i] for i in sorted(chosen)]
        made = {output for node in nodes for output in node.output if output}
        read = dict.fromkeys(name for i in sorted(chosen) for name in self._reads[i])
        outputs = self._outputs(nodes, made, read)
        if not outputs or not all(name in self.values or name in self._declared for name in outputs):
            return None
        import onnx
        from onnx import helper, numpy_helper

        model = onnx.ModelProto(ir_version=max(4, self.proto.ir_version))
        model.opset_import.extend(self.proto.opset_import)
        model.functions.extend(called(nodes, self.proto.functions))
        graph = model.graph
        graph.name = self.proto.graph.name or "model"
        graph.node.extend(nodes)
        inputs: dict[str, Array] = {}
        for name in read:
            if name in made:
                continue
            if name in self.inputs:
                inputs[name] = self.inputs[name]
            elif name in self._initializers and name not in self.constants:
                graph.initializer.append(self._initializers[name])
            elif name in self._foldable:
                value = self.constants.get(name)
                graph.initializer.append(
                    numpy_helper.from_array(self.values.array(name) if value is None else value, name)
                )
            else:
                inputs[name] = self.values.array(name)
        # In the order of the file, for readers and for scripts that go by position.
        order = [value.name for value in self.proto.graph.input]
        inputs = {
            name: inputs[name] for name in sorted(inputs, key=lambda n: order.index(n) if n in order else -1)
        }
        for name, value in inputs.items():
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
        graph.output.extend(self._typed(name) for name in outputs)
        return frozenset(chosen), Case(model, inputs)

    def _closed(self, kept: Collection[int]) -> set[int] | None:
        """``kept`` and the nodes whose results nobody can stand in for; None if something is missing."""
        chosen, pending = set(kept), list(kept)
        if self.fixed_outputs and not all(self._producers.get(name) in chosen for name in self.outputs):
            return None
        while pending:
            for name in self._reads[pending.pop()]:
                producer = self._producers.get(name)
                if producer in chosen or name in self.inputs or name in self._initializers:
                    continue
                if name in self.constants or name in self.values:
                    continue
                if producer is None:
                    return None
                chosen.add(producer)
                pending.append(producer)
        return chosen or None

    def _outputs(self, nodes: Sequence[Any], made: Collection[str], read: Collection[str]) -> list[str]:
        """The outputs of the model that are made, and what nobody reads any more."""
        if self.fixed_outputs:
            return list(self.outputs)
        names = [output for node in nodes for output in node.output if output]
        found = [name for name in self.outputs if name in made]
        found += [n for n in names if n not in found and n not in read and n in self._readers]
        return found or names[-1:]

    @cached_property
    def _declared(self) -> dict[str, Any]:
        graph = self.proto.graph
        return {v.name: v for v in (*graph.value_info, *graph.output) if v.type.WhichOneof("value")}

    def _typed(self, name: str) -> Any:
        from onnx import helper

        if name not in self.values:
            return self._declared[name]
        dtype, shape = self.values.kind(name)
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def called(nodes: Iterable[Any], functions: Iterable[Any]) -> list[Any]:
    """The functions that nodes call, directly or not, in the order of the file."""
    by_key = {(f.domain, f.name): f for f in functions}
    found: set[tuple[str, str]] = set()
    pending = list(nodes)
    while pending:
        for node in all_nodes(pending):
            key = (node.domain, node.op_type)
            if key in by_key and key not in found:
                found.add(key)
                pending = [*pending, *by_key[key].node]
                break
        else:
            break
    return [f for f in functions if (f.domain, f.name) in found]


def scalar_like(value: Array, number: float) -> Array:
    """``value`` with every element the same."""
    return np.full(value.shape, number).astype(value.dtype)
