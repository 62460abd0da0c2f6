"""Code generation: from a Tpu module to the bmodel of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tpumlir._core.precision import FLOAT_TYPES
from tpumlir.bmodel.debug import Commands, DebugInfo, with_lines
from tpumlir.bmodel.model import BModel, CommandGroup, PlacedTensor
from tpumlir.bmodel.places import PlaceTables, Source
from tpumlir.data.preprocess import NATURAL_TYPES
from tpumlir.data.record import recorded_others, recorded_pictures
from tpumlir.errors import UnsupportedError

if TYPE_CHECKING:
    from tpumlir._core import codegen, ir


def generate(module: ir.Module, *, name: str | None = None, debug: bool = True) -> BModel:
    """Code for a Tpu module of the extension; one without addresses is finalized first.

    Without ``debug`` what commands come from is left out: for who asks what a module costs.

    Raises: UnsupportedError: not a Tpu module. AllocationError, EncodeError: at the node that does not fit.
    """
    from tpumlir._core import codegen

    state = str(module.attributes.get("module.state", ""))
    if state.startswith("TOP"):
        raise UnsupportedError("expected a Tpu module, got a Top module (call lower() first)")
    if state != "TPU_ADDRESSED":
        module = codegen.finalize(module)
    program = codegen.compile(module, debug=debug)

    pictures = recorded_pictures(module)

    def specs(tensors: Sequence[codegen.PlacedTensor]) -> tuple[PlacedTensor, ...]:
        # The container says u8 where MLIR says ui8.
        return tuple(
            PlacedTensor(
                t.name, tuple(t.shape), t.dtype.replace("ui", "u"), t.address, t.size, t.scale, t.zero_point
            )
            for t in tensors
        )

    def noted(spec: PlacedTensor) -> PlacedTensor:
        kind = pictures.types.get(spec.name, "")
        is_float = spec.is_quantized or spec.dtype in FLOAT_TYPES
        natural = kind == NATURAL_TYPES.get("f32" if is_float else spec.dtype)
        return replace(spec, onnx_type="" if natural else kind, preprocess=pictures.recorded.get(spec.name))

    info = DebugInfo()
    if debug:
        info = DebugInfo.of(
            with_lines((Source(*source) for source in program.sources), module.print()),
            [Commands(*run) for run in program.commands],
            PlaceTables(program.tensors, program.layouts, program.places),
        )
    return BModel(
        name=name or program.name,
        inputs=tuple(map(noted, specs(program.inputs))),
        outputs=specs(program.outputs),
        coeff=program.coeff,
        coeff_addr=program.coeff_addr,
        ctx_addr=program.ctx_addr,
        ctx_size=program.ctx_size,
        groups=tuple(CommandGroup(g.tiu, g.tiu_count, g.gdma, g.gdma_count) for g in program.segments),
        others=recorded_others(module),
        debug=info,
    )
