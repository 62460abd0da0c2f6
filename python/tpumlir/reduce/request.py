"""What is asked of a reduction: which fault, how the model is compiled and judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tpumlir.onnx.options import ImportOptions
from tpumlir.reduce.outcome import Kind
from tpumlir.road.options import DeployOptions

if TYPE_CHECKING:
    from tpumlir.compare import ElementBound, Tolerance
    from tpumlir.data.inputs import TestInput


@dataclass(frozen=True)
class Request:
    """The predicate and all that decides whether it holds; paths are absolute.

    ``node`` is that of ``wrong``, ``script`` that of ``script``. ``imports`` are Python files that are run
    in every worker before its first model.
    """

    predicate: str
    target: DeployOptions = field(default_factory=DeployOptions)
    node: str = ""
    script: str = ""
    imports: tuple[str, ...] = ()
    tolerance: Tolerance | None = None
    element_bound: ElementBound | None = None
    excepts: tuple[str, ...] = ()
    allow_nonfinite: bool = False


@dataclass(frozen=True)
class Task:
    """One model to be judged: files in ``folder``, unless ``model`` and ``test_input`` say otherwise.

    ``wanted`` is the fault that is looked for; ``outputs`` are the tensors of ``wrong``. ``judges`` are those
    of ``tpumlir.onnx.reference`` who must run the model, one of them; with none anything is taken. Of a
    ``part`` of a model rows of tables may name no tensor, and an input that does not fit is no error.
    """

    request: Request
    folder: str
    model: str
    test_input: TestInput
    options: ImportOptions = field(default_factory=ImportOptions)
    wanted: Kind | None = None
    outputs: tuple[str, ...] = ()
    limit: float = 60.0
    part: bool = False
    judges: tuple[str, ...] = ()
