"""Activations, each also with the defaults of the ONNX specification."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness import ABSENT, OpCase, Stage, array, check, opsets, rows, scalar, w, with_dynamic, x

X = x(2, 65, 4, 5, low=-4.0, high=4.0)
SHAPES = {
    "one_element": x(1, low=-4.0, high=4.0),
    "rank_six": x(1, 2, 1, 3, 2, 3, low=-4.0, high=4.0),
    "odd": x(7, 13, low=-4.0, high=4.0),
}
# Attributes of each row, by what they are about.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "Relu": {"plain": {}},
    "LeakyRelu": {
        "default_alpha": {}, "alpha": {"alpha": 0.2}, "alpha_above_one": {"alpha": 1.5},
        "alpha_below_zero": {"alpha": -0.5}, "alpha_zero": {"alpha": 0.0},
    },
    "Elu": {"default_alpha": {}, "alpha": {"alpha": 0.5}},
    "Selu": {"defaults": {}, "both": {"alpha": 1.2, "gamma": 0.7}},
    "Celu": {"default_alpha": {}, "alpha": {"alpha": 2.5}, "small_alpha": {"alpha": 0.25}},
    "ThresholdedRelu": {"default_alpha": {}, "alpha": {"alpha": 0.3}, "below_zero": {"alpha": -1.0}},
    "Shrink": {"defaults": {}, "hard": {"lambd": 1.5}, "soft": {"lambd": 1.5, "bias": 1.5}},
    "HardSigmoid": {"defaults": {}, "both": {"alpha": 0.3, "beta": 0.4}},
    "HardSwish": {"plain": {}},
    "Sigmoid": {"plain": {}},
    "Tanh": {"plain": {}},
    "Softplus": {"plain": {}},
    "Softsign": {"plain": {}},
    "Mish": {"plain": {}},
    "Gelu": {"exact": {}, "tanh": {"approximate": "tanh"}},
    "Swish": {"default_alpha": {}, "alpha": {"alpha": 1.7}},
}  # fmt: skip
FIRST = {"Mish": 18, "Gelu": 20, "HardSwish": 14, "Celu": 12, "Swish": 24}
PLAIN = [
    OpCase(op, X, opset=max(17, FIRST.get(op, 0)), why=why, **attributes)
    for op, settings in SETTINGS.items()
    for why, attributes in settings.items()
] + [
    OpCase(op, operand, opset=max(17, FIRST.get(op, 0)), why=why)
    for op in SETTINGS
    for why, operand in SHAPES.items()
] + [
    OpCase(op, x(3, 5, low=-4.0, high=4.0), opset=opset, why=f"opset_{opset}")
    for op in SETTINGS
    for opset in opsets(op)
]  # fmt: skip
# Where ONNX Runtime has no limit of its own: x e^x at both ends, and what is not a number.
FAR = np.array(
    [0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 90.0, -90.0, 1e4, -1e4, 1e-6, -1e-6, np.nan, np.inf], np.float32
)
EDGES = [
    OpCase(
        op,
        array(FAR, constant=False),
        opset=max(17, FIRST.get(op, 0)),
        why="special_numbers",
        precisions=("F32",),
    )
    for op in SETTINGS
]
OPERANDS = with_dynamic(
    [
        OpCase("PRelu", X, w(65, 1, 1), why="per_channel"),
        OpCase("PRelu", X, w(1), why="one_slope"),
        OpCase("PRelu", X, w(65, 4, 5), why="per_element"),
        OpCase("PRelu", x(2, 7, low=-2.0, high=2.0), w(7), why="matrix"),
        OpCase("PRelu", x(2, 1, 3, 2, 2, 3), w(3, 1, 2, 1), why="rank_six"),
        *(OpCase("PRelu", x(2, 7), w(7), opset=opset, why=f"opset_{opset}") for opset in opsets("PRelu")),
        OpCase("Clip", X, scalar(-1.0), scalar(2.0), why="both"),
        OpCase("Clip", X, scalar(0.0), scalar(6.0), why="relu6"),
        OpCase("Clip", X, scalar(0.0), why="only_min_zero"),
        OpCase("Clip", X, scalar(-1.5), why="only_min"),
        OpCase("Clip", X, ABSENT, scalar(1.5), why="only_max"),
        OpCase("Clip", X, scalar(2.0), scalar(-1.0), why="crossed"),
        OpCase("Clip", x(1), scalar(-0.1), scalar(0.1), why="one_element"),
        *(
            OpCase("Clip", x(3, 5), scalar(-0.5), scalar(0.5), opset=opset, why=f"opset_{opset}")
            for opset in opsets("Clip")
            if opset >= 11
        ),
    ]
)
CLIP = [
    OpCase("Clip", X, opset=10, min=-1.0, max=1.0, why="attributes"),
    OpCase("Clip", X, opset=10, min=0.0, why="attribute_min"),
    OpCase("Clip", X, opset=7, max=0.5, why="attribute_max"),
    OpCase("Clip", X, why="no_bounds"),
]


@rows(PLAIN + EDGES + OPERANDS + CLIP)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
