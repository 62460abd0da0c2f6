"""Modules of Top and Tpu operations: parse, print, rewrite, build.

Every failure is a class of ``tpumlir.errors`` whose ``node`` is the ONNX node concerned.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

_Attribute: TypeAlias = bool | int | float | str | Sequence[int] | Sequence[float]

MLIR_VERSION: str

def registered_operations() -> list[str]:
    """Return the names of all operations of both dialects, sorted."""

def lowered_operations() -> list[str]:
    """Mnemonics of the Top operations that the conversion to Tpu has a pattern for."""

def opt(
    text: str,
    pipeline: str = "",
    *,
    split_input_file: bool = False,
    verify_diagnostics: bool = False,
    local_scope: bool = False,
    file: str = "<stdin>",
) -> tuple[int, str, str]:
    """Run passes on text whose weights have no data; return the exit code, the text and the messages.

    ``split_input_file`` takes modules apart at ``// -----``; ``verify_diagnostics`` compares the errors with
    the ``expected-error`` comments; ``local_scope`` prints each location beside its operation.
    """

@final
class TensorInfo:
    """Name and type of a tensor."""

    @property
    def name(self) -> str:
        """The ONNX tensor name, empty for an absent operand or result."""
    @property
    def dtype(self) -> str:
        """What is stored of an element as MLIR spells it, ``none`` for an absent result."""
    @property
    def shape(self) -> tuple[int, ...] | None:
        """The extents, None if the text left them open."""
    @property
    def scales(self) -> list[float]:
        """Of a quantised tensor, one or one per index of ``axis``: q stands for (q - zero point) * scale."""
    @property
    def zero_points(self) -> list[int]: ...
    @property
    def axis(self) -> int | None: ...
    @property
    def range(self) -> tuple[float, float] | None:
        """The numbers that a calibration saw, as the type of the tensor states them."""

@final
class OpInfo:
    """An operation, read only."""

    @property
    def name(self) -> str:
        """The name of its first result."""
    @property
    def kind(self) -> str:
        """Its mnemonic, such as ``top.Conv``."""
    @property
    def node(self) -> str:
        """The ONNX node it came from, or ``name``."""
    @property
    def operands(self) -> list[str]:
        """Tensor names, empty for ``top.None``."""
    @property
    def results(self) -> list[TensorInfo]:
        """One entry per result."""
    @property
    def moves_data(self) -> bool:
        """Whether it is a Tpu operation that copies elements, without arithmetic."""
    @property
    def why(self) -> str:
        """The rule that chose the precision of a Tpu operation; empty if it is that of the deploy."""
    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes as Python values; kinds without one are their MLIR text."""

@final
class Module:
    """An MLIR module with its own context and weights."""

    @staticmethod
    def parse(
        text: str, weights: Mapping[str, npt.NDArray[Any]] | None = None, *, file: str = "<string>"
    ) -> Module:
        """Read and verify Top or Tpu text.

        ``weights`` holds the data of every ``top.Weight`` by name, without a copy if contiguous; they must
        not change afterwards. With None the module can be printed and rewritten, not run. ``file`` is the
        name that syntax errors show. Raises: ParseError; VerifyError, also for weights that are missing or
        of another size.
        """
    def print(self) -> str:
        """Return the text in the vendor's form: generic operations, with locations."""
    def clone(self) -> Module:
        """Return a copy; the weights' memory is shared."""
    def cut(self, inputs: Sequence[str], outputs: Sequence[str]) -> Module:
        """Return the operations between the named tensors as a module, inputs and outputs in this order.

        Raises: VerifyError: an unknown name, a model input that the outputs need and ``inputs`` do not cover,
        an input that no output needs.
        """
    def run_pipeline(self, pipeline: str) -> None:
        """Run passes by name and options, such as ``shape-infer,canonicalize``. Raises: PassError."""
    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Return read-only views of the weights by name; bf16 as its uint16 bits."""
    def ops(self) -> list[OpInfo]:
        """Return all operations in order, but functions, returns and ``top.None``."""
    def set_attribute(self, name: str, value: _Attribute) -> None:
        """Set an attribute of the module, such as ``module.weight_file``."""
    @property
    def name(self) -> str:
        """The module's symbol name."""
    @property
    def inputs(self) -> list[TensorInfo]:
        """The model inputs in order."""
    @property
    def outputs(self) -> list[TensorInfo]:
        """The model outputs in order."""
    @property
    def attributes(self) -> dict[str, Any]:
        """The module's own attributes (``module.*``)."""

@final
class Value:
    """A tensor of a graph under construction."""

    @property
    def name(self) -> str:
        """The tensor's name, empty for an absent operand."""
    @property
    def dtype(self) -> str:
        """The element type as MLIR spells it."""
    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""

@final
class GraphBuilder:
    """Builds a Top module op by op; types are inferred at once, so an error names the node that made it."""

    def __init__(self, name: str, platform: str = "ONNX") -> None: ...
    def input(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "f32",
        attrs: dict[str, _Attribute | None] = ...,
    ) -> Value:
        """Add a model input; ``attrs`` say how an image becomes it. Raises: VerifyError: a name taken."""
    def weight(self, name: str, array: npt.NDArray[np.generic], quantized: str = "") -> Value:
        """Add a constant; its memory is kept, not copied, if contiguous. Raises: VerifyError: name taken.

        ``quantized`` is the type that its numbers were quantised to, as MLIR spells it.
        """
    def none(self) -> Value:
        """Return the operand that is not there."""
    def op(
        self,
        op: str,
        operands: Sequence[Value],
        attrs: Mapping[str, _Attribute | None] = ...,
        *,
        names: Sequence[str],
        node: str = "",
    ) -> list[Value]:
        """Add an operation such as ``top.Conv``; return its results.

        ``names`` are the tensors it computes (an empty name: that result is absent), ``node`` the ONNX node.
        An attribute of None is left out. Raises: UnsupportedError: no such operation; VerifyError: an unknown
        attribute, a broken rule, a name taken.
        """
    def finish(self, outputs: Sequence[Value]) -> Module:
        """End the graph and return its module."""
