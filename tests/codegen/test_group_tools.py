"""What is done with modules that have groups: the same bytes again, cuts, the search for a divergence."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import grouping
import tpumlir
from group_cases import CASES, Case
from harness import DEVICE_TOLERANCES, PRECISIONS, Precision
from tpumlir.bmodel.profile import profile
from tpumlir.compare import compare
from tpumlir.ir import cut
from tpumlir.road.divergence import find_on_chip
from tpumlir.tensors import TensorSpec

Values = dict[str, npt.NDArray[np.float32]]
BY_NAME = {case.name: case for case in CASES}
SOME = (
    "chain_3x3",
    "residual",
    "separable",
    "squeezed_even",
    "sliced_input",
    "computed_filter",
    "recurrence",
)
some = pytest.mark.parametrize("name", SOME)


@cache
def lowered(case: Case, precision: Precision) -> tuple[tpumlir.Module, Values]:
    return case.lowered(precision)


def inner(final: tpumlir.Module) -> list[str]:
    """Tensors of groups that stay in local memory."""
    outputs = {spec.name for spec in final.outputs}
    members = [op for op in final.ops() if op.kind.startswith("tpu.")]
    names: list[str] = []
    for span in grouping.spans(final):
        own, others = members[span.begin : span.end], members[: span.begin] + members[span.end :]
        left = outputs.union(*(op.operands for op in others))
        names += [result.name for op in own for result in op.results if result.name not in left]
    return names


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bytes_again(case: Case) -> None:
    module, _ = lowered(case, "F16")
    first, again = (module.clone().finalize() for _ in range(2))
    assert first.print() == again.print()
    assert first.compile() == again.compile()


@some
@pytest.mark.parametrize("level", [1, 3])
def test_any_effort_gives_the_same_results(name: str, level: int) -> None:
    module, inputs = lowered(BY_NAME[name], "F16")
    want = module.finalize(opt=0).compile().run(inputs)
    got = module.finalize(opt=level).compile().run(inputs, detect_races=True)
    verdict = compare(got, want, tolerance=DEVICE_TOLERANCES["F16"])
    assert verdict.passed, verdict


@pytest.mark.parametrize("case", CASES, ids=str)
def test_more_effort_finds_no_slower_groups(case: Case) -> None:
    module, _ = lowered(case, "F16")
    cycles = [profile(module.finalize(opt=level).compile(), names=False).cycles for level in (0, 1, 2, 3)]
    # Groups are priced one by one; where they meet, a wait may be a little longer.
    assert all(more <= 1.02 * less for less, more in pairwise(cycles)), cycles


_SCRIPT = """
import sys
import tpumlir
module = tpumlir.Module.load(sys.argv[1])
final = module.finalize()
model = final.compile()
sys.stdout.buffer.write(final.print().encode() + model.coeff)
for group in model.groups:
    sys.stdout.buffer.write(group.tiu + group.gdma)
"""


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    module, _ = lowered(BY_NAME["residual"], "BF16")
    module.save(tmp_path / "m.mlir")
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(tmp_path / "m.mlir")],
            env=os.environ | {"OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "5")
    ]
    assert outputs[0]
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.parametrize("precision", PRECISIONS)
@some
def test_a_cut_inside_of_a_group_computes_what_the_whole_does(name: str, precision: Precision) -> None:
    module, inputs = lowered(BY_NAME[name], precision)
    final = module.finalize()
    values = inputs | tpumlir.ModuleInterpreter(final).run(inputs, all_tensors=True)
    assert set(inner(final)) <= set(values)
    points = inner(final)[:: max(1, len(inner(final)) // 6)]
    assert points
    for point in points:
        for part in (
            cut.backwards(final, [point], 2),
            cut.between(final, _sources(final, point), [point]),
            cut.forwards(final, [point], 2),
        ):
            given = {spec.name: _outer(spec, values) for spec in part.inputs}
            want = {spec.name: _outer(spec, values) for spec in part.outputs}
            got = part.compile().run(given, detect_races=True)
            label = f"{list(given)} to {list(want)}"
            verdict = compare(got, want, tolerance=DEVICE_TOLERANCES[precision], label=label)
            assert verdict.passed, verdict
            said = tpumlir.ModuleInterpreter(part).run(given)
            verdict = compare(said, want, tolerance=DEVICE_TOLERANCES[precision], label=label)
            assert verdict.passed, verdict


def _sources(final: tpumlir.Module, name: str) -> list[str]:
    """The model inputs that a tensor depends on."""
    operands = {result.name: op.operands for op in final.ops() for result in op.results}
    inputs = [spec.name for spec in final.inputs]
    reached, todo = set(), [name]
    while todo:
        tensor = todo.pop()
        if tensor not in reached and tensor in operands:
            reached.add(tensor)
            todo += [] if tensor in inputs else operands[tensor]
    return [tensor for tensor in inputs if tensor in reached]


def _outer(spec: TensorSpec, values: Values) -> npt.NDArray[np.float32]:
    return values[spec.name].astype(spec.numpy_dtype)


@some
def test_the_first_divergence_is_found_inside_of_a_group(name: str) -> None:
    module, inputs = lowered(BY_NAME[name], "F32")
    final = module.finalize()
    values = inputs | tpumlir.ModuleInterpreter(final).run(inputs, all_tensors=True)
    outputs = [spec.name for spec in final.outputs]
    tolerance = DEVICE_TOLERANCES["F32"]
    assert find_on_chip(final, values, outputs, tolerance=tolerance) is None
    # What the interpreter says is changed in place of a fault of the chip.
    point = inner(final)[len(inner(final)) // 2]
    found = find_on_chip(final, values | {point: values[point] + 1}, outputs, tolerance=tolerance)
    assert found is not None
    assert (found.tensor, found.kind) == (point, "wrong values")
