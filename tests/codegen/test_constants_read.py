"""Whatever constants a bmodel has, its commands read: none lies there that a pass made others of.

And however they come, and wherever the columns of windows are put together, integers stay the same.
"""

from __future__ import annotations

import numpy as np
import pytest

import tpumlir
from group_cases import CASES, Array, Case, Net
from quantized import calibrated
from tpumlir._core import isa
from tpumlir.bmodel.profile import profile

PAGE = 4096  # each constant, and the image of each group, begins at one


def stem(channels: int, kernel: int, stride: int) -> Case:
    """The first convolution of a network: columns of its windows become channels."""

    def build(g: Net) -> str:
        a = g.conv(g.x(1, channels, 40, 40), channels, 32, kernel, strides=[stride, stride])
        return g.op("Relu", g.conv(g.op("Relu", a), 32, 80, 1))

    return Case(f"stem_{channels}_{kernel}_{stride}", build)


def picture(g: Net) -> str:
    """Colours come last, and some columns of the windows are loaded."""
    a = g.conv(g.op("Transpose", g.x(2, 20, 22, 3), perm=[0, 3, 1, 2]), 3, 130, 3)
    return g.conv(g.op("Relu", a), 130, 24, 3, strides=[2, 2])


def classifier(g: Net) -> str:
    a = g.op("Sigmoid", g.conv(g.x(1, 8, 12, 12), 8, 24, 3, group=8))
    pooled = g.op("Flatten", g.op("GlobalAveragePool", g.op("PRelu", a, g.w(24, 1, 1))))
    return g.op("Gemm", pooled, g.w(24, 10), g.w(10))


def shared(g: Net) -> str:
    """One constant for two, of which one wants it in another form."""
    w = g.w(8, 8, 3, 3)
    a = g.op("Conv", g.x(1, 8, 10, 10), w)
    return g.op("Add", g.op("Conv", a, w), g.op("ReduceSum", g.op("Mul", w, w), keepdims=0))


TABLE = [
    stem(3, 3, 2),
    stem(1, 5, 1),
    stem(3, 7, 2),
    stem(5, 3, 1),
    Case("picture", picture),
    Case("classifier", classifier),
    Case("shared", shared),
    *(case for case in CASES if case.name in ("chain", "residual", "concat_c", "attention")),
]
NETWORK_MODES = ("F32", "F16", "INT8")


def lowered(case: Case, mode: str) -> tuple[tpumlir.Module, dict[str, Array]]:
    """The Tpu module, and an input."""
    g = Net()
    outputs = case.build(g)
    top = tpumlir.load_onnx(g.proto([outputs] if isinstance(outputs, str) else outputs))
    table = calibrated(top, [g.data]) if mode == "INT8" else None
    return top.lower(mode, calibration_table=table), g.data


@pytest.mark.parametrize("opt", [0, 2])
@pytest.mark.parametrize("mode", NETWORK_MODES)
@pytest.mark.parametrize("case", TABLE, ids=str)
def test_commands_read_every_page_of_constants(case: Case, mode: str, opt: int) -> None:
    model = lowered(case, mode)[0].finalize(opt=opt).compile()
    pages: set[int] = set()
    for group in model.groups:
        for command in isa.decode("gdma", group.gdma):
            for _, role, address, length in isa.global_accesses(command):
                begin = address - model.coeff_addr
                if role == "read" and 0 <= begin < len(model.coeff):
                    assert length is not None
                    pages |= set(range(begin // PAGE, (begin + length - 1) // PAGE + 1))
    assert pages == set(range(-(-len(model.coeff) // PAGE)))


@pytest.mark.parametrize("case", [case for case in TABLE if case.name != "attention"], ids=str)
def test_integers_are_those_of_single_operations_and_of_the_interpreter(case: Case) -> None:
    module, inputs = lowered(case, "INT8")
    want = tpumlir.ModuleInterpreter(module).run(inputs)
    for opt in (0, 2):
        got = module.finalize(opt=opt).compile().run(inputs, detect_races=True)
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize("mode", NETWORK_MODES)
def test_constants_of_small_kernels_come_together(mode: str) -> None:
    """Of a lane 256 bytes are counted at least; each of these kernels takes fewer."""

    def build(g: Net) -> str:
        a = g.x(1, 16, 12, 12)
        for _ in range(8):
            a = g.op("Relu", g.conv(a, 16, 16, 1))
        return a

    low, inputs = lowered(Case("narrow", build), mode)
    bmodel = low.finalize().compile()
    kernels = [row for row in profile(bmodel).ops if row.op == "tpu.Conv2D"]
    assert len(kernels) == 8
    assert sum(row.sums.load > 0 for row in kernels) == 3  # the first kernel's, and those of the others
    (want,) = low.finalize(opt=0).compile().run(inputs).values()
    (got,) = bmodel.run(inputs, detect_races=True).values()
    np.testing.assert_array_equal(got, want)
