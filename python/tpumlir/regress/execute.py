"""One case in a worker: compiled, validated at every stage, measured."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.compare import Comparison, ElementBound, TensorResult, Tolerance
from tpumlir.errors import AllocationError, OnnxImportError, OutOfRangeError, TpumlirError, UnsupportedError
from tpumlir.onnx.options import ImportOptions
from tpumlir.precision.policy import RangePolicy
from tpumlir.regress.suite import Case
from tpumlir.road.options import DeployOptions, JudgeOptions

if TYPE_CHECKING:
    from types import ModuleType

    from tpumlir.road.single import Compiled

STAGES = ("top", "tpu", "bmodel")
PRELOAD = ["tpumlir.regress.warm"]
"""What a worker has loaded before it is made."""
_REFUSALS = (UnsupportedError, OnnxImportError, OutOfRangeError, AllocationError)
_COMPILES = ("import", "measure ranges", "choose precisions", "lower to Tpu", "place", "generate code")
_RUNS = ("run Top", "run Tpu", "run the bmodel")
_DIGITS = 6

Outcome = dict[str, Any]
"""What became of a case, the same on every machine of one kind; ready for JSON."""


@dataclass(frozen=True)
class Job:
    """A case with all that a worker needs to know."""

    case: Case
    repeat: int = 1
    plugin: str | None = None


@dataclass
class Result:
    """The outcome, and what it took: seconds of the processor for each repetition, of which wall seconds."""

    outcome: Outcome
    samples: dict[str, list[float]] = field(default_factory=dict)
    log: str = ""
    """What a worker wrote before it died, the first lines of it."""

    def to_json(self) -> dict[str, Any]:
        """For the cache and the journal."""
        return {"outcome": self.outcome, "samples": self.samples, "log": self.log}

    @staticmethod
    def of(document: Mapping[str, Any]) -> Result:
        """From what ``to_json`` made."""
        return Result(document["outcome"], document["samples"], document.get("log", ""))


class _Clock:
    """Adds up the processor's seconds of the steps of a compilation."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start

    def total(self, names: Sequence[str]) -> float:
        return sum(self.seconds.get(name, 0.0) for name in names)


def run(job: Job) -> Result:
    """Compile and validate a case. Whatever goes wrong in it is an outcome."""
    samples: dict[str, list[float]] = {"compile": [], "run": [], "cpu": [], "wall": []}
    outcome: Outcome = {}
    for _ in range(job.repeat):
        clock = _Clock()
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = _outcome(job, clock)
        taken = (
            clock.total(_COMPILES), clock.total(_RUNS), time.process_time() - cpu, time.perf_counter() - wall,
        )  # fmt: skip
        for values, seconds in zip(samples.values(), taken, strict=True):
            values.append(round(seconds, 4))
    return Result(outcome, samples)


def _outcome(job: Job, clock: _Clock) -> Outcome:
    case = job.case
    try:
        if job.plugin:
            _plugin(job.plugin).before_case(case.name, case.quantize)
        compiled = _compile(case, clock)
        outcome = _judged(compiled.validations) | _cost(compiled)
    except TpumlirError as error:
        first = error.diagnostics[0]
        status = "refused" if isinstance(error, _REFUSALS) else "error"
        outcome = {"status": status, "node": first.node or "", "message": _one_line(first.message)}
    except Exception as error:  # a case is a row, whatever it does
        outcome = {"status": "error", "message": f"internal: {type(error).__name__}: {_one_line(str(error))}"}
    # Messages name files, which lie elsewhere in the next run; in the model's folder they are told by name.
    message = str(outcome.get("message", ""))
    if message:
        outcome["message"] = message.replace(f"{case.model.parent}{os.sep}", "")
    return outcome


def _compile(case: Case, clock: _Clock) -> Compiled:
    from tpumlir.road.single import compile_model

    options = dict(case.options)
    files = {key: given[0] for key, given in case.files.items() if key != "input"}
    tolerance, element = options.get("tolerance"), options.get("element_tolerance")
    ranges = RangePolicy(
        options.get("auto_mixed", False), options.get("ignore_f16_overflow", False),
        plain_half=options.get("plain_half", False),
    )  # fmt: skip
    return compile_model(
        str(case.model),
        ImportOptions(
            None, options.get("input_shapes"), options.get("output_names"), options.get("fixed_inputs"),
            options.get("runtime_inputs", ()),
        ),
        DeployOptions(
            case.quantize, files.get("quantize_table"), ranges, case.chip, case.model.stem,
            options.get("opt", 2), files.get("calibration_table"),
        ),
        JudgeOptions(
            test_input=list(case.files["input"]) if "input" in case.files else None,
            allow_nonfinite=options.get("allow_nonfinite", False),
            tolerance=Tolerance.parse(tolerance) if tolerance else None,
            element_bound=ElementBound.parse(element) if element else None,
            excepts=options.get("excepts", ()),
        ),
        step=clock,
    )  # fmt: skip


def _judged(validations: Sequence[Comparison]) -> Outcome:
    """The verdict, with the first tensor of the first stage that is wrong."""
    outcome: Outcome = {
        "status": "passed",
        "similarity": {
            stage: [_least(one.tensors, "cosine"), _least(one.tensors, "euclid")]
            for stage, one in zip(STAGES, validations, strict=True)
        },
    }
    for stage, one in zip(STAGES, validations, strict=True):
        if not one.passed:
            first = one.failed[0] if one.failed else None
            name, message = (first.name, first.message) if first else ("", "nothing was compared")
            return outcome | {"status": "failed", "stage": stage, "node": name,
                              "message": f"{one.label}: {_one_line(message)}"}  # fmt: skip
    return outcome


def _least(tensors: Sequence[TensorResult], metric: str) -> float | None:
    """The least similarity of the tensors; None if one could not be measured."""
    least = 1.0
    for tensor in tensors:
        value = getattr(tensor, metric)
        if value is None:
            if not tensor.passed:
                return None
            continue
        least = min(least, value)
    return round(least, _DIGITS) if math.isfinite(least) else None


def _cost(compiled: Compiled) -> Outcome:
    from tpumlir.bmodel.profile import profile

    seen = profile(compiled.bmodel, names=False)
    return {"cycles": seen.cycles, "ddr_read": seen.total.read, "ddr_written": seen.total.written}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plugin(path: str) -> ModuleType:
    """The Python file that a suite names, loaded once in a worker."""
    import importlib.util

    name = f"_tpumlir_plugin_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise TpumlirError(f"{Path(path).name}: expected a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, "before_case"):
            raise TpumlirError(f"{Path(path).name}: expected a function before_case(name, quantize)")
        sys.modules[name] = module
    return sys.modules[name]
