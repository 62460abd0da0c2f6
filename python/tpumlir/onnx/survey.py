"""What there is to say of a model, refused nodes or not: imported as far as it goes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tpumlir.data.types import is_float
from tpumlir.errors import Diagnostic
from tpumlir.onnx.importer import Importer
from tpumlir.onnx.inputs import Inputs
from tpumlir.onnx.load import NodeInfo
from tpumlir.onnx.nothing import expect_elements
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.refusals import Unsupported
from tpumlir.onnx.scope import top_dtype
from tpumlir.onnx.shapes import infer_types

if TYPE_CHECKING:
    from tpumlir._core.ir import Module, Value


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


def survey_model(chosen: Inputs, options: ImportOptions, *, replaced: Collection[str] = ()) -> Survey:
    """Import what can be imported; nodes whose label is among ``replaced`` count as refused.

    Raises: OnnxImportError: a graph that is not valid, or shapes that do not fit.
    """
    return _Surveyor(chosen, options, frozenset(replaced)).look()


class _Surveyor(Importer):
    """An importer that puts inputs in the place of what refused nodes compute, where it knows the shapes."""

    tolerant = True

    def __init__(self, chosen: Inputs, options: ImportOptions, replaced: frozenset[str]) -> None:
        super().__init__(chosen, options)
        self.replaced = replaced
        self.stand_ins: set[str] = set()
        self.frontier: dict[str, Value] = {}
        self.unreached: list[NodeInfo] = []
        self.inferred: dict[str, tuple[list[int], np.dtype[Any]]] | None = None

    def look(self) -> Survey:
        """All that can be said; see ``Survey``."""
        self.convert_nodes()
        results, empty = self.frontier, self.empty_outputs()
        if not self.unsupported and not self.replaced:
            expect_elements(self.outputs, empty)
        for name in self.outputs:
            if name not in self.broken and name not in self.stand_ins and name not in empty:
                results[name] = self.result(name)
        module = self.graph.finish(list(results.values())) if results else None
        return Survey(
            self.nodes, self.unsupported, self.unreached, module, self.notes, self.wide.warnings, self.cut()
        )

    def unreachable(self, info: NodeInfo) -> None:
        """Take down a node that reads what a refused one would have computed."""
        self.unreached.append(info)
        self.unknown(info)

    def unknown(self, info: NodeInfo) -> None:
        """Put inputs in the place of the results of a node, where the shapes are known."""
        for name in info.reads:
            source = self.env.get(name)
            if source is None or isinstance(source, np.ndarray):
                continue
            if source.name not in self.stand_ins and source.name not in self.shapes:
                self.frontier[source.name] = source
        for name in filter(None, info.outputs):
            kind = self._stand_in_type(name)
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
        return (shape, dtype) if top_dtype(dtype) and min(shape, default=1) > 0 else None
