"""Where two runs of a model part: the first operation whose inputs agree and whose result does not, and how.

A comparison says which tensors differ; most of them differ because an earlier one does. Here the graph is
walked in order, the first one is named and classified, and cut out of the model as a reproducer that runs.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tpumlir import bmodel as bmodels
from tpumlir.compare import Comparison, ElementBound, TensorResult, Tolerance, compare, compare_tensor
from tpumlir.errors import TpumlirError
from tpumlir.files import all_or_none, atomic_write
from tpumlir.ir import cut
from tpumlir.ir.graph import Graph, operands, results
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.road.reproducer import CutFiles, Reproducer
from tpumlir.road.steps import Step, silent

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

Array = npt.NDArray[Any]

# missing: one side lacks the tensor; fault: the chip refused a command.
Kind = Literal[
    "overflow", "NaN", "saturation", "layout", "wrong shape", "wrong type", "wrong values", "missing", "fault"
]


@dataclass(frozen=True)
class Divergence:
    """The first operation that goes wrong, and the part of the module that shows it."""

    op: str
    node: str
    tensor: str
    kind: Kind
    detail: str
    operands: tuple[str, ...]  # "name 1x3x8x8", constants too
    result: str
    worst: str
    others: int  # further tensors that go wrong although what they are computed from agrees
    inputs: tuple[str, ...]  # of the part
    outputs: tuple[str, ...]

    def command(self, mlir: Path, reference: Path) -> str:
        """The command line that cuts the part out."""
        names = ["--input_names", ",".join(self.inputs), "--output_names", ",".join(self.outputs)]
        return shlex.join(
            ["mlir_cut", "--mlir", str(mlir), "--mode", "io", *names, "--ref_data", str(reference)]
        )

    def lines(self) -> list[str]:
        """The report for a terminal."""
        more = "" if not self.others else f" ({self.others} more go wrong independently)"
        node = f", node {self.node}" if self.node != self.tensor else ""
        lines = [
            f"first divergence: {self.tensor}{more}",
            f"  computed by: {self.op}{node}: {', '.join(self.operands) or 'nothing'} -> {self.result}",
            f"  kind: {self.kind}: {self.detail}",
        ]
        return [*lines, f"  worst element: {self.worst}"] if self.worst else lines

    def to_json(self) -> dict[str, object]:
        """Every field."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key in self.__dataclass_fields__
            for value in [getattr(self, key)]
        }


def find(
    module: Module, verdict: Comparison, got: Mapping[str, Array], want: Mapping[str, Array]
) -> Divergence | None:
    """The first divergence of a failed comparison of ``module``'s tensors; None if no tensor of it failed.

    A tensor that was not judged agrees if everything it is computed from does.
    """
    graph = Graph(module)
    failed = {result.name: result for result in verdict.failed}
    agreeing = [result.name for result in verdict.tensors if result.passed]
    judged = {*failed, *agreeing}
    spoiled: set[str] = set()
    first: list[tuple[OpInfo, TensorResult]] = []
    for op in graph.ops:
        wrong = [failed[name] for name in results(op) if name in failed]
        inherited = not spoiled.isdisjoint(graph.sources(op))
        if wrong and not inherited:
            first.append((op, wrong[0]))
        spoiled.update(name for name in results(op) if name in failed or (inherited and name not in judged))
    if not first:
        return None
    op, result = first[0]
    kind, detail = classify(got.get(result.name), want.get(result.name), result, verdict.tolerance)
    inputs = graph.behind([result.name], agreeing) if op.kind != "top.Input" else []
    return replace(
        _divergence(op, graph, module, result, kind, detail), others=len(first) - 1, inputs=tuple(inputs)
    )


def _divergence(
    op: OpInfo, graph: Graph, module: Module, result: TensorResult, kind: Kind, detail: str
) -> Divergence:
    shapes = {r.name: r.shape for producer in graph.ops for r in producer.results}
    shapes |= {name: value.shape for name, value in module.weights.items()}

    def described(name: str) -> str:
        shape = shapes.get(name)
        return f"{name} {'x'.join(map(str, shape)) or 'scalar'}" if shape is not None else name

    worst = ""
    if result.worst_index is not None and result.got is not None and result.want is not None:
        worst = f"{list(result.worst_index)}: got {result.got:.9g}, want {result.want:.9g}"
    return Divergence(
        op.kind, op.node, result.name, kind, detail,
        tuple(described(name) for name in operands(op)) if op.kind != "top.Input" else (),
        described(result.name), worst, 0, tuple(graph.sources(op)), (result.name,),
    )  # fmt: skip


# Samples of one distribution look alike when sorted; the same numbers in another order are far closer.
_SAME_VALUES = Tolerance(0.99999, 0.999, 70.0)


# --- how ---------------------------------------------------------------------------


def classify(
    got: Array | None, want: Array | None, result: TensorResult, tolerance: Tolerance
) -> tuple[Kind, str]:
    """What kind of difference two tensors show, and the facts it is seen by."""
    if got is None or want is None:
        return "missing", result.message
    if result.status == "dtype":
        return "wrong type", result.message
    a, b = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if a.shape != b.shape and a.size != b.size:
        return "wrong shape", result.message
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    strange = _nonfinite(flat_a, flat_b)
    if strange:
        return strange

    def alike(x: Array, y: Array, least: Tolerance = tolerance) -> bool:
        return compare_tensor(result.name, x, y, tolerance=least).passed

    sorted_a, sorted_b = np.sort(flat_a), np.sort(flat_b)
    # What is nearly the same in place is so in some other order too.
    if alike(sorted_a, sorted_b) and not alike(flat_a, flat_b):
        order = _transposition(a, b, alike)
        how = f", as after a transposition {list(order)} of the reference" if order else ""
        if order or alike(sorted_a, sorted_b, _SAME_VALUES):
            return "layout", f"the values are those of the reference in another order{how}"
    if a.shape != b.shape:
        return "wrong shape", result.message
    low, high = flat_a.min(), flat_a.max()
    beyond = int(((flat_b < low) | (flat_b > high)).sum())
    if beyond and alike(flat_a, np.clip(flat_b, low, high)):
        reached = flat_b[np.argmax(np.abs(flat_b))]
        return "saturation", (
            f"{beyond} of {a.size} elements are held in [{low:.6g}, {high:.6g}], "
            f"the reference reaches {reached:.6g}"
        )
    return "wrong values", _proportion(flat_a, flat_b, alike) or result.message


def _nonfinite(a: Array, b: Array) -> tuple[Kind, str] | None:
    finite = np.isfinite(b)
    infinite = np.isinf(a) & finite
    if infinite.any():
        least, largest = np.abs(b[infinite]).min(), np.abs(b[infinite]).max()
        return "overflow", (
            f"{int(infinite.sum())} of {a.size} elements are infinite, where the reference is from "
            f"{least:.6g} to {largest:.6g} in absolute value (F16 ends at 65504)"
        )
    nan = np.isnan(a) & ~np.isnan(b)
    if nan.any():
        return "NaN", f"{int(nan.sum())} of {a.size} elements are NaN, where the reference has numbers"
    number = np.isfinite(a) & ~finite
    if number.any():
        count = int(number.sum())
        return (
            "wrong values",
            f"{count} of {a.size} elements are numbers, where the reference is infinite or NaN",
        )
    return None


def _transposition(a: Array, b: Array, alike: Callable[[Array, Array], bool]) -> tuple[int, ...] | None:
    """The order of axes that makes the reference the result, if there is one of few axes."""
    if b.ndim > 5:
        return None
    orders = [o for o in itertools.permutations(range(b.ndim)) if o != tuple(range(b.ndim))]
    flat = a.reshape(-1)
    return next((o for o in orders if alike(flat, b.transpose(o).reshape(-1))), None)


def _proportion(a: Array, b: Array, alike: Callable[[Array, Array], bool]) -> str | None:
    """Whether the result is the reference times a factor, or plus an offset."""
    power = float(b @ b)
    factor = float(a @ b) / power if power else math.nan
    if math.isfinite(factor) and alike(a, factor * b):
        return f"every element is the reference's times {factor:.6g}"
    offset = float(np.mean(a - b))
    if alike(a, b + offset):
        return f"every element is the reference's plus {offset:.6g}"
    return None


# --- on the chip -------------------------------------------------------------------


def find_on_chip(
    final: Module,
    values: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    tolerance: Tolerance,
    bound: ElementBound | None = None,
    step: Step = silent,
) -> Divergence | None:
    """The first operation behind ``outputs`` that the simulated chip computes otherwise than the interpreter.

    A bmodel shows its outputs only. So every operation is compiled alone and run on the ``values`` of the
    interpreter. If all of them agree, the operations disturb each other: then the shortest beginning of the
    model that deviates is searched by halves. None if every beginning agrees too. ``bound`` is for the
    elements of one operation.
    """
    graph = Graph(final)
    chip = _Chip(final, graph, values, tolerance)
    needed = _ancestors(graph, outputs)
    with step("run every operation on the chip alone"):
        for op in needed:
            if graph.sources(op):
                found = chip.deviation(op, graph.sources(op), bound)
                if found:
                    return found
    with step("search the first operation that deviates"):
        beginning = [op for op in needed if graph.behind(results(op), ())]
        low, high = 0, len(beginning)  # the beginnings before `low` agree; that of `high` is not known to
        deviations: dict[int, Divergence] = {}
        while low < high:
            middle = (low + high) // 2
            op = beginning[middle]
            found = chip.deviation(op, graph.behind(results(op), ()))
            if found:
                deviations[middle] = found
                high = middle
            else:
                low = middle + 1
        return deviations.get(low)


def _ancestors(graph: Graph, outputs: Sequence[str]) -> list[OpInfo]:
    """The operations that ``outputs`` depend on, in order, model inputs left out."""
    needed = graph.needed(outputs)
    return [op for op in graph.ops if op.kind != "top.Input" and needed.intersection(results(op))]


@dataclass(frozen=True)
class _Chip:
    """The simulated chip, which is held against ``values`` of the interpreter."""

    final: Module
    graph: Graph
    values: Mapping[str, Array]
    tolerance: Tolerance

    def deviation(
        self, op: OpInfo, inputs: Sequence[str], bound: ElementBound | None = None
    ) -> Divergence | None:
        """What the chip makes of the operations from ``inputs`` to ``op``, if it is not the interpreter's."""
        names = results(op)
        try:
            part = Reproducer.of(cut.between(self.final, inputs, names), self.values)
            got = part.module.compile().run(part.inputs, detect_races=True)
        except TpumlirError as error:
            result = TensorResult(names[0], "missing", False, message=" ".join(str(error).split()))
            found = _divergence(op, self.graph, self.final, result, "fault", result.message)
            return replace(found, inputs=tuple(inputs))
        verdict = compare(got, part.outputs, names=names, tolerance=self.tolerance, bound=bound)
        if verdict.passed:
            return None
        result = verdict.failed[0]
        kind, detail = classify(got.get(result.name), part.outputs[result.name], result, self.tolerance)
        return replace(
            _divergence(op, self.graph, self.final, result, kind, detail),
            inputs=tuple(inputs),
            outputs=tuple(names),
        )


# --- reproducers -------------------------------------------------------------------

_SCRIPT = """#!/bin/sh
# Runs the operation by itself and compares it with its reference; ends with 0 if they agree.
cd "$(dirname "$0")" || exit 2
model_runner --model {model} --input op_inputs.npz --output got.npz || exit 2
npz_tool compare -v got.npz op_outputs.npz --tolerance {tolerance}
"""

_README = """# {tensor}

{report}

- `op.mlir`, `op_weight.npz`: the operation with the constants it reads
- `op_inputs.npz`: its inputs, as they are in the reference run
- `op_outputs.npz`: what it should compute: {reference}
{bmodel}
`sh run.sh` runs it and compares. When this folder was made the operation by itself {alone}.
"""


@dataclass(frozen=True)
class Finding:
    """A divergence with what shows it: the module, the reference run and what that is in words."""

    divergence: Divergence
    module: Module
    values: Mapping[str, Array]
    tolerance: Tolerance
    stage: str  # of the module: top, tpu or bmodel
    reference: str
    bound: ElementBound | None = None  # of the elements of one operation

    @property
    def on_chip(self) -> bool:
        """Whether the bmodel of the part is what deviates."""
        return self.stage == "bmodel"

    def reproducer(self) -> Reproducer:
        """The part with its data. Raises: InputError: a tensor that the reference lacks."""
        part = cut.between(self.module, self.divergence.inputs, self.divergence.outputs)
        return Reproducer.of(part, self.values)

    def isolate(self, folder: Path) -> Comparison:
        """Write the reproducer into ``folder``; returns how the part compares by itself.

        Raises: InputError: a tensor that the reference lacks; OSError.
        """
        part = self.reproducer()
        bmodel = part.module.compile() if self.on_chip else None
        got = bmodel.run(part.inputs) if bmodel else ModuleInterpreter(part.module).run(part.inputs)
        verdict = compare(
            got, part.outputs, tolerance=self.tolerance, bound=self.bound, label="the operation by itself"
        )
        folder.mkdir(parents=True, exist_ok=True)
        with all_or_none():
            CutFiles(folder / "op.mlir").save(part)
            if bmodel:
                bmodels.write(folder / "op.bmodel", bmodel)
            script = _SCRIPT.format(model="op.bmodel" if bmodel else "op.mlir", tolerance=self.tolerance)
            if self.bound:
                script = f"{script.rstrip()} --element_tolerance {self.bound.text}\n"
            for name, text in (("README.md", self._readme(verdict)), ("run.sh", script)):
                with atomic_write(folder / name) as stream:
                    stream.write(text.encode())
        return verdict

    def _readme(self, alone: Comparison) -> str:
        return _README.format(
            tensor=self.divergence.tensor,
            report="\n".join(f"    {line}" for line in self.divergence.lines()),
            reference=self.reference,
            bmodel="- `op.bmodel`: the operation compiled\n" if self.on_chip else "",
            alone="agreed: the difference comes from outside" if alone.passed else "differed as well",
        )


_REFERENCES = {
    "top": "what ONNX Runtime computes with the original model",
    "tpu": "what the interpreter computes with the Top module",
    "bmodel": "what the interpreter computes with the Tpu module",
}


def findings(
    module: Module, verdict: Comparison, got: Mapping[str, Array], want: Mapping[str, Array], stage: str
) -> list[Finding]:
    """Where a failed validation first goes wrong."""
    if verdict.passed:
        return []
    found = find(module, verdict, got, want)
    return (
        [Finding(found, module, want, verdict.tolerance, stage, _REFERENCES[stage], verdict.bound)]
        if found
        else []
    )


def findings_on_chip(
    final: Module, verdict: Comparison, tensors: Mapping[str, Array], bound: ElementBound, step: Step
) -> list[Finding]:
    """The operation whose bmodel deviates; a bmodel shows nothing but its outputs, so it is searched."""
    failed = [result.name for result in verdict.failed]
    found = find_on_chip(final, tensors, failed, tolerance=verdict.tolerance, bound=bound, step=step)
    stage = "bmodel"
    return (
        [Finding(found, final, tensors, verdict.tolerance, stage, _REFERENCES[stage], bound)] if found else []
    )
