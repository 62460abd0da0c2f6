"""Normalisations, constant and computed parameters alike."""

from __future__ import annotations

from harness import OpCase, Stage, check, rows, w, with_dynamic, x

P = {"low": 0.5, "high": 2.0}
CASES = with_dynamic(
    [
        OpCase("BatchNormalization", x(2, 65, 4, 5), w(65), w(65), w(65), w(65, **P), why="defaults"),
        OpCase("BatchNormalization", x(2, 3, 4, 5), w(3), w(3), w(3), w(3, **P), epsilon=0.1, why="epsilon"),
        OpCase("BatchNormalization", x(2, 3), w(3), w(3), w(3), w(3, **P), why="matrix"),
        OpCase("BatchNormalization", x(2, 3, 7), w(3), w(3), w(3), w(3, **P), why="one_axis"),
        OpCase("InstanceNormalization", x(2, 5, 6, 7), w(5), w(5), why="defaults"),
        OpCase("InstanceNormalization", x(2, 5, 6, 7), w(5), w(5), epsilon=0.1, why="epsilon"),
        OpCase("LayerNormalization", x(2, 5, 16), w(16), w(16), why="defaults"),
        OpCase("LayerNormalization", x(2, 5, 16), w(16), why="no_bias"),
        OpCase("LayerNormalization", x(2, 5, 16), w(5, 16), w(5, 16), axis=1, epsilon=0.01, why="two_axes"),
        OpCase("LRN", x(1, 12, 5, 6), size=5, why="defaults"),
        OpCase("LRN", x(1, 12, 5, 6), size=3, alpha=0.1, beta=0.5, bias=2.0, why="all"),
    ]
)


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
