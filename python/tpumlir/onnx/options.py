"""What a user may say of an ONNX model before it is imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tpumlir.errors import InputError

if TYPE_CHECKING:
    from tpumlir.data.preprocess import Preprocess

InputShapes = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]
"""Static shapes by name, or in the order of the inputs."""
FixedInputs = Mapping[str, Any] | Sequence[str]
"""Values by name, or texts ``NAME=VALUE`` as the commands take them."""


@dataclass(frozen=True)
class ImportOptions:
    """Which part of a model is imported, under which name, and what becomes of its inputs.

    ``output_names`` cuts the graph: only what these tensors need is imported. ``fixed_inputs`` makes
    constants of inputs; ``runtime_inputs`` are read at run time though the file has values for them.
    ``preprocess`` is recorded on inputs that a picture can fill.
    """

    name: str | None = None
    input_shapes: InputShapes | None = None
    output_names: Sequence[str] | None = None
    fixed_inputs: FixedInputs | None = None
    runtime_inputs: Collection[str] = ()
    preprocess: Preprocess | None = None

    def __post_init__(self) -> None:
        """Raises: InputError: a text where a list of names is expected, whose letters would be taken."""
        for name in ("output_names", "runtime_inputs"):
            if isinstance(value := getattr(self, name), str):
                raise InputError(f"{name}: expected a list of names, such as [{value!r}], got a text")
