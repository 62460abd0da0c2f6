"""From Top modules to chip programs. Errors are the classes of ``tpumlir.errors``, with ``.node``."""

from tpumlir._core.ir import Module

class PlacedTensor:
    """A model input or output in global memory; ``size`` in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def scale(self) -> float:
        """A stored q stands for (q - zero_point) * scale; 1 if numbers are stored as they are."""

    @property
    def zero_point(self) -> int: ...

class ProgramSegment:
    """The streams of one command group, each with its end command."""

    @property
    def tiu(self) -> bytes: ...
    @property
    def gdma(self) -> bytes: ...
    @property
    def tiu_count(self) -> int: ...
    @property
    def gdma_count(self) -> int: ...

class Program:
    """All that a bmodel needs. The same module always gives the same bytes."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> list[PlacedTensor]: ...
    @property
    def outputs(self) -> list[PlacedTensor]: ...
    @property
    def coeff(self) -> bytes:
        """Weights as they lie from ``coeff_addr`` on."""

    @property
    def coeff_addr(self) -> int: ...
    @property
    def ctx_addr(self) -> int:
        """Start of inputs, outputs and intermediate tensors."""

    @property
    def ctx_size(self) -> int:
        """Bytes from ``ctx_addr`` on."""

    @property
    def segments(self) -> list[ProgramSegment]: ...
    @property
    def debug(self) -> list[tuple[str, int, str, str, int]]:
        """Of each command: engine ("tiu" or "gdma"), id, op, ONNX node, command group."""

    @property
    def sources(self) -> list[tuple[str, str, str, int]]:
        """The operations: kind, ONNX node, the tensor that it computes, its line in the printed module."""

    @property
    def commands(self) -> list[tuple[int, str, int, int, int]]:
        """In the order in which they were made: group, engine, first and last command, source."""

    @property
    def tensors(self) -> list[tuple[str, str, list[int], float | None, int, int | None]]:
        """Those that have places: name, type, shape, scale, zero point, address in global memory."""

    @property
    def layouts(self) -> list[tuple[int, int, list[int], list[int], list[int]]]:
        """How pieces lie: tensor, memory (0 global, 1 local, 2 in every lane), size, stride, elements."""

    @property
    def places(self) -> list[tuple[int, int, int, int, int, int, int, int, int, list[int]]]:
        """Where pieces are, see ``tpumlir.bmodel.places``.

        Group, engine (0 TIU, 1 GDMA), first and last command, source, layout, address, begin, slice, places
        that are read.
        """

def lower(
    module: Module,
    *,
    mode: str = "F32",
    chip: str = "bm1684x",
    quantize_table: dict[str, str] = ...,
    plain_half: bool = False,
    calibration_table: dict[str, tuple[float, float, float]] | None = ...,
    channel_ranges: dict[str, tuple[list[float], list[float]]] = ...,
    quant_input: list[int] | None = ...,
    quant_output: list[int] | None = ...,
) -> Module:
    """Return a Tpu module for a Top module, which stays as it is.

    ``quantize_table`` gives tensors another precision than ``mode``; names that it does not have are
    ignored (``tpumlir.qtable`` refuses them). ``plain_half`` switches the precision rules off.
    ``calibration_table`` gives the threshold, the least and the greatest number of a tensor, which
    ``mode="INT8"`` takes scales from, ``channel_ranges`` of some of them the least and the greatest number of
    each index of axis 1. ``quant_input`` and ``quant_output`` are the positions of model inputs
    and outputs that get the type which the chip computes with; an empty list is for all that can.

    Raises: UnsupportedError: names every op without a lowering, with the reason.
    """

def finalize(module: Module, *, opt: int = 2) -> Module:
    """Return a Tpu module with weights in the hardware's layouts, groups, and an address for every tensor.

    ``opt`` is the effort of the search for groups, 1 to 3; 0 looks for none.

    Raises: AllocationError: the tensors do not fit into global memory.
    """

def compile(module: Module, *, debug: bool = True) -> Program:
    """Generate the program of a module that ``finalize`` made.

    Without ``debug`` what its commands come from is left out, and where tensors are.

    Raises: EncodeError: a command is not legal; UnsupportedError: an op is beyond what the hardware's
    commands or local memory hold; PassError: an address or the data of a weight are missing.
    """

def check_code(module: Module) -> None:
    """Look at the code of a module that ``finalize`` made without keeping it.

    Raises: what ``compile`` raises for the ops that cannot be translated.
    """
