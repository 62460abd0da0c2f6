"""Tests of operators as rows: an ONNX node, its operands, and what every stage must make of it.

Each row is built into a one-node ONNX model. ONNX Runtime says what it means; Top is compared with ONNX
Runtime, then, in each precision, Tpu with Top and the bmodel on the simulated chip with Tpu, all by the
strict comparator. The run-time inputs of a half precision are numbers of it: what is judged is the operator,
not the rounding of its input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import helper, numpy_helper
from tpumlir.compare import Comparison, Tolerance, compare
from tpumlir.ir.graph import Graph
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.onnx.types import output_types
from tpumlir.precision import formats
from tpumlir.road.transform import in_types_of
from tpumlir.road.validate import slack

Array = npt.NDArray[Any]
Step = Literal["top", "tpu", "bmodel"]
Precision = Literal["F32", "F16", "BF16"]
Stage = str  # "top", or another step with a precision: "tpu-F16"
T = TypeVar("T", bound=Callable[..., None])
STAGES: tuple[Step, ...] = ("top", "tpu", "bmodel")
PRECISIONS: tuple[Precision, ...] = ("F32", "F16", "BF16")

# Named once per precision. In F32 the stages do the same arithmetic in another order. Tpu rounds constants,
# what an operator is made of, and its result to 11 (F16) or 8 (BF16) significant bits, Top does not.
TOLERANCES = {
    "F32": Tolerance(0.99999, 0.9999),
    "F16": Tolerance(0.99999, 0.998),
    "BF16": Tolerance(0.9999, 0.985),
}
# The bmodel rounds where Tpu does: a result is the same or, rarely, the number beside it.
DEVICE_TOLERANCES = {
    "F32": TOLERANCES["F32"],
    "F16": Tolerance(0.99999, 0.999),
    "BF16": Tolerance(0.9999, 0.992),
}


@dataclass(frozen=True)
class Operand:
    """One operand of a node: a run-time input, or a constant if ``constant``; ``data`` or random numbers."""

    shape: tuple[int, ...]
    constant: bool = False
    data: Any = field(default=None, compare=False)
    low: float | None = None
    high: float | None = None

    def draw(self, rng: np.random.Generator) -> Array:
        """The values: given, uniform in [low, high), or normal."""
        if self.data is not None:
            return np.asarray(self.data)
        if self.low is not None and self.high is not None:
            return rng.uniform(self.low, self.high, self.shape).astype(np.float32)
        return rng.standard_normal(self.shape).astype(np.float32)


def x(*shape: int, low: float | None = None, high: float | None = None) -> Operand:
    """A run-time input, normal or uniform."""
    return Operand(shape, low=low, high=high)


def w(*shape: int, low: float | None = None, high: float | None = None) -> Operand:
    """A constant, normal or uniform."""
    return Operand(shape, constant=True, low=low, high=high)


def c(*values: float | int, dtype: Any = None) -> Operand:
    """A constant vector of given values: int64 for integers, float32 otherwise."""
    kind = dtype or (np.int64 if all(isinstance(v, int) for v in values) else np.float32)
    array = np.array(values, kind)
    return Operand(array.shape, constant=True, data=array)


def scalar(value: float) -> Operand:
    """A constant of rank 0."""
    return Operand((), constant=True, data=np.array(value, np.float32))


def array(values: Any, *, constant: bool = True) -> Operand:
    """A tensor of given values."""
    data = np.asarray(values)
    return Operand(data.shape, constant=constant, data=data)


ABSENT = Operand((), data="absent")


def rounded(value: Array, precision: Precision) -> Array:
    """Floats as the nearest numbers of a half type, still float32; integers as they are."""
    if value.dtype != np.float32 or precision == "F32":
        return value
    if precision == "F16":
        with np.errstate(over="ignore"):
            return value.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(value).view(np.uint32).astype(np.uint64)
    kept = ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) & 0xFFFF0000).astype(np.uint32)
    return np.where(np.isnan(value), value, kept.view(np.float32).reshape(value.shape))


class Lowered:
    """A case in one precision."""

    def __init__(self, case: OpCase, precision: Precision) -> None:
        self.case, self.precision = case, precision

    @cached_property
    def inputs(self) -> dict[str, Array]:
        """The values of the run-time operands, numbers of this precision."""
        return {name: rounded(value, self.precision) for name, value in self.case.inputs.items()}

    @cached_property
    def top_results(self) -> dict[str, Array]:
        """What the interpreter computes on Top, in F32."""
        return self.case.top_interpreter.run(self.inputs, allow_nan=True)

    @cached_property
    def tpu(self) -> tpumlir.Module:
        """The Tpu module."""
        return self.case.top.lower(quantize=self.precision)

    @cached_property
    def tpu_results(self) -> dict[str, Array]:
        """What the interpreter computes on Tpu."""
        return tpumlir.ModuleInterpreter(self.tpu).run(self.inputs, allow_nan=True)

    @cached_property
    def bmodel_results(self) -> dict[str, Array]:
        """What the simulated chip computes, with the race detector on."""
        bmodel = self.tpu.compile()
        inputs = {spec.name: self.inputs[spec.name].astype(spec.numpy_dtype) for spec in bmodel.inputs}
        return bmodel.run(inputs, allow_nan=True, detect_races=True)


class OpCase:
    """A node with its operands and attributes; ``why`` says which edge the row is about.

    ``stages`` are those that must agree, ``half_stages`` the same in the half precisions, if they are fewer.
    A case that ends before "bmodel" must be *refused* by the lowering. ``precisions`` are those that the row
    makes sense in: its numbers are beyond those of the others.
    """

    def __init__(
        self,
        op: str,
        *operands: Operand,
        why: str = "",
        opset: int = 17,
        outputs: int = 1,
        stages: Sequence[Step] | None = None,
        half_stages: Sequence[Step] | None = None,
        precisions: Sequence[Precision] = PRECISIONS,
        result_type: str = "float32",
        **attributes: Any,
    ) -> None:
        self.op, self.operands, self.why, self.opset = op, operands, why, opset
        self.result_type = result_type  # of an operator that ONNX does not know
        self.outputs, self.attributes = outputs, attributes
        self.stages: tuple[Step, ...] = tuple(stages or STAGES)
        self.half_stages: tuple[Step, ...] = tuple(half_stages or self.stages)
        self.precisions = tuple(precisions)

    def __repr__(self) -> str:
        shapes = "-".join("x".join(map(str, o.shape)) or "scalar" for o in self.operands if o is not ABSENT)
        kinds = "".join("-" if o is ABSENT else "c" if o.constant else "x" for o in self.operands)
        return "-".join(part for part in (self.op, shapes, kinds, self.why.replace(" ", "_")) if part)

    def dynamic(self) -> OpCase:
        """The same with every float constant as a run-time input."""
        operands = [
            replace(o, constant=False)
            if o is not ABSENT and o.constant and (o.data is None or o.data.dtype == np.float32)
            else o
            for o in self.operands
        ]
        return OpCase(
            self.op, *operands, why=f"{self.why} all_at_run_time".strip(), opset=self.opset,
            outputs=self.outputs, stages=self.stages, half_stages=self.half_stages,
            precisions=self.precisions, result_type=self.result_type, **self.attributes,
        )  # fmt: skip

    # --- the model ------------------------------------------------------------------

    @cached_property
    def data(self) -> dict[str, Array]:
        """The values of all operands by name."""
        rng = np.random.default_rng(sum(map(ord, repr(self))))
        return {f"in{i}": o.draw(rng) for i, o in enumerate(self.operands) if o is not ABSENT}

    @cached_property
    def inputs(self) -> dict[str, Array]:
        """The values of the run-time operands."""
        return {
            f"in{i}": self.data[f"in{i}"]
            for i, o in enumerate(self.operands)
            if o is not ABSENT and not o.constant
        }

    @cached_property
    def output_names(self) -> list[str]:
        """The outputs of the node."""
        return [f"out{i}" for i in range(self.outputs)]

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The one-node model."""
        names = ["" if o is ABSENT else f"in{i}" for i, o in enumerate(self.operands)]
        domain, _, op = self.op.rpartition(".")
        node = helper.make_node(op, names, self.output_names, name="node", domain=domain, **self.attributes)
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in self.inputs.items()
        ]
        constants = [
            numpy_helper.from_array(v, name) for name, v in self.data.items() if name not in self.inputs
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in self.output_names]
        graph = helper.make_graph([node], "case", infos, outputs, constants)
        kinds = [None if o is ABSENT else self.data[f"in{i}"].dtype for i, o in enumerate(self.operands)]
        types = output_types(self.op, self.opset, kinds, self.attributes, self.outputs)
        for output, dtype in zip(graph.output, types, strict=True):
            kind = dtype or np.dtype(self.result_type)
            output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(kind)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, 1)] if domain else []
        newest = max(8, helper.find_min_ir_version_for(opsets, ignore_unknown=True))
        return helper.make_model(graph, opset_imports=opsets, ir_version=newest)

    # --- the stages -----------------------------------------------------------------

    @cached_property
    def reference(self) -> dict[str, Array]:
        """What ONNX Runtime says, or ONNX itself where that cannot run the node or is known to be wrong."""
        return run_onnx(load(self.proto), self.inputs)

    @cached_property
    def top(self) -> tpumlir.Module:
        """The Top module."""
        return tpumlir.load_onnx(self.proto)

    @cached_property
    def top_interpreter(self) -> tpumlir.ModuleInterpreter:
        """Runs Top."""
        return tpumlir.ModuleInterpreter(self.top)

    def lowered(self, precision: Precision) -> Lowered:
        """The case in a precision; what was computed of it is kept."""
        return self._lowered.setdefault(precision, Lowered(self, precision))

    @cached_property
    def _lowered(self) -> dict[Precision, Lowered]:
        return {}

    @property
    def tpu(self) -> tpumlir.Module:
        """The Tpu module in F32."""
        return self.lowered("F32").tpu

    @property
    def top_results(self) -> dict[str, Array]:
        """What the interpreter computes on Top."""
        return self.lowered("F32").top_results

    @property
    def bmodel_results(self) -> dict[str, Array]:
        """What the simulated chip computes in F32."""
        return self.lowered("F32").bmodel_results

    def forget(self) -> None:
        """Give back what the stages need: thousands of rows would fill the memory."""
        for name in ("data", "inputs", "proto", "reference", "top", "top_interpreter", "_lowered"):
            self.__dict__.pop(name, None)

    def reaches(self, precision: Precision) -> tuple[Step, ...]:
        """The stages that must agree in a precision; none if the row makes no sense in it."""
        if precision not in self.precisions:
            return ()
        return self.stages if precision == "F32" else self.half_stages

    def table(self) -> list[Stage]:
        """The stages to test. What Top alone has is refused in every precision alike."""
        lowered = [
            f"{step}-{precision}"
            for precision in self.precisions
            if precision == "F32" or "tpu" in self.stages
            for step in ("tpu", "bmodel")
        ]
        return ["top", *lowered]

    def judge(self, stage: Stage) -> Comparison:
        """The verdict on one stage against the one before it."""
        step, precision = split(stage)
        lowered = self.lowered(precision)
        row = formats.PRECISIONS[precision]
        bound = (row.device if step == "bmodel" else row.lowering).operation
        if step == "top":
            got, tolerance = lowered.top_results, TOLERANCES["F32"]
            want = in_types_of(got, self.reference)
        elif step == "tpu":
            got, want, tolerance = lowered.tpu_results, lowered.top_results, TOLERANCES[precision]
        else:
            got, want = lowered.bmodel_results, lowered.tpu_results
            tolerance = DEVICE_TOLERANCES[precision]
        inputs = lowered.inputs
        own = slack(Graph(self.top), inputs | got, inputs | want, precision, on_chip=step == "bmodel")
        return compare(
            got, want, names=self.output_names, tolerance=tolerance, bound=bound, slack=own,
            label=f"{self!r} {stage}",
        )  # fmt: skip


def split(stage: Stage) -> tuple[Step, Precision]:
    """Step and precision of a stage; F32 if it names none."""
    step, _, precision = stage.partition("-")
    return cast(Step, step), cast(Precision, precision or "F32")


# The newest opset that ONNX Runtime takes as released.
NEWEST_OPSET = 24


def opsets(op: str) -> list[int]:
    """The opsets from 7 on in which ONNX changed the operator, and 7 if it is older."""
    changes = {
        max(7, schema.since_version)
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == op and not schema.domain
    }
    return sorted(change for change in changes if change <= NEWEST_OPSET)


def with_dynamic(cases: Iterable[OpCase]) -> list[OpCase]:
    """The cases, and each that has float constants once more with all of them at run time."""
    result: list[OpCase] = []
    for case in cases:
        result.append(case)
        variant = case.dynamic()
        if variant.operands != case.operands:
            result.append(variant)
    return result


# Every row that a test module has asked for, for tests/ops_table.py.
collected: list[OpCase] = []


def rows(cases: Sequence[OpCase]) -> Callable[[T], T]:
    """``cases`` x stages as a parametrization of (case, stage); ids must be unique."""
    collected.extend(cases)
    table = [(case, stage) for case in cases for stage in case.table()]
    ids = [f"{case!r}-{stage}" for case, stage in table]
    twice = {name for name, count in Counter(ids).items() if count > 1}
    assert not twice, f"expected unique rows, got {twice} twice (give a why)"

    def mark(test: T) -> T:
        marked: T = pytest.mark.parametrize(("case", "stage"), table, ids=ids)(test)
        return marked

    return mark


# The row that was asked for last.
_current: list[OpCase] = []


def check(case: OpCase, stage: Stage) -> None:
    """Assert that the stage agrees with the one before it, or that the case is refused as it says."""
    if _current and _current[0] is not case:
        _current.pop().forget()
    if not _current:
        _current.append(case)
    step, precision = split(stage)
    if step in case.reaches(precision):
        case.judge(stage).raise_if_failed()
        return
    with pytest.raises(tpumlir.UnsupportedError) as caught:
        case.lowered(precision).tpu.compile()
    assert caught.value.node
