"""ONNX's own backend interface, so that whatever drives ONNX backends can drive this compiler.

    import tpumlir.onnx_backend as backend

    outputs = backend.run_model(model, [x], device="BM1684X")

Devices: ``TOP`` runs the imported module on the interpreter; ``BM1684X`` compiles it in F32 and runs the
bmodel on the simulated chip. All happens in memory.

Programs have static shapes. They are made for the shapes of the first run's inputs, and an input whose
*value* decides a shape (the shape of a Reshape, the starts of a Slice, the k of a TopK) becomes a constant
with the value it has in that run. When shapes or such values change, the program is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.backend.base import Backend, BackendRep, namedtupledict

import onnx
from tpumlir.data.record import empty_outputs
from tpumlir.errors import Diagnostic, InputError, UnsupportedError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import TOP_PASSES, Module
from tpumlir.onnx.importer import import_model
from tpumlir.onnx.inputs import Inputs
from tpumlir.onnx.load import OnnxModel, TensorInfo, load
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.refusals import UnsupportedModelError

DEVICES = ("TOP", "BM1684X")

Array = npt.NDArray[Any]
Program = Callable[[Mapping[str, Array]], dict[str, Array]]
_Key = tuple[tuple[str, tuple[int, ...], bytes], ...]


class Representation(BackendRep):
    """A model that is ready to run; made by ``prepare``."""

    def __init__(self, model: OnnxModel, device: str, *, detect_races: bool = False) -> None:
        self._model = model
        self._device = device
        self._detect_races = detect_races
        self._declared = {value.name: value.type for value in model.proto.graph.output}
        self._shape_inputs: set[str] = set()
        self._key: _Key | None = None
        self._program: Program = dict

    def run(self, inputs: Any, **_options: Any) -> tuple[Any, ...]:
        """The outputs in order, in the types that the model declares.

        ``inputs``: arrays in the order of the model's inputs, or by name. Raises: UnsupportedError: a node
        that is not supported, a value that the device cannot hold; InputError: inputs of another type or
        shape.
        """
        arrays = self._named(inputs)
        if self._key is None or self._key != self._key_of(arrays):
            self._specialise(arrays)
        results = self._program({k: v for k, v in arrays.items() if k not in self._shape_inputs})
        names = self._model.outputs
        outputs = [_as_declared(results[name], self._declared[name]) for name in names]
        return tuple(namedtupledict("Outputs", names)(*outputs))

    def _named(self, inputs: Any) -> dict[str, Array]:
        infos = self._model.inputs
        if not isinstance(inputs, Mapping):
            if isinstance(inputs, np.ndarray) or not isinstance(inputs, Sequence):
                inputs = [inputs]
            if len(inputs) != len(infos):
                raise InputError(f"expected {len(infos)} inputs, got {len(inputs)}")
            inputs = dict(zip((info.name for info in infos), inputs, strict=True))
        missing = [
            Diagnostic("expected an input of this name, got none", i.name)
            for i in infos
            if i.name not in inputs
        ]
        if missing:
            raise InputError(*missing, tensor=missing[0].node)
        return {info.name: _checked(info, inputs[info.name]) for info in infos}

    def _key_of(self, arrays: Mapping[str, Array]) -> _Key:
        return tuple(
            (name, value.shape, value.tobytes() if name in self._shape_inputs else b"")
            for name, value in arrays.items()
        )

    def _specialise(self, arrays: Mapping[str, Array]) -> None:
        """Make the program for inputs like these; inputs that turn out to decide a shape become constants."""
        self._key = None
        self._shape_inputs = {
            name for name, value in arrays.items() if not value.size
        }  # nothing left to know
        while True:
            constants = {name: arrays[name] for name in self._shape_inputs}
            shapes: dict[str, Sequence[int]] = {
                name: value.shape for name, value in arrays.items() if name not in constants
            }
            try:
                core = import_model(Inputs(self._model, shapes, constants), ImportOptions()).module
            except UnsupportedModelError as error:
                wanted = {name for node in error.nodes for name in node.constants} - self._shape_inputs
                if not wanted:
                    raise
                self._shape_inputs |= wanted
                continue
            module = Module(core).run_pipeline(TOP_PASSES)
            self._program = self._compiled(module)
            self._key = self._key_of(arrays)
            return

    def _compiled(self, module: Module) -> Program:
        empty = empty_outputs(module)
        if self._device == "TOP":
            interpreter = ModuleInterpreter(module)
            return lambda arrays: empty | interpreter.run(_for(arrays, module), allow_nan=True)
        bmodel = module.lower("F32").compile()
        races = self._detect_races
        return lambda arrays: empty | bmodel.run(_for(arrays, module), allow_nan=True, detect_races=races)


def _checked(info: TensorInfo, value: Any) -> Array:
    """``value`` as the model's input. Raises: InputError: another type or shape."""
    array = np.asarray(value)
    if array.dtype != info.dtype:
        raise InputError(
            Diagnostic(f"expected element type {info.dtype}, got {array.dtype}", info.name), tensor=info.name
        )
    wanted = info.shape
    if wanted is not None and (
        len(wanted) != array.ndim
        or any(extent is not None and extent != got for extent, got in zip(wanted, array.shape, strict=True))
    ):
        raise InputError(
            Diagnostic(f"expected shape {list(wanted)}, got {list(array.shape)}", info.name), tensor=info.name
        )
    return array


def _for(arrays: Mapping[str, Array], module: Module) -> dict[str, Array]:
    """The inputs of ``module`` in its types. Raises: UnsupportedError: integers of more than 32 bits."""
    result = {}
    for spec in module.inputs:
        value, target = arrays[spec.name], spec.numpy_dtype
        if value.dtype.kind in "iu" and target.kind in "iu":
            limits = np.iinfo(target)
            if value.size and (value.min() < limits.min or value.max() > limits.max):
                raise UnsupportedError(
                    Diagnostic(f"expected integers of 32 bits, got {value.min()} to {value.max()}", spec.name)
                )
        with np.errstate(over="ignore"):
            result[spec.name] = np.ascontiguousarray(value, target).reshape(spec.shape)
    return result


def _as_declared(value: Array, declared: Any) -> Array:
    """A result as the model declares it: truth values as bool, integers and floats in their own width."""
    kind = declared.tensor_type.elem_type
    if kind == onnx.TensorProto.UNDEFINED:
        return value
    target = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    with np.errstate(over="ignore", invalid="ignore"):
        return value != 0 if target == np.bool_ else value.astype(target)


class TpumlirBackend(Backend):
    """The backend; the functions of this module are its methods."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """True for TOP and BM1684X."""
        return device in DEVICES

    @classmethod
    def is_compatible(cls, model: Any, device: str = "TOP", **_options: Any) -> bool:
        """True if the model can be read; what ``run`` refuses is only known with the shapes."""
        try:
            cls.prepare(model, device)
        except UnsupportedError:
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = "TOP", **options: Any) -> Representation:
        """A handle to run ``model`` (a proto or a path) repeatedly.

        ``detect_races=True`` lets the simulator refuse commands that no dependency orders. Raises:
        UnsupportedError: another device, inputs or outputs that are no tensors; OnnxImportError: not a valid
        model.
        """
        if not cls.supports_device(device):
            raise UnsupportedError(f"expected a device of {', '.join(DEVICES)}, got {device}")
        loaded = load(model)
        for value in loaded.proto.graph.output:
            if value.type.WhichOneof("value") not in {"tensor_type", None}:
                raise UnsupportedError(
                    Diagnostic("expected a tensor as output, got a sequence, map or optional", value.name)
                )
        return Representation(loaded, device, detect_races=bool(options.get("detect_races", False)))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "TOP", **options: Any) -> tuple[Any, ...]:
        """The outputs of ``model`` for ``inputs``; see ``prepare`` and ``Representation.run``."""
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Any,
        device: str = "TOP",
        outputs_info: Sequence[tuple[Any, Sequence[int]]] | None = None,
        **options: Any,
    ) -> tuple[Any, ...]:
        """The outputs of one node for ``inputs`` (one per operand that is given).

        ``outputs_info``: type and shape of each output, inferred if None; ``opset_version``: the newest if
        not given. Raises: see ``run_model``.
        """
        helper = onnx.helper
        opset = int(options.pop("opset_version", onnx.defs.onnx_opset_version()))
        given = dict(zip((name for name in node.input if name), map(np.asarray, inputs), strict=True))
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in given.items()
        ]
        names = [name for name in node.output if name]
        outputs = [onnx.ValueInfoProto(name=name) for name in names]
        if outputs_info is not None:
            outputs = [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
                for name, (dtype, shape) in zip(names, outputs_info, strict=True)
            ]
        graph = helper.make_graph([node], "node", infos, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
        if outputs_info is None:
            model = onnx.shape_inference.infer_shapes(model)
        return cls.run_model(model, given, device, **options)


prepare = TpumlirBackend.prepare
run_model = TpumlirBackend.run_model
run_node = TpumlirBackend.run_node
supports_device = TpumlirBackend.supports_device
is_compatible = TpumlirBackend.is_compatible
