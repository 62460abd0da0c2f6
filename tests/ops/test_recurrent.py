"""Rows of RNN, GRU and LSTM: directions, layouts, states, lengths, activations, operands at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import ABSENT, OpCase, Operand, Stage, check, rows, x

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
S, N, WIDTH, H = 4, 2, 5, 3


def cell(
    op: str,
    *,
    direction: str = "forward",
    bias: bool = True,
    lengths: list[int] | None = None,
    h: bool = False,
    c: bool = False,
    p: bool = False,
    layout: int = 0,
    run_time: bool = False,
    sizes: tuple[int, int, int, int] = (S, N, WIDTH, H),
    why: str = "",
    **attributes: Any,
) -> OpCase:
    """A cell with the operands that are asked for, and all of its outputs."""
    steps, batch, inputs, hidden = sizes
    directions = 2 if direction == "bidirectional" else 1
    gates = GATES[op]

    def weight(*shape: int) -> Operand:
        return Operand(shape, constant=not run_time, low=-1, high=1)

    states = (batch, directions, hidden) if layout else (directions, batch, hidden)
    operands = [
        x(batch, steps, inputs) if layout else x(steps, batch, inputs),
        weight(directions, gates * hidden, inputs),
        weight(directions, gates * hidden, hidden),
        weight(directions, 2 * gates * hidden) if bias else ABSENT,
        Operand((batch,), constant=True, data=np.array(lengths, np.int32)) if lengths else ABSENT,
        x(*states) if h else ABSENT,
    ]
    if op == "LSTM":
        operands += [x(*states) if c else ABSENT, weight(directions, 3 * hidden) if p else ABSENT]
    return OpCase(
        op, *operands, outputs=3 if op == "LSTM" else 2, why=f"{direction} {why}".strip(),
        direction=direction, hidden_size=hidden, layout=layout, **attributes,
    )  # fmt: skip


CASES = [
    *(cell(op, direction=d) for op in GATES for d in ("forward", "reverse", "bidirectional")),
    *(cell(op, bias=False, why="no bias") for op in GATES),
    *(cell(op, h=True, c=True, why="initial state") for op in GATES),
    *(cell(op, h=True, c=True, direction="bidirectional", why="states") for op in GATES),
    *(
        cell(op, direction="bidirectional", run_time=True, h=True, c=True, why="all at run time")
        for op in GATES
    ),
    *(
        cell(op, direction=d, lengths=[2, S], h=True, c=True, why="lengths")
        for op in GATES
        for d in ("forward", "reverse", "bidirectional")
    ),
    *(cell(op, lengths=[S, S], why="full lengths") for op in GATES),
    *(cell(op, clip=0.5, h=True, c=True, direction="bidirectional", why="clip") for op in GATES),
    *(cell(op, sizes=(1, 1, 1, 1), h=True, c=True, why="one element") for op in GATES),
    *(cell(op, sizes=(3, 1, 70, 65), h=True, c=True, why="past the lanes") for op in GATES),
    cell("GRU", linear_before_reset=1, why="linear before reset"),
    cell("GRU", linear_before_reset=1, h=True, why="linear before reset with state"),
    cell("GRU", linear_before_reset=1, bias=False, h=True, why="linear before reset without bias"),
    cell(
        "GRU", linear_before_reset=1, direction="bidirectional", lengths=[3, 1], why="linear before reset",
    ),
    cell("LSTM", p=True, why="peepholes"),
    cell("LSTM", p=True, h=True, c=True, why="peepholes with state"),
    cell("LSTM", p=True, h=True, c=True, direction="bidirectional", why="peepholes with state"),
    cell("LSTM", input_forget=1, h=True, c=True, why="coupled"),
    cell("LSTM", input_forget=1, p=True, h=True, c=True, why="coupled peepholes"),
    *(
        cell("RNN", activations=[name], h=True, why=name)
        for name in ("Relu", "Sigmoid", "Softsign", "Softplus", "LeakyRelu", "Elu", "HardSigmoid")
    ),
    cell(
        "RNN", activations=["ThresholdedRelu"], activation_alpha=[0.2], h=True, why="ThresholdedRelu",
    ),
    cell("RNN", activations=["Affine"], activation_alpha=[0.5], activation_beta=[0.25], why="Affine"),
    cell("RNN", activations=["ScaledTanh"], activation_alpha=[0.5], activation_beta=[2.0], why="ScaledTanh"),
    cell("RNN", activations=["LeakyRelu"], activation_alpha=[0.3], why="slope given"),
    cell(
        "RNN", direction="bidirectional", activations=["LeakyRelu", "Elu"], activation_alpha=[0.3, 0.5],
        why="a parameter for each direction",
    ),
    cell("GRU", activations=["HardSigmoid", "Softsign"], h=True, why="other activations"),
    cell("LSTM", activations=["HardSigmoid", "Softsign", "Relu"], h=True, c=True, why="other activations"),
]  # fmt: skip


@rows(CASES)
def test_recurrent(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize("op", GATES)
def test_batch_first_is_the_same_turned(op: str) -> None:
    """ONNX Runtime has no layout 1."""
    sequence = cell(op, direction="bidirectional", h=True, c=True)
    turned = cell(op, direction="bidirectional", h=True, c=True, layout=1)
    turned.data = {
        name: v.swapaxes(0, 1) if name in {"in0", "in5", "in6"} else v for name, v in sequence.data.items()
    }
    turned.inputs = {name: turned.data[name] for name in turned.inputs}
    y, *states = sequence.top_results.values()
    got, *turned_states = turned.top_results.values()
    np.testing.assert_allclose(got, y.transpose(2, 0, 1, 3), rtol=1e-6, atol=1e-6)
    for a, b in zip(turned_states, states, strict=True):
        np.testing.assert_allclose(a, b.swapaxes(0, 1), rtol=1e-6, atol=1e-6)


def test_steps_that_only_run_time_knows_are_refused() -> None:
    case = cell("GRU", lengths=[2, 3])
    lengths = case.operands[4]
    open_case = OpCase(
        "GRU", *case.operands[:4], Operand(lengths.shape, data=lengths.data), ABSENT, outputs=2, hidden_size=H
    )
    with pytest.raises(tpumlir.UnsupportedError, match=r"node: GRU .*sequence lengths .* at run time"):
        tpumlir.load_onnx(open_case.proto)
