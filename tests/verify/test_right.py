"""What is right is found to be so: groups in any cut, all precisions, and all of it is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import grouping
import tpumlir
from group_cases import CASES, Case, Net
from harness import PRECISIONS
from quantized import calibrated
from tpumlir.verify import Reference, Verification, verify

CUTS = [(1, 2), (1, 3), (2, 1), (2, 2), (1, 5)]


def verified(final: tpumlir.Module, inputs: dict[str, Any], **options: Any) -> Verification:
    return verify(final.compile(), Reference.of(final, inputs), **options)


def _is_seen(found: Verification) -> None:
    """Everything is seen that somebody reads; what is an address in a group has no place."""
    assert found.read == found.places
    assert found.ran == found.commands
    unseen = {row.op for row in found.unseen if not row.seen}
    assert unseen <= {"tpu.Slice", "tpu.Reshape"}


@pytest.mark.parametrize("number", range(0, len(CASES), 2), ids=lambda i: CASES[i].name)
def test_cases_of_groups_pass(number: int) -> None:
    """Each in another precision, in groups or not, as it comes."""
    case, precision = CASES[number], PRECISIONS[number % 3]
    tpu, inputs = case.lowered(cast("Any", precision))
    found = verified(tpu.finalize(opt=0 if number % 4 else 2), inputs)
    assert found.passed, found.findings
    _is_seen(found)


def _top(case: Case) -> tuple[tpumlir.Module, dict[str, Any]]:
    g = Net()
    outputs = case.build(g)
    return tpumlir.load_onnx(g.proto([outputs] if isinstance(outputs, str) else outputs)), g.data


@pytest.mark.parametrize("case", CASES[::9], ids=str)
def test_int8_is_exact(case: Case) -> None:
    top, inputs = _top(case)
    tpu = top.lower("INT8", calibration_table=calibrated(top, [inputs], 0.9))
    found = verified(tpu.finalize(), inputs)
    assert found.passed, found.findings
    integers = [row for row in found.tensors if row.dtype in {"i8", "u8"} and row.seen]
    assert {row.verdict for row in integers} <= {"equal", "right"}
    _is_seen(found)


@pytest.mark.parametrize("case", [case for case in CASES if case.together][::7], ids=str)
def test_every_cut_passes(case: Case) -> None:
    tpu, inputs = case.lowered("F32")
    ungrouped = tpu.finalize(opt=0)
    for span in grouping.spans(tpu.finalize())[:2]:
        for n, h in CUTS:
            final = grouping.forced(ungrouped, [replace(span, n=n, h=h)])
            if final is None:
                continue
            found = verified(final, inputs)
            assert found.passed, (span, n, h, found.findings)
            _is_seen(found)
            assert max(place.slice for place in found.pieces) >= n * h - 1


def test_a_reference_may_lack_tensors() -> None:
    tpu, inputs = next(case for case in CASES if case.name == "attention").lowered("F16")
    final = tpu.finalize()
    whole = Reference.of(final, inputs)
    few = {spec.name: whole.values[spec.name] for spec in final.outputs}
    found = verify(final.compile(), Reference(inputs, few, final))
    assert found.passed
    assert {row.verdict for row in found.tensors} <= {"equal", "right"}


def test_without_a_module_tensors_are_compared_with_the_reference() -> None:
    tpu, inputs = next(case for case in CASES if case.name == "attention").lowered("F32")
    final = tpu.finalize()
    model, whole = final.compile(), Reference.of(final, inputs)
    assert verify(model, Reference(inputs, whole.values)).passed
    name = "matmul4"
    other = dict(whole.values) | {name: whole.values[name] + np.float32(1)}
    found = verify(model, Reference(inputs, other))
    assert not found.passed
    assert found.first is not None
    assert found.first.tensor == name


def test_a_reference_of_other_inputs_is_no_reference() -> None:
    """Operations are judged by the operands that the chip had, so each is right; the outputs are not."""
    case = next(case for case in CASES if case.name == "attention")
    tpu, inputs = case.lowered("F16")
    final = tpu.finalize()
    rng = np.random.default_rng(9)
    other = {name: rng.standard_normal(value.shape).astype(np.float32) for name, value in inputs.items()}
    found = verify(final.compile(), Reference(inputs, Reference.of(final, other).values, final))
    assert not found.passed
    assert {one.kind for one in found.causes} == {"drift"}


def test_exact_asks_for_the_integers_of_the_reference() -> None:
    case = next(case for case in CASES if case.name == "attention")
    top, inputs = _top(case)
    final = top.lower("INT8", calibration_table=calibrated(top, [inputs])).finalize()
    model, whole = final.compile(), Reference.of(final, inputs)
    assert verify(model, whole, exact=True).passed
    # A step of one element in the middle, as a reference of other hardware may have it.
    homes = model.debug.tensors
    name = next(
        n for n in homes if isinstance(homes[n].scale, float) and n in whole.values and not n.startswith("x")
    )
    value, scale = whole.values[name].copy(), homes[name].scale
    assert isinstance(scale, float)
    value.reshape(-1)[3] += np.float32(scale)
    changed = Reference(inputs, {**whole.values, name: value}, final)
    assert verify(model, changed).passed
    found = verify(model, changed, exact=True)
    assert [one.tensor for one in found.causes] == [name]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "quantize"), [("ppocr_cls", "F16"), ("mtcnn_onet", "F32"), ("magika", "BF16")]
)
def test_models_of_the_corpus_pass(name: str, quantize: str, corpus: Path) -> None:
    with np.load(corpus / f"{name}.npz") as archive:
        inputs = dict(archive)
    shapes = {key: list(value.shape) for key, value in inputs.items()}
    final = tpumlir.load_onnx(corpus / f"{name}.onnx", input_shapes=shapes).lower(quantize).finalize(opt=1)
    found = verified(final, inputs)
    assert found.passed, found.findings
    _is_seen(found)
