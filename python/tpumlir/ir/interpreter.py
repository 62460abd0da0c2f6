"""The interpreter of modules, for their users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Thread
from typing import Any

import numpy.typing as npt

from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.ir import parts
from tpumlir.ir.graph import Graph
from tpumlir.ir.module import Module
from tpumlir.ir.parts import Part
from tpumlir.ir.watch import Watch
from tpumlir.tensors import check_inputs

Array = npt.NDArray[Any]

_PARTS = 256  # that were run by themselves and are kept; the oldest gives way


class ModuleInterpreter:
    """Runs a Top or Tpu module on this machine; set-up is done once and kept between runs."""

    def __init__(self, module: Module) -> None:
        from tpumlir._core import interpreter

        self._module = module
        self._inputs = module.inputs
        self._core = interpreter.Interpreter(module.core)
        self._watch = Watch(module)
        self._parts: dict[Part, ModuleInterpreter] = {}

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
        wanted = self._wanted(tensors)
        checked = check_inputs(inputs, self._inputs, allow_nan=allow_nan)
        results = self._core.run(checked, all_tensors=all_tensors, tensors=wanted)
        if not self._watch:
            return results
        self._watch.check(results)
        kept = (
            set(results) if all_tensors else {spec.name for spec in self._module.outputs} | {*(tensors or ())}
        )
        return {name: value for name, value in results.items() if name in kept}

    def prepare(
        self, *, all_tensors: bool = False, tensors: Sequence[str] | None = None, background: bool = False
    ) -> None:
        """Set up what runs that ask for these tensors need; without it, the first such run does.

        ``background`` returns at once: a thread works beside the caller, whose runs wait for it and raise
        what it cannot do. Raises: InputError: an unknown tensor. UnsupportedError: an operation that cannot
        be run.
        """
        wanted = self._wanted(tensors)
        if background:
            Thread(target=self._prepare_quietly, args=(all_tensors, wanted), name="prepare").start()
        else:
            self._core.prepare(all_tensors=all_tensors, tensors=wanted)

    def _prepare_quietly(self, all_tensors: bool, wanted: list[str] | None) -> None:
        with suppress(TpumlirError):  # the run raises it again, where somebody listens
            self._core.prepare(all_tensors=all_tensors, tensors=wanted)

    def timings(self, inputs: Mapping[str, Array], *, runs: int = 10) -> list[tuple[str, str, str, float]]:
        """Operation, tensor, implementation and seconds of each kernel that computes the outputs.

        What is fused stands under its last operation. Each time is the shortest of so many runs: what else
        the machine does only adds to it. Raises: as ``run``; InputError: less than one run.
        """
        return self._core.timings(check_inputs(inputs, self._inputs), runs=runs)

    def _wanted(self, tensors: Sequence[str] | None) -> list[str] | None:
        """What a run asks the core for, besides the outputs."""
        known = set(self._module.tensor_names()) if tensors else set()
        for name in tensors or ():
            if name not in known:
                raise InputError(Diagnostic("expected the name of a tensor of the module", name), tensor=name)
        if not self._watch:
            return None if tensors is None else list(tensors)
        return list(dict.fromkeys([*(tensors or ()), *self._watch.needed]))

    def implementations(self) -> list[tuple[str, str, str]]:
        """The oneDNN implementation of each operation that ran: operation, tensor, implementation."""
        return self._core.implementations()

    # --- operations on tensors that are given -----------------------------------------

    @cached_property
    def graph(self) -> Graph:
        """Who computes and who reads each tensor."""
        return Graph(self._module)

    def invoke_at(self, name: str, values: Mapping[str, Array]) -> dict[str, Array]:
        """What the operation that computes tensor ``name`` makes of ``values``: its results.

        ``name`` may be that of an ONNX node: then all of its operations run. ``values`` are tensors of any
        kind (model inputs, or what a run with ``all_tensors`` gave); what is read and not among them is
        computed from the nearest that are. They are rounded to the types of the module.

        Raises: InputError: no such tensor or node; values that are missing or do not fit.
        """
        return self.run_part(parts.at(self.graph, name, values), values)

    def invoke_from(
        self, name: str, values: Mapping[str, Array], *, all_tensors: bool = False
    ) -> dict[str, Array]:
        """As ``invoke_at``, and then everything that is computed from it: the model outputs among that.

        With ``all_tensors`` all that was computed. What of ``values`` lies behind ``name`` is computed anew.
        Where no model output lies behind it, what nothing reads is one.
        """
        part = parts.onward(self.graph, name, values)
        if not all_tensors:
            ends = [output for output in part.outputs if output in self.graph.outputs]
            ends = ends or [output for output in part.outputs if output not in self.graph.readers]
            part = Part(tuple(parts.ends(self.graph, self._computing(ends), part.inputs)), tuple(ends))
        return self.run_part(part, values)

    def invoke_each(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """What every operation makes of ``values`` by itself: those of its results that ``values`` have too.

        Raises: as ``invoke_at``, for the first operation that cannot be run.
        """
        found: dict[str, Array] = {}
        for part, _ in parts.together(self.graph, parts.singles(self.graph, values)):
            found |= self.run_part(part, values)
        return found

    def run_part(self, part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of a part of the module; its kernels are kept."""
        runner = self._parts.pop(part, None) or ModuleInterpreter(
            Module(self._cuttable.core.cut(part.inputs, part.outputs))
        )
        self._parts[part] = runner
        while len(self._parts) > _PARTS:
            del self._parts[next(iter(self._parts))]
        return runner.run(values, allow_nan=True)

    @cached_property
    def _cuttable(self) -> Module:
        """The module; a final one without its state, for else each part of it would get addresses."""
        if self._module.attributes.get("module.state") != "TPU_ADDRESSED":
            return self._module
        plain = self._module.clone()
        plain.core.set_attribute("module.state", "TPU_LOWERED")
        return plain

    def _computing(self, names: Sequence[str]) -> list[Any]:
        return [self.graph.producers[name] for name in names]
