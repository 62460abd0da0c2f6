"""Another batch, or another extent, than a file or a program has: what is fixed, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper
from tpumlir.cli import main as tpumlir_main
from tpumlir.extents import advice_on_file, advice_on_program
from tpumlir.onnx.indexing import resolve_reshape

AGAIN = "export the model again with"
# What the file declares, what is given, and what is said of it.
FILE: dict[str, tuple[Sequence[int | None] | None, Sequence[int], str]] = {
    "fits": ((1, 3, 4), (1, 3, 4), ""),
    "open": ((None, 3, 4), (8, 3, 4), ""),
    "unknown_rank": (None, (8, 3), ""),
    "another_rank": ((1, 3), (1, 3, 1), ""),
    "batch": (
        (1, 3),
        (8, 3),
        f"batch is fixed at 1 in the file: give 1 and run 1 at a time, or {AGAIN} a dyn",
    ),
    "batch_of_4": ((4, 3), (1, 3), "batch is fixed at 4 in the file: give 4 and run 4 at a time"),
    "a_vector_has_no_batch": ((4,), (5,), "axis 0 is fixed at 4 in the file: give 4 there, or "),
    "height": ((None, 3, 8), (2, 3, 9), "axis 2 is fixed at 8 in the file: give 8 there, or "),
    "two": ((None, 3, 8, 8), (2, 3, 9, 7), "axes 2, 3 are fixed at 8, 8 in the file: give these, or "),
    "batch_and_height": ((1, 8), (2, 9), "axes 0, 1 are fixed at 1, 8 in the file"),
}


@pytest.mark.parametrize("name", FILE)
def test_what_is_said_of_a_file(name: str) -> None:
    declared, got, want = FILE[name]
    text = advice_on_file(declared, got)
    assert want in text
    assert bool(want) == bool(text) == (AGAIN in text)


@pytest.mark.parametrize(
    ("want", "got", "text"),
    [
        ((1, 3), (8, 3), "its batch is fixed at 1: run 1 at a time, or import the model again"),
        ((1, 3), (1, 4), ""),
        ((1, 3), (1, 3, 1), ""),
        ((3,), (4,), ""),
    ],
)
def test_what_is_said_of_a_program(want: Sequence[int], got: Sequence[int], text: str) -> None:
    assert text in advice_on_program(want, got)
    assert bool(text) == bool(advice_on_program(want, got))


@pytest.mark.parametrize(
    ("shape", "target", "advice"),
    [
        ((2, 3, 4), [1, 12], True),
        ((8, 3, 4), [4, 12], True),
        ((2, 3, 4), [1, 3, 4], True),
        ((2, 3, 4), [2, 13], False),
        ((2, 3, 4), [5, 7], False),
        ((), [2], False),
        ((2,), [], False),
        ((2, 0), [3], False),
    ],
)
def test_a_batch_that_a_constant_shape_fixes(shape: tuple[int, ...], target: list[int], advice: bool) -> None:
    with pytest.raises(ValueError, match="expected a shape of") as caught:
        resolve_reshape(shape, target)
    assert ("give a batch of" in str(caught.value)) == advice
    if advice:
        assert resolve_reshape((target[0], *shape[1:]), target) == target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    for name, batch in (("one", 1), ("open", "N")):
        graph = helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"{name}.onnx")
    for batch in (1, 2):
        array = np.ones((batch, 3), np.float32)
        np.savez(folder / f"{batch}.npz", x=array)
        np.save(folder / f"{batch}.npy", array)
    compiled = ["compile", "one.onnx", "-o", "one.bmodel", "--test_input", "1.npz"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tpumlir_main.main(compiled) == 0
    return folder


IN_FILE = "its batch is fixed at 1 in the file: give 1 and run 1 at a time"
IN_PROGRAM = (
    "its batch is fixed at 1: run 1 at a time, or import the model again with --input_shapes for a batch"
)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("check one.onnx --input_shapes [[2,3]]", IN_FILE),
        ("compile one.onnx --input_shapes [[2,3]] -o m.bmodel", IN_FILE),
        ("compile one.onnx --test_input 2.npz -o m.bmodel", IN_FILE),
        ("compile one.onnx --test_input 2.npy -o m.bmodel", IN_FILE),
        (
            "model_transform --model_name m --model_def one.onnx --mlir m.mlir --test_input 2.npz "
            "--test_result r.npz",
            IN_FILE,
        ),
        ("compile open.onnx --input_shapes [[1,3]] --test_input 2.npz -o m.bmodel", IN_PROGRAM),
        ("model_runner --model one.bmodel --input 2.npz --output r.npz", IN_PROGRAM),
    ],
)
def test_commands_say_so(
    command: str,
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert tpumlir_main.main(command.split()) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "compile one.onnx --test_input 1.npz -o m.bmodel",  # one at a time
        "compile open.onnx --input_shapes [[2,3]] --test_input 2.npz -o m.bmodel",  # imported again
        "compile open.onnx --test_input 2.npz -o m.bmodel",
    ],
)
def test_the_advice_works(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert tpumlir_main.main(command.split()) == 0
