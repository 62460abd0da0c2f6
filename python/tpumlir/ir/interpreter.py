"""The interpreter of modules, for their users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir.errors import Diagnostic, InputError
from tpumlir.ir.watch import Watch
from tpumlir.tensors import check_inputs

if TYPE_CHECKING:
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]


class ModuleInterpreter:
    """Runs a Top or Tpu module on this machine; set-up is done once and kept between runs."""

    def __init__(self, module: Module) -> None:
        from tpumlir._core import interpreter

        self._module = module
        self._inputs = module.inputs
        self._core = interpreter.Interpreter(module.core)
        self._watch = Watch(module)

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        all_tensors: bool = False,
        tensors: Sequence[str] | None = None,
        allow_nan: bool = False,
    ) -> dict[str, Array]:
        """The model's outputs by name, and every tensor, or those asked for.

        Raises: InputError: a missing input, another shape or type, NaN or infinity unless ``allow_nan``; an
        unknown tensor. OutOfRangeError: an int64, uint32 or uint64 tensor of Top that left 32 bits.
        """
        if tensors is not None:
            known = set(self._module.tensor_names())
            for name in tensors:
                if name not in known:
                    raise InputError(
                        Diagnostic("expected the name of a tensor of the module", name), tensor=name
                    )
        checked = check_inputs(inputs, self._inputs, allow_nan=allow_nan)
        wanted = None if tensors is None else list(tensors)
        if not self._watch:
            return self._core.run(checked, all_tensors=all_tensors, tensors=wanted)
        more = list(dict.fromkeys([*(wanted or ()), *self._watch.needed]))
        results = self._core.run(checked, all_tensors=all_tensors, tensors=more)
        self._watch.check(results)
        kept = (
            set(results) if all_tensors else {spec.name for spec in self._module.outputs} | {*(wanted or ())}
        )
        return {name: value for name, value in results.items() if name in kept}

    def implementations(self) -> list[tuple[str, str, str]]:
        """The oneDNN implementation of each operation that ran: operation, tensor, implementation."""
        return self._core.implementations()
