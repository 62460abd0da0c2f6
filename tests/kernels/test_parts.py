"""Parts of tensors that need no copy: read where they lie, in one piece, with nothing written over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

import onnx
import tpumlir
from graphs import Graph
from tpumlir._core.interpreter import Interpreter

Array = npt.NDArray[Any]
Net = Callable[["Parts"], list[str]]


class Parts(Graph):
    """An ONNX graph over an input ``x``, with parts of its tensors."""

    def part(self, tensor: str, axis: int, begin: int, end: int, step: int = 1) -> str:
        """Elements of an axis."""
        return self.op("Slice", tensor, *(self.ints(one) for one in (begin, end, axis, step)))

    def over(self, shape: tuple[int, ...], outputs: list[str]) -> onnx.ModelProto:
        """The model for an input of this shape."""
        self.input("x", *shape)
        self.output(*outputs)
        return self.model()


def used_with_the_whole(net: Parts) -> list[str]:
    """The sum may be written over ``y``, were its first row not read for all of them."""
    y = net.op("Softmax", "x", axis=-1)
    return [net.op("Add", y, net.part(y, 0, 0, 1))]


def last_row_with_the_whole(net: Parts) -> list[str]:
    """As before; the row that is read is the one that is written last."""
    y = net.op("Softmax", "x", axis=-1)
    return [net.op("Mul", net.part(y, 0, 5, 6), y)]


def halves_of_one(net: Parts) -> list[str]:
    """The halves have the size of the result, and neither may be written over."""
    y = net.op("Softmax", "x", axis=-1)
    first, second = net.part(y, 0, 0, 3), net.part(y, 0, 3, 6)
    crossed = net.op("Sub", second, net.op("Softmax", first, axis=-1))
    return [net.op("Softmax", crossed, axis=0), net.op("Div", first, second)]


def an_output(net: Parts) -> list[str]:
    """A part is an output, and so is what it is a part of."""
    y = net.op("Softmax", "x", axis=-1)
    return [net.part(y, 0, 1, 3), y, net.op("Relu", net.part(y, 0, 2, 4))]


def of_the_input(net: Parts) -> list[str]:
    """What the caller gives is read where it is."""
    part = net.part("x", 0, 2, 6)
    return [part, net.op("Softmax", part, axis=-1), net.op("Softmax", net.part(part, 0, 3, 4), axis=-1)]


def of_a_part(net: Parts) -> list[str]:
    """A part of a part in another shape."""
    y = net.op("Softmax", "x", axis=-1)
    outer = net.op("Reshape", net.part(y, 0, 2, 6), net.ints(4, 2, 2, 2))
    inner = net.part(net.part(outer, 0, 1, 2), 1, 1, 2)
    return [net.op("Softmax", inner, axis=-1), net.op("Softmax", net.part(inner, 2, 0, 1), axis=-1)]


def turned(net: Parts) -> list[str]:
    """A part of what lies in another order than its axes say."""
    y = net.op("Transpose", net.op("Softmax", "x", axis=-1), perm=[1, 0])
    return [net.op("Softmax", part, axis=0) for part in (net.part(y, 1, 1, 4), net.part(y, 0, 1, 4))]


def not_in_one_piece(net: Parts) -> list[str]:
    """Columns, every second row, and rows backwards."""
    y = net.op("Softmax", "x", axis=-1)
    parts = net.part(y, 1, 2, 5), net.part(y, 0, 0, 6, 2), net.part(y, 0, 5, -7, -1)
    return [net.op("Softmax", part, axis=-1) for part in parts]


def one_backwards(net: Parts) -> list[str]:
    """The step of one element says nothing."""
    y = net.op("Softmax", "x", axis=-1)
    return [net.op("Softmax", part, axis=-1) for part in (net.part(y, 0, 4, 3, -1), net.part(y, 0, 3, 6, 5))]


NETS: tuple[Net, ...] = (
    used_with_the_whole,
    last_row_with_the_whole,
    halves_of_one,
    an_output,
    of_the_input,
    of_a_part,
    turned,
    not_in_one_piece,
    one_backwards,
)


@dataclass(frozen=True)
class Shaped:
    """A module of one of the nets, and its reference."""

    module: tpumlir.Module
    session: onnxruntime.InferenceSession

    @classmethod
    def of(cls, net: Net) -> Shaped:
        """Built for an input of 6 x 8."""
        parts = Parts()
        model = parts.over((6, 8), net(parts))
        return cls(tpumlir.load_onnx(model), onnxruntime.InferenceSession(model.SerializeToString()))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_parts_are_what_they_would_be_as_copies(net: Net) -> None:
    shaped = Shaped.of(net)
    interpreter = tpumlir.ModuleInterpreter(shaped.module)
    for seed in range(2):  # the second one finds what the first one left in memory
        x = np.random.default_rng(seed).standard_normal((6, 8), np.float32)
        want = shaped.session.run(None, {"x": x})
        got = interpreter.run({"x": x})
        for name, value in zip([one.name for one in shaped.session.get_outputs()], want, strict=True):
            np.testing.assert_allclose(got[name], value, rtol=2e-6, atol=1e-7, err_msg=name)


def test_a_part_in_one_piece_takes_no_step() -> None:
    def steps(net: Net) -> int:
        interpreter = Interpreter(Shaped.of(net).module.core)
        interpreter.run({"x": np.ones((6, 8), np.float32)})
        return sum(name == "loop:copy" for _, _, name in interpreter.implementations())

    assert steps(of_a_part) == 0
    assert steps(not_in_one_piece) == 3


def test_a_small_part_of_a_great_tensor_does_not_hold_it() -> None:
    """The rows that are kept to the end are copied: the great tensor's memory is used again."""

    def peak(rows: int) -> int:
        parts = Parts()
        y, kept = "x", []
        for _ in range(4):
            y = parts.op("Softmax", y, axis=-1)
            kept.append(parts.part(y, 0, 0, rows))
        # Joined at the end, and the importer goes from the outputs back: the parts are made on the way.
        outputs = [parts.op("Concat", *kept, axis=0), parts.op("Softmax", y, axis=0)]
        module = tpumlir.load_onnx(parts.over((512, 1024), outputs))
        interpreter = Interpreter(module.core)
        interpreter.run({"x": np.ones((512, 1024), np.float32)})
        return int(interpreter.workspace_bytes)

    assert peak(8) <= 3 * 512 * 1024 * 4
