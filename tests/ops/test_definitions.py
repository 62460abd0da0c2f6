"""Operators without a converter of their own: ONNX's definition by simpler operators stands in."""

from __future__ import annotations

import pytest

import tpumlir
from harness import OpCase, Stage, c, check, rows, w, with_dynamic, x

X = x(2, 4, 6, 5)
CASES = with_dynamic(
    [
        OpCase("Selu", X, opset=18, why="defaults"),
        OpCase("Selu", X, opset=18, alpha=1.5, gamma=2.0, why="both"),
        OpCase("ThresholdedRelu", X, opset=18, why="default_alpha"),
        OpCase("Shrink", X, opset=18, lambd=0.4, bias=0.1),
        OpCase("Celu", X, why="default_alpha"),
        OpCase("Celu", X, alpha=1.5, why="alpha"),
        OpCase("Swish", X, opset=24, alpha=0.7),
        OpCase("GroupNormalization", X, w(4), w(4), num_groups=2, opset=21, why="two_groups"),
        OpCase("MeanVarianceNormalization", X, why="default_axes"),
        OpCase("MeanVarianceNormalization", X, axes=[2, 3], why="axes"),
        OpCase("RMSNormalization", X, w(5), opset=23, why="default_axis"),
        OpCase("ReduceLogSumExp", X, c(1), opset=18, why="keepdims_by_default"),
        OpCase("ReduceLogSumExp", X, c(1), opset=18, keepdims=0, why="no_keepdims"),
    ]
)


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_a_definition_that_needs_an_unsupported_operator_says_which() -> None:
    message = "node: Bernoulli .* its definition uses RandomUniformLike: "
    with pytest.raises(tpumlir.UnsupportedError, match=message):
        _ = OpCase("Bernoulli", X).top
