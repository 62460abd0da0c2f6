"""A module as an ONNX file for viewers such as Netron: its operations under domains of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.drawing.scene import Box, Scene, Tensor
from tpumlir.errors import InputError

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

_IR_VERSION = 8  # what every viewer and checker of the last years reads
_LIMIT = 2**31 - 2**20  # a protobuf message ends at 2 GiB
_TYPES = {
    "f32": "FLOAT", "f16": "FLOAT16", "bf16": "BFLOAT16", "f64": "DOUBLE", "i8": "INT8", "si8": "INT8",
    "ui8": "UINT8", "i16": "INT16", "si16": "INT16", "ui16": "UINT16", "i32": "INT32", "si32": "INT32",
    "ui32": "UINT32", "i64": "INT64", "si64": "INT64", "ui64": "UINT64", "i1": "BOOL",
}  # fmt: skip


def model(scene: Scene, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The module; the constants in the scene become initializers, others are named in an attribute.

    An operation ``tpu.Conv2D`` is ``Conv2D`` of the domain ``tpumlir.tpu``; what it is in the module are its
    attributes, with the precision, group, cycles and verdict beside them. Types are those of what is stored;
    the scale of a quantised tensor is in its description.
    """
    from onnx import helper, numpy_helper

    names = _Names()
    made: list[onnx.NodeProto] = []
    inputs: list[onnx.ValueInfoProto] = []
    outputs: list[onnx.ValueInfoProto] = []
    infos: list[onnx.ValueInfoProto] = []
    initializers: list[onnx.TensorProto] = []
    held = sum(
        weights[box.name].nbytes for box in scene.boxes if box.kind == "top.Weight" and box.name in weights
    )
    if held > _LIMIT:
        raise InputError(
            "expected constants of less than 2 GiB, which is all that an ONNX file holds; drop --weights"
        )
    domains: set[str] = set()
    for box in scene.boxes:
        if box.kind == "output":
            outputs.append(_value(box.inputs[0], names.of(box.inputs[0].name)))
        elif box.kind == "top.Input":
            inputs += [_value(tensor, names.new(tensor.name)) for tensor in box.outputs]
        elif box.kind == "top.Weight":
            for tensor in box.outputs:
                if tensor.name not in weights:
                    continue
                data = numpy_helper.from_array(
                    np.asarray(weights[tensor.name], order="C"), names.new(tensor.name)
                )
                if tensor.info is not None and tensor.info.dtype == "bf16":  # held as its bits
                    data.data_type = _code("bf16")
                initializers.append(data)
        else:
            domain, _, op = box.kind.rpartition(".")
            domains.add(f"tpumlir.{domain}")
            read = [names.of(tensor.name) for tensor in box.inputs]
            computed = [names.new(tensor.name) for tensor in box.outputs]
            infos += [_value(tensor, name) for tensor, name in zip(box.outputs, computed, strict=True)]
            node = helper.make_node(
                op, _trimmed(read), computed, name=names.node(box.name), domain=f"tpumlir.{domain}",
                doc_string=f"ONNX node {box.node}",
            )  # fmt: skip
            node.attribute.extend(
                _attributes(box, [t for t, name in zip(box.inputs, read, strict=True) if not name])
            )
            made.append(node)
    shown = {value.name for value in outputs}
    graph = helper.make_graph(
        made, scene.title, inputs, outputs, initializers,
        value_info=[info for info in infos if info.name not in shown],
    )  # fmt: skip
    proto = helper.make_model(
        graph, ir_version=_IR_VERSION, producer_name="tpumlir",
        opset_imports=[helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in sorted(domains))],
    )  # fmt: skip
    proto.metadata_props.add(key="module.state", value=scene.state)
    if scene.cycles is not None:
        proto.metadata_props.add(key="cycles", value=str(scene.cycles))
    return proto


class _Names:
    """Names of values, each once: a later tensor of the same name gets a number, and its readers follow."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._used: set[str] = set()
        self._nodes: set[str] = set()

    def new(self, name: str) -> str:
        """For what computes it."""
        self._now[name] = _free(name, self._used)
        return self._now[name]

    def of(self, name: str) -> str:
        """For what reads it; empty for what nothing computes here."""
        return self._now.get(name, "")

    def node(self, name: str) -> str:
        """For an operation."""
        return _free(name, self._nodes)


def _free(name: str, used: set[str]) -> str:
    chosen, count = name, 1
    while chosen in used:
        count += 1
        chosen = f"{name}#{count}"
    used.add(chosen)
    return chosen


def _trimmed(names: Sequence[str]) -> list[str]:
    """Without absent operands at the end, where ONNX leaves them out."""
    count = len(names)
    while count and not names[count - 1]:
        count -= 1
    return list(names[:count])


def _code(dtype: str) -> int:
    from onnx import TensorProto

    return int(TensorProto.DataType.Value(_TYPES.get(dtype, "UNDEFINED")))


def _value(tensor: Tensor, name: str) -> onnx.ValueInfoProto:
    from onnx import helper

    dtype = tensor.info.dtype if tensor.info is not None else ""
    quantised = tensor.info is not None and bool(tensor.info.scales)
    parts = [tensor.type if quantised else "", f"at {tensor.place}" if tensor.place else ""]
    return helper.make_tensor_value_info(
        name, _code(dtype) or _code("f32"), tensor.shape, doc_string=", ".join(filter(None, parts))
    )


def _attributes(box: Box, constants: Iterable[Tensor]) -> Iterable[onnx.AttributeProto]:
    """Those of the operation by their types, then what a viewer should show beside them."""
    from onnx import helper

    for key, text in box.attributes.items():
        value = box.raw.get(key)
        plain = isinstance(value, (bool, int, float)) or (
            isinstance(value, (list, tuple)) and value and all(isinstance(v, (int, float)) for v in value)
        )
        if isinstance(value, bool):
            value = int(value)
        yield helper.make_attribute(key.replace(" ", "_"), value if plain else text)
    told: dict[str, Any] = {"precision": box.precision, "onnx_node": box.node}
    held = [f"{tensor.name}: {tensor.text}" for tensor in constants]
    if held:
        told["constants"] = held
    if box.cycles is not None:
        told["cycles"] = round(box.cycles)
    if box.verdict is not None:
        told["verdict"] = box.verdict.message or box.verdict.state
    places = [f"{tensor.name}: {tensor.place}" for tensor in box.outputs if tensor.place]
    if places:
        told["places"] = places
    for key, value in told.items():
        if value not in ("", []) and key not in box.attributes:
            yield helper.make_attribute(key, value)
