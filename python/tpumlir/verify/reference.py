"""What the tensors of a bmodel should be: from a Tpu module that is run, or from a file of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.bmodel import BModel, PlacedTensor
from tpumlir.bmodel.places import Home
from tpumlir.data.inputs import read_inputs
from tpumlir.data.record import recorded_pictures
from tpumlir.errors import Diagnostic, InputError
from tpumlir.ir.graph import Graph
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.tensors import check_inputs

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """The inputs of a run, what all its tensors should be, and the Tpu module that says how they come about.

    Without a module only the values can be compared; ``values`` may lack tensors then, or hold none at all if
    there is a module.
    """

    inputs: Mapping[str, Array]
    values: Mapping[str, Array]
    module: Module | None = None
    text: str = ""

    @staticmethod
    def of(
        module: Module, inputs: Mapping[str, Array], values: Mapping[str, Array] | None = None
    ) -> Reference:
        """What the interpreter makes of ``inputs`` with a Tpu module. Raises: InputError: a Top module."""
        final = _final(module)
        runner = ModuleInterpreter(final)
        if values is None:
            values = runner.run(inputs, all_tensors=True, allow_nan=True)
        reference = Reference(dict(inputs), values, final, "the interpreter with the Tpu module")
        reference.__dict__["interpreter"] = runner
        return reference

    @cached_property
    def interpreter(self) -> ModuleInterpreter | None:
        """Runs the module, or single operations of it."""
        return ModuleInterpreter(self.module) if self.module else None

    @cached_property
    def graph(self) -> Graph | None:
        """Who computes and who reads each tensor."""
        return self.interpreter.graph if self.interpreter else None

    @cached_property
    def weights(self) -> dict[str, Array]:
        """The constants as the chip reads them."""
        return self.module.weights if self.module else {}

    def constant(self, home: Home) -> Array | None:
        """The values of a constant as ``Place.read`` gives them; None if this is none, or of another form."""
        value = self.weights.get(home.name)
        if value is None or value.size != home.elements:
            return None
        if home.dtype == "bf16" and value.dtype == np.uint16:
            return (value.astype(np.uint32) << 16).view(np.float32).reshape(home.shape)
        return value.reshape(home.shape)


def _final(module: Module) -> Module:
    """The module with its constants as the chip reads them."""
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TPU"):
        raise InputError(
            f"expected a Tpu module (NAME_final.mlir or NAME_tpu.mlir of model_deploy), got one in state "
            f"{state or 'none'}"
        )
    return module if state == "TPU_ADDRESSED" else module.finalize()


def module_beside(path: Path, stage: int | None = None) -> Path | None:
    """The module that ``model_deploy`` and ``tpumlir compile`` leave beside a bmodel, if it is there.

    ``stage`` is the one that was chosen of a bmodel with several shapes, each of which has a module.
    """
    own = () if stage is None else (f"stage{stage}_final", f"stage{stage}_tpu")
    found = (path.with_name(f"{path.stem}_{name}.mlir") for name in (*own, "final", "tpu"))
    return next((one for one in found if one.is_file()), None)


def read_reference(
    model: BModel,
    *,
    mlir: Path | None = None,
    tensors: Path | None = None,
    source: str | None = None,
    allow_nonfinite: bool = False,
    stage: int | None = None,
) -> Reference:
    """The reference of a bmodel from files; the module beside it unless ``mlir`` or ``tensors`` are given.

    ``tensors`` is an npz of every tensor. ``source`` are the inputs, as ``model_runner`` takes them; random
    numbers without it. ``stage`` is the one that ``model`` is of a file with several.

    Raises: InputError: what is missing or does not fit; ParseError.
    """
    path = mlir or module_beside(model.path, stage)
    if path is None and tensors is None:
        raise InputError(
            f"{model.path}: expected its Tpu module beside it ({model.path.stem}_final.mlir, of model_deploy "
            "or tpumlir compile --save_mlir), got none: give --mlir, or the tensors by --reference"
        )
    module = Module.load(path) if path else None
    values = npz.load(tensors) if tensors else None
    if source is None and values is not None:
        missing = [spec.name for spec in model.inputs if spec.name not in values]
        if missing:
            raise InputError(
                *(Diagnostic(f"{tensors}: expected this input too: give it by --input", name)
                  for name in missing)
            )  # fmt: skip
        inputs = {spec.name: values[spec.name] for spec in model.inputs}
    elif module is not None:
        inputs = read_inputs(source, module, recorded_pictures(module), allow_nonfinite=allow_nonfinite)
    else:
        inputs = npz.load(source or "")
    names = {spec.name for spec in model.inputs}
    if module is not None and (unknown := names.difference(spec.name for spec in module.inputs)):
        raise InputError(
            *(Diagnostic(f"expected the module of this bmodel, got one without this input: {path}", name)
              for name in sorted(unknown))
        )  # fmt: skip
    chip_inputs(model, inputs, allow_nan=allow_nonfinite)
    if values is not None:
        _check_same(inputs, values, tensors)
    if module is None:
        return Reference(inputs, values or {}, None, f"the tensors of {tensors}")
    reference = Reference.of(module, inputs, values)
    return Reference(inputs, reference.values, reference.module, str(tensors or path))


def _check_same(inputs: Mapping[str, Array], values: Mapping[str, Array], path: Path | None) -> None:
    """Tensors that were made with other inputs would all differ. Raises: InputError."""
    wrong = [
        Diagnostic(f"expected the input that {path} was made with, got another", name)
        for name, value in inputs.items()
        if name in values and not np.array_equal(values[name], value, equal_nan=value.dtype.kind == "f")
    ]
    if wrong:
        raise InputError(*wrong)


def chip_inputs(model: BModel, inputs: Mapping[str, Array], *, allow_nan: bool = True) -> dict[str, Array]:
    """Inputs as the bmodel stores them; modules and files have numbers. Raises: InputError."""

    def stored(spec: PlacedTensor) -> Array:
        value = np.asarray(inputs[spec.name])
        return value if spec.is_quantized and value.dtype == spec.numpy_dtype else spec.stored(value)

    given = {spec.name: stored(spec) for spec in model.inputs if spec.name in inputs}
    return check_inputs(given, model.inputs, allow_nan=allow_nan)
