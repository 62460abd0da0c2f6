"""A model with inputs for it: what is reduced, and what is written at the end."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.files import atomic_write

Array = npt.NDArray[Any]

MODEL, INPUT, DATA = "model.onnx", "input.npz", "model.data"
LARGEST = (1 << 31) - (1 << 20)
"""Bytes of a file; protobuf writes none of 2 GiB, so what is larger gets its data beside it."""


@dataclass(frozen=True)
class Case:
    """A model that holds its data, and values for its inputs in the types that it declares.

    The proto may share messages with others, so nobody changes it.
    """

    proto: Any
    inputs: Mapping[str, Array]

    @property
    def size(self) -> tuple[int, int]:
        """Nodes, those of bodies and functions included; elements of inputs and constants."""
        return count_nodes(self.proto), sum(int(v.size) for v in self.inputs.values()) + _stored(self.proto)

    def digest(self) -> str:
        """A name for this model and these inputs."""
        import onnx

        found = hashlib.sha256()
        graph = self.proto.graph
        rest = onnx.ModelProto()
        for part in (f for f, _ in self.proto.ListFields() if f.name != "graph"):
            _assign(rest, self.proto, part)
        for part in (f for f, _ in graph.ListFields() if f.name != "initializer"):
            _assign(rest.graph, graph, part)
        found.update(rest.SerializeToString())
        for tensor in graph.initializer:
            found.update(tensor.SerializeToString())
        for name, value in self.inputs.items():
            found.update(f"{name} {value.dtype} {value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        return found.hexdigest()[:32]

    def save(self, folder: Path) -> None:
        """Write ``model.onnx`` and ``input.npz``; more than 2 GB of data beside them. Raises: OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        npz.save(folder / INPUT, {name: storable(value) for name, value in self.inputs.items()})
        if self.proto.ByteSize() <= LARGEST:
            with atomic_write(folder / MODEL) as stream:
                stream.write(self.proto.SerializeToString())
            return
        import onnx

        onnx.save_model(
            self.proto, folder / MODEL, save_as_external_data=True, location=DATA, size_threshold=1024
        )
        # It moves the data out of the proto in memory too.
        onnx.load_external_data_for_model(self.proto, str(folder))


def storable(value: Array) -> Array:
    """``value`` in a type that npz files have: floats of other formats become float32, which holds them."""
    return value if value.dtype.kind in "fiub" else value.astype(np.float32)


def _assign(target: Any, source: Any, field: Any) -> None:
    value = getattr(source, field.name)
    if isinstance(value, (str, bytes, int, float, bool)):
        setattr(target, field.name, value)
    elif hasattr(value, "extend"):
        getattr(target, field.name).extend(value)
    else:
        getattr(target, field.name).CopyFrom(value)


def graphs_of(node: Any) -> list[Any]:
    """The bodies of a node."""
    return [
        graph
        for attribute in node.attribute
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def all_nodes(nodes: Iterable[Any]) -> list[Any]:
    """``nodes`` and those of their bodies."""
    pending, found = list(nodes), []
    while pending:
        node = pending.pop()
        found.append(node)
        pending += [inner for graph in graphs_of(node) for inner in graph.node]
    return found


def count_nodes(proto: Any) -> int:
    """How many nodes a model has, in bodies and functions too; Constants are none."""
    nodes = all_nodes([*proto.graph.node, *(node for function in proto.functions for node in function.node)])
    return sum(node.op_type != "Constant" for node in nodes)


def _stored(proto: Any) -> int:
    import math

    return sum(math.prod(tensor.dims) for tensor in proto.graph.initializer)


def with_data(model: Any) -> Any:
    """The proto of an ``OnnxModel``, with all of its external data."""
    from tpumlir.onnx.external import embed, has_external

    copy = model.with_data()
    for function in copy.functions:
        if has_external(function):
            embed(function, model.folder, sys.maxsize)
    return copy


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same in other working directories."""
    return str(Path(path).absolute())
