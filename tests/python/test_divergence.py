"""The first operation that goes wrong: found, classified, cut out, for differences put in on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from onnx import TensorProto, helper
from tpumlir import npz
from tpumlir.compare import F32_TOLERANCE, TensorResult, compare
from tpumlir.road.divergence import Divergence, Finding, classify, find, find_on_chip

Array = npt.NDArray[Any]
RNG = np.random.default_rng(11)
X = RNG.standard_normal((1, 3, 4, 5)).astype(np.float32)


def module() -> tpumlir.Module:
    """x -> a -> b -> c, and x -> d; both end in y = c + d."""
    nodes = [
        helper.make_node(op, sources, [target], name=f"node_{target}")
        for op, sources, target in (
            ("Tanh", ["x"], "a"), ("Exp", ["a"], "b"), ("Sigmoid", ["b"], "c"), ("Abs", ["x"], "d"),
            ("Add", ["c", "d"], "y"),
        )
    ]  # fmt: skip
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return tpumlir.load_onnx(proto, optimize=False)


TOP = module()
WANT = {"x": X} | tpumlir.ModuleInterpreter(TOP).run({"x": X}, all_tensors=True)


def diverged(
    changed: Mapping[str, Array], *, judged: tuple[str, ...] = ("a", "b", "c", "d", "y")
) -> Divergence:
    got = {**WANT, **changed}
    verdict = compare(got, WANT, names=judged)
    found = find(TOP, verdict, got, WANT)
    assert found is not None
    return found


def test_the_first_in_order_is_named_not_the_worst() -> None:
    found = diverged({"b": WANT["b"] + 1, "c": WANT["c"] * 9, "y": WANT["y"] * 99})
    assert (found.tensor, found.op, found.node, found.others) == ("b", "top.Exp", "node_b", 0)
    assert (found.inputs, found.outputs) == (("a",), ("b",))
    assert found.operands == ("a 1x3x4x5",)
    assert found.command(Path("m.mlir"), Path("r.npz")) == (
        "mlir_cut --mlir m.mlir --mode io --input_names a --output_names b --ref_data r.npz"
    )


def test_an_independent_second_one_is_counted() -> None:
    assert diverged({"b": WANT["b"] + 1, "d": WANT["d"] + 1, "y": WANT["y"] + 5}).others == 1


def test_a_tensor_that_was_not_judged_agrees_if_its_inputs_do() -> None:
    found = diverged({"c": WANT["c"] + 1, "y": WANT["y"] + 1}, judged=("a", "c", "d", "y"))
    assert (found.tensor, found.inputs, found.others) == ("c", ("a",), 0)
    found = diverged({"a": WANT["a"] + 1, "c": WANT["c"] + 1}, judged=("a", "c"))
    assert (found.tensor, found.others) == ("a", 0)


def test_nothing_is_found_where_nothing_failed() -> None:
    assert find(TOP, compare(WANT, WANT), WANT, WANT) is None


def put(value: float, *, where: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda want: np.where(where(want), np.float32(value), want)


@pytest.mark.parametrize(
    ("damage", "kind", "detail"),
    [
        (put(np.inf, where=lambda w: w > 1), "overflow", "are infinite, where the reference is from 1"),
        (put(np.nan, where=lambda w: w > 1), "NaN", "elements are NaN"),
        (lambda w: np.clip(w, -1, 1), "saturation", "are held in [-1, 1], the reference reaches"),
        (lambda w: w.transpose(0, 2, 3, 1).reshape(w.shape), "layout", "transposition [0, 2, 3, 1]"),
        (lambda w: np.roll(w, 7), "layout", "in another order"),
        (lambda w: w.transpose(0, 2, 3, 1), "layout", "after a transposition [0, 2, 3, 1]"),
        (lambda w: w[:, :2], "wrong shape", "expected shape [1, 3, 4, 5], got [1, 2, 4, 5]"),
        (lambda w: w * 0.5, "wrong values", "the reference's times 0.5"),
        (lambda w: w + 3, "wrong values", "the reference's plus 3"),
        (lambda w: np.random.default_rng(3).standard_normal(w.shape), "wrong values", "expected similarity"),
        (lambda w: (w * 9).astype(np.int32), "wrong type", "expected data type"),
    ],
)  # fmt: skip
def test_differences_are_told_apart(damage: Callable[[Array], Array], kind: str, detail: str) -> None:
    got = damage(X)
    verdict = compare({"t": got}, {"t": X})
    found = classify(got, X, verdict.failed[0], F32_TOLERANCE)
    assert found[0] == kind
    assert detail in found[1]


def test_samples_of_one_distribution_are_not_another_order() -> None:
    got, want = (np.random.default_rng(seed).standard_normal(200_000) for seed in (1, 2))
    verdict = compare({"t": got}, {"t": want})
    assert classify(got, want, verdict.failed[0], F32_TOLERANCE)[0] == "wrong values"


def test_a_missing_tensor_is_missing() -> None:
    assert (
        classify(None, X, TensorResult("t", "missing", False, message="none"), F32_TOLERANCE)[0] == "missing"
    )


def test_infinities_of_the_reference_are_no_overflow() -> None:
    want = np.where(X > 1, np.float32(np.inf), X)
    verdict = compare({"t": X}, {"t": want})
    assert classify(X, want, verdict.failed[0], F32_TOLERANCE)[0] == "wrong values"


# --- the reproducer -------------------------------------------------------------


def run_script(folder: Path) -> int:
    """``run.sh`` with the commands of this interpreter."""
    commands = folder / "commands"
    commands.mkdir()
    for name in ("model_runner", "npz_tool"):
        command = commands / name
        text = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{text}" {name} "$@"\n')
        command.chmod(0o755)
    package = str(Path(tpumlir.__file__).parents[1])
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": package}
    return subprocess.run(
        ["sh", "run.sh"], cwd=folder, env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize("on_chip", [False, True])
def test_the_reproducer_runs_as_it_stands(tmp_path: Path, on_chip: bool) -> None:
    wrong = {**WANT, "b": WANT["b"] + 1}
    found = find(TOP, compare(WANT, wrong, names=["a", "b", "c"]), WANT, wrong)
    assert found is not None
    subject = TOP.lower().finalize() if on_chip else TOP
    finding = Finding(found, subject, wrong, F32_TOLERANCE, "bmodel" if on_chip else "top", "numbers")
    assert not finding.isolate(tmp_path / "r").passed
    names = {path.name for path in (tmp_path / "r").iterdir()}
    expected = {"op.mlir", "op_weight.npz", "op_inputs.npz", "op_outputs.npz", "README.md", "run.sh"}
    assert names - {"op.bmodel.json"} == expected | ({"op.bmodel"} if on_chip else set())
    readme = (tmp_path / "r" / "README.md").read_text()
    assert "by itself differed as well" in readme
    assert "top.Exp" in readme
    assert run_script(tmp_path / "r") == 1
    npz.save(tmp_path / "r" / "op_outputs.npz", {"b": WANT["b"]})
    for path in (tmp_path / "r" / "commands").iterdir():
        path.unlink()
    (tmp_path / "r" / "commands").rmdir()
    assert run_script(tmp_path / "r") == 0


# --- on the chip ----------------------------------------------------------------


def test_the_first_operation_that_the_chip_computes_otherwise_is_found() -> None:
    final = TOP.lower().finalize()
    values = {"x": X} | tpumlir.ModuleInterpreter(final).run({"x": X}, all_tensors=True)
    # What the interpreter says is changed in place of a fault of the chip: c and what follows would disagree.
    values["c"] = values["c"] + 1
    found = find_on_chip(final, values, ["y"], tolerance=F32_TOLERANCE)
    assert found is not None
    assert (found.tensor, found.node, found.kind) == ("c", "node_c", "wrong values")
    assert found.inputs == ("b",)


def test_operations_that_disturb_each_other_are_found_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip that computes every operation right alone, and everything from the third on wrong in a row."""
    final = TOP.lower().finalize()
    values = {"x": X} | tpumlir.ModuleInterpreter(final).run({"x": X}, all_tensors=True)
    generate = tpumlir.Module.compile

    class Disturbed:
        def __init__(self, part: tpumlir.Module) -> None:
            self.model = generate(part)
            self.count = sum(op.kind != "top.Input" for op in part.ops())

        def run(self, inputs: Mapping[str, Array], **options: Any) -> dict[str, Array]:
            results = self.model.run(dict(inputs), **options)
            return {name: value + (self.count >= 3) for name, value in results.items()}

    def disturbed(part: tpumlir.Module) -> Disturbed:
        return Disturbed(part)

    monkeypatch.setattr(tpumlir.Module, "compile", disturbed)
    found = find_on_chip(final, values, ["y"], tolerance=F32_TOLERANCE)
    assert found is not None
    assert (found.tensor, found.inputs) == ("c", ("x",))


def test_a_chip_that_is_right_has_no_divergence() -> None:
    final = TOP.lower().finalize()
    values = {"x": X} | tpumlir.ModuleInterpreter(final).run({"x": X}, all_tensors=True)
    assert find_on_chip(final, values, ["y"], tolerance=F32_TOLERANCE) is None
