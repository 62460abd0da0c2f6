"""Runs modules of Top and Tpu operations on the CPU, on oneDNN.

Kernels are made at the first run and kept; constant weights are packed once, run-time ones at each run. The
memory of intermediates is used again as soon as they are dead.
"""

from collections.abc import Sequence
from typing import Any, final

import numpy.typing as npt

from tpumlir._core.ir import Module

@final
class Interpreter:
    """Runs ``@main`` of a module."""

    def __init__(self, module: Module) -> None:
        """Read the signature of the module, of which a copy is kept (weights are shared).

        Raises: VerifyError: no function ``@main``, or tensors without a static shape.
        """
    def run(
        self,
        inputs: dict[str, npt.NDArray[Any]],
        *,
        all_tensors: bool = False,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the model outputs by their ONNX names, then every tensor asked for, as new arrays.

        ``tensors`` names further tensors, computed ones or inputs; ``all_tensors`` asks for every one that
        an operation computes. What is asked for is computed as the module says, not fused away. bf16 comes
        as its uint16 bits. The GIL is released while the kernels run; a second thread waits. Raises:
        InputError: an input is missing, unknown, or of another shape or type, or there is no such tensor;
        UnsupportedError: an operation that cannot be run as it stands, or an index outside of its tensor.
        """
    def prepare(self, *, all_tensors: bool = False, tensors: Sequence[str] | None = None) -> None:
        """Make the kernels of runs that ask for the same tensors; without it, the first such run does.

        The GIL is released: a thread of the caller's may do it beside other work, and a run waits for it.
        Raises: InputError: no such tensor; UnsupportedError: an operation that cannot be run as it stands.
        """
    def timings(
        self, inputs: dict[str, npt.NDArray[Any]], *, runs: int = 10
    ) -> list[tuple[str, str, str, float]]:
        """Return (operation, node, name of the code, seconds) per kernel: its shortest time in so many runs.

        For the outputs alone, in the order of the kernels. Raises: as ``run``.
        """
    def implementations(self) -> list[tuple[str, str, str]]:
        """Return (operation, node, name of the code) per kernel of the last run's plan.

        The name is oneDNN's own (``brgconv:avx512_core``) or starts with ``loop:``.
        """
    @property
    def workspace_bytes(self) -> int:
        """Bytes that the intermediate tensors of the last run share, 0 before the first."""
    @property
    def tensors(self) -> list[str]:
        """Names of all tensors that operations compute, in order."""
