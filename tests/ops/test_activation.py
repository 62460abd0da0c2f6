"""Activations, each also with the defaults of the ONNX specification."""

from __future__ import annotations

from harness import ABSENT, OpCase, Stage, check, rows, scalar, w, with_dynamic, x

X = x(2, 65, 4, 5, low=-4.0, high=4.0)
CASES = [
    OpCase("Relu", X),
    OpCase("LeakyRelu", X, why="default_alpha"),
    OpCase("LeakyRelu", X, alpha=0.2, why="alpha"),
    OpCase("LeakyRelu", X, alpha=1.5, why="alpha_above_one"),
    OpCase("LeakyRelu", X, alpha=-0.5, why="alpha_below_zero"),
    OpCase("Elu", X, why="default_alpha"),
    OpCase("Elu", X, alpha=0.5, why="alpha"),
    OpCase("HardSigmoid", X, why="defaults"),
    OpCase("HardSigmoid", X, alpha=0.3, beta=0.4, why="both"),
    OpCase("HardSwish", X),
    OpCase("Sigmoid", X),
    OpCase("Tanh", X),
    OpCase("Softplus", X),
    OpCase("Softsign", X),
    OpCase("Mish", X, opset=18),
    OpCase("Gelu", X, opset=20, why="exact"),
    OpCase("Gelu", X, opset=20, approximate="tanh", stages=["top"], why="tanh"),
    *with_dynamic(
        [
            OpCase("PRelu", X, w(65, 1, 1), why="per_channel"),
            OpCase("PRelu", X, w(1), why="one_slope"),
            OpCase("PRelu", X, w(65, 4, 5), why="per_element"),
            OpCase("PRelu", x(2, 7, low=-2.0, high=2.0), w(7), why="matrix"),
            OpCase("Clip", X, scalar(-1.0), scalar(2.0), why="both"),
            OpCase("Clip", X, scalar(0.0), scalar(6.0), why="relu6"),
            OpCase("Clip", X, scalar(0.0), why="only_min_zero"),
            OpCase("Clip", X, scalar(-1.5), why="only_min"),
            OpCase("Clip", X, ABSENT, scalar(1.5), why="only_max"),
            OpCase("Clip", X, scalar(2.0), scalar(-1.0), why="crossed"),
        ]
    ),
    OpCase("Clip", X, opset=10, min=-1.0, max=1.0, why="attributes"),
    OpCase("Clip", X, opset=10, min=0.0, why="attribute_min"),
    OpCase("Clip", X, why="no_bounds"),
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
